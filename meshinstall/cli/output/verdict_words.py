"""What a verdict rests on, in sentences for people."""

from collections.abc import Iterator, Sequence

from meshinstall.checks.words import first
from meshinstall.model.mesh import Dataplane
from meshinstall.model.verdict import Clients, FailOn, Outcome, PortVerdict, Verdict

# Names that are listed.
_MOST = 10


def basis(verdict: Verdict) -> str:
    """How many ports were tried, how many judged without, and what was not judged; our own target apart."""
    theirs = [port for port in verdict.ports if not port.ours]
    if theirs:
        return f"{_count(theirs)}: {'; '.join(_parts(theirs))}."
    own = "only the target that verify made for itself" if verdict.ports else "nothing"
    where = "" if verdict.seen.namespaces is None else " in these namespaces"
    return f"{own}: the mesh has no workload{where}."


def _count(ports: Sequence[PortVerdict]) -> str:
    workloads = len({(port.namespace, port.workload) for port in ports})
    namespaces = len({port.namespace for port in ports})
    return f"{_many(len(ports), 'port')} of {_many(workloads, 'workload')} in {_many(namespaces, 'namespace')}"


def _parts(ports: Sequence[PortVerdict]) -> Iterator[str]:
    tried = [port for port in ports if port.tried]
    gateways = [port for port in ports if port.dataplane is Dataplane.GATEWAY]
    others = [port for port in ports if not port.tried and port.dataplane is not Dataplane.GATEWAY]
    if tried:
        passed = sum(port.server is Outcome.PASS for port in tried)
        yield f"{len(tried)} tried on the wire, {passed} refused strangers and served the mesh"
    if others:
        by_configuration = sum(port.server is Outcome.PASS for port in others)
        yield f"{len(others)} not tried, {by_configuration} pass by configuration and certificate"
    if gateways:
        yield f"{_many(len(gateways), 'port')} of gateways, whose listeners are open by design and not judged"


def terms(verdict: Verdict) -> Iterator[tuple[str, str]]:
    """What was looked at, by whom, and how much of it: names and texts."""
    seen = verdict.seen
    if seen.server:
        yield "API server", f"{seen.server}, CA SHA-256 {seen.authority or 'of the system'}"
    if seen.planes:
        yield "Istio", ", ".join(seen.planes)
    if seen.who:
        yield "Run by", seen.who
    yield "Scope", _scope(verdict)
    if verdict.acceptance:
        yield "Accepted", accepted_text(verdict)
    yield "PASS", "what the evidence below proves was seen, at this moment"
    yield "FAIL", "at least one way for plaintext or strangers was seen"
    yield "NOT PROVEN", "nothing bad was seen, and something could not be seen"


def _scope(verdict: Verdict) -> str:
    seen = verdict.seen
    where = "all namespaces" if seen.namespaces is None else f"namespaces {', '.join(seen.namespaces)}"
    wire = "the wire was not tried" if seen.read_only else "" if seen.sample is None else f"at most {seen.sample} ports tried on the wire"
    count = "" if verdict.fail_on is FailOn.ANY else f"faults of {verdict.fail_on} count"
    return "; ".join(part for part in (where, wire, count) if part)


def accepted_text(verdict: Verdict) -> str:
    """What of a verdict its environment accepts, until when and why, and what that leaves; empty where it accepts nothing."""
    if not verdict.acceptance:
        return ""
    count = len(verdict.accepted)
    fails = f"{_many(count, 'port')} {'fails' if count == 1 else 'fail'} by {verdict.acceptance.policy} alone"
    rest = verdict.counted
    left = "everything else is PASS" if rest is Outcome.PASS else f"something else is {rest}, which does count"
    return f"{fails}, which is {verdict.acceptance}. They do not count for the exit status; {left}"


def clients_text(clients: Clients) -> str:
    """How many proxies of clients were asked, and which were not."""
    asked = "1 proxy was asked what it" if clients.asked == 1 else f"{clients.asked} proxies were asked what they"
    words = [f"{asked} would send"]
    words += [f"{clients.alike} more hold the same configuration"] if clients.alike else []
    words += [f"without an answer: {first(clients.silent, _MOST)}"] if clients.silent else []
    return "; ".join(words)


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
