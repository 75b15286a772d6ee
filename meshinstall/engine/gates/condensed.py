"""Makes of what was seen of a mesh what a gate keeps of it, workload by workload; pure."""

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from typing import Protocol

from meshinstall.checks.moving.clients import place_of
from meshinstall.model.clients import ClientFacts
from meshinstall.model.foreign_text import line
from meshinstall.model.gate import NamespaceSeen, PlaneSeen, ProxiesSeen, WorkloadSeen
from meshinstall.model.health import Webhook, WebhookKind
from meshinstall.model.istio import ISTIOD_APP
from meshinstall.model.labels import INJECTION, REVISION
from meshinstall.model.mesh import ControlPlane, Dataplane, MeshFacts, NamespaceFacts, Pod, Proxy, SyncState
from meshinstall.model.mesh_position import NamespaceAt
from meshinstall.model.place import Place
from meshinstall.model.revision import DEFAULT_REVISION

_PROXIED = frozenset({Dataplane.SIDECAR, Dataplane.GATEWAY, Dataplane.AMBIENT})
_ENVOYS = frozenset({Dataplane.SIDECAR, Dataplane.GATEWAY})
_WORDS = 300
_BYTES = 12


class _Placed(Protocol):
    """An object with a place."""

    @property
    def place(self) -> Place:
        """Where it stands."""


def planes(facts: MeshFacts, wanted: Mapping[Place, int], webhooks: Iterable[Webhook]) -> tuple[PlaneSeen, ...]:
    """Every istiod with its pods, and with what it wrote into its own webhooks."""
    written: dict[str, set[str]] = defaultdict(set)
    for one in webhooks:
        # A tag's bundle is copied by whoever moves the tag.
        if one.kind is WebhookKind.MUTATING and not one.tag:
            written[one.revision or DEFAULT_REVISION].update(one.roots)
    return tuple(_plane(one, facts, wanted, written.get(one.revision, ())) for one in facts.control_planes)


def _plane(plane: ControlPlane, facts: MeshFacts, wanted: Mapping[Place, int], roots: Collection[str]) -> PlaneSeen:
    pods = [pod for pod in facts.pods if _is_of(plane, pod)]
    return PlaneSeen(
        place=plane.place,
        revision=plane.revision,
        version=plane.version,
        trust_domain=line(plane.trust_domain),
        aliases=tuple(map(line, plane.trust_domain_aliases)),
        wanted=wanted.get(Place(plane.place.namespace, f"Deployment {plane.place.name}")),
        ready=sum(pod.ready for pod in pods),
        restarts=max((pod.restarts for pod in pods), default=0),
        roots=tuple(sorted(roots)),
    )


def _is_of(plane: ControlPlane, pod: Pod) -> bool:
    own = place_of(pod) == Place(plane.place.namespace, f"Deployment {plane.place.name}")
    return own and pod.dataplane is Dataplane.CONTROL and not pod.ending


def workloads(facts: MeshFacts, wanted: Mapping[Place, int], away: Collection[Place], kept: Collection[Place]) -> dict[Place, WorkloadSeen]:
    """What is ``kept`` and everything with a proxy; ``wanted`` are the pods that owners asked for, also of what has none."""
    revisions = _istiods(facts)
    pods: dict[Place, list[Pod]] = defaultdict(list)
    for pod in facts.pods:
        if pod.dataplane is not Dataplane.CONTROL and pod.place.namespace not in facts.probes and not pod.ending:
            pods[place_of(pod)].append(pod)
    found = {
        place: _workload(mine, facts, revisions, wanted.get(place))
        for place, mine in pods.items()
        if place in kept or any(pod.dataplane in _PROXIED for pod in mine)
    }
    found |= {place: WorkloadSeen(Dataplane.NONE, 0, 0, 0, wanted[place]) for place in kept if place not in found and place in wanted}
    return {place: replace(one, is_aside=True) if place in away else one for place, one in found.items()}


def _istiods(facts: MeshFacts) -> Mapping[str, str]:
    """The revision of each pod of an istiod, by its place in words, as proxies name it."""
    of = {Place(plane.place.namespace, f"Deployment {plane.place.name}"): plane.revision for plane in facts.control_planes}
    known = {str(pod.place): of[place_of(pod)] for pod in facts.pods if place_of(pod) in of and pod.labels.get("app") == ISTIOD_APP}
    if len(facts.control_planes) == 1:
        # Its pods need not be found by name.
        only = facts.control_planes[0]
        known |= {str(pod.place): only.revision for pod in facts.pods if pod.dataplane is Dataplane.CONTROL}
    return known


def _workload(pods: list[Pod], facts: MeshFacts, revisions: Mapping[str, str], wanted: int | None) -> WorkloadSeen:
    return WorkloadSeen(
        dataplane=next((pod.dataplane for pod in pods if pod.dataplane in _PROXIED), Dataplane.NONE),
        pods=len(pods),
        ready=sum(pod.ready for pod in pods),
        restarts=max(pod.restarts for pod in pods),
        wanted=wanted,
        recipes=frozenset(pod.recipe for pod in pods),
        labelled=frozenset(pod.labelled for pod in pods),
        proxies=_alike(pods, facts, revisions),
    )


def _alike(pods: Iterable[Pod], facts: MeshFacts, revisions: Mapping[str, str]) -> tuple[ProxiesSeen, ...]:
    """The proxies of ready pods that were asked, those that are alike together."""
    found: dict[tuple[str, str, SyncState, bool], ProxiesSeen] = {}
    for pod in pods:
        if not pod.ready or pod.dataplane not in _ENVOYS or not (facts.judged is None or pod.place.namespace in facts.judged):
            continue
        proxy = facts.proxies.get(pod.place, Proxy(problem="it was not read"))
        revision, version = revisions.get(proxy.istiod, ""), line(proxy.version, _WORDS)
        words, problem = line(proxy.sync_words, _WORDS), line(proxy.problem, _WORDS)
        key = (revision, version, proxy.sync, bool(problem))
        one = found.get(key) or ProxiesSeen(revision, version, proxy.sync, 0, words, problem, pod.place.name)
        found[key] = replace(one, count=one.count + 1)
    return tuple(found.values())


def namespaces(facts: MeshFacts) -> dict[str, NamespaceSeen]:
    """Every namespace but those of our own probes; one that is being deleted may have lost its objects already."""
    policies, objects = _policies(facts), _objects(facts)
    return {
        name: NamespaceSeen(
            _selector(name, space),
            space.roots,
            _digest(policies.get(name, [])),
            _digest(objects.get(name, [])),
        )
        for name, space in facts.namespaces.items()
        if name not in facts.probes and not space.ending
    }


def _selector(name: str, space: NamespaceFacts) -> str:
    """What injects its pods."""
    return NamespaceAt(name, space.labels.get(INJECTION, ""), space.labels.get(REVISION, "")).selector


def _policies(facts: MeshFacts) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for one in facts.policies:
        found[one.place.namespace].append(repr(one))
    return found


def _objects(facts: MeshFacts) -> Mapping[str, list[str]]:
    told = facts.clients or ClientFacts()
    found: dict[str, list[str]] = defaultdict(list)
    some: tuple[_Placed, ...] = (
        *facts.policies,
        *facts.client_rules,
        *facts.external,
        *told.sidecars,
        *told.led,
        *told.tls_policies,
        *told.named,
        *told.reroutes,
    )
    for one in some:
        found[one.place.namespace].append(repr(one))
    return found


def _digest(told: list[str]) -> str:
    """Empty for nothing."""
    return hashlib.blake2b("\n".join(sorted(told)).encode("utf-8", "backslashreplace"), digest_size=_BYTES).hexdigest() if told else ""
