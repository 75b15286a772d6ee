"""Computes whether the pods of a plan fit on the nodes; pure.

A pod asks for the most of (its containers and sidecars together, each init container) and its overhead (KEP-753). A
node has room for its allocatable minus what the pods on it ask for. Taints and tolerations count; selectors and affinity do not.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, NamedTuple

from meshinstall.model.desired import Desired, Release
from meshinstall.model.quantity import quantity
from meshinstall.model.release import Component, Manifest, ReleaseKey
from meshinstall.model.values import value_at

# What the charts of 1.31 ask for where values say nothing; the agents are on every node and not judged.
_DEFAULTS = {Component.ISTIOD: ("500m", "2048Mi"), Component.GATEWAY: ("100m", "128Mi")}
# What istiod's chart tolerates by itself, before what the values say.
_OWN_TOLERATIONS: Mapping[Component, tuple[Mapping[str, Any], ...]] = {
    Component.ISTIOD: ({"key": "cni.istio.io/not-ready", "operator": "Exists"},),
    Component.GATEWAY: (),
}
# A Ready node that has just joined keeps it for a moment.
_JOINING = "node.kubernetes.io/not-ready"
_INSTANCE = "app.kubernetes.io/instance"
_MEBI = 1024 * 1024


class Room(NamedTuple):
    """Cores and bytes."""

    cpu: Decimal
    memory: Decimal

    def __sub__(self, other: "Room") -> "Room":
        """What is left."""
        return Room(self.cpu - other.cpu, self.memory - other.memory)

    def times(self, other: "Room", most: int) -> int:
        """How often ``other`` goes in, ``most`` times at most."""
        return max(0, min([most, *(int(have // want) for have, want in zip(self, other, strict=True) if want)]))

    def __str__(self) -> str:
        """As people write it, memory in Mi."""
        return f"{max(self.cpu, Decimal(0)) * 1000:.0f}m cpu, {max(self.memory, Decimal(0)) / _MEBI:.0f}Mi memory"


@dataclass(frozen=True, slots=True)
class Need:
    """Pods of a release, all alike."""

    release: ReleaseKey
    pods: int
    each: Room
    tolerations: tuple[Mapping[str, Any], ...] = ()

    def may_use(self, node: Manifest) -> bool:
        """Whether the pods tolerate every taint of the node that keeps pods off it."""
        taints = (node.get("spec") or {}).get("taints") or ()
        closing = [each for each in taints if each.get("key") != _JOINING and each.get("effect") in {"NoSchedule", "NoExecute"}]
        return all(any(_tolerates(toleration, taint) for toleration in self.tolerations) for taint in closing)


def needs(desired: Desired, there: Mapping[str, int]) -> tuple[Need, ...]:
    """The pods that are to come, the largest first; ``there`` counts those of each release, by namespace/name."""
    found = [_need(release, there.get(str(release.key), 0)) for release in desired.releases if release.component in _DEFAULTS]
    return tuple(sorted((need for need in found if need.pods > 0), key=lambda need: need.each, reverse=True))


def _need(release: Release, there: int) -> Need:
    values = release.values.merged()
    asked = _map_at(values, "resources", "requests")
    cpu, memory = _DEFAULTS[release.component]
    each = Room(_number(asked.get("cpu", cpu)), _number(asked.get("memory", memory)))
    written = values.get("tolerations")
    tolerations = tuple(item for item in written if isinstance(item, Mapping)) if isinstance(written, list) else ()
    pods = _replicas(release.component, values) - there
    return Need(release.key, pods, each, (*_OWN_TOLERATIONS[release.component], *tolerations))


def _tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    """Kubernetes' rule (core/v1: Toleration): an empty key with Exists is every key, an empty effect every effect."""
    if toleration.get("effect") and toleration["effect"] != taint.get("effect"):
        return False
    key = toleration.get("key") or ""
    if toleration.get("operator") == "Exists":
        return key in {"", taint.get("key")}
    is_equal = toleration.get("operator") in {None, "", "Equal"} and (toleration.get("value") or "") == (taint.get("value") or "")
    return bool(key) and key == taint.get("key") and is_equal


def _replicas(component: Component, values: Mapping[str, Any]) -> int:
    scaled, least = (
        (values.get("autoscaleEnabled", True), values.get("autoscaleMin", 1))
        if component is Component.ISTIOD
        else (_map_at(values, "autoscaling").get("enabled", True), _map_at(values, "autoscaling").get("minReplicas", 1))
    )
    count = least if scaled else values.get("replicaCount")
    return count if isinstance(count, int) else 1


def _map_at(values: Mapping[str, Any], *path: str) -> Mapping[str, Any]:
    found = value_at(values, path)
    return found if isinstance(found, Mapping) else {}


def release_of(pod: Manifest) -> str:
    """The namespace/name of the Helm release that a pod belongs to, as its labels say."""
    return f"{pod['metadata'].get('namespace', '')}/{(pod['metadata'].get('labels') or {}).get(_INSTANCE, '')}"


def room_on(node: Manifest, pods: Iterable[Manifest]) -> Room:
    """What is left of a node beside its pods."""
    free = _room((node.get("status") or {}).get("allocatable"))
    for pod in pods:
        if (pod.get("status") or {}).get("phase") not in {"Succeeded", "Failed"}:
            free -= _asked(pod.get("spec") or {})
    return free


def allocatable(node: Manifest) -> Room:
    """What a node has in all."""
    return room_on(node, ())


def _asked(spec: Mapping[str, Any]) -> Room:
    steady = [_requests(container) for container in spec.get("containers") or ()]
    peaks = []
    for container in spec.get("initContainers") or ():
        if container.get("restartPolicy") == "Always":
            steady.append(_requests(container))
        else:
            peaks.append(_requests(container))
    most = [max(sum(one[part] for one in steady), *(one[part] for one in peaks), Decimal(0)) for part in (0, 1)]
    overhead = _room(spec.get("overhead"))
    return Room(most[0] + overhead.cpu, most[1] + overhead.memory)


def _requests(container: Mapping[str, Any]) -> Room:
    return _room((container.get("resources") or {}).get("requests"))


def _room(resources: Mapping[str, Any] | None) -> Room:
    return Room(_number((resources or {}).get("cpu", 0)), _number((resources or {}).get("memory", 0)))


def _number(value: Any) -> Decimal:
    return quantity(value) or Decimal(0)


def unplaced(wanted: Iterable[Need], nodes: Mapping[str, Room], manifests: Mapping[str, Manifest]) -> tuple[Need, ...]:
    """What finds no room: each pod goes to the first node that holds it and whose taints it tolerates (``manifests``, by name).

    A need that is left counts the pods that do not fit.
    """
    free = dict(nodes)
    left = []
    for need in wanted:
        missing = need.pods
        for name, room in free.items():
            if not need.may_use(manifests[name]):
                continue
            fits = room.times(need.each, missing)
            free[name] = room - Room(need.each.cpu * fits, need.each.memory * fits)
            missing -= fits
        if missing:
            left.append(replace(need, pods=missing))
    return tuple(left)
