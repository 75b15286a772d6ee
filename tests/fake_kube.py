"""A fake of ports.Kube: the objects of a cluster in memory."""

import re
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import anyio.lowlevel

from meshinstall.errors import ClusterError, ConflictError, ForbiddenError
from meshinstall.model.facts import key_of
from meshinstall.model.paths import KINDS, path_of
from meshinstall.model.policy_kinds import POLICY_KINDS
from meshinstall.model.release import Manifest
from meshinstall.model.trial import Answer, Attempt, Kinds

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


def now() -> datetime:
    """Noon, and the seconds of the event loop's clock."""
    return NOON + timedelta(seconds=anyio.current_time())


class FakeKube:
    """Implements ports.Kube over ``objects``, by their paths.

    ``answers`` stand in for the server where a request makes no object, by
    collection; ``refusals`` are raised, by ``VERB path``; ``calls`` keeps every
    request so; ``pauses`` are the seconds that the next answers take. An object
    with finalizers stays, marked, until a test removes it. ``foreign`` are paths
    of objects whose every field another manager owns. ``judges`` answer dry runs.
    """

    def __init__(self) -> None:
        self.objects: dict[str, dict[str, Any]] = {}
        self.calls: list[str] = []
        self.answers: dict[str, Callable[[Manifest], Manifest]] = {REVIEWS: allow_everything}
        self.refusals: dict[str, ClusterError] = {}
        self.pauses: dict[str, list[float]] = {}
        self.foreign: set[str] = set()
        self.judges: list[Callable[[Attempt], Answer | None]] = []
        self.served: Kinds = {}
        self._version = 0

    def put(self, *manifests: Manifest) -> None:
        """Place objects of known kinds as if they had always been there."""
        for manifest in manifests:
            self._store(path_of(key_of(manifest)), deepcopy(dict(manifest)))

    async def get(self, path: str) -> Manifest | None:
        """The object, or None."""
        await self._ask("GET", path)
        return deepcopy(self.objects.get(path) or self._discovered(path))

    async def list(self, path: str, *, labels: str = "", fields: str = "", metadata_only: bool = False) -> AsyncIterator[Manifest]:
        """The objects of a collection, as a server lists them: without apiVersion and kind."""
        await self._ask("LIST", path)
        for where, item in list(self.objects.items()):
            if path in _collections(where) and _has(item, labels, fields):
                kept = {"metadata"} if metadata_only else item.keys() - {"apiVersion", "kind"}
                yield deepcopy({name: value for name, value in item.items() if name in kept})

    async def apply(self, path: str, body: Manifest, *, dry_run: bool = False, force: bool = False) -> Manifest:
        """Merge ``body``; a conflict when that changes what another manager owns."""
        await self._ask("APPLY", path)
        live = self.objects.get(path, {})
        merged = _merged(live, body)
        if path in self.foreign and not force and merged != live:
            raise ConflictError("Apply failed with 1 conflict: conflict with kubectl")
        return merged if dry_run else self._store(path, merged)

    async def create(self, path: str, body: Manifest, *, dry_run: bool = False) -> Manifest:
        """Create, unless ``answers`` knows better."""
        await self._ask("CREATE", path)
        if path in self.answers:
            return self.answers[path](body)
        where = f"{path}/{body['metadata']['name']}"
        if where in self.objects:
            raise ConflictError(f"{body['metadata']['name']} already exists")
        return deepcopy(dict(body)) if dry_run else self._store(where, deepcopy(dict(body)))

    async def patch(self, path: str, body: Manifest, *, dry_run: bool = False) -> Manifest:
        """Merge into what is there, where null removes; a conflict when ``body`` names another version of it."""
        await self._ask("PATCH", path)
        path = path.removesuffix("/scale")
        if path not in self.objects:
            raise ClusterError(f"PATCH {path}: not found")
        version = (body.get("metadata") or {}).get("resourceVersion")
        if version not in {None, self.objects[path]["metadata"]["resourceVersion"]}:
            raise ConflictError("the object has been modified")
        merged = _without_null(_merged(self.objects[path], body))
        return merged if dry_run else self._store(path, merged)

    async def attempt(self, attempt: Attempt) -> Answer:
        """What the first of ``judges`` says that has an opinion; else it would be done."""
        await self._ask("ATTEMPT", attempt.path)
        said = (judge(attempt) for judge in self.judges)
        return next((answer for answer in said if answer), Answer(200, made=attempt.body))

    async def kinds(self) -> Kinds:
        """Those that a test serves; none is an API server that does not tell them."""
        await self._ask("GET", "/apis")
        return self.served

    async def delete(self, path: str, *, uid: str = "") -> None:
        """Remove, or mark what finalizers hold; a conflict when another object has its name by now."""
        await self._ask("DELETE", path)
        if uid and path in self.objects and self.objects[path]["metadata"].get("uid") != uid:
            raise ConflictError("the UID in the precondition does not match")
        if (self.objects.get(path) or {"metadata": {}})["metadata"].get("finalizers"):
            self.objects[path]["metadata"]["deletionTimestamp"] = now().isoformat()
        else:
            self.objects.pop(path, None)

    def _discovered(self, path: str) -> dict[str, Any] | None:
        """What a group or a version of it serves: the kinds of its established CRDs, and those of the objects that are there."""
        if path in {"/api/v1", "/apis"} or path.removeprefix("/apis/") in _versions(self.objects):
            return _discovery(path, self.objects)
        group, _, version = path.removeprefix("/apis/").partition("/")
        crds = [item for item in self.objects.values() if item.get("kind") == "CustomResourceDefinition" and _is_established(item)]
        kinds = [crd["metadata"]["name"].partition(".")[0] for crd in crds if crd["metadata"]["name"].endswith(f".{group}")]
        if not kinds or version not in {"", "v1"}:
            return None
        return {"resources": [{"name": kind} for kind in kinds]} if version else {"versions": [{"groupVersion": f"{group}/v1"}]}

    async def _ask(self, verb: str, path: str) -> None:
        # Others get their turn, as with a real server.
        await anyio.lowlevel.checkpoint()
        self.calls.append(f"{verb} {path}")
        if pauses := self.pauses.get(f"{verb} {path}"):
            await anyio.sleep(pauses.pop(0))
        if refusal := self.refusals.get(f"{verb} {path}"):
            raise refusal

    def _store(self, path: str, item: dict[str, Any]) -> dict[str, Any]:
        self._version += 1
        metadata = {"creationTimestamp": NOON.isoformat(), "uid": f"uid-{self._version}", **item["metadata"]}
        item["metadata"] = {**metadata, "resourceVersion": str(self._version)}
        self.objects[path] = item
        return deepcopy(item)


def allow_everything(review: Manifest) -> Manifest:
    """The answer to an administrator."""
    return {**review, "status": {"allowed": True}}


def forbidden(what: str) -> ForbiddenError:
    """As the API server words it."""
    return ForbiddenError(f'{what} is forbidden: User "ann" cannot do it')


def _versions(objects: Iterable[str]) -> dict[str, set[str]]:
    """The kinds of the objects in namespaces, by group and version."""
    found = {"v1": {"secrets", "configmaps", "pods", "services"}, "apps/v1": {"replicasets"}, "batch/v1": {"cronjobs"}}
    for path in objects:
        if match := re.fullmatch("/apis?/(.+)/namespaces/[^/]+/([^/]+)/[^/]+", path):
            found.setdefault(match[1], set()).add(match[2])
    return found


# Kinds by their plurals, as far as tests own something by them.
_POLICIES = {policy.plural: kind for (_, kind), policy in POLICY_KINDS.items()}
_NAMES = _POLICIES | {plural: kind for kind, (plural, _) in KINDS.items()} | {"cronjobs": "CronJob", "pods": "Pod", "secrets": "Secret"}


def _discovery(path: str, objects: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The kinds that a version serves, or all groups."""
    found = _versions(objects)
    if path == "/apis":
        versions = [{"groupVersion": version} for version in found if "/" in version]
        return {"groups": [{"versions": [version], "preferredVersion": version} for version in versions]}
    kinds = found.get(path.removeprefix("/apis/").removeprefix("/api/"), set())
    crds = {item["metadata"]["name"].partition(".")[0] for item in objects.values() if item.get("kind") == "CustomResourceDefinition"}
    verbs = ["create", "delete", "get", "list"]
    return {"resources": [{"name": one, "kind": _NAMES.get(one, one), "namespaced": True, "verbs": verbs} for one in sorted(kinds | crds)]}


def _is_established(crd: Manifest) -> bool:
    conditions = (crd.get("status") or {}).get("conditions") or ()
    return any(condition["type"] == "Established" and condition["status"] == "True" for condition in conditions)


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = deepcopy(dict(below))
    for name, value in above.items():
        under = merged.get(name)
        merged[name] = _merged(under, value) if isinstance(value, Mapping) and isinstance(under, Mapping) else deepcopy(value)
    return merged


def _without_null(value: Any) -> Any:
    return {name: _without_null(one) for name, one in value.items() if one is not None} if isinstance(value, Mapping) else value


def _collections(path: str) -> set[str]:
    """Paths of the lists that an object is in: of its namespace, and of all."""
    collection = path.rpartition("/")[0]
    return {collection, re.sub("/namespaces/[^/]+/", "/", collection)}


def _has(item: Manifest, labels: str, fields: str) -> bool:
    there = item["metadata"].get("labels") or {}
    wanted = [one.partition("=") for one in labels.split(",") if one]
    host = str(bool((item.get("spec") or {}).get("hostNetwork"))).lower()
    seen = {"metadata.name": item["metadata"]["name"], "type": item.get("type", ""), "spec.hostNetwork": host}
    has = all(
        there.get(label[:-1]) != value if label.endswith("!") else label in there and (not equals or there[label] == value)
        for label, equals, value in wanted
    )
    return has and all(_selects(one, seen) for one in fields.split(",") if one)


def _selects(field: str, seen: Mapping[str, str]) -> bool:
    """Whether one term of a field selector takes an object; fields that the fake does not know take any."""
    name, _, value = field.partition("=")
    known = name.removesuffix("!")
    return known not in seen or (seen[known] == value) is not name.endswith("!")


def vouch(kube: FakeKube, *deployments: Manifest, calls: str = "") -> None:
    """Let Istio's injection webhook, called ``calls`` or as the Deployment, lead to each: a Service that selects its pods."""
    for deployment in deployments:
        metadata = deployment["metadata"]
        name, namespace = metadata["name"], metadata["namespace"]
        selector = deployment["spec"]["template"]["metadata"]["labels"]
        service = {"name": name, "namespace": namespace}
        hook = {"name": "rev.namespace.sidecar-injector.istio.io", "clientConfig": {"service": service}}
        configuration = {"name": calls or f"istio-sidecar-injector-{name}-{namespace}"}
        kube.put(
            {"apiVersion": "v1", "kind": "Service", "metadata": service, "spec": {"selector": selector}},
            {
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": "MutatingWebhookConfiguration",
                "metadata": configuration,
                "webhooks": [hook],
            },
        )
