"""Who counts as a client where a gate judges mTLS: one tenant's pod must not keep the rows of all others from being proven."""

from collections.abc import Collection, Iterable
from dataclasses import replace

from meshinstall.checks.mtls.capture import may_pass_by
from meshinstall.model.gate import Moved, Snapshot
from meshinstall.model.mesh import Dataplane, MeshFacts, Outbound, Pod
from meshinstall.model.place import Place

_CLIENTS = frozenset({Dataplane.SIDECAR, Dataplane.GATEWAY, Dataplane.AMBIENT})


def place_of(pod: Pod) -> Place:
    """The workload of a pod as rows name it."""
    return Place(pod.place.namespace, pod.workload)


def aside(facts: MeshFacts) -> frozenset[Place]:
    """Workloads whose proxies do not say what they would send, or whose connections may pass them by.

    A row of any server would otherwise be as bad as the worst pod that somebody runs anywhere in the mesh.
    """
    heard = _heard(facts)
    return frozenset(
        place_of(pod)
        for pod in facts.pods
        if pod.dataplane in _CLIENTS and pod.active and ((pod.running and pod.place not in heard) or _may_pass_by(pod))
    )


def _heard(facts: MeshFacts) -> set[Place]:
    """Pods whose proxies said what they would send."""
    return {place for group in (facts.clients.groups if facts.clients else ()) if group.asked for place in group.pods}


def _may_pass_by(pod: Pod) -> bool:
    rules = pod.outbound
    if pod.dataplane is not Dataplane.SIDECAR or rules == Outbound():
        return pod.dataplane is Dataplane.SIDECAR and (pod.host_network or pod.one_family)
    return not rules.captured or bool(rules.as_proxy) or rules.networks is not None or bool(may_pass_by(pod)) or bool(rules.not_networks)


def sidelined(facts: MeshFacts, start: Snapshot | None, moved: Moved) -> frozenset[Place]:
    """Those that do not count as clients: silent ones and, but for what was moved, what is new or was changed since the start.

    What was moved and passes its proxy by counts, unless it did so at the start.
    """
    away = aside(facts)
    if start is None:
        return away
    heard = _heard(facts)
    found: set[Place] = set()
    for pod in (pod for pod in facts.pods if pod.dataplane in _CLIENTS):
        place = place_of(pod)
        before = start.workloads.get(place)
        if place in moved.gateways or place in moved.workloads:
            was_aside = before is not None and before.is_aside
            if place in away and (was_aside or (pod.running and pod.place not in heard)):
                found.add(place)
        elif before is None or pod.labelled not in before.labelled or place in away:
            found.add(place)
    return frozenset(found)


def without_clients(facts: MeshFacts, places: Collection[Place]) -> MeshFacts:
    """The facts with pods of these workloads as servers alone."""
    return replace(facts, pods=tuple(replace(pod, active=False) if place_of(pod) in places else pod for pod in facts.pods))


def only_clients(facts: MeshFacts, places: Collection[Place]) -> MeshFacts:
    """The facts with pods of these workloads as the only clients."""
    return without_clients(facts, {place_of(pod) for pod in facts.pods} - set(places))


def moved_clients(facts: MeshFacts, moved: Moved, away: Iterable[Place]) -> frozenset[Place]:
    """What the stage restarted, as far as it counts as a client."""
    return frozenset({*moved.gateways, *moved.workloads}) & {place_of(pod) for pod in facts.pods} - set(away)
