"""Whether mTLS became worse: rows of verify of what was moved, and of what it calls and is called by."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from meshinstall.checks.moving.comparing import Comparing, Found, Tally
from meshinstall.model.gate import RANK, GateCheck, GateOutcome, as_gate, worst_of
from meshinstall.model.place import Place
from meshinstall.model.verdict import Evidence, Outcome, PortVerdict, Source

UNPROVEN = GateOutcome.NOT_PROVEN
_PASS = GateOutcome.PASS


class Key(NamedTuple):
    """A row, whatever its pods are called."""

    place: Place
    port: int

    def __str__(self) -> str:
        """``shop/Deployment web port 8080``."""
        return f"{self.place} port {self.port or 'other'}"


@dataclass(frozen=True, slots=True)
class Row:
    """One port of a workload: what it lets in itself, and what its clients would send to it (None: that was not asked)."""

    server: GateOutcome
    clients: GateOutcome | None
    evidence: tuple[Evidence, ...]

    @property
    def outcome(self) -> GateOutcome:
        """The worse of the two."""
        return worst_of([self.server, *([self.clients] if self.clients else [])])


def mtls(comparing: Comparing) -> GateCheck:
    """No row of what was moved, or of its clients and servers, that passed at the start of the run is worse."""
    tally = Tally("mTLS of what the stage changed and of its clients")
    before, now, reached = _rows(comparing.start.verdict.ports), _rows(comparing.now.verdict.ports), _rows(comparing.now.reached)
    for kind in sorted({"Pod", "Namespace"} & (comparing.now.unread | comparing.start.unread)):
        tally.bad(UNPROVEN, f"some {kind} objects could not be read, so rows may be missing")
    for key, row in sorted(now.items()):
        if comparing.is_moved(key.place) and not comparing.require_pass:
            _moved(key, before.get(key), row, comparing, tally)
    if comparing.require_pass:
        _insist(comparing, tally)
    _fed(before, now, comparing, tally)
    for key, row in sorted(reached.items()):
        if key in before and not comparing.is_moved(key.place):
            _server(key, before[key], row, comparing, tally)
    for key in sorted(before.keys() - now.keys()):
        _vanished(key, comparing, tally)
    _silenced(comparing, tally)
    _unjudged({key.place for key in (*before, *now)}, comparing, tally)
    return tally.check("no row of what the stage changed is worse than at the start")


def _rows(ports: Iterable[PortVerdict]) -> Mapping[Key, Row]:
    """Rows by workload and port; of several that are called alike the worst counts."""
    found: dict[Key, Row] = {}
    for port in ports:
        if port.ours or not port.namespace:
            continue
        key = Key(Place(port.namespace, port.workload), port.port)
        row = Row(as_gate(port.server), as_gate(port.clients) if port.clients else None, port.evidence)
        if RANK[as_gate(port.outcome)] < RANK[row.outcome]:
            row = replace(row, server=as_gate(port.outcome))
        other = found.get(key)
        found[key] = _both(other, row) if other else row
    return found


def _both(one: Row, other: Row) -> Row:
    clients = [each.clients for each in (one, other) if each.clients]
    return Row(worst_of((one.server, other.server)), worst_of(clients) if clients else None, (*one.evidence, *other.evidence))


def _insist(comparing: Comparing, tally: Tally) -> None:
    """Every row of the mesh, but for what the environment accepts."""
    verdict = comparing.now.verdict
    left = [port.without(verdict.acceptance) if verdict.acceptance else port for port in verdict.ports]
    for key, row in sorted(_rows(port for port in left if port).items()):
        if row.outcome is not _PASS:
            tally.bad(row.outcome, f"{key}: {_why(row.evidence)}", comparing.blamed(key.place))


def _moved(key: Key, then: Row | None, row: Row, comparing: Comparing, tally: Tally) -> None:
    """A row of what was moved: both halves count, unless its owner changed it."""
    if then is None:
        _appeared(key, row, comparing, tally)
    elif why := comparing.changed(key.place):
        if row.outcome is not _PASS:
            tally.tell(f"{key} is {row.outcome}, and does not count: {why}")
    else:
        if then.outcome is not _PASS:
            tally.tell(f"{key} was {then.outcome} at the start of this run: {_why(then.evidence)}")
        for outcome, evidence in _worse(key, then, row, comparing, tally):
            tally.bad(outcome, f"{key}: {_why(evidence)}", comparing.blamed(key.place))


def _appeared(key: Key, row: Row, comparing: Comparing, tally: Tally) -> None:
    """Of a new gateway as much is expected as of the worst gateway at the start; what tenants add does not count."""
    if row.outcome is _PASS:
        return
    if comparing.is_ours(key.place) and RANK[row.outcome] < RANK[_worst_gateway(comparing)]:
        tally.bad(row.outcome, f"{key}: {_why(row.evidence)}")
    else:
        tally.tell(f"{key} is {row.outcome}, and does not count: it was not there at the start of this run")


def _worst_gateway(comparing: Comparing) -> GateOutcome:
    rows = _rows(comparing.start.verdict.ports)
    return worst_of([row.outcome for key, row in rows.items() if comparing.is_ours(key.place)] or [_PASS])


def _worse(key: Key, then: Row, row: Row, comparing: Comparing, tally: Tally) -> Iterator[tuple[GateOutcome, tuple[Evidence, ...]]]:
    """The halves that passed at the start and do not now, without what owners of namespaces did."""
    space = key.place.namespace
    if then.server is _PASS and row.server is not _PASS:
        evidence = tuple(one for one in row.evidence if one.source is not Source.CLIENT and one.outcome is not Outcome.PASS)
        if not comparing.is_ours(key.place) and comparing.has_new_policies(space):
            tally.tell(f"{key} is {row.server}, and does not count: policies of namespace {space} were changed during this run")
        else:
            yield row.server, evidence
    if then.clients is _PASS and row.clients is not None and row.clients is not _PASS:
        yield from _clients(key, row, comparing, tally)


def _clients(key: Key, row: Row, comparing: Comparing, tally: Tally) -> Iterator[tuple[GateOutcome, tuple[Evidence, ...]]]:
    space = key.place.namespace
    evidence = [one for one in row.evidence if one.source is Source.CLIENT and one.outcome is not Outcome.PASS]
    theirs = not comparing.is_ours(key.place) and comparing.has_new_objects(space)
    left = [] if theirs else [one for one in evidence if not _is_of_owner(one, comparing)]
    if len(left) < len(evidence):
        tally.tell(f"{key}: what its clients would send does not count in part: objects of tenants were changed during this run")
    if left or not evidence:
        yield worst_of(as_gate(one.outcome) for one in left), tuple(left)


def _is_of_owner(evidence: Evidence, comparing: Comparing) -> bool:
    """Whether a tenant's object explains it which he changed since."""
    _, _, place = evidence.object.partition(" ")
    namespace, slash, _ = place.partition("/")
    return bool(slash) and comparing.has_new_objects(namespace)


def _fed(before: Mapping[Key, Row], now: Mapping[Key, Row], comparing: Comparing, tally: Tally) -> None:
    """Workloads whose istiod was moved, and which were not moved themselves."""
    worse: dict[str, Found] = {}
    sound: set[str] = set()
    for key in sorted(before.keys() & now.keys()):
        space, row = key.place.namespace, now[key]
        if before[key].outcome is not _PASS or not comparing.is_fed(key.place) or comparing.changed(key.place):
            continue
        if comparing.has_new_policies(space) or comparing.has_new_objects(space):
            continue
        if row.outcome is _PASS:
            sound.add(space)
        elif space not in worse or RANK[row.outcome] < RANK[worse[space][0]]:
            worse[space] = (row.outcome, f"{key}: {_why(row.evidence)}")
    tally.spread(worse, sound)


def _server(key: Key, then: Row, row: Row, comparing: Comparing, tally: Tally) -> None:
    """What was not moved, as clients that were would call it."""
    if comparing.changed(key.place) or then.clients is not _PASS or row.clients is None or row.clients is _PASS:
        return
    for outcome, evidence in _clients(key, row, comparing, tally):
        tally.bad(outcome, f"{key}, as a server of what the stage changed: {_why(evidence)}")


def _vanished(key: Key, comparing: Comparing, tally: Tally) -> None:
    """A gateway's row must stay as long as the gateway is there; what tenants remove is theirs."""
    if not comparing.is_moved(key.place):
        return
    if comparing.is_ours(key.place):
        tally.bad(UNPROVEN, f"{key} was judged at the start of this run and is not there now")
    else:
        tally.tell(f"{key} does not count: it is not there any more")


def _silenced(comparing: Comparing, tally: Tally) -> None:
    """Clients that were heard at the start and are not any more, though nobody changed them."""
    worse: dict[str, Found] = {}
    sound: set[str] = set()
    for place, before in sorted(comparing.start.workloads.items()):
        after = comparing.now.workloads.get(place)
        if after is None or before.is_aside or not before.proxies or comparing.is_moved(place):
            continue
        if not after.is_aside:
            sound.add(place.namespace)
        elif not comparing.changed(place):
            worse[place.namespace] = (UNPROVEN, f"what {place} would send to others is unknown now")
    tally.spread(worse, sound)


def _unjudged(judged: Collection[Place], comparing: Comparing, tally: Tally) -> None:
    """What was moved and has no row at all, as where its namespace was not asked for."""
    for place in comparing.touched():
        _, after = comparing.pair(place)
        if after and after.proxies and place not in judged and not comparing.changed(place):
            tally.bad(UNPROVEN, f"{place} has a proxy, and mTLS of it was not judged", comparing.blamed(place))


def _why(evidence: Iterable[Evidence]) -> str:
    bad = sorted((one for one in evidence if one.outcome is not Outcome.PASS), key=lambda one: RANK[as_gate(one.outcome)])
    return f"{bad[0].text}{f' ({bad[0].object})' if bad[0].object else ''}" if bad else "there is no evidence"
