"""Indexes what the proxies of a mesh would send where, so that a port finds the clients that leave the mesh's TLS."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from meshinstall.checks.mtls.capture import may_pass_by, passes_by
from meshinstall.model.clients import ClientGroup, OutboundCluster, Outlook, Tls
from meshinstall.model.mesh import Dataplane, Outbound, Pod
from meshinstall.model.place import Place
from meshinstall.model.verdict import Clients


class Way(NamedTuple):
    """A cluster of some proxies that leaves the mesh's TLS towards an address; ``kind`` numbers the outlook that holds it."""

    kind: int
    cluster: OutboundCluster
    tls: Tls


class Past(NamedTuple):
    """Pods of one workload whose connections may not enter their own proxy; ``pod`` is one of them."""

    client: str
    pod: Pod
    pods: int


@dataclass(frozen=True, slots=True)
class Kind:
    """One outlook and who holds it: workloads by namespace, ``asked`` pods of ``pods``."""

    outlook: Outlook
    clients: tuple[tuple[str, str], ...]
    pods: int
    asked: int


@dataclass(slots=True)
class Outlooks:
    """All clients by what they would do. Addresses have ports of pods, hosts those of Services."""

    kinds: tuple[Kind, ...]
    silent: tuple[tuple[str, str], ...]
    past: tuple[tuple[Past, ...], ...]
    unsure: tuple[Past, ...]
    leaves: dict[tuple[str, int], list[Way]] = field(default_factory=dict)
    anywhere: dict[tuple[str, int], list[Way]] = field(default_factory=dict)
    reached: dict[tuple[str, int], int] = field(default_factory=dict)
    known: dict[tuple[str, int], int] = field(default_factory=dict)

    @classmethod
    def of(cls, groups: Sequence[ClientGroup], pods: Mapping[Place, Pod]) -> "Outlooks":
        """Index once, linear in what the different outlooks hold; ``pods`` are the clients."""
        held: dict[int, list[ClientGroup]] = {}
        by_id = {id(group.outlook): group.outlook for group in groups}
        for group in groups:
            if group.asked and any(place in pods for place in group.pods):
                held.setdefault(id(group.outlook), []).append(group)
        kinds = tuple(_kind(by_id[key], some, pods) for key, some in held.items())
        silent = {_client(pods[place]) for group in groups if not group.asked for place in group.pods if place in pods}
        found = cls(kinds, tuple(sorted(silent)), _alike(_past(pods.values())), tuple(_unsure(pods.values())))
        for index, kind in enumerate(kinds):
            for cluster in kind.outlook.clusters:
                found._add(index, cluster)
        return found

    def _add(self, kind: int, cluster: OutboundCluster) -> None:
        bit, key = 1 << kind, (cluster.host, cluster.port)
        self.known[key] = self.known.get(key, 0) | bit
        if cluster.anywhere and cluster.anywhere is not Tls.MESH:
            self.anywhere.setdefault(key, []).append(Way(kind, cluster, cluster.anywhere))
        for endpoint in cluster.endpoints:
            at = (endpoint.address, endpoint.port)
            self.reached[at] = self.reached.get(at, 0) | bit
            if endpoint.tls is not Tls.MESH:
                self.leaves.setdefault(at, []).append(Way(kind, cluster, endpoint.tls))

    def unaware(self, host: str, port: int) -> list[int]:
        """The kinds whose proxies do not know a port of a Service and pass its connections on as they came."""
        known = self.known.get((host, port), 0)
        return [index for index, kind in enumerate(self.kinds) if kind.outlook.passes_on and not known >> index & 1]

    def passing_by(self, addresses: Iterable[str], port: int) -> list[tuple[Past, str]]:
        """Who sends past his own proxy to a port of some addresses, and why."""
        where = tuple(addresses) or ("",)
        found = []
        for alike in self.past:
            if why := next(filter(None, (passes_by(alike[0].pod, address, port) for address in where)), ""):
                found += [(past, why) for past in alike]
        return sorted(found, key=lambda pair: pair[0].client)

    @property
    def counts(self) -> Clients:
        """How many pods were asked, and for how many more they spoke."""
        asked = sum(kind.asked for kind in self.kinds)
        silent = tuple(f"{namespace}/{workload}" for namespace, workload in self.silent)
        return Clients(asked, sum(kind.pods for kind in self.kinds) - asked, silent)


def _client(pod: Pod) -> tuple[str, str]:
    return pod.place.namespace, pod.workload


def _kind(outlook: Outlook, groups: Sequence[ClientGroup], pods: Mapping[Place, Pod]) -> Kind:
    members = [pods[place] for group in groups for place in group.pods if place in pods]
    return Kind(outlook, tuple(sorted({_client(pod) for pod in members})), len(members), len(groups))


def _past(pods: Iterable[Pod]) -> Iterable[Past]:
    """One pod of each workload and setting; most redirect everything and need not be looked at again."""
    found: dict[tuple[str, str, Outbound, bool, bool], list[Pod]] = {}
    for pod in pods:
        special = pod.outbound != Outbound() or pod.host_network or pod.one_family
        if pod.dataplane is Dataplane.SIDECAR and pod.running and special:
            found.setdefault((*_client(pod), pod.outbound, pod.host_network, pod.one_family), []).append(pod)
    for (namespace, workload, *_), some in sorted(found.items(), key=lambda pair: pair[0][:2]):
        yield Past(f"{namespace}/{workload}", some[0], len(some))


def _alike(found: Iterable[Past]) -> tuple[tuple[Past, ...], ...]:
    """Those of one setting together: with istio-cni every pod leaves out a port, so that all of them would be looked at one by one."""
    alike: dict[tuple[Outbound, bool, bool], list[Past]] = {}
    for past in found:
        alike.setdefault((past.pod.outbound, past.pod.host_network, past.pod.one_family), []).append(past)
    return tuple(map(tuple, alike.values()))


def _unsure(pods: Iterable[Pod]) -> Iterable[Past]:
    return [past for past in _past(pods) if past.pod.outbound.unsure and may_pass_by(past.pod)]
