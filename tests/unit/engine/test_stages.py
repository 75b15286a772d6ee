"""Stages without a command line: ``up`` is one, and a caller may run several under one lock."""

from dataclasses import replace

import anyio
import pytest

from meshinstall.engine import pipeline
from meshinstall.engine.events import Event, RunEnded, RunStarted, StepStarted, Verifying
from meshinstall.engine.pipeline import StageResult, Terms
from meshinstall.engine.run.run_lock import RunLock, run_lock
from meshinstall.errors import InterruptedRunError, LockedError, PlanRefusedError
from meshinstall.model.desired import Desired
from meshinstall.model.ownership import lease_path
from meshinstall.model.plan import Action, Plan
from meshinstall.model.verdict import Outcome
from tests.cases import plans
from tests.fakes import World
from tests.unit.engine import stages
from tests.unit.engine.installed import PUBLIC, world

pytestmark = pytest.mark.anyio

DESIRED = plans.load("fresh").desired
LEASE = lease_path("istio-system")


def holder(there: World) -> str:
    """Who holds the lock; empty when nobody does."""
    return str(there.kube.objects.get(LEASE, {}).get("spec", {}).get("holderIdentity", ""))


async def test_up_shows_asks_runs_and_judges_without_a_command_line() -> None:
    there, shown, asked = world(), list[Plan](), list[str]()
    events: list[Event] = []

    async def ask(plan: Plan) -> None:
        assert shown == [plan]
        assert events == []
        asked.append(holder(there))

    result = await pipeline.up(DESIRED, there.session(), Terms(), stages.callbacks(events, shown, ask))
    # Nobody else waits for a lock while a person thinks.
    assert asked == [""]
    assert isinstance(events[0], RunStarted)
    assert events[0].plan is result.plan
    assert [type(event) for event in events if isinstance(event, RunEnded | Verifying)] == [RunEnded, Verifying, Verifying, Verifying]
    assert result.verdict is not None
    assert result.verdict.outcome is Outcome.NOT_PROVEN
    assert holder(there) == ""


async def test_up_with_nothing_to_do_asks_nobody_takes_no_lock_and_judges_all_the_same() -> None:
    there = world()
    await stages.up(there, DESIRED, [])
    before = there.kube.objects[LEASE]
    events: list[Event] = []

    async def ask(_: Plan) -> None:
        raise AssertionError

    result = await pipeline.up(DESIRED, there.session(), Terms(), stages.callbacks(events, ask=ask))
    assert result.plan.is_empty
    assert result.verdict is not None
    assert {type(event) for event in events} == {Verifying}
    assert there.kube.objects[LEASE] == before


async def test_a_person_who_says_no_leaves_nothing_behind() -> None:
    there, events = world(), list[Event]()
    before = set(there.kube.objects)

    async def ask(_: Plan) -> None:
        raise InterruptedRunError("stopped by a person")

    with pytest.raises(InterruptedRunError):
        await pipeline.up(DESIRED, there.session(), Terms(), stages.callbacks(events, ask=ask))
    assert events == []
    assert set(there.kube.objects) == before


async def test_the_time_that_a_person_thinks_is_not_taken_from_the_run() -> None:
    there = world()

    async def ask(_: Plan) -> None:
        await anyio.sleep(3600)

    result = await pipeline.up(DESIRED, there.session(), Terms(seconds=100, prove=False), stages.callbacks([], ask=ask))
    assert not result.plan.is_empty


async def test_a_plan_that_is_no_longer_the_saved_one_is_refused_before_anybody_is_asked() -> None:
    there, shown = world(), list[Plan]()
    with pytest.raises(PlanRefusedError, match="the plan is no longer the saved one: one\n  two"):
        await pipeline.up(DESIRED, there.session(), Terms(saved=lambda _: ["one", "two"]), stages.callbacks([], shown))
    assert len(shown) == 1


async def test_a_saved_plan_of_which_only_waiting_is_left_is_waited_for() -> None:
    """As after a kill: what the plan writes is written, so that no plan of now is the saved one again."""
    there = world()
    await stages.up(there, DESIRED, [])
    there.helm.calls.clear()
    deployment = there.kube.objects["/apis/apps/v1/namespaces/istio-ingress/deployments/public"]
    deployment["status"]["availableReplicas"] = 0
    shown = list[Plan]()

    async def ask(plan: Plan) -> None:
        assert [step.action for step in plan.pending] == [Action.WAIT]
        deployment["status"]["availableReplicas"] = 1

    terms = Terms(saved=lambda _: ["saved sha256:1, now sha256:2"], prove=False)
    await pipeline.up(DESIRED, there.session(), terms, stages.callbacks([], shown, ask))
    assert shown[0].is_applied
    assert not shown[0].is_empty
    assert there.helm.calls == []


async def test_two_stages_run_under_one_lock_each_planned_anew() -> None:
    there, events = world(), list[Event]()
    first = replace(DESIRED, releases=tuple(release for release in DESIRED.releases if release.key != PUBLIC))

    async def run(desired: Desired, lock: RunLock) -> StageResult:
        return await pipeline.run_stage(desired, there.session(), stages.UNPROVEN, stages.callbacks(events), lock)

    async with run_lock(there.session(), "istio-system") as lock:
        assert holder(there) == ""
        one = await run(first, lock)
        named = [there.kube.objects[LEASE]["metadata"]["annotations"]["meshinstall.dev/run"]]
        with pytest.raises(LockedError):
            await pipeline.up(DESIRED, there.session("bob@desk/8-1"), stages.UNPROVEN, stages.callbacks([]))
        await anyio.sleep(45)
        two = await run(DESIRED, lock)
        named.append(there.kube.objects[LEASE]["metadata"]["annotations"]["meshinstall.dev/run"])
        assert holder(there) == "ann@laptop/7-1"
    assert holder(there) == ""
    assert there.kube.objects[LEASE]["spec"]["leaseTransitions"] == 1
    runs = [event for event in events if isinstance(event, RunStarted)]
    assert named == [f"up dev, run {event.run}" for event in runs]
    assert [event.plan for event in runs] == [one.plan, two.plan]
    # The second plan saw what the first one did.
    assert [step.name for step in two.plan.pending] == ["istio-ingress/public"]
    assert [event.step.name for event in events if isinstance(event, StepStarted)][-1] == "istio-ingress/public"


async def test_a_lock_that_another_run_holds_is_told_as_the_end_of_the_run() -> None:
    there, events = world(), list[Event]()
    session = there.session("bob@desk/8-1")
    async with run_lock(session, "istio-system") as lock:
        await lock.take("up dev, run 1")
        with pytest.raises(LockedError):
            await stages.up(there, DESIRED, events)
    assert isinstance(events[0], RunStarted)
    assert isinstance(events[-1], RunEnded)
    assert events[-1].failure.startswith("bob@desk/8-1 has held the lock of this mesh since")
