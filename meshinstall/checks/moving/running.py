"""Whether what was moved runs: ready pods, no new restarts, and proxies that have what the right istiod sent them."""

from meshinstall.checks.moving.comparing import Comparing, Found, Tally
from meshinstall.model.gate import GateCheck, GateOutcome, PlaneMoved, PlaneSeen, ProxiesSeen, WorkloadSeen
from meshinstall.model.istio_version import istio_version
from meshinstall.model.mesh import Dataplane, SyncState
from meshinstall.model.place import Place

FAIL, UNPROVEN = GateOutcome.FAIL, GateOutcome.NOT_PROVEN

_WORKLOAD_KINDS = frozenset({"Deployment", "StatefulSet", "DaemonSet"})
_ENVOYS = frozenset({Dataplane.SIDECAR, Dataplane.GATEWAY})
# How good the state of a proxy is; what is not here says nothing.
_REJECTS, _UNSURE, _GOOD = 0, 1, 2
_STATES = {SyncState.SYNCED: _GOOD, SyncState.REJECTED: _REJECTS}


def readiness(comparing: Comparing) -> GateCheck:
    """Pods of what was moved are as ready as they were, and their containers were not started again."""
    tally = Tally("readiness and restarts")
    moved = comparing.moved
    if (moved.planes or comparing.touched()) and "Pod" in comparing.now.unread | comparing.start.unread:
        tally.bad(UNPROVEN, "some pods could not be read, so it is unknown whether what the stage changed is ready")
    for plane in moved.planes:
        _plane(plane, comparing, tally)
    for place in comparing.touched():
        _workload(place, comparing, tally)
    return tally.check("everything that the stage changed is ready and was not started again")


def _plane(wanted: PlaneMoved, comparing: Comparing, tally: Tally) -> None:
    before, after = comparing.start.plane(wanted.revision), comparing.now.plane(wanted.revision)
    name = f"istiod {wanted.revision}"
    if after is None:
        unread = {"Deployment", "Service", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"} & comparing.now.unread
        tally.bad(UNPROVEN if unread else FAIL, f"{name} was not found" if unread else f"{name} does not exist")
        return
    if istio_version(after.version) != wanted.version:
        tally.bad(FAIL, f"{name} has version {after.version or 'unknown'}, expected {wanted.version}")
    needed = after.wanted if after.wanted is not None else 1
    if after.ready < max(1, min(before.ready if before and before.ready else needed, needed)):
        tally.bad(FAIL, f"{name} has {after.ready} of {needed} pods ready")
    elif after.ready < needed and (comparing.require_pass or not _was_short(before)):
        tally.bad(UNPROVEN, f"{name} has {after.ready} of {needed} pods ready")
    elif after.ready < needed:
        tally.tell(f"{name} has {after.ready} of {needed} pods ready, and was short of pods at the start of this run")
    if after.restarts > (before.restarts if before else 0):
        tally.bad(FAIL, f"containers of {name} were started again: {after.restarts} times in one pod")


def _was_short(before: PlaneSeen | None) -> bool:
    return before is not None and before.wanted is not None and before.ready < before.wanted


def _workload(place: Place, comparing: Comparing, tally: Tally) -> None:
    before, after = comparing.pair(place)
    ours, whose = comparing.is_ours(place), comparing.blamed(place)
    if after is None:
        _gone(place, before, comparing, tally)
    elif (why := comparing.changed(place)) and not comparing.require_pass:
        tally.tell(f"{place} does not count: {why}")
    else:
        wanted = after.pods if after.wanted is None else after.wanted
        needed = min(before.ready, wanted) if before else wanted
        if after.ready < needed:
            tally.bad(FAIL, f"{place} has {after.ready} of {wanted} pods ready{_then(before)}", whose)
        elif after.ready < wanted and comparing.require_pass:
            tally.bad(UNPROVEN, f"{place} has {after.ready} of {wanted} pods ready", whose)
        elif before and before.ready < before.pods:
            tally.tell(f"{place} had {before.ready} of {before.pods} pods ready at the start of this run")
        if after.restarts > (before.restarts if before else 0):
            words = f"containers of {place} were started again: {after.restarts} times in one pod{_restarts_then(before)}"
            if comparing.require_pass or _restarts_count(place, before, comparing):
                tally.bad(FAIL if ours else UNPROVEN, words, whose)
            else:
                tally.tell(words)


def _restarts_count(place: Place, before: WorkloadSeen | None, comparing: Comparing) -> bool:
    """Whether the stage can be why: it replaced the pods, and they were well. A pod that it did not touch has the proxy that it had."""
    return comparing.is_restarted(place) and not (before and before.ready < before.pods)


def _gone(place: Place, before: WorkloadSeen | None, comparing: Comparing, tally: Tally) -> None:
    """A gateway must be there; what a tenant removed is his to remove, as long as it is known that he did."""
    if comparing.now.unread & _WORKLOAD_KINDS:
        tally.bad(UNPROVEN, f"{place} has no pods, and what its owner asked for could not be read", comparing.blamed(place))
    elif comparing.is_ours(place):
        tally.bad(FAIL, f"{place} does not exist")
    elif before:
        tally.tell(f"{place} does not count: it was removed during this run")


def _then(before: WorkloadSeen | None) -> str:
    return f", and had {before.ready} at the start of this run" if before else ""


def _restarts_then(before: WorkloadSeen | None) -> str:
    return f", and {before.restarts} at the start of this run" if before else ""


def connections(comparing: Comparing) -> GateCheck:
    """Proxies that were moved have what the target's istiod sent; those that an istiod feeds which was moved have not become worse."""
    tally = Tally("NACKs and connected revision")
    if (comparing.moved.planes or comparing.touched()) and "Pod" in comparing.now.unread | comparing.start.unread:
        tally.bad(UNPROVEN, "some pods could not be read, so it is unknown to which istiod their proxies are connected")
    for place in comparing.touched():
        before, after = comparing.pair(place)
        if after is None:
            continue
        if (why := comparing.changed(place)) and not comparing.require_pass:
            tally.tell(f"{place} does not count: {why}")
            continue
        _lost(place, before, after, comparing, tally)
        for proxies in after.proxies:
            if comparing.is_restarted(place):
                _target(place, proxies, comparing, tally)
            _state(place, proxies, before, comparing, tally)
    _fed(comparing, tally)
    return tally.check("every proxy that the stage changed has what the right istiod sent last")


def _lost(place: Place, before: WorkloadSeen | None, after: WorkloadSeen, comparing: Comparing, tally: Tally) -> None:
    """A workload whose new pods have no proxy, or whose proxies nobody saw."""
    had = before.dataplane if before else after.dataplane
    if had in _ENVOYS and after.dataplane not in _ENVOYS:
        tally.bad(FAIL, f"{place} had a proxy at the start of this run and has none now", comparing.blamed(place))
    elif after.dataplane in _ENVOYS and after.ready > sum(one.count for one in after.proxies):
        missing = after.ready - sum(one.count for one in after.proxies)
        tally.bad(UNPROVEN, f"the proxies of {missing} pods of {place} were not seen", comparing.blamed(place))


def _target(place: Place, proxies: ProxiesSeen, comparing: Comparing, tally: Tally) -> None:
    moved, whose = comparing.moved, comparing.blamed(place)
    who = f"{place}: {_count(proxies)}"
    if moved.revision and proxies.revision and proxies.revision != moved.revision:
        tally.bad(FAIL, f"{who} connected to istiod {proxies.revision}, expected {moved.revision}", whose)
    if moved.version and not proxies.problem:
        found = istio_version(proxies.version)
        if found is None:
            tally.bad(UNPROVEN, f"{who} of an unknown version, expected {moved.version}", whose)
        elif found != moved.version:
            tally.bad(FAIL, f"{who} of version {found}, expected {moved.version}", whose)


def _state(place: Place, proxies: ProxiesSeen, before: WorkloadSeen | None, comparing: Comparing, tally: Tally) -> None:
    state = _quality(proxies)
    if state == _GOOD:
        return
    words = f"{place}: {_count(proxies)} not in sync: {_why(proxies)}"
    if state < _worst(before) or comparing.require_pass:
        tally.bad(UNPROVEN if state else FAIL, words, comparing.blamed(place))
    else:
        tally.tell(f"{words}; so it was at the start of this run")


def _fed(comparing: Comparing, tally: Tally) -> None:
    worse: dict[str, Found] = {}
    sound: set[str] = set()
    for place in sorted(comparing.start.workloads):
        before, after = comparing.pair(place)
        if not comparing.is_fed(place) or after is None or not after.proxies or comparing.changed(place):
            continue
        bad = min(after.proxies, key=_quality)
        if _quality(bad) < _worst(before):
            found = (UNPROVEN if _quality(bad) else FAIL, f"{place}: {_count(bad)} not in sync: {_why(bad)}")
            if place.namespace not in worse or found[0] is FAIL:
                worse[place.namespace] = found
        else:
            sound.add(place.namespace)
    tally.spread(worse, sound)


def _quality(proxies: ProxiesSeen) -> int:
    if proxies.problem and proxies.sync is not SyncState.REJECTED:
        return _UNSURE
    return _STATES.get(proxies.sync, _UNSURE)


def _worst(seen: WorkloadSeen | None) -> int:
    """The worst of its proxies; of what has none yet everything is expected."""
    return min(map(_quality, seen.proxies), default=_GOOD) if seen else _GOOD


def _why(proxies: ProxiesSeen) -> str:
    return proxies.words or proxies.problem or f"{proxies.sync}"


def _count(proxies: ProxiesSeen) -> str:
    if proxies.count == 1:
        return f"1 proxy{f' ({proxies.example})' if proxies.example else ''} is"
    return f"{proxies.count} proxies{f' (such as {proxies.example})' if proxies.example else ''} are"
