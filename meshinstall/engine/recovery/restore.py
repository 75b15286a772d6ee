"""A restore on one page: plan, agree, CA, install, objects, proof, and the comparison with the snapshot.

It is one run of the engine: what a killed one left is what the same command goes on with.
"""

from dataclasses import replace
from functools import partial

import anyio

from meshinstall.checks.recovery import compared, left_to_do
from meshinstall.config.restored import platform_changes
from meshinstall.engine import pipeline
from meshinstall.engine.pipeline import Callbacks
from meshinstall.engine.recovery.looking import look
from meshinstall.engine.recovery.terms import Result, Terms
from meshinstall.engine.recovery.watch import COMPARE, PLAN, Watch
from meshinstall.engine.run.put_authority import put_authority
from meshinstall.engine.session import Session
from meshinstall.engine.tasks import in_time
from meshinstall.model.desired import Desired
from meshinstall.model.gate import GateCheck, GateOutcome
from meshinstall.model.plan import Plan

# Seconds in which istiod gives the gateways what they serve, and between two looks.
_SETTLE, _LOOK = 20.0, 0.5
# What --allow accepts of the comparison: the names of checks.
ACCEPTED = {"new-root": ("trust",), "kept-policies": ("objects that others keep",), "occupied": ("other objects",)}


async def restore(desired: Desired, session: Session, terms: Terms, callbacks: Callbacks) -> Result:
    """Make the mesh of a snapshot here; raises MeshinstallError with what stopped it."""
    watch = Watch(session.clock, callbacks.emit)
    stage = await _run(desired, session, terms, callbacks, watch)
    watch.begin(COMPARE)
    async with in_time(terms.seconds, "the mesh was not compared with the snapshot"):
        checks, left = await _compared(desired, session, terms, stage)
    watch.begin("")
    return Result(
        plan=stage.plan,
        content=terms.content,
        checks=checks,
        left=left,
        phases=watch.phases,
        verdict=stage.verdict,
        values=platform_changes(terms.content, desired),
        accepted=frozenset(name for allowed, names in ACCEPTED.items() if allowed in terms.allow for name in names),
    )


async def _run(desired: Desired, session: Session, terms: Terms, callbacks: Callbacks, watch: Watch) -> pipeline.StageResult:
    first = partial(put_authority, session, terms.authority) if terms.authority else None
    stage = pipeline.Terms(allow=terms.allow, seconds=terms.seconds, prove=terms.prove, first=first, command="restore")

    def show(plan: Plan) -> None:
        # The time that a person takes to agree is nobody's.
        watch.begin("")
        callbacks.show(plan)

    watch.begin(PLAN)
    return await pipeline.up(desired, session, stage, replace(callbacks, show=show, emit=watch.hear))


async def _compared(
    desired: Desired, session: Session, terms: Terms, stage: pipeline.StageResult
) -> tuple[tuple[GateCheck, ...], tuple[str, ...]]:
    """What is not as it was is looked at again for a while: a gateway may just be given its routes."""
    until = anyio.current_time() + _SETTLE
    while True:
        now = await look(desired, session, terms.content)
        checks = compared(terms.content, now, desired, terms.left_out, stage.verdict)
        late = any(one.outcome is GateOutcome.FAIL and one.name.startswith("gateway ") for one in checks)
        if not late or anyio.current_time() >= until:
            return checks, tuple(left_to_do(terms.content, now, desired))
        await anyio.sleep(_LOOK)
