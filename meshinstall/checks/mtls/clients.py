"""Judges the clients of a port: what their own proxies would send to it, and which pods send past their proxies."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from meshinstall.checks.mtls.causes import Cause, Causes
from meshinstall.checks.mtls.outlooks import Outlooks, Way
from meshinstall.checks.words import some
from meshinstall.model.clients import MeshEntry, Tls
from meshinstall.model.labels import TLS_MODE
from meshinstall.model.mesh import Dataplane, Pod, ServiceFacts
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


def client_evidence(door: Door, outlooks: Outlooks, causes: Causes) -> tuple[Evidence, ...]:
    """What the clients of the mesh would send to a port of a pod."""
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
        told.setdefault(way.tls, set()).update(outlooks.kinds[way.kind].clients)
    why = f"automatic mTLS is used only for what has the label {TLS_MODE}=istio"
    found = [
        Evidence(Source.CLIENT, _OUTCOMES[tls], f"{_names(clients)} {_SENDS[tls]}: {why}", entry.object, "MTL015")
        for tls, clients in told.items()
    ]
    if not found and outlooks.silent:
        found.append(
            Evidence(
                Source.CLIENT,
                Outcome.NOT_PROVEN,
                f"{_names(outlooks.silent)} may be a client of it, and its proxy could not be asked",
                code="MTL017",
            )
        )
    return (server, *(found or [Evidence(Source.CLIENT, Outcome.PASS, "every client of the mesh would use the mesh's mTLS")]))


def _leaving(door: Door, outlooks: Outlooks, causes: Causes) -> Iterator[Evidence]:
    """Those whose proxies hold a way to it that is not the mesh's TLS."""
    ways = list(outlooks.leaves.get((door.pod.ip, door.port), ())) if door.pod.ip else []
    for service, own in door.services:
        host = causes.host(service)
        ways += [*outlooks.anywhere.get((host, own), ()), *outlooks.leaves.get((host, own), ())]
    told: dict[tuple[Tls, Cause], set[tuple[str, str]]] = {}
    for way in ways:
        for cause, those in _by_cause(way, door, outlooks, causes):
            told.setdefault((way.tls, cause), set()).update(those)
    for (tls, cause), clients in told.items():
        yield Evidence(Source.CLIENT, _OUTCOMES[tls], f"{_names(clients)} {_SENDS[tls]}: {cause.why}", cause.object, cause.code)


def _by_cause(way: Way, door: Door, outlooks: Outlooks, causes: Causes) -> Iterator[tuple[Cause, list[tuple[str, str]]]]:
    """The clients of a way, apart where different objects make them take it."""
    by_namespace: dict[str, list[tuple[str, str]]] = {}
    for client in outlooks.kinds[way.kind].clients:
        by_namespace.setdefault(client[0], []).append(client)
    for namespace, clients in by_namespace.items():
        yield causes.of(way, namespace, door.pod, door.port), clients


def _unaware(door: Door, outlooks: Outlooks, causes: Causes) -> Iterator[Evidence]:
    """Those whose proxies do not know the Service, and pass on what they do not know."""
    told: dict[Cause, set[tuple[str, str]]] = {}
    # Who is led to a gateway calls other hosts.
    known = () if door.pod.dataplane is Dataplane.GATEWAY else door.services
    for service, own in known:
        for kind in outlooks.unaware(causes.host(service), own):
            for client in outlooks.kinds[kind].clients:
                told.setdefault(causes.hidden(service, client), set()).add(client)
    for cause, clients in told.items():
        yield Evidence(Source.CLIENT, Outcome.FAIL, f"{_names(clients)} {_SENDS[Tls.PLAINTEXT]}: {cause.why}", cause.object, cause.code)


def _past(door: Door, outlooks: Outlooks) -> Iterator[Evidence]:
    """Those that send past their own proxies; each is a finding of its own."""
    for service, own in door.services:
        addresses, port = (service.addresses, own) if service.addresses else ((door.pod.ip,), door.port)
        for past, why in outlooks.passing_by(addresses, port):
            yield Evidence(Source.CLIENT, Outcome.FAIL, f"{past.client} {_SENDS[Tls.PLAINTEXT]}: {why}", _object(past.client), "MTL014")


def _unknown(door: Door, outlooks: Outlooks) -> Iterator[Evidence]:
    if not door.services:
        return
    if outlooks.silent:
        yield _silent(outlooks)
    for past in outlooks.unsure:
        text = f"{past.client} may send plaintext to it: the group of its container is unknown"
        yield Evidence(Source.CLIENT, Outcome.NOT_PROVEN, text, _object(past.client), "MTL017")


def _silent(outlooks: Outlooks) -> Evidence:
    text = f"{_names(outlooks.silent)} may be a client of it, and its proxy could not be asked"
    return Evidence(Source.CLIENT, Outcome.NOT_PROVEN, text, code="MTL017")


def _passed(door: Door, outlooks: Outlooks) -> str:
    if not door.services and not outlooks.reached.get((door.pod.ip, door.port)):
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
