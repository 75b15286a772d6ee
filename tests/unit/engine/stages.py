"""Runs stages and plans on a cluster in memory, as a caller without a terminal does."""

from collections.abc import Awaitable, Callable

from meshinstall.engine import pipeline
from meshinstall.engine.events import Event
from meshinstall.engine.pipeline import Callbacks, Terms
from meshinstall.engine.run import carry_out
from meshinstall.engine.run.run_lock import run_lock
from meshinstall.model.desired import Desired
from meshinstall.model.plan import Plan
from tests.fakes import World

UNPROVEN = Terms(prove=False)


async def agree(_: Plan) -> None:
    """Whoever is asked says yes."""


def callbacks(events: list[Event], plans: list[Plan] | None = None, ask: Callable[[Plan], Awaitable[None]] = agree) -> Callbacks:
    """Callbacks that keep what they hear."""
    return Callbacks((plans if plans is not None else []).append, ask, events.append)


async def up(there: World, desired: Desired, events: list[Event], terms: Terms = UNPROVEN) -> Plan:
    """One stage, its proof left out."""
    return (await pipeline.up(desired, there.session(), terms, callbacks(events))).plan


async def down(there: World, desired: Desired, events: list[Event], terms: Terms = UNPROVEN, *, crds: bool = False) -> Plan:
    """A removal, agreed to."""
    return await pipeline.down(desired, there.session(), terms, callbacks(events), crds=crds)


async def installed(there: World, plan: Plan, desired: Desired, events: list[Event]) -> None:
    """A plan that was made before, run under a lock of its own."""
    session = there.session()
    async with run_lock(session, plan.mesh_namespace) as lock:
        await carry_out.install(plan, desired, carry_out.Execution(session, events.append, lock, 600))
