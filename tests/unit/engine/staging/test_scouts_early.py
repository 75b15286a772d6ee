"""Scouts start beside the pods that prove the new istiod, and count where all is good; else their own stage sends them."""

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

from meshinstall.engine.staging.early import EarlyScouts
from meshinstall.engine.staging.judging import Checks
from meshinstall.engine.staging.terms import End
from meshinstall.errors import OutOfTimeError
from meshinstall.model.gate import GateCheck
from meshinstall.model.upgrade import StageName
from tests.unit.engine.staging.upgrading import FAIL, NOT_PROVEN, PASS, Upgrade, start

pytestmark = pytest.mark.anyio

GOOD, BAD, UNKNOWN = ((GateCheck("one", outcome, "as the test says"),) for outcome in (PASS, FAIL, NOT_PROVEN))


def says(*answers: Checks, seconds: float = 3.0) -> tuple[Callable[..., Awaitable[Checks]], list[float]]:
    """Answers in turn, each after some seconds and with its number in words; and when it was asked."""
    left, asked = list(answers), list[float]()

    async def ask(tell: Callable[[str], None] = print) -> Checks:
        asked.append(anyio.current_time())
        tell(f"answer {len(asked)}")
        await anyio.sleep(seconds)
        return left.pop(0)

    return ask, asked


async def test_both_are_asked_at_the_same_time_and_what_scouts_found_counts_once() -> None:
    early, told = EarlyScouts(), list[str]()
    prove, _ = says(GOOD)
    scout, asked = says(GOOD, BAD)
    assert await early.beside(prove, scout) == GOOD
    assert anyio.current_time() == 3
    assert told == []
    assert await early.found(scout, told.append) == GOOD
    assert told == ["answer 1"]
    assert len(asked) == 1
    assert await early.found(scout, told.append) == BAD
    assert told == ["answer 1", "answer 2"]


@pytest.mark.parametrize("first", [BAD, UNKNOWN])
async def test_what_was_not_good_is_scouted_again_by_its_stage(first: Checks) -> None:
    early, told = EarlyScouts(), list[str]()
    prove, _ = says(GOOD)
    scout, asked = says(first, BAD)
    await early.beside(prove, scout)
    assert await early.found(scout, told.append) == BAD
    assert len(asked) == 2


async def test_trouble_of_scouts_is_none_of_the_control_planes() -> None:
    early, told = EarlyScouts(), list[str]()
    prove, _ = says(GOOD)

    async def late(_: Callable[[str], None]) -> Checks:
        raise OutOfTimeError("too late")

    assert await early.beside(prove, late) == GOOD
    scout, _ = says(BAD)
    assert await early.found(scout, told.append) == BAD


async def test_what_scouts_found_grows_old() -> None:
    early, told = EarlyScouts(), list[str]()
    prove, _ = says(GOOD)
    scout, _ = says(GOOD, BAD)
    await early.beside(prove, scout)
    await anyio.sleep(58)
    assert await early.found(scout, told.append) == BAD


@pytest.mark.parametrize("first", [BAD, UNKNOWN])
async def test_pods_that_did_not_run_beside_scouts_are_started_again_alone(first: Checks) -> None:
    early = EarlyScouts()
    prove, asked = says(first, GOOD)
    scout, _ = says(GOOD, seconds=10.0)
    assert await early.beside(prove, scout) == GOOD
    assert asked == [0, 10]


async def test_an_upgrade_scouts_once_and_before_its_stage() -> None:
    there = await start(has_tenants=False)
    run = Upgrade(there)
    assert (await run.to()).end is End.DONE
    assert run.gates.asked.count("scout scouts") == 1
    assert run.gates.asked.index("scout scouts") < run.gates.asked.index("control-plane 1-31")
    assert run.judged["scout"] is PASS


@pytest.mark.parametrize(("outcome", "end"), [(FAIL, End.FAILED), (NOT_PROVEN, End.NOT_PROVEN)])
async def test_scouts_that_find_something_stop_their_own_stage(outcome: Any, end: End) -> None:
    there = await start(has_tenants=False)
    run = Upgrade(there)
    run.gates.says["scout scouts"] = outcome
    result = await run.to()
    assert (result.end, result.stage) == (end, StageName.SCOUT)
    assert run.judged["control-plane istio-system/istiod-1-31"] is PASS


async def test_where_the_scouts_are_not_asked_for_none_are_sent() -> None:
    there = await start(has_tenants=False)
    run = Upgrade(there)
    await run.to(until=StageName.CONTROL_PLANE)
    assert "scout scouts" not in run.gates.asked


async def test_a_control_plane_that_fails_its_gate_is_taken_back_whatever_scouts_found() -> None:
    there = await start(has_tenants=False)
    run = Upgrade(there)
    run.gates.says["control-plane 1-31"] = FAIL
    result = await run.to()
    assert (result.end, result.stage) == (End.UNDONE, StageName.CONTROL_PLANE)
    assert "scout" not in run.judged
