"""The main flow on one page: ``up`` is one stage, and a stage is plan, show and agree, run, judge.

Whoever needs more than one stage calls ``run_stage`` for each, under one lock that it holds. None of it knows a terminal.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from meshinstall.checks.mtls.acceptance import accepting
from meshinstall.checks.ownership import WHOSE
from meshinstall.engine.events import Emit, ProxiesOlder
from meshinstall.engine.gates.acceptance import acceptance_in_force
from meshinstall.engine.gates.proxies import ask_proxies
from meshinstall.engine.planning import make_plan, make_removal, refuse
from meshinstall.engine.run.carry_out import Execution, install, remove
from meshinstall.engine.run.leftovers import refuse_survivors
from meshinstall.engine.run.run_lock import RunLock, run_lock
from meshinstall.engine.session import Session
from meshinstall.engine.tasks import in_time
from meshinstall.errors import OutOfTimeError, PlanRefusedError
from meshinstall.model.desired import Desired
from meshinstall.model.plan import Plan, ReleaseStep
from meshinstall.model.release import Component
from meshinstall.model.verdict import Verdict

if TYPE_CHECKING:
    from meshinstall.engine.gates.verify import Scope


# Seconds for what is worth a line after a run.
_LAST_LOOK = 5
_NO_PLAN = "the plan was not made"


@dataclass(frozen=True, slots=True)
class Callbacks:
    """Who hears of a stage: ``show`` gets the plan, ``ask`` raises unless the plan may be run, ``emit`` gets every event."""

    show: Callable[[Plan], None]
    ask: Callable[[Plan], Awaitable[None]]
    emit: Emit


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On what terms a stage runs.

    ``allow`` names findings that do not stop it; ``saved`` says in which points the plan is not the saved one, and raises
    PlanRefusedError where that is another cluster's; ``seconds`` are for the plan, and again for the run and its proof together,
    without the time that a person takes to agree; ``prove``: it ends with a verdict. ``first`` is done under the lock before the first
    step, and ``command`` names the run.
    """

    allow: frozenset[str] = frozenset()
    saved: Callable[[Plan], Sequence[str]] | None = None
    seconds: float = 600.0
    prove: bool = True
    first: Callable[[], Awaitable[None]] | None = None
    command: str = "up"


@dataclass(frozen=True, slots=True)
class StageResult:
    """What was planned, which is done, and the verdict on mTLS; None when it was not asked for."""

    plan: Plan
    verdict: Verdict | None


async def up(desired: Desired, session: Session, terms: Terms, callbacks: Callbacks) -> StageResult:
    """One stage under a lock of its own; raises MeshinstallError with what stopped it."""
    async with run_lock(session, desired.mesh_namespace) as lock:
        return await run_stage(desired, session, terms, callbacks, lock)


async def run_stage(desired: Desired, session: Session, terms: Terms, callbacks: Callbacks, lock: RunLock) -> StageResult:
    """Plan, show and agree, run, judge; ``lock`` is taken when the first thing is to be changed, and is the caller's to give back."""
    async with in_time(terms.seconds, _NO_PLAN):
        plan = await make_plan(desired, session)
    callbacks.show(plan)
    _insist_on_saved(plan, terms)
    await _agree(plan, terms, callbacks)
    deadline = anyio.current_time() + terms.seconds
    if not plan.is_empty:
        await install(plan, desired, Execution(session, callbacks.emit, lock, terms.seconds, terms.command, terms.first))
        if any(isinstance(step, ReleaseStep) and step.component is Component.ISTIOD and step.revision for step in plan.pending):
            await _tell_of_older_proxies(plan, session, callbacks.emit)
    if not terms.prove:
        return StageResult(plan, None)
    verdict = await prove(session, callbacks.emit, deadline)
    return StageResult(plan, accepting(verdict, await acceptance_in_force(desired, session), desired.environment))


async def _tell_of_older_proxies(plan: Plan, session: Session, emit: Emit) -> None:
    """An upgrade leaves the proxies of running pods as they are; where that cannot be asked, `status` says so."""
    with anyio.move_on_after(_LAST_LOOK):
        if older := (await ask_proxies(session, plan.mesh_namespace)).older(plan.istio_version):
            emit(ProxiesOlder(older))


async def prove(session: Session, emit: Emit, deadline: float, scope: "Scope | None" = None) -> Verdict:
    """The verdict on mTLS, of the whole mesh without a ``scope``; raises OutOfTimeError when it is not reached by ``deadline``."""
    # A run that does not prove anything loads nothing of it.
    from meshinstall.engine.gates.verify import Scope, verify

    seconds = max(deadline - anyio.current_time(), 1)
    try:
        with anyio.fail_after(seconds):
            return await verify(session, scope or Scope(), emit)
    except TimeoutError:
        raise OutOfTimeError(f"not verified in {seconds:.0f} s", "raise --timeout, or verify less with --namespace or --sample") from None


async def down(desired: Desired, session: Session, terms: Terms, callbacks: Callbacks, *, crds: bool) -> Plan:
    """Plan a removal, show and agree, run, and refuse to call it done while something survives (StepError).

    Nothing is deleted that is not in the plan: an empty one deletes nothing.
    """
    async with run_lock(session, desired.mesh_namespace) as lock:
        async with in_time(terms.seconds, _NO_PLAN):
            plan = await make_removal(desired, session, crds=crds)
        callbacks.show(plan)
        await _agree(plan, terms, callbacks)
        if not plan.is_empty:
            await remove(plan, desired, Execution(session, callbacks.emit, lock, terms.seconds))
        async with in_time(terms.seconds, "what survives was not looked for"):
            await refuse_survivors(session, desired, plan)
    return plan


async def _agree(plan: Plan, terms: Terms, callbacks: Callbacks) -> None:
    """Refuse what was not allowed, then ask about what is to be done.

    What is refused, or asked about, is a change; a nightly run that finds nothing to do is no failure, unless the mesh is not its own.
    """
    refuse(plan, terms.allow, only=WHOSE if plan.is_empty else ("",))
    if not plan.is_empty:
        await callbacks.ask(plan)


def _insist_on_saved(plan: Plan, terms: Terms) -> None:
    """Refuse unless the plan is the one that was saved, or nothing of it is left to do but to wait."""
    if terms.saved is None:
        return
    differences = terms.saved(plan)
    if differences and not plan.is_applied:
        raise PlanRefusedError(
            "the plan is no longer the saved one: " + "\n  ".join(differences),
            "look at the plan above; if it is right, save and approve it again",
        )
