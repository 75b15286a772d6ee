"""Judges the clients of a port: what their own proxies would send to it, and which pods send past their proxies."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from meshinstall.checks.mtls.causes import Cause, Causes
from meshinstall.checks.mtls.coverage import UNREAD
from meshinstall.checks.mtls.outlooks import Outlooks, Way
from meshinstall.checks.words import some
from meshinstall.model.clients import MeshEntry, Tls
from meshinstall.model.labels import TLS_MODE
from meshinstall.model.mesh import Dataplane, Pod, ServiceFacts
from meshinstall.model.place import Place
from meshinstall.model.verdict import Evidence, Outcome, Source

_SENDS = {
    Tls.PLAINTEXT: "would send plaintext to it",
    Tls.OTHER: "would not use the mesh's certificates for it",
    Tls.TUNNEL: "would reach it through HBONE, which is not judged",
    Tls.UNKNOWN: "would reach it through a transport that is not understood",
}
_OUTCOMES = {
    Tls.PLAINTEXT: Outcome.FAIL,
    Tls.OTHER: Outcome.FAIL,
    Tls.TUNNEL: Outcome.NOT_PROVEN,
    Tls.UNKNOWN: Outcome.NOT_PROVEN,
}


@dataclass(frozen=True, slots=True)
class Door:
    """A port of a pod: its address, and the Services, each with its own port, that lead there."""

    pod: Pod
    port: int
    services: Sequence[tuple[ServiceFacts, int]]


def client_evidence(door: Door, outlooks: Outlooks, causes: Mapping[str, Causes]) -> tuple[Evidence, ...]:
    """What the clients of the mesh would send to a port of a pod; ``causes`` are by the revision of the client's own istiod."""
    found = (*_leaving(door, outlooks, causes), *_unaware(door, outlooks, causes), *_past(door, outlooks), *_unknown(door, outlooks))
    return found or (Evidence(Source.CLIENT, Outcome.PASS, _passed(door, outlooks)),)


def entry_evidence(entry: MeshEntry, own: int, port: int, outlooks: Outlooks) -> tuple[Evidence, ...]:
    """What is known of a port of a part of the mesh that is no pod: what clients send there."""
    where = f"{entry.object} is not a pod: its server was not seen, and it is reached by ServiceEntry {entry.service_entry}"
    server = Evidence(Source.COVERAGE, Outcome.NOT_PROVEN, where, entry.object, "MTL018")
    keys = [(entry.address, port), *((host, own) for host in entry.hosts)]
    ways = [way for key in keys for way in (*outlooks.leaves.get(key, ()), *outlooks.anywhere.get(key, ()))]
    told: dict[Tls, set[tuple[str, str]]] = {}
    for way in ways:
        told.setdefault(way.tls, set()).update(client for those in outlooks.clients(way.kinds).values() for client in those)
    why = f"automatic mTLS is used only for what has the label {TLS_MODE}=istio"
    found = [
        Evidence(Source.CLIENT, _OUTCOMES[tls], f"{_names(clients)} {_SENDS[tls]}: {why}", entry.object, "MTL015")
        for tls, clients in told.items()
    ]
    if not found:
        found += _silent(outlooks)
    return (server, *(found or [Evidence(Source.CLIENT, Outcome.PASS, "every client of the mesh would use the mesh's mTLS")]))


def _leaving(door: Door, outlooks: Outlooks, causes: Mapping[str, Causes]) -> Iterator[Evidence]:
    """Those whose proxies hold a way to it that is not the mesh's TLS."""
    ways = [way for ip in filter(None, (door.pod.ip, *door.pod.more_ips)) for way in outlooks.leaves.get((ip, door.port), ())]
    # The domain is the cluster's, whatever istiod calls it.
    for one in {one.rules.domain: one for one in causes.values()}.values():
        for service, own in door.services:
            host = one.host(service)
            ways += outlooks.anywhere.get((host, own), ())
            # Some other host, as of a ServiceEntry, may lead to the Service.
            ways += [way for name in (*_dns(host, one), *service.addresses) for way in outlooks.leaves.get((name, own), ())]
            ways += _beside(door, service, own, outlooks, one)
    told: dict[tuple[Tls, Cause], dict[tuple[str, tuple[int, ...]], None]] = {}
    for way in ways:
        for revision, kinds in outlooks.by_revision(way.kinds).items():
            for namespace in outlooks.clients(kinds):
                told.setdefault((way.tls, causes[revision].of(way, namespace, door.pod, door.port)), {})[namespace, kinds] = None
    for (tls, cause), those in told.items():
        yield _said(outlooks, _OUTCOMES[tls], f"{_together(tuple(those), outlooks)} {_SENDS[tls]}: {cause.why}", cause.object, cause.code)


def _beside(door: Door, service: ServiceFacts, own: int, outlooks: Outlooks, causes: Causes) -> Iterator[Way]:
    """Ways of hosts that ServiceEntries name, and that lead to a Service or to one of the pods of a headless one."""
    host = causes.host(service)
    addresses, ports = (service.addresses, {own}) if service.addresses else ((door.pod.ip, *door.pod.more_ips), {own, door.port})
    for port in ports:
        for address in addresses:
            yield from (way for name in causes.named_at(address) for way in outlooks.anywhere.get((name, port), ()))
            yield from _around(address, port, outlooks, causes)
        if not service.addresses:
            labels = ("*", door.pod.place.name, *(ip.replace(".", "-").replace(":", "-") for ip in addresses))
            names = [f"{label}.{name}" for label in labels for name in _dns(host, causes)]
            yield from (way for name in names for held in (outlooks.leaves, outlooks.anywhere) for way in held.get((name, port), ()))
    # A name without a dot is one for the pods of its own namespace.
    for way in outlooks.leaves.get((service.place.name, own), ()):
        if home := tuple(kind for kind in way.kinds if service.place.namespace in outlooks.clients((kind,))):
            yield way._replace(kinds=home)
    # Who knows a wildcard alone takes it for hosts that it does not know, whether it passes on the rest or not.
    parts = host.split(".")
    for wild in (f"*.{'.'.join(parts[index:])}" for index in range(1, len(parts))):
        for way in outlooks.anywhere.get((wild, own), ()):
            if hidden := tuple(kind for kind in way.kinds if not outlooks.known.get((host, own), 0) >> kind & 1):
                yield way._replace(kinds=hidden)


def _around(address: str, port: int, outlooks: Outlooks, causes: Causes) -> Iterator[Way]:
    """Ways of hosts that ServiceEntries name by a network that holds an address: for who has no listener at the address itself.

    istiod listens for a network at all addresses of its port (istio: pilot/pkg/networking/core/listener.go).
    """
    for name in causes.named_around(address):
        for way in outlooks.anywhere.get((name, port), ()):
            if those := tuple(kind for kind in way.kinds if not outlooks.taking.get((address, port), 0) >> kind & 1):
                yield way._replace(kinds=those)


def _dns(host: str, causes: Causes) -> tuple[str, ...]:
    """The names by which a pod finds a Service; that of its own namespace alone is no name for others."""
    short = host.removesuffix(f".svc.{causes.rules.domain}")
    return host, f"{short}.svc", short


def _together(those: tuple[tuple[str, tuple[int, ...]], ...], outlooks: Outlooks) -> str:
    """The names of the clients of some namespaces and kinds."""
    return outlooks.once(those, lambda: _names({client for namespace, kinds in those for client in outlooks.clients(kinds)[namespace]}))


def _unaware(door: Door, outlooks: Outlooks, causes: Mapping[str, Causes]) -> Iterator[Evidence]:
    """Those whose proxies do not know the Service, and pass on what they do not know."""
    # Who is led to a gateway calls other hosts.
    if door.pod.dataplane is Dataplane.GATEWAY:
        return
    told = ((service, own, revision, one) for service, own in door.services for revision, one in causes.items())
    for service, own, revision, one in told:
        kinds = outlooks.by_revision(outlooks.unaware(one.host(service), own, service.addresses)).get(revision, ())
        for sidecar, names in _kept_from(kinds, outlooks, one):
            cause = one.hidden(service, sidecar)
            yield _said(outlooks, Outcome.FAIL, f"{names} {_SENDS[Tls.PLAINTEXT]}: {cause.why}", cause.object, cause.code)


def _kept_from(kinds: tuple[int, ...], outlooks: Outlooks, causes: Causes) -> Sequence[tuple[Place | None, str]]:
    """The Sidecars that hold for the clients of some kinds of one revision, and the names of those clients."""

    def find() -> Sequence[tuple[Place | None, str]]:
        found: dict[Place | None, list[tuple[str, str]]] = {}
        for those in outlooks.clients(kinds).values():
            for client in those:
                found.setdefault(causes.sidecar(client), []).append(client)
        return [(place, _names(clients)) for place, clients in found.items()]

    return outlooks.once(("sidecars", kinds), find)


def _past(door: Door, outlooks: Outlooks) -> Iterator[Evidence]:
    """Those that send past their own proxies; each is a finding of its own."""
    for service, own in door.services:
        headless = ((door.pod.ip, *door.pod.more_ips), door.port)
        addresses, port = (service.addresses, own) if service.addresses else headless
        for past, why in outlooks.passing_by(addresses, port):
            text = f"{past.client} {_SENDS[Tls.PLAINTEXT]}: {why}"
            yield _said(outlooks, Outcome.FAIL, text, _object(past.client), "MTL014")


def _unknown(door: Door, outlooks: Outlooks) -> Iterator[Evidence]:
    if not door.services:
        return
    yield from _silent(outlooks)
    for place, clients in outlooks.rerouted:
        text = f"{_names(clients)} may send it elsewhere: EnvoyFilter {place} chooses clusters, and routes are not read"
        yield _said(outlooks, Outcome.NOT_PROVEN, text, f"EnvoyFilter {place}", "MTL036")
    for past in outlooks.unsure:
        unread = past.pod.outbound.unread
        text = f"{past.client} may send plaintext to it: {unread or 'the group of its container is unknown'}"
        yield _said(outlooks, Outcome.NOT_PROVEN, text, _object(past.client), UNREAD if unread else "MTL017")


def _silent(outlooks: Outlooks) -> Sequence[Evidence]:
    """Those of whom nothing is known, proxies and ambient pods apart."""

    def find() -> Sequence[Evidence]:
        proxies = [client for client in outlooks.silent if client not in outlooks.ambient]
        said = ((proxies, "and its proxy could not be asked"), (outlooks.ambient, "in ambient mode: what ztunnel would send is not read"))
        texts = (f"{_names(clients)} may be a client of it, {why}" for clients, why in said if clients)
        return [Evidence(Source.CLIENT, Outcome.NOT_PROVEN, text, code="MTL017") for text in texts]

    # There may be thousands.
    return outlooks.once("silent", find)


def _said(outlooks: Outlooks, outcome: Outcome, text: str, where: str, code: str) -> Evidence:
    """One piece of evidence for all ports of which the same is said."""
    return outlooks.told.setdefault((outcome, text, where, code), Evidence(Source.CLIENT, outcome, text, where, code))


def _passed(door: Door, outlooks: Outlooks) -> str:
    if not door.services and (door.pod.ip, door.port) not in outlooks.reached:
        return "no Service sends to this port"
    counts = outlooks.counts
    if not counts.asked:
        return "the mesh has no client yet"
    alike = f", {counts.alike} more hold the same configuration" if counts.alike else ""
    return f"every client of the mesh would use the mesh's mTLS: {counts.asked} {'was' if counts.asked == 1 else 'were'} asked{alike}"


def _names(clients: Iterable[tuple[str, str]]) -> str:
    return some(f"{namespace}/{workload}" for namespace, workload in sorted(clients))


def _object(client: str) -> str:
    """``Deployment shop/web`` for ``shop/Deployment web``."""
    namespace, _, workload = client.partition("/")
    kind, _, name = workload.partition(" ")
    return f"{kind} {namespace}/{name}"
