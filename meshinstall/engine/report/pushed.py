"""Compares who may call what by a cluster's policies with what each proxy has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from meshinstall.checks.authz.access import told_apart
from meshinstall.checks.authz.classes import TooManyError
from meshinstall.checks.authz.decide import World, guard
from meshinstall.checks.authz.pushed import Pushed, is_behind
from meshinstall.checks.words import some
from meshinstall.engine.mesh.callees import Running
from meshinstall.engine.mesh.pods import PodSeen
from meshinstall.engine.mesh.proxy_rules import Enforced, ask_enforced
from meshinstall.model.access import Callee, Cell
from meshinstall.model.foreign_text import plain
from meshinstall.model.mesh import Dataplane
from meshinstall.model.place import Place
from meshinstall.ports import Pods

NOT_PUSHED = "not pushed"
_CUSTOM = "what a service outside of the mesh says: only the proxy, or only a policy, asks one (CUSTOM)"


@dataclass(frozen=True, slots=True)
class Unpushed:
    """Requests to a workload that some of its proxies decide otherwise than the cluster's policies, whose verdict is the first."""

    callee: Callee
    proxies: tuple[str, ...]
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Compared:
    """What was found of one proxy; ``unread`` are parts of its configuration that may decide and are not known."""

    cells: tuple[Cell, ...]
    unread: tuple[str, ...]


async def find_unpushed(workloads: Sequence[Running], live: World, pods: Pods) -> tuple[tuple[Unpushed, ...], tuple[str, ...]]:
    """What proxies have not got yet, and in sentences of which that cannot be told."""
    callees = {seen.pod.place: one.callee for one in workloads for seen in one.pods if not one.callee.unguarded}
    pods_there = [seen for one in workloads for seen in one.pods if seen.pod.place in callees]
    asked = [seen for seen in pods_there if not _why_not_compared(seen, callees[seen.pod.place], live)]
    known: dict[tuple[int, str], Compared] = {}

    def use(seen: PodSeen, by: Enforced) -> Compared:
        callee = callees[seen.pod.place]
        # Proxies of a workload have the same, as a rule: that is compared once.
        key = (id(callee), by.digest())
        if key not in known:
            known[key] = _compared(callee, live, by)
        return known[key]

    answers = await ask_enforced(asked, pods, use)
    found = [(place, one) for place, (_, one) in answers.items() if one]
    untold: dict[str, list[str]] = {}
    for seen in pods_there:
        if why := _why_not_compared(seen, callees[seen.pod.place], live):
            untold.setdefault(why, []).append(str(seen.pod.place))
    for place, (one, answer) in answers.items():
        for what in answer.unread if answer else (one.problem,):
            untold.setdefault(what, []).append(str(place))
    words = (
        f"whether the proxies of these pods have what the cluster's policies say: {some(places)}: {what}" for what, places in untold.items()
    )
    return _by_workload(callees, found), tuple(map(plain, words))


def _why_not_compared(seen: PodSeen, callee: Callee, live: World) -> str:
    """Empty where policies and the proxy can be compared."""
    if seen.pod.dataplane is Dataplane.SIDECAR and not seen.pod.captured:
        return "traffic to it does not go through it"
    return live.fronts.why_undecided(callee.workload)


def _compared(callee: Callee, live: World, by: Enforced) -> Compared:
    policies = guard(live, callee.workload)
    pushed = Pushed.of(live.policies, by.chains, is_gateway=by.pod.pod.dataplane is Dataplane.GATEWAY)
    unread = (*pushed.unread, *([_CUSTOM] if pushed.asks != bool(policies.http.custom.policies) else []))
    try:
        return Compared(told_apart([policies, pushed], is_behind), unread)
    except TooManyError as error:
        return Compared((), (*unread, f"its rules and the policies distinguish too many kinds of requests: {error}"))


def _by_workload(callees: Mapping[Place, Callee], found: Sequence[tuple[Place, Compared]]) -> tuple[Unpushed, ...]:
    """Proxies that lack the same together."""
    together: dict[tuple[str, int], list[Place]] = {}
    for place, one in found:
        if one.cells:
            together.setdefault((callees[place].name, id(one)), []).append(place)
    of = dict(found)
    return tuple(
        Unpushed(callees[places[0]], tuple(plain(str(place)) for place in sorted(places)), of[places[0]].cells)
        for _, places in sorted(together.items())
    )
