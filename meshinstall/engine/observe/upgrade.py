"""Reads where each part of a mesh is, for the plan of an upgrade.

Requests: those for the control planes (engine/mesh/control_planes.py); lists of pods, Deployments, StatefulSets, DaemonSets,
PodDisruptionBudgets, namespaces, webhook configurations and CRDs; one for each version of the APIs of Istio and of the Gateway API, and
one list for each of their kinds; Helm's records. None of them depends on how many objects there are, but for one page in 500.
"""

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from meshinstall.catalog.upgrades import GATEWAY_ROUTES, MERGED_GATEWAYS, REGISTERED_ENTRIES, SHARED_HOSTS
from meshinstall.engine.mesh.control_planes import Plane, control_planes
from meshinstall.engine.mesh.kube_objects import place
from meshinstall.engine.mesh.reader import Asker, Wanted
from meshinstall.engine.objects.json_fields import at, rows, text, texts
from meshinstall.engine.observe import upgrade_objects as read
from meshinstall.engine.observe.cloud import explaining
from meshinstall.engine.observe.unrecorded import find_unrecorded
from meshinstall.engine.observe.upgrade_objects import Budget, Owner, ProxyPod, WorkloadAt
from meshinstall.engine.session import Session
from meshinstall.engine.tasks import gather
from meshinstall.errors import ForbiddenError, HelmError
from meshinstall.model.desired import Desired
from meshinstall.model.istio import DEFAULT_VALIDATOR, ISTIOD_CONTAINER, image_tag
from meshinstall.model.istio_version import IstioVersion, istio_version
from meshinstall.model.labels import REVISION
from meshinstall.model.mesh_position import BudgetAt, Carrier, Mark, MeshPosition, PlaneAt, Proxied, ProxyCount, Rollout
from meshinstall.model.ownership import kept_by, owner_of
from meshinstall.model.paths import object_path
from meshinstall.model.place import Place
from meshinstall.model.release import Component, Manifest, readable
from meshinstall.model.selectors import selects

_NOT_DONE = "status.phase!=Succeeded,status.phase!=Failed"
_ADMISSION = "admissionregistration.k8s.io/v1"
_GATEWAY_API = "gateway.networking.k8s.io"
_BUNDLE = f"{_GATEWAY_API}/bundle-version"
_NETWORKING = "networking.istio.io"
# The versions that Istio's releases of the table serve, the newest first: an object is listed once.
_SERVED: Mapping[str, tuple[str, ...]] = {
    _NETWORKING: ("v1", "v1beta1", "v1alpha3"),
    "security.istio.io": ("v1", "v1beta1"),
    "telemetry.istio.io": ("v1", "v1alpha1"),
    "extensions.istio.io": ("v1alpha1",),
    _GATEWAY_API: ("v1", "v1beta1", "v1alpha3", "v1alpha2"),
}
# How an istiod marks the WorkloadEntries that it made (istio: pilot/pkg/autoregistration).
_REGISTERED = "istio.io/autoRegistrationGroup"
_KUBERNETES_HOST = ".svc.cluster.local"
_OF_MANAGED = frozenset({f"{_GATEWAY_API}/gateway-name", "istio.io/gateway-name"})


async def observe_upgrade(desired: Desired, session: Session, *, asks_helm: bool = True) -> MeshPosition:
    """Ask everything at the same time; changes nothing. What is refused is a gap; raises UnreachableError and UnauthorizedError.

    To ask helm for its version costs a third of a second of CPU.
    """
    looks = _Looks(desired, session)
    asks: Mapping[str, Callable[[], Awaitable[Any]]] = {
        "kubernetes": looks.kubernetes,
        "helm": looks.helm if asks_helm else looks.nothing,
        "base": looks.base,
        "planes": looks.planes,
        "pods": looks.pods,
        "workloads": looks.workloads,
        "budgets": lambda: looks.listed("PodDisruptionBudgets", object_path("policy/v1", "poddisruptionbudgets"), read.budget),
        "namespaces": lambda: looks.listed("namespaces", object_path("v1", "namespaces"), read.namespace, slim=True),
        "injectors": looks.injectors,
        "validator": looks.validator,
        "gateway api": looks.gateway_api,
        "objects": looks.objects,
    }
    async with explaining(session, desired):
        found = await gather(asks, lambda name: asks[name]())
    return replace(_position(found, desired), gaps=tuple(dict.fromkeys(looks.gaps)))


def _position(found: Mapping[str, Any], desired: Desired) -> MeshPosition:
    """What the answers are together, without what another mesh of the cluster injects."""
    workloads, agents = found["workloads"]
    tags, switched_off = found["injectors"]
    labelled, gateways, used = found["objects"]
    planes, others = found["planes"]
    away = {*others, *(tag.name for tag in tags if tag.revision in others)}
    budgets: dict[str, list[Budget]] = defaultdict(list)
    for one in found["budgets"]:
        budgets[one.at.place.namespace].append(one)
    around = _Around(
        {one.owner: one for one in workloads},
        budgets,
        {str(release.key) for release in desired.releases if release.component is Component.GATEWAY},
        {one.place: one.revision for one in gateways},
    )
    return MeshPosition(
        kubernetes=found["kubernetes"],
        helm=found["helm"],
        base=found["base"],
        planes=planes,
        proxied=tuple(around.proxied(pod for pod in found["pods"] if pod.revision not in others and not around.is_scout(pod))),
        namespaces=tuple(space for space in found["namespaces"] if space.selector not in away),
        tags=tuple(tag for tag in tags if tag.name not in away),
        validator=found["validator"],
        switched_off=switched_off,
        agents=tuple(agents),
        labelled=tuple(labelled),
        api_gateways=tuple(gateways),
        gateway_api=found["gateway api"],
        used=used,
    )


class _Looks:
    """One method for each question; ``gaps`` are what got no answer."""

    def __init__(self, desired: Desired, session: Session) -> None:
        self._desired, self._session = desired, session
        self._asker = Asker(session.kube)
        self._helm_gaps: list[str] = []

    @property
    def gaps(self) -> list[str]:
        """In the words of the reader."""
        return [*self._asker.gaps, *self._helm_gaps]

    async def listed(self, what: str, path: str, reader: Callable[[Manifest], Any], **wanted: Any) -> list[Any]:
        """What ``reader`` makes of each object of a collection."""
        return await self._asker.facts(Wanted(what, path, **wanted), reader)

    async def kubernetes(self) -> str:
        """The API server's version without the v."""
        found = await self._asker.one("the version of Kubernetes", "/version", lambda item: text(at(item, "gitVersion")))
        return (found or "").removeprefix("v")

    async def helm(self) -> str:
        """Helm's version; empty when there is none that can be used."""
        try:
            return await self._session.helm.version()
        except HelmError as error:
            self._helm_gaps.append(f"helm: {error.message}")
            return ""

    async def nothing(self) -> str:
        """Leave a question out."""
        return ""

    async def base(self) -> IstioVersion | None:
        """The version of the chart that brought the CRDs, by helm's record, else by their labels; None where neither says it."""
        spaces = [space.name for space in self._desired.namespaces]
        records = await self._session.releases.newest(spaces)
        bases = [release for release in self._desired.releases if release.component is Component.BASE]
        for record in readable(records, [release.key for release in bases]).values():
            return istio_version(record.version)
        try:
            applied = [await find_unrecorded(self._session.kube, release) for release in bases]
        except ForbiddenError:
            # The list of the CRDs is asked for elsewhere, too, and is a gap there.
            return None
        return next((istio_version(one.version) for one in applied if one), None)

    async def planes(self) -> tuple[tuple[PlaneAt, ...], set[str]]:
        """The istiods in the namespace of the mesh, and revisions that only others have."""
        found = await control_planes(self._asker.facts)
        here = [plane for plane in found.found if plane.istiod.place.namespace == self._desired.mesh_namespace]
        ours = {plane.istiod.revision for plane in here}
        return tuple(map(_plane, here)), {plane.istiod.revision for plane in found.found} - ours

    async def pods(self) -> list[ProxyPod]:
        """All pods with a proxy that are not being deleted."""
        return await self.listed("pods", object_path("v1", "pods"), read.proxy_pod, fields=_NOT_DONE)

    async def workloads(self) -> tuple[list[WorkloadAt], list[Any]]:
        """Deployments, StatefulSets and DaemonSets, and of the last those of the mesh itself."""
        agents: list[Any] = []

        def daemon_set(item: Manifest) -> WorkloadAt:
            if found := read.agent(item, self._desired.mesh_namespace):
                agents.append(found)
            return read.workload(item, "DaemonSet")

        readers: Mapping[str, Callable[[Manifest], WorkloadAt]] = {
            "Deployment": partial(read.workload, kind="Deployment"),
            "StatefulSet": partial(read.workload, kind="StatefulSet"),
            "DaemonSet": daemon_set,
        }
        lists = await gather(readers, lambda kind: self.listed(f"{kind}s", object_path("apps/v1", f"{kind.lower()}s"), readers[kind]))
        return [one for kind in readers for one in lists[kind]], agents

    async def injectors(self) -> tuple[list[Any], bool]:
        """The revision tags, and whether the injector of the istiod without a revision is switched off."""
        off: list[bool] = []

        def injector(item: Manifest) -> Any:
            off.extend([found] if (found := read.is_switched_off(item)) is not None else [])
            return read.tag(item)

        tags = await self.listed("MutatingWebhookConfigurations", object_path(_ADMISSION, "mutatingwebhookconfigurations"), injector)
        return tags, any(off)

    async def validator(self) -> str:
        """The revision that the default validator leads to."""
        path = object_path(_ADMISSION, "validatingwebhookconfigurations", name=DEFAULT_VALIDATOR)
        return await self._asker.one(f"ValidatingWebhookConfiguration {DEFAULT_VALIDATOR}", path, read.validator) or ""

    async def gateway_api(self) -> str:
        """The bundle version of the Gateway API's CRDs; empty when they are not installed."""

        def bundle(item: Manifest) -> str | None:
            is_gateway = text(at(item, "metadata", "name")) == f"gateways.{_GATEWAY_API}"
            return text(at(item, "metadata", "annotations", _BUNDLE)) if is_gateway else None

        path = object_path("apiextensions.k8s.io/v1", "customresourcedefinitions")
        found = await self.listed("CRDs", path, bundle, slim=True)
        return str(next(iter(found), "")).removeprefix("v")

    async def objects(self) -> tuple[list[Any], list[Any], dict[str, tuple[str, ...]]]:
        """Objects with a revision of their own, Gateways that istiod serves, and what the release notes ask for."""
        kinds = await self._kinds()
        filtered = [one for one in kinds if one != (_GATEWAY_API, "gateways")]
        lists = await gather(filtered, lambda one: self._labelled(*kinds[one]))
        gateways = await self._of(kinds, _GATEWAY_API, "gateways", read.api_gateway)
        return [each for one in filtered for each in lists[one]], gateways, await self._used(kinds)

    async def _kinds(self) -> dict[tuple[str, str], tuple[str, str]]:
        """By group and plural of each kind that is served: its name, and the path of its collection in the newest version."""
        versions = [(group, version) for group, some in _SERVED.items() for version in some]
        answers = await gather(versions, lambda one: self._asker.one(f"API {'/'.join(one)}", f"/apis/{'/'.join(one)}", _resources))
        found: dict[tuple[str, str], tuple[str, str]] = {}
        for group, version in versions:
            for plural, kind in (answers[group, version] or {}).items():
                found.setdefault((group, plural), (kind, object_path(f"{group}/{version}", plural)))
        return found

    async def _labelled(self, kind: str, path: str) -> list[Any]:
        return await self.listed(f"{kind}s", path, partial(read.labelled, kind=kind), labels=REVISION, slim=True)

    async def _of(
        self,
        kinds: Mapping[tuple[str, str], tuple[str, str]],
        group: str,
        plural: str,
        reader: Callable[[Manifest], Any],
        *,
        slim: bool = False,
    ) -> list[Any]:
        kind = kinds.get((group, plural))
        return await self.listed(f"{kind[0]}s", kind[1], reader, slim=slim) if kind else []

    async def _used(self, kinds: Mapping[tuple[str, str], tuple[str, str]]) -> dict[str, tuple[str, ...]]:
        asks: Mapping[str, Callable[[], Awaitable[list[Any]]]] = {
            "tls": lambda: self._of(kinds, _GATEWAY_API, "tlsroutes", partial(_named, kind="TLSRoute"), slim=True),
            "grants": lambda: self._of(kinds, _GATEWAY_API, "referencegrants", partial(_named, kind="ReferenceGrant"), slim=True),
            "entries": lambda: self._of(kinds, _NETWORKING, "workloadentries", _registered, slim=True),
            "hosts": lambda: self._of(kinds, _NETWORKING, "serviceentries", _hosts),
            "merged": lambda: self._of(kinds, _NETWORKING, "gateways", _selects_managed),
        }
        found = await gather(asks, lambda name: asks[name]())
        return {
            GATEWAY_ROUTES: (*found["tls"], *found["grants"]),
            REGISTERED_ENTRIES: tuple(found["entries"]),
            SHARED_HOSTS: _shared(found["hosts"]),
            MERGED_GATEWAYS: tuple(found["merged"]),
        }


def _plane(plane: Plane) -> PlaneAt:
    containers = rows(at(plane.item, "spec", "template", "spec", "containers"))
    own: Any = next((one for one in containers if at(one, "name") == ISTIOD_CONTAINER), {})
    image, release = text(at(own, "image")), owner_of(plane.item["metadata"])
    return PlaneAt(
        revision=plane.istiod.revision,
        # A label may say what was installed, the image alone what runs.
        version=istio_version(image_tag(image)),
        place=plane.istiod.place,
        release=release.name if release else "",
        images=image.rpartition("/")[0],
        env={text(at(one, "name")): text(at(one, "value")) for one in rows(at(own, "env"))},
        kept_by=kept_by(plane.item),
    )


def _resources(answer: Manifest) -> dict[str, str]:
    """Kinds by their plural, without what is below an object."""
    found = {text(at(one, "name")): text(at(one, "kind")) for one in rows(at(answer, "resources"))}
    return {plural: kind for plural, kind in found.items() if "/" not in plural}


def _named(item: Manifest, kind: str) -> str:
    return f"{kind} {place(item)}"


def _registered(item: Manifest) -> str | None:
    return f"WorkloadEntry {place(item)}" if _REGISTERED in texts(at(item, "metadata", "annotations")) else None


def _hosts(item: Manifest) -> tuple[str, tuple[str, ...]]:
    return place(item).namespace, tuple(text(host) for host in rows(at(item, "spec", "hosts")))


def _shared(entries: Iterable[tuple[str, tuple[str, ...]]]) -> tuple[str, ...]:
    """Hosts of ServiceEntries in several namespaces, or of a Service of Kubernetes."""
    spaces: dict[str, set[str]] = defaultdict(set)
    for namespace, hosts in entries:
        for host in hosts:
            spaces[host].add(namespace)
    found = (host for host, some in spaces.items() if len(some) > 1 or host.endswith(_KUBERNETES_HOST))
    return tuple(f"ServiceEntries of host {host}" for host in sorted(found))


def _selects_managed(item: Manifest) -> str | None:
    selector = texts(at(item, "spec", "selector"))
    return f"Gateway {place(item)}" if _OF_MANAGED & selector.keys() else None


@dataclass(frozen=True, slots=True)
class _Around:
    """What decides what a pod with a proxy is: workloads, budgets by namespace, our gateways, and revisions that Gateways name."""

    workloads: Mapping[Owner, WorkloadAt]
    budgets: Mapping[str, Sequence[Budget]]
    ours: AbstractSet[str]
    gateways: Mapping[Place, str]

    def is_scout(self, pod: ProxyPod) -> bool:
        """Whether a pod is the scout of a gateway of ours, which no stage moves; anybody may write the label elsewhere."""
        return bool(pod.scout) and pod.role == "router" and f"{pod.owner.place.namespace}/{pod.scout}" in self.ours

    def proxied(self, pods: Iterable[ProxyPod]) -> Iterator[Proxied]:
        """Pods by what made them, with how it is rolled out."""
        by_owner: dict[Owner, list[ProxyPod]] = defaultdict(list)
        for pod in pods:
            by_owner[pod.owner].append(pod)
        return (self._one(owner, by_owner[owner]) for owner in sorted(by_owner))

    def _one(self, owner: Owner, pods: list[ProxyPod]) -> Proxied:
        counts = Counter((pod.revision, pod.version) for pod in pods)
        workload = self.workloads.get(owner)
        release = workload.release if workload and workload.release in self.ours else ""
        carrier = read.carrier(pods[0], is_ours=bool(release))
        is_managed = carrier in {Carrier.MANAGED_GATEWAY, Carrier.WAYPOINT}
        pinned = workload.pinned if workload else ""
        if is_managed:
            # The template is istiod's; what the owner says is on the Gateway.
            pinned = self.gateways.get(Place(owner.place.namespace, pods[0].gateway), "")
        budgets = self._budgets(owner.place.namespace, workload.labels if workload else dict(pods[0].labels))
        return Proxied(
            kind=owner.kind,
            place=owner.place,
            carrier=carrier,
            proxies=tuple(ProxyCount(revision, version, count) for (revision, version), count in counts.items()),
            rollout=_rollout(workload, budgets),
            release=release,
            pinned=pinned,
            pinned_image=workload.pinned_image if workload and not is_managed else "",
            budgets=budgets,
            lacks_probe=bool(workload and workload.lacks_probe),
            mark=workload.mark if workload else Mark(),
            kept_by=workload.kept_by if workload else "",
        )

    def _budgets(self, namespace: str, labels: Mapping[str, str]) -> tuple[BudgetAt, ...]:
        return tuple(one.at for one in self.budgets.get(namespace, ()) if selects(one.selector, labels))


def _rollout(workload: WorkloadAt | None, budgets: Iterable[BudgetAt]) -> Rollout:
    """How it is rolled out; of its budgets the first that allows nothing now counts."""
    if workload is None:
        return Rollout()
    return replace(workload.rollout, budget=next((str(one.place) for one in budgets if one.expected and not one.allowed), ""))
