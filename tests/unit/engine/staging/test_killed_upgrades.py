"""An upgrade, or a rollback, that is killed at any of its events: the same command finishes it."""

from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from meshinstall.engine.events import Event, GateJudged
from meshinstall.engine.gates.snapshot import Since
from meshinstall.engine.session import Session
from meshinstall.engine.staging.terms import End
from meshinstall.errors import UsageError
from meshinstall.model.desired import Desired
from meshinstall.model.gate import GateCheck, Moved, Snapshot
from meshinstall.model.mesh import Dataplane
from meshinstall.model.upgrade import StageName
from meshinstall.model.verdict import Outcome, PortVerdict
from tests.fakes import World
from tests.unit.engine.staging.living import INGRESS
from tests.unit.engine.staging.upgrading import NEW, Gates, Upgrade, killed, number, proxies, restart, start, state

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


def is_held(event: Event) -> bool:
    """The pods of a gateway of before still serve beside the new ones."""
    return isinstance(event, GateJudged) and event.gate.stage.startswith("gateways")


async def test_the_hold_of_a_gateway_whose_run_was_killed_is_taken_away() -> None:
    there = await start(has_tenants=False)
    whole = await start(has_tenants=False)
    await upgraded(whole)
    run = Upgrade(there)
    assert await killed(run, is_held)
    pods = f"{INGRESS}/public"
    assert len(proxies(there)[pods]) == 2
    # Nobody is left to decide: after its seconds the rollout goes on, and the pod of before stops.
    old = next(path for path, item in there.kube.objects.items() if "/pods/public-" in path and NEW not in str(item["spec"]))
    del there.kube.objects[old]
    assert proxies(there)[pods] == [("1-31", NEW)]
    await upgraded(there)
    assert state(there) == state(whole)


@dataclass
class Looking(Gates):
    """The gateway is not proven at any look; ``excused`` is, for each gate, whether the start of its run says so."""

    excused: list[bool] = field(default_factory=list)

    async def _look(self, session: Session, desired: Desired, emit: object, *, since: Since | None = None) -> Snapshot:
        seen = await super()._look(session, desired, emit, since=since)
        port = PortVerdict(INGRESS, "Deployment public", 8080, Dataplane.GATEWAY, Outcome.NOT_PROVEN, ())
        return replace(seen, verdict=replace(seen.verdict, ports=(port,)))

    def _judge(self, start: Snapshot, now: Snapshot, moved: Moved, *, require_pass: bool) -> tuple[GateCheck, ...]:
        self.excused.append(bool(start.verdict.ports))
        return super()._judge(start, now, moved, require_pass=require_pass)


async def test_what_an_earlier_run_did_not_prove_excuses_nothing() -> None:
    """Its start would be that of before the upgrade only where the gateway was not touched yet."""
    first, again = Looking(), Looking()
    there = await start(has_tenants=False)
    assert await killed(Upgrade(there, first), is_held)
    assert set(first.excused) == {True}
    await Upgrade(there, again, who="bob@desk/9-1").to()
    assert set(again.excused) == {False}


async def test_on_the_way_back_it_is_compared_as_it_is() -> None:
    there, back = await start(has_tenants=False), Looking()
    assert await killed(Upgrade(there), is_held)
    await Upgrade(there, back, who="bob@desk/9-1").back()
    assert set(back.excused) == {True}
