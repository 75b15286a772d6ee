"""Turns the objects that decide what clients send into facts; pure. What does not have the shape of the API raises ValueError."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from meshinstall.engine.mesh.kube_objects import labels, place
from meshinstall.engine.objects.json_fields import at, number, rows, table, text, texts
from meshinstall.model.clients import LedHost, MeshEntry, NamedHosts, Reroute, SidecarObject, TlsPolicy
from meshinstall.model.labels import NOT_OURS, REVISION
from meshinstall.model.place import Place
from meshinstall.model.release import Manifest

_MESH = "mesh"
# By either name of a field in protobuf's JSON.
_CHOOSING = {"cluster", "weighted_clusters", "weightedClusters", "cluster_header", "clusterHeader"}


class Chosen(NamedTuple):
    """An object that holds for some proxies: those in its namespace (all, in the root namespace) that ``selector`` fits.

    ``unclear``: it chooses by more than labels.
    """

    namespace: str
    selector: Mapping[str, str]
    unclear: bool = False


@dataclass(frozen=True, slots=True)
class InternalEntry:
    """A ServiceEntry that adds to the mesh: ``ports`` maps its own to those of its endpoints, ``names`` the names of ports to its own."""

    place: Place
    hosts: tuple[str, ...]
    ports: Mapping[int, int] = field(default_factory=dict)
    names: Mapping[str, int] = field(default_factory=dict)
    selector: Mapping[str, str] = field(default_factory=dict)
    endpoints: tuple[tuple[str, Mapping[str, int]], ...] = ()


@dataclass(frozen=True, slots=True)
class WorkloadEntry:
    """A workload outside Kubernetes; ``ports`` are by the name of the ServiceEntry's port, ``labels`` also those of the object itself."""

    place: Place
    address: str
    labels: Mapping[str, str]
    ports: Mapping[str, int]


def sidecar(item: Manifest) -> SidecarObject:
    """A Sidecar (istio/api: networking/v1alpha3/sidecar.proto)."""
    egress = rows(at(item, "spec", "egress"))
    open_to_all = next((number for number, one in enumerate(egress) if not at(one, "port")), None)
    selector = texts(at(item, "spec", "workloadSelector", "labels"))
    return SidecarObject(place(item), selector, labels(item).get(REVISION), open_to_all, hides=bool(egress))


def envoy_filter(item: Manifest) -> Chosen:
    """An EnvoyFilter (istio/api: networking/v1alpha3/envoy_filter.proto); a patch may also ask for a proxy's version or metadata."""
    patches = rows(at(item, "spec", "configPatches"))
    unclear = any(at(patch, "match", "proxy") or at(item, "spec", "targetRefs") for patch in patches)
    return Chosen(place(item).namespace, texts(at(item, "spec", "workloadSelector", "labels")), unclear)


def reroute(item: Manifest) -> Reroute | None:
    """An EnvoyFilter that may choose the cluster of what proxies send; None when it cannot.

    What is only for traffic that comes in does not count, nor the cluster of a request of Envoy's own, which stands beside its ``uri``
    (envoy: config/core/v3/http_uri.proto). Clusters that it adds or changes are read from the proxies.
    """
    for patch in rows(at(item, "spec", "configPatches")):
        inbound = text(at(patch, "match", "context")) == "SIDECAR_INBOUND"
        if not inbound and text(at(patch, "applyTo")) != "CLUSTER" and _chooses(at(patch, "patch", "value")):
            return Reroute(place(item), texts(at(item, "spec", "workloadSelector", "labels")))
    return None


def _chooses(value: object) -> bool:
    """Whether something of Envoy's configuration names a cluster to send to (envoy: config/route/v3, tcp_proxy.proto)."""
    if isinstance(value, list):
        return any(_chooses(one) for one in value)
    if not isinstance(value, dict):
        return False
    chosen = _CHOOSING & value.keys() and not {"uri", "http_uri"} & value.keys()
    return bool(chosen) or any(_chooses(one) for one in value.values())


def internal_entry(item: Manifest) -> InternalEntry | None:
    """A ServiceEntry of the mesh, None when it leads out (istio/api: networking/v1alpha3/service_entry.proto)."""
    spec = at(item, "spec")
    if text(at(spec, "location")) != "MESH_INTERNAL":
        return None
    ports = rows(at(spec, "ports"))
    return InternalEntry(
        place(item),
        tuple(text(host) for host in rows(at(spec, "hosts"))),
        {number(at(port, "number")): number(at(port, "targetPort")) or number(at(port, "number")) for port in ports},
        {text(at(port, "name")): number(at(port, "number")) for port in ports},
        texts(at(spec, "workloadSelector", "labels")),
        tuple((_address(one), _ports(at(one, "ports"))) for one in rows(at(spec, "endpoints"))),
    )


def named_hosts(item: Manifest) -> NamedHosts:
    """What a ServiceEntry names."""
    hosts, addresses = (tuple(text(one) for one in rows(at(item, "spec", key))) for key in ("hosts", "addresses"))
    return NamedHosts(place(item), hosts, addresses)


def workload_entry(item: Manifest) -> WorkloadEntry:
    """A WorkloadEntry (istio/api: networking/v1alpha3/workload_entry.proto).

    Its own labels count before those of the workload (istio: pilot/pkg/serviceregistry/serviceentry/conversion.go).
    """
    spec = at(item, "spec")
    return WorkloadEntry(place(item), _address(spec), {**texts(at(spec, "labels")), **labels(item)}, _ports(at(spec, "ports")))


def _address(entry: object) -> str:
    """An IP address, or a name as the proxies' are read."""
    return text(at(entry, "address")).lower().rstrip(".")


def _ports(named: object) -> dict[str, int]:
    return {name: number(port) for name, port in table(named).items()}


def mesh_entries(entries: Iterable[InternalEntry], workloads: Sequence[WorkloadEntry], pods: frozenset[str]) -> Iterator[MeshEntry]:
    """The parts of the mesh that are no pods, by the ServiceEntries that lead to them; ``pods`` are the addresses of pods."""
    for entry in entries:
        for workload in workloads:
            fits = bool(entry.selector) and entry.selector.items() <= workload.labels.items()
            if fits and workload.place.namespace == entry.place.namespace:
                where, ports = f"WorkloadEntry {workload.place}", _reached(entry, workload.ports)
                yield MeshEntry(where, workload.place, workload.address, entry.place, entry.hosts, ports)
        for address, named in entry.endpoints:
            if address not in pods:
                yield MeshEntry(f"ServiceEntry {entry.place}", entry.place, address, entry.place, entry.hosts, _reached(entry, named))
        if not entry.selector and not entry.endpoints:
            # Its hosts are asked for by name, or called as they are.
            for host in entry.hosts:
                yield MeshEntry(f"ServiceEntry {entry.place}", entry.place, host, entry.place, entry.hosts, dict(entry.ports))


def _reached(entry: InternalEntry, named: Mapping[str, int]) -> dict[int, int]:
    own = {entry.names[name]: port for name, port in named.items() if name in entry.names}
    return {**entry.ports, **own}


def led_hosts(item: Manifest) -> tuple[LedHost, ...]:
    """Where a VirtualService leads clients of the mesh that call some other host (istio/api: networking/v1alpha3/virtual_service.proto)."""
    spec, where = at(item, "spec"), place(item)
    hosts = {text(host) for host in rows(at(spec, "hosts"))}
    gateways = [text(one) for one in rows(at(spec, "gateways"))] or [_MESH]
    if _MESH not in gateways:
        return ()
    found: dict[str, None] = {}
    for kind in ("http", "tls", "tcp"):
        for route in rows(at(spec, kind)):
            sources = {text(one) for match in rows(at(route, "match")) for one in rows(at(match, "gateways"))}
            if sources and _MESH not in sources:
                continue
            targets = [at(one, "destination", "host") for one in rows(at(route, "route"))]
            targets += [at(route, "mirror", "host"), *(at(one, "destination", "host") for one in rows(at(route, "mirrors")))]
            found |= dict.fromkeys(text(host) for host in targets if text(host) and text(host) not in hosts)
    return tuple(LedHost(where, host) for host in found)


def tls_policy(item: Manifest) -> TlsPolicy | None:
    """A BackendTLSPolicy of Services (Gateway API: apis/v1/backendtlspolicy_types.go), None when istiod does not take it."""
    if texts(at(item, "metadata", "annotations")).get(NOT_OURS) == "true":
        return None
    targets = rows(at(item, "spec", "targetRefs"))
    return TlsPolicy(place(item), tuple(text(at(one, "name")) for one in targets if text(at(one, "kind")) == "Service"))
