"""Reads what is there of what Git wants, and what else of its kinds weakens a mesh: each object is compared as it comes, and let go.

Requests: one list for each kind and namespace of charts' objects, one for each kind of policies that is served, one for each of Istio's
CRDs, two for Namespaces; none depends on how many objects, pods or namespaces a cluster has.
"""

from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import NamedTuple

import anyio

from meshinstall.engine.drifting.comparing import compare
from meshinstall.engine.drifting.terms import Differing, Field, Other, Records, Seen, Wanted, WantedObjects, written_by
from meshinstall.engine.objects.field_managers import all_owned
from meshinstall.engine.objects.field_paths import field_at
from meshinstall.engine.observe.policies import find_served
from meshinstall.engine.plan.compare import changed
from meshinstall.engine.tasks import task_group
from meshinstall.errors import ClusterError, UnauthorizedError, UnreachableError
from meshinstall.gitops.terms import Step
from meshinstall.model.facts import ObjectKey, policy_key
from meshinstall.model.foreign_text import plain
from meshinstall.model.ownership import LAYERED, MANAGED_BY, MANAGER, POLICY, keeper_of
from meshinstall.model.paths import object_path, path_of, resource_of
from meshinstall.model.policy_kinds import EXTENSIONS, NETWORKING, OTHER_KINDS, POLICY_KINDS, SECURITY, group_of
from meshinstall.model.release import Manifest
from meshinstall.model.yaml_text import load
from meshinstall.ports import Kube

# Lists and gets at the same time.
_AT_ONCE = 6
# Kinds of which an object that no file has may weaken a mesh.
_WEAKENING = frozenset(
    {
        (SECURITY, "PeerAuthentication"),
        (SECURITY, "AuthorizationPolicy"),
        (SECURITY, "RequestAuthentication"),
        (NETWORKING, "DestinationRule"),
        (NETWORKING, "EnvoyFilter"),
        (EXTENSIONS, "WasmPlugin"),
    }
)
_WEBHOOKS = frozenset({"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"})
_OURS = f"{MANAGED_BY}={MANAGER},{POLICY}={LAYERED}"
_ALL_POLICIES = {**POLICY_KINDS, **OTHER_KINDS}


class _Collection(NamedTuple):
    """Objects of a kind in a namespace, or in all of them; with ``labels`` only ours."""

    api_version: str
    kind: str
    path: str
    namespace: str = ""
    labels: str = ""

    def __str__(self) -> str:
        """As people read it."""
        group = group_of(self.api_version)
        return f"{self.kind}{f'.{group}' if group else ''}{f' in {self.namespace}' if self.namespace else ''}"


class Kinds(NamedTuple):
    """The version in which each kind of policies is served, and why that is not known."""

    served: Mapping[tuple[str, str], str]
    gap: str = ""


async def see(wanted: WantedObjects, records: Records, kube: Kube, kinds: Kinds) -> Seen:
    """Compare everything that Git wants; raises UnauthorizedError and UnreachableError alone, all else is a gap."""
    served = kinds.served
    seen = Seen(gaps=[kinds.gap] if kinds.gap else [])
    unknown = {name: one for name, one in wanted.items() if _is_unknown(one, served)}
    # A kind that is not served has no objects; where that could not be asked, nothing is known.
    seen.missing += [one for one in unknown.values() if _is_policy(one.key) and not seen.gaps]
    others = [one.key for one in unknown.values() if not _is_policy(one.key)]
    seen.gaps += [f"{key} is of a kind that this version of meshinstall cannot compare" for key in others]
    left = {name: one for name, one in wanted.items() if name not in unknown}
    plan = _collections([one.key for one in left.values()], served)
    crds = [one for one in left.values() if one.item.step is Step.CRDS]
    reader = _Reader(left, records, kube, seen)
    await _all(reader, plan, crds)
    seen.missing += [one for name, one in left.items() if name not in reader.found and name not in reader.unread]
    return seen


async def find_kinds(kube: Kube) -> Kinds:
    """The kinds of policies that are served; raises UnauthorizedError and UnreachableError alone."""
    try:
        return Kinds(await find_served(kube, _ALL_POLICIES))
    except (UnauthorizedError, UnreachableError):
        raise
    except ClusterError as error:
        return Kinds({}, f"which kinds of Istio are served: {plain(error.message)}")


def _is_policy(key: ObjectKey) -> bool:
    return (group_of(key.api_version), key.kind) in _ALL_POLICIES


def _is_unknown(one: Wanted, served: Mapping[tuple[str, str], str]) -> bool:
    if one.item.step is Step.CRDS:
        return False
    return (group_of(one.key.api_version), one.key.kind) not in served if _is_policy(one.key) else resource_of(one.key) is None


def _collections(keys: Iterable[ObjectKey], served: Mapping[tuple[str, str], str]) -> list[_Collection]:
    keys = tuple(keys)
    kinds = {(group_of(key.api_version), key.kind) for key in keys}
    found = [
        _Collection(version, kind[1], object_path(version, _ALL_POLICIES[kind].plural), "", "" if kind in kinds | _WEAKENING else _OURS)
        for kind, version in served.items()
    ]
    for key in keys:
        resource = resource_of(key)
        if resource and not _is_policy(key) and key.kind != "CustomResourceDefinition":
            namespace = key.namespace if resource[1] else ""
            found.append(_Collection(key.api_version, key.kind, object_path(key.api_version, resource[0], namespace), namespace))
    admission = [kind for kind in sorted(_WEBHOOKS) if not any(one.kind == kind for one in found)]
    version = "admissionregistration.k8s.io/v1"
    found += [_Collection(version, kind, object_path(version, f"{kind.lower()}s")) for kind in admission]
    return list(dict.fromkeys(found))


async def _all(reader: "_Reader", plan: Iterable[_Collection], crds: Iterable[Wanted]) -> None:
    limiter = anyio.CapacityLimiter(_AT_ONCE)

    async def listed(one: _Collection) -> None:
        async with limiter:
            await reader.list(one)

    async def got(one: Wanted) -> None:
        async with limiter:
            await reader.crd(one)

    async with task_group() as group:
        for one in plan:
            group.start_soon(listed, one)
        for crd in crds:
            group.start_soon(got, crd)


class _Reader:
    """Compares objects with what is wanted as they come; ``found`` are wanted ones that are there, ``unread`` those that are not known."""

    def __init__(self, wanted: WantedObjects, records: Records, kube: Kube, seen: Seen) -> None:
        self._wanted = wanted
        self._records = records
        self._kube = kube
        self._seen = seen
        self.found: set[object] = set()
        self.unread: set[object] = set()

    async def list(self, place: _Collection) -> None:
        """Compare the objects of a collection."""
        try:
            async for item in self._items(place):
                self._look(ObjectKey(place.api_version, place.kind, *_named(item)), item)
        except (UnauthorizedError, UnreachableError):
            raise
        except ClusterError as error:
            self._seen.gaps.append(f"{place} could not be listed: {plain(error.message)}")
            mine = (name for name, one in self._wanted.items() if _is_in(one.key, place))
            self.unread.update(name for name in mine if name not in self.found)

    def _items(self, place: _Collection) -> AsyncIterator[Manifest]:
        return self._kube.list(place.path, labels=place.labels)

    async def crd(self, wanted: Wanted) -> None:
        """Compare a CRD: it has a hundred kilobytes of schema, and a cluster has those of all its operators, so they are not listed."""
        name = policy_key(wanted.key)
        try:
            live = await self._kube.get(path_of(wanted.key))
        except (UnauthorizedError, UnreachableError):
            raise
        except ClusterError as error:
            self._seen.gaps.append(f"{wanted.key} could not be read: {plain(error.message)}")
            self.unread.add(name)
            return
        if live is None:
            return
        self.found.add(name)
        self._count(wanted.key, live, is_wanted=True)
        made = load(wanted.item.text)
        if fields := tuple(Field(path, field_at(made, path), field_at(live, path)) for path in changed({"spec": made["spec"]}, live)):
            last = self._records.crds.get(wanted.key.name)
            recorded = load(last) if last else None
            told = tuple(_of_crd(one, recorded) for one in fields)
            self._seen.differing.append(Differing(wanted, live, told, recorded))

    def _look(self, key: ObjectKey, item: Manifest) -> None:
        name = policy_key(key)
        wanted = self._wanted.get(name)
        live = {**item, "apiVersion": key.api_version, "kind": key.kind}
        self._count(key, live, is_wanted=wanted is not None)
        if wanted is None:
            if _matters(key, live, recorded=name in self._records.objects):
                metadata = {part: value for part, value in live["metadata"].items() if part != "managedFields"}
                self._seen.others.append(Other(key, {**live, "metadata": metadata}, written_by(all_owned(live))))
            return
        self.found.add(name)
        _, recorded = self._records.objects.get(name, (None, None))
        try:
            fields = compare(wanted, live, recorded)
        except (ValueError, TypeError, AttributeError, LookupError) as error:
            self._seen.gaps.append(f"{plain(str(key))} could not be compared: {plain(error)}")
            return
        if fields:
            self._seen.differing.append(Differing(wanted, live, fields, recorded))

    def _count(self, key: ObjectKey, live: Manifest, *, is_wanted: bool) -> None:
        self._seen.looked_at += 1
        if is_wanted:
            self._seen.compared += 1
            if keeper := keeper_of(live):
                self._seen.marks.setdefault(keeper, []).append(key)
                self._seen.keepers[policy_key(key)] = keeper


def _named(item: Manifest) -> Iterator[str]:
    metadata = item["metadata"]
    return iter((str(metadata.get("namespace", "")), str(metadata["name"])))


def _is_in(key: ObjectKey, place: _Collection) -> bool:
    same = (key.kind, group_of(key.api_version)) == (place.kind, group_of(place.api_version))
    return same and place.namespace in {"", key.namespace}


def _matters(key: ObjectKey, live: Manifest, *, recorded: bool) -> bool:
    """Whether an object that Git does not have is worth keeping: what may weaken a mesh, and what was installed before."""
    labels = live["metadata"].get("labels") or {}
    kind = (group_of(key.api_version), key.kind)
    if kind in _WEAKENING or key.kind in _WEBHOOKS or recorded:
        return True
    is_installed = keeper_of(live) is not None and not live["metadata"].get("ownerReferences")
    return is_installed or (labels.get(MANAGED_BY) == MANAGER and labels.get(POLICY) == LAYERED)


def _of_crd(one: Field, recorded: Manifest | None) -> Field:
    return one if recorded is None else one._replace(engine=field_at(recorded, one.path), recorded=True)
