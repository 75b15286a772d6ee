"""The measurements as Markdown, with the goals that they meet or miss."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from testbed.bench.clouds import Times as CloudTimes
from testbed.bench.drift import FILES, OBJECTS
from testbed.bench.drift import Costs as DriftCosts
from testbed.bench.install import Times as InstallTimes
from testbed.bench.nights import Times as NightTimes
from testbed.bench.policies import POLICIES
from testbed.bench.policies import WORKLOADS as POLICY_WORKLOADS
from testbed.bench.policies import Costs as PolicyCosts
from testbed.bench.prove import WORKLOADS
from testbed.bench.prove import Times as VerifyTimes
from testbed.bench.recovery import SPACES
from testbed.bench.recovery import Times as RecoveryTimes
from testbed.bench.scale import NAMESPACES, PODS
from testbed.bench.scale import Times as ScaleTimes
from testbed.bench.upgrade import Times as UpgradeTimes

_MEGABYTE = 1e6


@dataclass(frozen=True, slots=True)
class Results:
    """What was measured; None for a part that was not asked for. ``start`` is in seconds of CPU."""

    install: Mapping[str, InstallTimes] | None = None
    scale: ScaleTimes | None = None
    start: float | None = None
    verify: VerifyTimes | None = None
    clouds: Mapping[str, CloudTimes] | None = None
    upgrade: Mapping[str, UpgradeTimes] | None = None
    nights: NightTimes | None = None
    policies: PolicyCosts | None = None
    recovery: RecoveryTimes | None = None
    drift: DriftCosts | None = None


@dataclass(frozen=True, slots=True)
class Goal:
    """A limit that the project set itself; both numbers are in ``unit``."""

    text: str
    limit: float
    measured: float
    unit: str


def markdown(results: Results) -> str:
    """All tables, the goals last."""
    tables = []
    if results.install:
        tables.append(install_table(results.install))
    if results.scale:
        tables.append(scale_table(results.scale))
    if results.verify:
        tables.append(verify_table(results.verify))
    if results.clouds:
        tables.append(clouds_table(results.clouds))
    if results.upgrade:
        tables.append(upgrade_table(results.upgrade))
    if results.nights:
        tables.append(nights_table(results.nights))
    if results.recovery:
        tables.append(recovery_table(results.recovery))
    tables.append(goals_table(list(goals(results))))
    return "\n\n".join(tables)


def install_table(times: Mapping[str, InstallTimes]) -> str:
    """One row for each contender; ratios are the first one's median over that row's."""
    ours = next(iter(times.values()))
    rows = [
        (
            name,
            _spread(one.fresh),
            _ratio(ours.fresh, one.fresh),
            _spread(one.again),
            _ratio(ours.again, one.again),
            f"{one.memory / _MEGABYTE:.0f}",
        )
        for name, one in times.items()
    ]
    return _table(("", "fresh install, s", "ratio", "again, s", "ratio", "peak memory, MB"), rows)


def scale_table(times: ScaleTimes) -> str:
    """One row for each command; ratios are the full cluster's median over the empty one's."""
    return _table(
        ("", "empty, s", f"{NAMESPACES} namespaces and {PODS} pods more, s", "ratio"),
        [
            ("`up`, nothing to change", _spread(times.empty_up), _spread(times.full_up), _ratio(times.full_up, times.empty_up)),
            ("`plan`, nothing to change", _spread(times.empty_plan), _spread(times.full_plan), _ratio(times.full_plan, times.empty_plan)),
            ("`plan` of the first install", _spread(times.first_plan), "", ""),
        ],
    )


def verify_table(times: VerifyTimes) -> str:
    """Seconds of a whole verification with live probes."""
    rows = [("the mesh alone", _spread(times.alone)), (f"with {WORKLOADS} workloads", _spread(times.workloads))]
    return _table(("`verify`, with live probes", "s"), rows)


def clouds_table(times: Mapping[str, CloudTimes]) -> str:
    """One row for each cloud, and what its SDK alone takes to be imported."""
    rows = [(name, *map(_spread, (one.credential, one.busy, one.sdk, one.describe))) for name, one in times.items()]
    return _table(("", "`credential`, s", "of it CPU, s", "the SDK's import alone, s", "`kubeconfig`, s"), rows)


def upgrade_table(times: Mapping[str, UpgradeTimes]) -> str:
    """One row for each contender; ratios are the first one's median over that row's."""
    ours = next(iter(times.values()))
    rows = [(name, _spread(one.seconds), _ratio(ours.seconds, one.seconds)) for name, one in times.items()]
    return _table(("", "canary to the next minor, s", "ratio"), rows)


def nights_table(times: NightTimes) -> str:
    """Both with nothing to do; the ratio is the night's median over that of ``up``."""
    rows = [("a night", _spread(times.night), _ratio(times.night, times.up)), ("`up`", _spread(times.up), "")]
    return _table(("nothing to do", "s", "ratio"), rows)


def recovery_table(times: RecoveryTimes) -> str:
    """The ratio is the restore's median over that of the work by hand."""
    rows = [
        ("`restore`", _spread(times.restore), _ratio(times.restore, times.by_hand)),
        ("`up` and `kubectl apply`", _spread(times.by_hand), ""),
    ]
    return _table((f"a mesh with {2 * SPACES} objects", "s", "ratio"), rows)


def goals(results: Results) -> Iterator[Goal]:
    """The goals that the measured parts decide."""
    if results.install:
        yield from _install_goals(results.install)
    if results.scale:
        plans = (results.scale.first_plan, results.scale.empty_plan, results.scale.full_plan)
        yield Goal("slowest of the three `plan` medians", 1.0, max(median(times) for times in plans), "s")
        yield Goal("`up` on a full cluster against an empty one", 1.5, median(results.scale.full_up) / median(results.scale.empty_up), "x")
    if results.verify:
        yield Goal(f"`verify` of {WORKLOADS} workloads with live probes", 10, median(results.verify.workloads), "s")
    for name, asked in (results.clouds or {}).items():
        yield Goal(f"credential plugin, {name}", 0.35, median(asked.credential), "s")
        yield Goal(f"sign in and describe a cluster, {name}", 1.0, median(asked.describe), "s")
    if results.upgrade:
        own, by_hand, *_ = (median(one.seconds) for one in results.upgrade.values())
        yield Goal("canary to the next minor against helm and kubectl", 1.5, own / by_hand, "x")
    if results.nights:
        ratio = median(results.nights.night) / median(results.nights.up)
        yield Goal("a night with nothing to do against `up` with nothing to do", 1.2, ratio, "x")
    if results.recovery:
        ratio = median(results.recovery.restore) / median(results.recovery.by_hand)
        yield Goal("a restore against a fresh `up` and `kubectl apply` of its objects", 1.5, ratio, "x")
    if results.policies:
        files = f"{POLICIES} policies and {POLICY_WORKLOADS} workloads"
        both = [check.seconds + who.seconds for check, who in zip(results.policies.check, results.policies.who, strict=True)]
        yield Goal(f"`policy check` and `authz who` of {files}, together", 3, median(both), "s")
        most = max(cost.memory for cost in (*results.policies.check, *results.policies.who))
        yield Goal(f"memory of either with {files}", 200, most / _MEGABYTE, "MB")
    yield from _drift_goals(results.drift) if results.drift else ()
    if results.start is not None:
        yield Goal("CPU of `--help` beyond the interpreter's", 100, results.start * 1000, "ms")


def _drift_goals(costs: DriftCosts) -> Iterator[Goal]:
    runs = (costs.none, costs.one)
    told = f"`drift` with {OBJECTS:,} objects of Istio's kinds, {FILES} of them in Git"
    yield Goal(told, 5, max(median([cost.seconds for cost in some]) for some in runs), "s")
    yield Goal(f"memory of {told}", 200, max(cost.memory for some in runs for cost in some) / _MEGABYTE, "MB")


def _install_goals(times: Mapping[str, InstallTimes]) -> Iterator[Goal]:
    ours, *others = times.items()
    for name, one in others:
        yield Goal(f"fresh install against {name}", 1.0, median(ours[1].fresh) / median(one.fresh), "x")
    name, last = others[-1]
    yield Goal(f"nothing to change against {name}", 0.8, median(ours[1].again) / median(last.again), "x")
    yield Goal("peak memory of `up`", 120, ours[1].memory / _MEGABYTE, "MB")


def goals_table(found: Sequence[Goal]) -> str:
    """Each goal with what was measured and whether that is within."""
    rows = [
        (goal.text, f"≤ {goal.limit:g} {goal.unit}", f"{_digits(goal)} {goal.unit}", "yes" if goal.measured <= goal.limit else "**no**")
        for goal in found
    ]
    return _table(("goal", "limit", "measured", "met"), rows)


def _digits(goal: Goal) -> str:
    return f"{goal.measured:.0f}" if goal.unit in {"MB", "ms"} else f"{goal.measured:.2f}"


def _spread(seconds: Sequence[float]) -> str:
    return f"{median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"


def _ratio(one: Sequence[float], other: Sequence[float]) -> str:
    return f"{median(one) / median(other):.2f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
