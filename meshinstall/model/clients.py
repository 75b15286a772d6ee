"""What clients of a mesh would send where, as their own proxies hold it; plain data."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from meshinstall.model.place import Place


class Tls(StrEnum):
    """What a proxy puts on the wire: the mesh's own TLS, another, none, the tunnel of ambient mode, or what is not understood."""

    MESH = "mesh mTLS"
    OTHER = "other TLS"
    PLAINTEXT = "plaintext"
    TUNNEL = "HBONE"
    UNKNOWN = "unknown"


class Endpoint(NamedTuple):
    """Where a cluster of a proxy sends, an IP address or a name, and how."""

    address: str
    port: int
    tls: Tls


class OutboundCluster(NamedTuple):
    """A cluster of a proxy: ``port`` and ``subset`` are those of ``host``; 0 and "" where the name of the cluster does not say it.

    ``anywhere`` is what it does to any address that the application names (original destination), None where it has ``endpoints``.
    """

    name: str
    host: str
    port: int
    subset: str
    anywhere: Tls | None
    endpoints: tuple[Endpoint, ...]


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a proxy would do with the connections of its pod; ``passes_on``: what it does not know leaves as it came.

    ``listens`` are the addresses and ports whose connections it knows, None where it was not asked.
    """

    clusters: tuple[OutboundCluster, ...] = ()
    passes_on: bool = False
    listens: frozenset[tuple[str, int]] | None = None


@dataclass(frozen=True, slots=True)
class ClientGroup:
    """Pods whose proxies hold the same configuration; ``asked`` spoke for all, None when none answered (``problem``)."""

    pods: tuple[Place, ...]
    outlook: Outlook = field(default_factory=Outlook)
    asked: Place | None = None
    problem: str = ""


class SidecarObject(NamedTuple):
    """A Sidecar, which says what the proxies of a namespace know; an empty ``selector`` selects all pods there.

    ``revision`` is its label istio.io/rev, None without. ``open`` is the number of its egress listener that has no port, which takes
    connections to all of its hosts; None where there is none. One without egress listeners ``hides`` nothing.
    """

    place: Place
    selector: Mapping[str, str]
    revision: str | None = None
    open: int | None = 0
    hides: bool = True


class MeshEntry(NamedTuple):
    """A part of the mesh that is no pod: a WorkloadEntry, or an endpoint of a MESH_INTERNAL ServiceEntry (``object``).

    ``ports`` are those of ``hosts``, and what the workload itself listens on.
    """

    object: str
    place: Place
    address: str
    service_entry: Place
    hosts: tuple[str, ...]
    ports: Mapping[int, int]


class NamedHosts(NamedTuple):
    """What a ServiceEntry names, wherever it leads: hosts, and addresses that clients may call instead."""

    place: Place
    hosts: tuple[str, ...]
    addresses: tuple[str, ...] = ()


class LedHost(NamedTuple):
    """A VirtualService that leads clients of the mesh from some host to another one, ``to``."""

    place: Place
    to: str


class Reroute(NamedTuple):
    """An EnvoyFilter whose patches may lead what proxies send to another cluster; an empty ``selector`` selects all pods there."""

    place: Place
    selector: Mapping[str, str]


class TlsPolicy(NamedTuple):
    """A BackendTLSPolicy of the Gateway API, which istiod applies to sidecars too; ``services`` are beside it."""

    place: Place
    services: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ClientFacts:
    """What is known of the clients of a mesh: their proxies' own words, and the objects that explain those."""

    groups: tuple[ClientGroup, ...] = ()
    sidecars: tuple[SidecarObject, ...] = ()
    entries: tuple[MeshEntry, ...] = ()
    led: tuple[LedHost, ...] = ()
    tls_policies: tuple[TlsPolicy, ...] = ()
    named: tuple[NamedHosts, ...] = ()
    reroutes: tuple[Reroute, ...] = ()
