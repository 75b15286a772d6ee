"""Sorts workloads with old proxies into waves, and each wave into batches; what no wave restarts is left to its owner. Pure."""

from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from functools import cached_property

from meshinstall.checks.words import first
from meshinstall.engine.upgrade.restarts import ROLLED_OUT, down_for, is_down, kept_until
from meshinstall.engine.upgrade.stages import Goal, is_behind, selector_of, versions_of
from meshinstall.engine.upgrade.strategy import goes
from meshinstall.model.desired import Desired
from meshinstall.model.duration import in_words
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.istio import SYSTEM_NAMESPACE
from meshinstall.model.mesh_position import BudgetAt, Carrier, MeshPosition, NamespaceAt, Proxied
from meshinstall.model.upgrade import Part, Stage, StageName, UpgradePlan, Way
from meshinstall.model.waves import How, Left, PlannedWave, Restart, Wave, WavesPlan

# Of these nothing makes a pod again, or it would do its work twice.
_NEVER_EVICTED = frozenset({"Job", "Pod"})
# Workloads that are named.
_SHOWN = 5


@dataclass(frozen=True)
class Waving:
    """What the waves are planned for.

    ``own`` are namespaces that no wave restarts; ``is_now``: tags lead already where they will, so that what new pods get can be told.
    """

    waves: tuple[Wave, ...]
    position: MeshPosition
    goal: Goal
    own: AbstractSet[str] = frozenset()
    is_now: bool = False

    @property
    def value(self) -> str:
        """What is written on a workload that is restarted: the same for a target, so that it is restarted once for it."""
        return f"{self.goal.target}/{self.goal.revision}"

    @cached_property
    def homes(self) -> dict[str, NamespaceAt]:
        """The namespaces by their names."""
        return {space.name: space for space in self.position.namespaces}

    def wave_of(self, namespace: str) -> Wave | None:
        """The first that takes it."""
        return next(self._taking(namespace), None)

    def several(self) -> Iterator[str]:
        """Namespaces that two waves take, in words; the wave of the rest does not count."""
        for name in sorted(self.homes.keys() - self.own - {SYSTEM_NAMESPACE}):
            names = [wave.name for wave in self._taking(name) if not wave.takes_all]
            if len(names) > 1:
                yield f"namespace {name} is in the waves {' and '.join(names)}: the first counts"

    def _taking(self, namespace: str) -> Iterator[Wave]:
        if namespace in self.own or namespace == SYSTEM_NAMESPACE:
            return iter(())
        labels = dict(self.homes[namespace].labels) if namespace in self.homes else {}
        return (wave for wave in self.waves if wave.takes(namespace, labels))


def with_waves(plan: UpgradePlan, desired: Desired) -> UpgradePlan:
    """The plan of an upgrade, or of a way back, with the waves of its stage ``workloads``; the same where none are configured."""
    stage = next((one for one in plan.stages if one.name is StageName.WORKLOADS), None)
    if not (desired.waves and plan.strategy and stage):
        return plan
    own = frozenset(space.name for space in desired.namespaces)
    waves = plan_waves(Waving(desired.waves, plan.position, Goal(plan.target, plan.strategy), own), names_of(stage))
    made = replace(stage, does="restarts workloads in waves, and leaves the rest to their owners")
    return replace(
        plan,
        stages=tuple(made if one is stage else one for one in plan.stages),
        waves=waves,
        findings=(*plan.findings, *_told_of_downtime(waves)),
    )


def names_of(stage: Stage) -> frozenset[str]:
    """The workloads of a stage."""
    return frozenset(move.name for move in stage.moves if move.part is Part.PROXIES)


def plan_waves(waving: Waving, names: AbstractSet[str]) -> WavesPlan:
    """What becomes of the workloads of these names that have old proxies: each is in one wave, or left with a reason."""
    left: list[Left] = []
    taken: dict[str, list[Restart]] = {wave.name: [] for wave in waving.waves}
    behind = (one for one in waving.position.proxied if one.name in names and is_behind(one, waving.goal))
    for one in sorted(behind, key=lambda each: (each.place, each.kind)):
        wave = waving.wave_of(one.place.namespace)
        why = _left_because(one, waving) or ("" if wave else "no wave has its namespace")
        if why or wave is None:
            left.append(Left(one.name, versions_of(one), why))
        else:
            taken[wave.name].append(_restart(one, waving.value))
    waves = (PlannedWave(wave, tuple(batches(taken[wave.name], wave.parallel))) for wave in waving.waves)
    return WavesPlan(waving.value, tuple(wave for wave in waves if wave.batches), tuple(left), tuple(waving.several()))


def batches(restarts: Iterable[Restart], parallel: int) -> list[tuple[Restart, ...]]:
    """In each at most ``parallel``, and at most one of a PodDisruptionBudget: those of one budget follow each other."""
    found: list[list[Restart]] = []
    last: dict[str, int] = {}
    # Batches before this one are full.
    open_from = 0
    for one in restarts:
        at = max([open_from, *(last[budget] + 1 for budget in one.budgets if budget in last)])
        while at < len(found) and len(found[at]) >= parallel:
            at += 1
        if at == len(found):
            found.append([])
        found[at].append(one)
        last.update(dict.fromkeys(one.budgets, at))
        while open_from < len(found) and len(found[open_from]) >= parallel:
            open_from += 1
    return [tuple(batch) for batch in found]


def _left_because(one: Proxied, waving: Waving) -> str:
    """Why no wave restarts a workload, whichever wave its namespace is in; empty where one does."""
    if one.carrier is not Carrier.SIDECAR:
        return "istiod replaces its pods"
    if one.place.namespace in waving.own or one.place.namespace == SYSTEM_NAMESPACE:
        return "no wave restarts what is in this namespace"
    return _other_istiod(one, waving) or _kept(one) or _restarted_before(one, waving.value)


def _kept(one: Proxied) -> str:
    """That nothing replaces its pods."""
    is_evicted = _is_evicted(one) and one.kind not in _NEVER_EVICTED
    if one.pinned_image or (kept_until(one) and not is_evicted):
        return f"keeps the old proxy until {kept_until(one)}"
    return "" if is_evicted or one.rollout.strategy else "cannot tell how its pods are replaced: it could not be read"


def _other_istiod(one: Proxied, waving: Waving) -> str:
    """That a new pod would not get the new proxy."""
    position, goal = waving.position, waving.goal
    if goal.strategy.way is Way.CANARY and goes(position, goal.strategy, selector := selector_of(position, one)):
        whose = "its pod template" if one.pinned else "its namespace"
        return f"the label istio.io/rev of {whose} names the old revision {selector}"
    plane = position.plane(selector_of(position, one))
    if waving.is_now and not (plane and plane.revision == goal.revision and plane.version == goal.target):
        return "its new pods would not get the new proxy"
    return ""


def _restarted_before(one: Proxied, value: str) -> str:
    """That it was restarted for this target: a second time would not help, or would start a quarrel with who reverted the first."""
    mark = one.mark
    if _is_evicted(one):
        return ""
    if mark.now == value:
        return "" if mark.is_rolling else "was restarted for this target already, and its pods got an old proxy: restart it by hand"
    if mark.tried == value:
        who = mark.changed_by or "somebody that Kubernetes did not record"
        return f"its restart was reverted by {who}, and is not made a second time"
    return ""


def _is_evicted(one: Proxied) -> bool:
    """Whether no restart replaces its pods, and somebody makes new ones where they are gone."""
    return one.kind not in ROLLED_OUT or one.rollout.strategy == "OnDelete"


def _restart(one: Proxied, value: str) -> Restart:
    how = How.EVICTION if _is_evicted(one) else How.WAIT if one.mark.now == value else How.RESTART
    # What was begun is not asked for a second time.
    downtime = "" if how is How.WAIT else _downtime(one)
    means = downtime or _means(one, how)
    if one.budgets:
        means = f"{means}; asks {first([_budget(budget) for budget in one.budgets], _SHOWN)} first"
    budgets = tuple(str(budget.place) for budget in one.budgets)
    return Restart(one.kind, one.place, versions_of(one), how, means, downtime, budgets, _needs(one))


def _budget(budget: BudgetAt) -> str:
    return f"PodDisruptionBudget {budget.place} (allows {budget.allowed} of {budget.expected} pods now)"


def _means(one: Proxied, how: How) -> str:
    if how is How.WAIT:
        return "was restarted by an earlier run, and is waited for"
    if how is How.EVICTION:
        return "evicts one pod after the other: others serve meanwhile"
    return down_for(one)


def _downtime(one: Proxied) -> str:
    """What is down, and for how long; empty where other pods serve meanwhile."""
    if _is_evicted(one):
        if one.kind == "DaemonSet":
            return f"evicts the pod of each node in turn, down for up to {in_words(one.rollout.grace)} and until the new one is Ready"
        if one.pods > 1:
            return ""
        return f"evicts its only pod, down for up to {in_words(one.rollout.grace)} and until the new one is Ready"
    if is_down(one):
        return down_for(one)
    if one.lacks_probe and one.rollout.replicas:
        return "may be down until its new pods serve: they have no readiness probe, so that Kubernetes cannot tell when"
    return ""


def _needs(one: Proxied) -> int:
    """How many pods may be missing at once."""
    rollout = one.rollout
    if _is_evicted(one):
        return 1
    return max(1, rollout.replicas if rollout.strategy == "Recreate" else min(rollout.max_unavailable, rollout.replicas))


def _told_of_downtime(waves: WavesPlan) -> Iterator[Finding]:
    if down := [one.name for one in waves.down]:
        title = f"{len(down)} workload{'s' if len(down) > 1 else ''} would be down for a time, and would not be restarted"
        hint = "restart them yourself when it suits, or let the waves do it: --allow downtime"
        yield Finding("PRE049", Severity.WARNING, title, first(down, _SHOWN), hint=hint)
