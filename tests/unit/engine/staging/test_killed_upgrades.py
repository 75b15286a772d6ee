"""An upgrade, or a rollback, that is killed at any of its events: the same command finishes it."""

from contextlib import suppress
from typing import Any

import pytest

from meshinstall.engine.events import Event, GateJudged
from meshinstall.engine.staging.terms import End
from meshinstall.errors import UsageError
from meshinstall.model.upgrade import StageName
from tests.fakes import World
from tests.unit.engine.staging.living import INGRESS
from tests.unit.engine.staging.upgrading import NEW, Upgrade, killed, number, proxies, restart, start, state

pytestmark = pytest.mark.anyio

# More than a run has events; in parts, which run side by side.
_EVENTS, _PARTS = range(1, 200), 4


async def upgraded(there: World) -> None:
    """To the end, with owners who restart what is theirs."""
    run = Upgrade(there, who="bob@desk/9-1")
    result = await run.to()
    if result.end is End.HELD:
        restart(there, "shop")
        result = await run.to()
    assert result.end is End.DONE, result.why


@pytest.mark.parametrize("part", range(_PARTS))
async def test_an_upgrade_that_is_killed_anywhere_is_finished_by_the_same_command(part: int) -> None:
    """SIGKILL, a lost machine or an interrupt at any event."""
    whole = await start()
    await upgraded(whole)
    kills = 0
    for event in _EVENTS[part::_PARTS]:
        there = await start()
        run = Upgrade(there)
        if not await killed(run, number(event)):
            break
        kills += 1
        await upgraded(there)
        assert state(there) == state(whole), f"killed at event {event}: {run.events[-1]}"
    assert kills > 10


@pytest.mark.parametrize("part", range(_PARTS))
async def test_a_rollback_that_is_killed_anywhere_is_finished_by_the_same_command(part: int) -> None:
    kills = 0
    for event in _EVENTS[part::_PARTS]:
        there = await start(has_tenants=False)
        begun = _but_crds(there)
        run = Upgrade(there)
        await run.to(until=StageName.DEFAULT)
        run.events.clear()
        if not await killed(run, number(event), is_back=True):
            break
        kills += 1
        last = run.events[-1]
        # Where it was at its end there is nothing any more to go back to.
        with suppress(UsageError):
            result = await run.back()
            assert result.end is End.DONE, f"killed at event {event}: {last}: {result.why} {result.left}"
        assert _but_crds(there) == begun, f"killed at event {event}: {last}"
    assert kills > 5


def _but_crds(there: World) -> dict[str, Any]:
    return {name: value for name, value in state(there).items() if name != "istio-system/istio-base"}


async def test_the_hold_of_a_gateway_whose_run_was_killed_is_taken_away() -> None:
    there = await start(has_tenants=False)
    whole = await start(has_tenants=False)
    await upgraded(whole)
    run = Upgrade(there)

    def is_held(event: Event) -> bool:
        return isinstance(event, GateJudged) and event.gate.stage.startswith("gateways")

    assert await killed(run, is_held)
    pods = f"{INGRESS}/public"
    assert len(proxies(there)[pods]) == 2
    # Nobody is left to decide: after its seconds the rollout goes on, and the pod of before stops.
    old = next(path for path, item in there.kube.objects.items() if "/pods/public-" in path and NEW not in str(item["spec"]))
    del there.kube.objects[old]
    assert proxies(there)[pods] == [("1-31", NEW)]
    await upgraded(there)
    assert state(there) == state(whole)
