"""One observation of a running mesh, made before it is judged.

Everything here is plain data: names and numbers as Kubernetes, istiod and
Envoy gave them. What could not be asked is in ``MeshFacts.gaps``, never left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from meshinstall.model.callers import Callers
from meshinstall.model.clients import ClientFacts
from meshinstall.model.istio import ENVOY_ADMIN_PORT
from meshinstall.model.place import Place as Place  # noqa: PLC0414 - with all that is seen in a mesh it is imported from here
from meshinstall.model.selectors import LabelSelector

# What a sidecar listens on at all addresses of its pod (istio.io: Ports used by Istio): redirected traffic, tunnels, metrics and health.
# No application can listen there beside it, but for tunnels, which a sidecar seldom has.
PROXY_PORTS = frozenset({15001, 15006, 15008, 15020, 15021, 15090})
TUNNEL_PORT = 15008


class Mode(StrEnum):
    """Mutual TLS mode of a PeerAuthentication (istio/api: security/v1beta1/peer_authentication.proto)."""

    UNSET = "UNSET"
    DISABLE = "DISABLE"
    PERMISSIVE = "PERMISSIVE"
    STRICT = "STRICT"


class Dataplane(StrEnum):
    """What carries the traffic of a pod; ``CONTROL`` are istiod, the CNI and ztunnel themselves, as their containers say."""

    SIDECAR = "sidecar"
    AMBIENT = "ambient"
    GATEWAY = "gateway"
    CONTROL = "control plane"
    NONE = "none"


class SyncState(StrEnum):
    """Whether a proxy has the configuration that istiod last sent it; ``UNKNOWN``: no istiod that was asked lists the proxy."""

    SYNCED = "synced"
    UPDATING = "updating"
    STALE = "stale"
    REJECTED = "rejected"
    NOTHING_SENT = "nothing sent"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Port:
    """A port that a pod declares or a Service sends to; ``number`` is the pod's own, ``name`` may be empty."""

    number: int
    name: str = ""
    protocol: str = "TCP"


class PortRange(NamedTuple):
    """Ports from the first to the last."""

    first: int
    last: int


class AsProxy(NamedTuple):
    """A container that runs as the proxy does, and as whom (``UID 1337``)."""

    container: str
    user: str


@dataclass(frozen=True, slots=True)
class Outbound:
    """Which TCP connections of a pod's own applications istio-iptables redirects to its proxy.

    ``captured`` is false when none is; ``networks`` are those that are, None for all, ``not_networks`` those that are not, and the
    same of ``ports`` and ``not_ports``; what is left out counts more. Those of ``as_proxy`` are never, and whether those of ``unsure``
    are the spec does not show. What leaves by one of ``interfaces`` is not. ``virtual``: the pod holds a virtual machine, for which
    networks alone count. ``unread``: why the spec does not show what is redirected, inbound traffic too; empty when it does.
    """

    captured: bool = True
    networks: tuple[str, ...] | None = None
    not_networks: tuple[str, ...] = ()
    ports: tuple[PortRange, ...] = ()
    not_ports: tuple[PortRange, ...] = ()
    as_proxy: tuple[AsProxy, ...] = ()
    unsure: tuple[str, ...] = ()
    interfaces: tuple[str, ...] = ()
    virtual: bool = False
    unread: str = ""


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod that is not done yet.

    ``workload`` is its owner for people (``Deployment web``; the pod itself when nothing owns it).
    ``bypassed`` are ports whose inbound traffic does not pass the proxy (excludeInboundPorts, or not in
    includeInboundPorts; those of a gateway's other containers), ``others_bypassed`` tells whether those do that
    nobody declared (includeInboundPorts is a list);
    ``more_ips`` are its addresses beside ``ip``; ``active``: some container runs, also while the pod starts or ends;
    ``shared``: it is a gateway, and containers beside its proxy may answer on ports that nobody declared;
    ``one_family``: it has addresses of two IP families, and only those of the first are sure to be redirected;
    ``captured`` is false when none passes it (interceptionMode NONE, hostNetwork); what arrives by one of ``interfaces`` does not.
    ``admin_port`` is where its Envoy answers, on its loopback; ``metrics_port`` where its agent hands out what the application reports,
    in plaintext to everybody, 0 when it does not.
    ``kubelet`` are the ports that the kubelet's probes call past the proxy's agent, ``scraped`` those that prometheus.io/port names.
    What follows says nothing of mTLS: ``ending``: it is being deleted; ``restarts`` are those of the container that was started again
    most often; ``recipe`` is a digest of what its owner wrote of it, ``labelled`` one of that and its labels.
    """

    place: Place
    workload: str
    dataplane: Dataplane
    service_account: str = "default"
    ip: str = ""
    ports: tuple[Port, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    revision: str = ""
    running: bool = True
    host_network: bool = False
    captured: bool = True
    bypassed: tuple[int, ...] = ()
    others_bypassed: bool = False
    one_family: bool = False
    interfaces: tuple[str, ...] = ()
    outbound: Outbound = Outbound()
    admin_port: int = ENVOY_ADMIN_PORT
    metrics_port: int = 0
    kubelet: tuple[int, ...] = ()
    scraped: tuple[int, ...] = ()
    more_ips: tuple[str, ...] = ()
    active: bool = True
    shared: bool = False
    ready: bool = field(default=False, compare=False)
    ending: bool = field(default=False, compare=False)
    restarts: int = field(default=0, compare=False)
    recipe: str = field(default="", compare=False)
    labelled: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class NamespaceFacts:
    """A namespace; ``roots`` are the SHA-256 fingerprints of the roots in its istio-ca-root-cert, empty when it has none.

    ``ending``: it is being deleted, and its objects may be gone before it.
    """

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    roots: tuple[str, ...] = ()
    ending: bool = False


@dataclass(frozen=True, slots=True)
class PeerPolicy:
    """A PeerAuthentication; ``ports`` are the workload's own, ``selector`` is empty when it has none.

    ``revision`` is its label istio.io/rev, None without: an istiod of another revision does not see it.
    """

    place: Place
    created: datetime
    mode: Mode = Mode.UNSET
    selector: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[int, Mode] = field(default_factory=dict)
    revision: str | None = None


@dataclass(frozen=True, slots=True)
class ClientRule:
    """A DestinationRule, as far as it decides TLS.

    ``mode`` is trafficPolicy.tls.mode ("" when it has no tls; tls without a mode is DISABLE), ``ports`` its portLevelSettings by
    Service port, also those without tls; ``subsets`` the same two of each subset; ``export_to`` is empty for everywhere.
    ``has_policy`` tells whether it has a trafficPolicy at all: of several rules for one host the first that has one decides.
    ``revision`` is its label istio.io/rev, None without.
    """

    place: Place
    host: str
    created: datetime
    mode: str = ""
    ports: Mapping[int, str] = field(default_factory=dict)
    subsets: Mapping[str, tuple[str, Mapping[int, str]]] = field(default_factory=dict)
    export_to: tuple[str, ...] = ()
    selector: Mapping[str, str] = field(default_factory=dict)
    has_policy: bool = False
    revision: str | None = None


@dataclass(frozen=True, slots=True)
class ServiceFacts:
    """A Service: ``ports`` maps its ports for TCP to the pods' ports where that is a number or could be resolved.

    ``addresses`` are its own; a headless one has none, and its clients call the addresses of the pods. ``more_ports`` are further numbers
    that a port leads to, where its target is a name that differs between pods. ``ends`` are addresses, with its own ports and those there,
    that somebody else than Kubernetes gave it: it may lead to pods that it does not select.
    """

    place: Place
    selector: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[int, int] = field(default_factory=dict)
    type: str = "ClusterIP"
    addresses: tuple[str, ...] = ()
    ends: tuple[tuple[str, int, int], ...] = ()
    more_ports: Mapping[int, tuple[int, ...]] = field(default_factory=dict)

    def targets(self, port: int) -> tuple[int, ...]:
        """The pods' ports that one of its own leads to."""
        return (*((self.ports[port],) if port in self.ports else ()), *self.more_ports.get(port, ()))


@dataclass(frozen=True, slots=True)
class ExternalService:
    """A ServiceEntry that leads out of the mesh (location MESH_EXTERNAL); of its ``ports`` protocol is what clients speak to it.

    ``revision`` is its label istio.io/rev, None without.
    """

    place: Place
    hosts: tuple[str, ...]
    ports: tuple[Port, ...] = ()
    revision: str | None = None


class Machine(NamedTuple):
    """A WorkloadEntry, somebody's or istiod's own for a machine that joined, with the labels by which policies select it."""

    place: Place
    labels: Mapping[str, str]


class Labelled(NamedTuple):
    """A DestinationRule, Sidecar or ServiceEntry with the label istio.io/rev, and its value."""

    kind: str
    place: Place
    revision: str


@dataclass(frozen=True, slots=True)
class ApiServerClient:
    """What makes the API server call a port of a Service: a webhook, an APIService, or the conversion of a CRD.

    ``fails`` tells whether what it is asked for fails when there is no answer (failurePolicy Fail; always for the other two).
    """

    kind: str
    name: str
    service: Place
    port: int
    fails: bool = True


@dataclass(frozen=True, slots=True)
class CertificateFacts:
    """An X.509 certificate: ``uris`` are its SPIFFE names; ``root`` is the fingerprint that it chains to, by signature, else empty."""

    fingerprint: str
    subject: str
    not_before: datetime
    not_after: datetime
    uris: tuple[str, ...] = ()
    is_authority: bool = False
    key: str = ""
    root: str = ""


@dataclass(frozen=True, slots=True)
class InboundChain:
    """One filter chain of a proxy's listener for redirected traffic (15006), or for a port of its own.

    ``port`` is the destination port that it matches, None any other. ``transport`` is the match ("tls", "raw_buffer", "" any),
    ``alpn`` the application protocols that it matches. ``tls`` is whether it terminates TLS, ``client_certificate`` whether it
    then requires one, ``roots`` the fingerprints that it validates against.
    """

    port: int | None
    transport: str = ""
    alpn: tuple[str, ...] = ()
    tls: bool = False
    client_certificate: bool = False
    roots: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HeldPort:
    """A port on which a proxy itself listens at its pod's addresses, with its chains; ``fixed``: from its start, so that no policy counts.

    Such are metrics with mutual TLS, and without redirection the ports of its Services.
    """

    port: int
    chains: tuple[InboundChain, ...] = ()
    fixed: bool = False


@dataclass(frozen=True, slots=True)
class Proxy:
    """What a pod's own Envoy says of itself; ``problem`` says why it could not be asked, and all else is then empty.

    ``certificates`` is its own chain, leaf first; ``roots`` what it trusts. ``sync`` and ``sync_words`` are what ``istiod``,
    the pod that it is connected to, reports of its last push (istio: /debug/syncz).
    """

    version: str = ""
    inbound: tuple[InboundChain, ...] = ()
    certificates: tuple[CertificateFacts, ...] = ()
    roots: tuple[CertificateFacts, ...] = ()
    sync: SyncState = SyncState.UNKNOWN
    sync_words: str = ""
    istiod: str = ""
    problem: str = ""
    held: tuple[HeldPort, ...] = ()


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """An istiod: its Deployment, revision, version and mesh configuration; ``domain`` is the cluster's (istiod's ``--domain``).

    It sees the objects of namespaces that one of ``discovery`` selects, of all when there are none; None: that could not be read.
    """

    place: Place
    revision: str
    version: str
    root_namespace: str
    trust_domain: str
    trust_domain_aliases: tuple[str, ...] = ()
    auto_mtls: bool = True
    domain: str = "cluster.local"
    discovery: tuple[LabelSelector, ...] | None = ()


@dataclass(frozen=True, slots=True)
class History:
    """What Prometheuses (``source``, their pods) counted in the last ``days``, or why that is not all or nothing (``problem``).

    ``plaintext`` are requests and connections without mutual TLS that reached a workload; ``identities``, where they were asked for, who
    reached it with mutual TLS, by the principal of the certificate.
    """

    days: int
    source: str = ""
    plaintext: tuple[tuple[Place, int], ...] = ()
    problem: str = ""
    identities: frozenset[tuple[Place, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class MeshFacts:
    """One observation of a mesh. ``proxies`` has an entry for each pod with a proxy; ``gaps`` say what could not be read, and why.

    ``unread`` are the kinds (``Pod``, ``Namespace``, ``Service``, ``Deployment``, ``PeerAuthentication``, ``DestinationRule``,
    ``ServiceEntry``, ``ConfigMap``, and ``MeshConfig``, what an istiod was told) of which not every object could be read and
    understood: that one is not here then proves nothing. So are the kinds that vouch for control planes. ``history`` and ``callers``
    are None when nobody asked for them, ``clients`` when no proxy was asked what it would send: the objects alone then tell what
    clients would do. ``judged`` are the namespaces whose pods have a verdict, None for all; ``probes`` those that this very run made.
    ``labelled`` are objects with a revision of their own, ``api_clients`` what makes the API server call Services, as far as a port
    may be closed. ``machines`` are no pods, and policies select them too.
    """

    now: datetime
    control_planes: tuple[ControlPlane, ...] = ()
    namespaces: Mapping[str, NamespaceFacts] = field(default_factory=dict)
    pods: tuple[Pod, ...] = ()
    services: tuple[ServiceFacts, ...] = ()
    policies: tuple[PeerPolicy, ...] = ()
    client_rules: tuple[ClientRule, ...] = ()
    external: tuple[ExternalService, ...] = ()
    proxies: Mapping[Place, Proxy] = field(default_factory=dict)
    authorities: tuple[CertificateFacts, ...] = ()
    gaps: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    history: History | None = None
    clients: ClientFacts | None = None
    judged: frozenset[str] | None = None
    callers: Callers | None = None
    probes: tuple[str, ...] = ()
    labelled: tuple[Labelled, ...] = ()
    api_clients: tuple[ApiServerClient, ...] = ()
    machines: tuple[Machine, ...] = ()
