"""Finds the Services of which istiod may tell clients something else than automatic mTLS."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from meshinstall.model.labels import TLS_MODE
from meshinstall.model.mesh import Dataplane, Pod, ServiceFacts


@dataclass(frozen=True, slots=True)
class Special:
    """Hosts that DestinationRules and ServiceEntries name, some by a wildcard; Services and namespaces of which another object speaks.

    Services are told by name. ``pods`` are those without mTLS, by namespace. ``everything``: nothing is automatic.
    """

    hosts: frozenset[str] = frozenset()
    services: frozenset[tuple[str, str]] = frozenset()
    namespaces: frozenset[str] = frozenset()
    pods: Mapping[str, Sequence[Pod]] = field(default_factory=dict)
    everything: bool = False

    def has(self, host: str, service: ServiceFacts) -> bool:
        """Whether something is said of a Service, or of a pod that it selects."""
        home = service.place.namespace
        if self.everything or home in self.namespaces or (home, service.place.name) in self.services or not service.selector:
            return True
        parts = host.split(".")
        wild = (f"*.{'.'.join(parts[index:])}" for index in range(1, len(parts)))
        if not self.hosts.isdisjoint({host, "*", *wild}):
            return True
        return any(service.selector.items() <= pod.labels.items() for pod in self.pods.get(home, ()))


def plain_pods(pods: Iterable[Pod]) -> dict[str, list[Pod]]:
    """The pods that clients reach without mTLS, by namespace."""
    found: dict[str, list[Pod]] = {}
    for pod in pods:
        if pod.dataplane is not Dataplane.SIDECAR or pod.labels.get(TLS_MODE, "istio") != "istio":
            found.setdefault(pod.place.namespace, []).append(pod)
    return found
