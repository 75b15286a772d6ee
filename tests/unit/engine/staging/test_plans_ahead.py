"""Plans of the next piece are made while a gate looks: after the last change, once, and again where they may be wrong."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import anyio
import pytest

from meshinstall.engine.events import Emit
from meshinstall.engine.gates.snapshot import Since
from meshinstall.engine.planning import make_plan
from meshinstall.engine.session import Session
from meshinstall.engine.staging import ahead
from meshinstall.engine.staging.ahead import PlansAhead
from meshinstall.engine.staging.terms import End
from meshinstall.errors import ChartError
from meshinstall.model.desired import Desired
from meshinstall.model.gate import Snapshot
from meshinstall.model.plan import Plan
from meshinstall.model.release import ReleaseKey
from meshinstall.model.upgrade import StageName
from tests.cases import plans
from tests.unit.engine import installed
from tests.unit.engine.staging.upgrading import NEW, Upgrade, start

pytestmark = pytest.mark.anyio

FRESH = plans.load("fresh")
FIRST, SECOND = FRESH.desired, replace(FRESH.desired, environment="second")
SECONDS = 2.0


class Planner:
    """Makes a plan in two seconds; ``made`` are those that it was asked for, ``done`` those that it finished."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: list[str] = []
        self.done: list[str] = []
        self.trouble: ChartError | None = None
        monkeypatch.setattr(ahead, "make_plan", self.make)

    async def make(self, desired: Desired, _: Session, *, explains: bool) -> Plan:
        """As engine/planning.py has it."""
        assert not explains
        self.made.append(desired.environment)
        await anyio.sleep(SECONDS)
        if self.trouble:
            raise self.trouble
        self.done.append(desired.environment)
        return replace(FRESH.plan(), environment=desired.environment)


async def taken(work: Callable[[PlansAhead], Any], *coming: Desired) -> float:
    """Seconds that some work with plans takes."""
    started = anyio.current_time()
    async with anyio.create_task_group() as group:
        await work(PlansAhead(installed.world().session(), coming, group))
        ended = anyio.current_time()
    return ended - started


async def test_what_was_begun_is_taken_without_making_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    planner = Planner(monkeypatch)

    async def work(plans: PlansAhead) -> None:
        plans.begin()
        await anyio.sleep(5)
        assert (await plans.take(FIRST)).environment == FIRST.environment
        plans.begin()
        assert (await plans.take(SECOND)).environment == "second"

    assert await taken(work, FIRST, SECOND) == 5 + SECONDS
    assert planner.made == [FIRST.environment, "second"]


async def test_a_plan_that_was_begun_before_the_last_change_is_thrown_away(monkeypatch: pytest.MonkeyPatch) -> None:
    planner = Planner(monkeypatch)

    async def work(plans: PlansAhead) -> None:
        plans.begin()
        await anyio.sleep(1)
        plans.begin()
        await plans.take(FIRST)

    assert await taken(work, FIRST) == 1 + SECONDS
    assert planner.made == [FIRST.environment] * 2
    assert planner.done == [FIRST.environment]


async def test_what_others_may_have_changed_meanwhile_is_planned_again(monkeypatch: pytest.MonkeyPatch) -> None:
    planner = Planner(monkeypatch)

    async def work(plans: PlansAhead) -> None:
        plans.begin()
        await anyio.sleep(31)
        await plans.take(FIRST)

    assert await taken(work, FIRST) == 31 + SECONDS
    assert planner.done == [FIRST.environment] * 2


async def test_for_something_else_a_plan_is_made_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    planner = Planner(monkeypatch)

    async def work(plans: PlansAhead) -> None:
        plans.begin()
        await anyio.sleep(1)
        assert (await plans.take(SECOND)).environment == "second"

    assert await taken(work, FIRST) == 1 + SECONDS
    assert planner.done == ["second"]


async def test_trouble_is_told_to_whoever_takes_the_plan_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    planner = Planner(monkeypatch)
    planner.trouble = ChartError("no answer")

    async def work(plans: PlansAhead) -> None:
        plans.begin()
        await anyio.sleep(5)
        with pytest.raises(ChartError, match="no answer"):
            await plans.take(FIRST)
        planner.trouble = None
        assert (await plans.take(FIRST)).environment == FIRST.environment

    await taken(work, FIRST)


async def test_each_piece_of_an_upgrade_is_planned_once_and_after_what_comes_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    there = await start(has_tenants=False)
    seen: list[tuple[str, str]] = []

    async def make(desired: Desired, session: Session, *, explains: bool) -> Plan:
        records = there.releases.records
        versions = " ".join(f"{key.name}:{records[key].version}" for key in sorted(records, key=str) if key.name != "istiod")
        seen.append((" ".join(str(release.key) for release in desired.releases), versions.replace("istio-", "")))
        return await make_plan(desired, session, explains=explains)

    monkeypatch.setattr(ahead, "make_plan", make)
    assert (await Upgrade(there).to()).end is End.DONE
    old, bases = "partners:1.30.4 public:1.30.4", "base:1.31.0 istiod-1-31:1.31.0"
    half, new = f"partners:1.30.4 public:1.31.0 {bases}", f"partners:1.31.0 public:1.31.0 {bases}"
    assert seen == [
        ("istio-system/istio-base", f"{old} base:1.30.4"),
        ("istio-system/istiod-1-31", f"{old} base:1.31.0"),
        ("istio-ingress/public", f"{old} {bases}"),
        # The hold is taken away.
        ("istio-ingress/public", half),
        ("istio-ingress/partners", half),
        ("istio-ingress/partners", new),
        ("istio-system/istiod-1-31", new),
        ("istio-system/istio-base", new),
    ]


async def test_plans_are_made_while_the_gate_of_what_was_done_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    there = await start(has_tenants=False)
    run = Upgrade(there)
    judges = run.gates.judges()
    looking: list[str] = []
    seen: list[bool] = []

    async def look(session: Session, desired: Desired, emit: Emit, *, since: Since | None = None) -> Snapshot:
        looking.append(run.gates.stage)
        await anyio.sleep(1)
        looking.pop()
        return await judges.look(session, desired, emit, since=since)

    async def make(desired: Desired, session: Session, *, explains: bool) -> Plan:
        await anyio.sleep(0.5)
        seen.append(bool(looking))
        return await make_plan(desired, session, explains=explains)

    monkeypatch.setattr(ahead, "make_plan", make)
    assert (await run.to(judges=replace(judges, look=look))).end is End.DONE
    assert seen == [True] * 8


async def test_nothing_beyond_the_last_stage_that_was_asked_for_is_planned(monkeypatch: pytest.MonkeyPatch) -> None:
    there = await start(has_tenants=False)
    seen: list[str] = []

    async def make(desired: Desired, session: Session, *, explains: bool) -> Plan:
        seen.extend(release.key.name for release in desired.releases)
        return await make_plan(desired, session, explains=explains)

    monkeypatch.setattr(ahead, "make_plan", make)
    assert (await Upgrade(there).to(until=StageName.CRDS)).end is End.HELD
    assert seen == ["istio-base"]


async def test_a_plan_that_is_shown_to_nobody_does_the_same_and_explains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    there = await start(has_tenants=False)
    desired = replace(FRESH.desired, istio_version=NEW)
    shown = await make_plan(desired, there.session())
    rendered: list[ReleaseKey] = []
    template = there.helm.template

    async def counted(key: ReleaseKey, *given: Any, **named: Any) -> str:
        rendered.append(key)
        return await template(key, *given, **named)

    monkeypatch.setattr(there.helm, "template", counted)
    plan = await make_plan(desired, there.session(), explains=False)
    assert plan.digest == shown.digest
    assert plan.trials == shown.trials
    assert plan.refusals == shown.refusals
    assert shown.diff
    assert not plan.diff
    assert not plan.summary
    assert len(rendered) == len(set(rendered))
