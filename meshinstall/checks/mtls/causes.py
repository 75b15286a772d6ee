"""Explains why a client leaves the mesh's TLS: which object makes istiod tell its proxy so."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from meshinstall.checks.mtls.capture import within
from meshinstall.checks.mtls.client_rules import ClientRules, Told
from meshinstall.checks.mtls.outlooks import Way
from meshinstall.checks.mtls.peer_authentication import Policies
from meshinstall.checks.mtls.selecting import Selected
from meshinstall.model.clients import ClientFacts, OutboundCluster, SidecarObject, Tls
from meshinstall.model.istio import full_host
from meshinstall.model.labels import TLS_MODE
from meshinstall.model.mesh import Dataplane, Mode, Pod, ServiceFacts
from meshinstall.model.place import Place

_MESHED = frozenset({Dataplane.SIDECAR, Dataplane.AMBIENT})


class Cause(NamedTuple):
    """Why, the object that decides it, and the code of the finding."""

    why: str
    object: str
    code: str


@dataclass(frozen=True, slots=True)
class Causes:
    """What explains the proxies' words; ``pods`` are those that a Service selects, by the Service.

    ``watched``: whether istiod watches a namespace, None where that is unknown.
    """

    rules: ClientRules
    policies: Policies
    told: ClientFacts
    services: Mapping[str, ServiceFacts]
    pods: Mapping[Place, Sequence[Pod]]
    labels: Mapping[tuple[str, str], Sequence[Mapping[str, str]]]
    watched: Callable[[str], bool | None]
    seen: dict[object, Cause] = field(default_factory=dict)
    ruled: dict[tuple[Place, int], Sequence[Told]] = field(default_factory=dict)
    holding: dict[tuple[str, str], Place | None] = field(default_factory=dict)
    naming: dict[str, Mapping[str, Place]] = field(default_factory=dict)
    naming_at: dict[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)

    def host(self, service: ServiceFacts) -> str:
        """The name by which proxies know a Service."""
        return full_host(service.place.name, service.place.namespace, self.rules.domain)

    def of(self, way: Way, client: str, pod: Pod, port: int) -> Cause:
        """Why the clients of a namespace take a way to a port of a pod."""
        key = (way.cluster.name, way.tls, client, pod.workload, pod.place.namespace, port)
        if key not in self.seen:
            self.seen[key] = self._of(way, client, pod, port)
        return self.seen[key]

    def _of(self, way: Way, client: str, pod: Pod, port: int) -> Cause:
        cluster, where = way.cluster, f"port {way.cluster.port} of {way.cluster.host}"
        service = self.services.get(cluster.host)
        for told in self._against(service, cluster) if service else ():
            if client in told.namespaces and told.subset in {"", cluster.subset}:
                if told.rule is None:
                    return Cause(f"automatic mTLS is off and no DestinationRule asks for it, {where}", "MeshConfig", "MTL012")
                plain = told.mode == "DISABLE"
                why = f"tls.mode {told.mode} for {where}{f', subset {told.subset}' if told.subset else ''}"
                return Cause(why, f"DestinationRule {told.rule.place}", "MTL010" if plain else "MTL011")
        if entry := self._named(cluster.host):
            return Cause(f"it names {where} for them, and what is sent there leaves the mesh's TLS", f"ServiceEntry {entry}", "MTL015")
        if way.tls is Tls.OTHER:
            return self._other(service, where)
        return self._to_gateway(service, where) if pod.dataplane is Dataplane.GATEWAY else self._automatic(service, pod, port, where)

    def _against(self, service: ServiceFacts, cluster: OutboundCluster) -> Sequence[Told]:
        """What rules say of a port of a Service, which each of its pods and each namespace of clients asks for."""
        key = (service.place, cluster.port)
        if key not in self.ruled:
            self.ruled[key] = self.rules.against(service, cluster.port)
        return self.ruled[key]

    def _named(self, host: str) -> Place | None:
        """The first ServiceEntry that names a host."""
        if "named" not in self.naming:
            self.naming["named"] = {one: entry.place for entry in reversed(self.told.named) for one in entry.hosts}
        return self.naming["named"].get(host)

    def named_at(self, address: str) -> Sequence[str]:
        """The hosts of ServiceEntries that clients may call by an address."""
        if "at" not in self.naming_at:
            found: dict[str, list[str]] = {}
            for entry in self.told.named:
                for one in entry.addresses:
                    found.setdefault(one.removesuffix("/32").removesuffix("/128"), []).extend(entry.hosts)
            self.naming_at["at"] = found
        return self.naming_at["at"].get(address, ())

    def named_around(self, address: str) -> Sequence[str]:
        """The hosts of ServiceEntries whose networks hold an address."""
        if "around" not in self.naming_at:
            found: dict[str, list[str]] = {}
            for entry in self.told.named:
                for one in (one for one in entry.addresses if "/" in one):
                    found.setdefault(one, []).extend(entry.hosts)
            self.naming_at["around"] = found
        networks = self.naming_at["around"]
        return [host for network, hosts in networks.items() if within(network, address) for host in hosts]

    def _other(self, service: ServiceFacts | None, where: str) -> Cause:
        for policy in self.told.tls_policies:
            if service and policy.place.namespace == service.place.namespace and service.place.name in policy.services:
                return Cause(f"it asks for TLS of its own for {where}", f"BackendTLSPolicy {policy.place}", "MTL011")
        return Cause(f"their proxies' configuration asks for other TLS for {where}", "", "MTL019")

    def _to_gateway(self, service: ServiceFacts | None, where: str) -> Cause:
        """A gateway is no part of automatic mTLS: its pods have no label that says that they take it."""
        host = self.host(service) if service else ""
        leading = next((one.place for one in self.told.led if full_host(one.to, one.place.namespace, self.rules.domain) == host), None)
        why = f"automatic mTLS leaves gateways out, and no DestinationRule asks for ISTIO_MUTUAL, {where}"
        return Cause(why, f"VirtualService {leading}" if leading else "", "MTL015" if leading else "MTL019")

    def _automatic(self, service: ServiceFacts | None, pod: Pod, port: int, where: str) -> Cause:
        """Why istiod does not choose mTLS by itself (istio: push_context.go, BestEffortInferServiceMTLSMode; mtls_checker.go)."""
        if pod.dataplane not in _MESHED:
            return Cause(f"the pod has no proxy, {where}", _named(pod), "MTL015")
        if pod.labels.get(TLS_MODE, "istio") != "istio":
            return Cause(f"its pods have the label {TLS_MODE}={pod.labels[TLS_MODE]}, {where}", _named(pod), "MTL015")
        space = self.policies.merged(Pod(Place(pod.place.namespace, ""), "", Dataplane.SIDECAR))
        if space.mode is Mode.DISABLE and space.source:
            why = f"clients choose by the policy of the namespace, which is DISABLE, {where}"
            return Cause(why, f"PeerAuthentication {space.source.place}", "MTL015")
        own = self.policies.merged(pod).at(port)
        if own.mode is Mode.DISABLE and own.source:
            return Cause(f"the policy is DISABLE, {where}", f"PeerAuthentication {own.source.place}", "MTL015")
        return self._endpoints(service, pod, port, where)

    def _endpoints(self, service: ServiceFacts | None, pod: Pod, port: int, where: str) -> Cause:
        """Why istiod does not know that an endpoint takes mTLS."""
        plain = [other for other in self.pods.get(service.place, ()) if other.dataplane not in _MESHED] if service else []
        if service and plain:
            why = f"the Service is headless and {_named(plain[0])} has no proxy, so istiod turns mTLS off for all its pods, {where}"
            return Cause(why, f"Service {service.place}", "MTL015")
        if service and any((address, there) == (ip, port) for address, _, there in service.ends for ip in (pod.ip, *pod.more_ips)):
            why = f"an EndpointSlice that Kubernetes did not write leads there, and does not name pods that take mTLS, {where}"
            return Cause(why, f"Service {service.place}", "MTL015")
        if pod.dataplane is Dataplane.SIDECAR and TLS_MODE not in pod.labels:
            return Cause(f"its pods have lost the label {TLS_MODE}=istio, {where}", _named(pod), "MTL015")
        return Cause(f"their proxies' configuration says so for {where}; an EnvoyFilter may do it", "", "MTL019")

    def hidden(self, service: ServiceFacts, sidecar: Place | None) -> Cause:
        """Why proxies for which some Sidecar holds do not know a Service."""
        where, home = f"Service {service.place}", service.place.namespace
        why = f"their proxies do not know {where} at its own address, and pass on what they do not know"
        watched = self.watched(home)
        if watched is False:
            return Cause(f"{why}: discoverySelectors do not select namespace {home}", "MeshConfig", "MTL016")
        if sidecar:
            return Cause(why, f"Sidecar {sidecar}", "MTL016")
        return Cause(f"{why} ({'exportTo' if watched else 'exportTo, discoverySelectors'})", where, "MTL016")

    def sidecar(self, client: tuple[str, str]) -> Place | None:
        """The Sidecar that holds for a client."""
        if client not in self.holding:
            found = self._sidecar(client)
            self.holding[client] = found.place if found and found.hides else None
        return self.holding[client]

    def _sidecar(self, client: tuple[str, str]) -> SidecarObject | None:
        """The Sidecar that holds for a client: by selector, for its namespace, for the mesh (istio: push_context.go, getSidecarScope)."""
        namespace = client[0]
        own = [one for one in self.told.sidecars if one.place.namespace == namespace]
        for one in own:
            if one.selector and any(one.selector.items() <= labels.items() for labels in self.labels.get(client, ())):
                return one
        mesh_wide = [one for one in self.told.sidecars if one.place.namespace == self.rules.root_namespace]
        return next((one for one in (*own, *mesh_wide) if not one.selector), None)


def _named(pod: Pod) -> str:
    kind, _, name = pod.workload.partition(" ")
    return f"{kind} {pod.place.namespace}/{name}"


def selected(services: Iterable[ServiceFacts], pods: Iterable[Pod]) -> dict[Place, Sequence[Pod]]:
    """The pods that each headless Service selects."""
    there: dict[str, list[Pod]] = {}
    for pod in pods:
        there.setdefault(pod.place.namespace, []).append(pod)
    by_namespace = {name: Selected(some, lambda pod: pod.labels) for name, some in there.items()}
    headless = [one for one in services if one.selector and not one.addresses]
    return {one.place: by_namespace[one.place.namespace].by(one.selector) for one in headless if one.place.namespace in by_namespace}
