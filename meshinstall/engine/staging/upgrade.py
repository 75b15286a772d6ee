"""Runs an upgrade: stage after stage, each judged by a gate, under one lock that is held from the first to the last.

Nothing is remembered between two runs: each plans from where the mesh is, so that the same command goes on after any end.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import anyio

from meshinstall.checks.moving.in_hand import unexcused
from meshinstall.engine.events import GateJudged, LockWaiting, StageEnded, StageStarted, StageWaiting
from meshinstall.engine.gates.snapshot import Since
from meshinstall.engine.observe.upgrade import observe_upgrade
from meshinstall.engine.planning import refuse
from meshinstall.engine.run.carry_out import Execution, install
from meshinstall.engine.run.run_lock import RunLock, run_lock
from meshinstall.engine.session import Session
from meshinstall.engine.staging.addresses import Addresses, read_addresses, same_addresses
from meshinstall.engine.staging.ahead import PlansAhead
from meshinstall.engine.staging.counts import Counts
from meshinstall.engine.staging.early import EarlyScouts
from meshinstall.engine.staging.injector import remove_default_tag, switch_off, switch_on
from meshinstall.engine.staging.judging import Checks, Judges, moved_by, retired
from meshinstall.engine.staging.planned import Planned, Resolve, lines_to_write, plan_back, plan_from
from meshinstall.engine.staging.probing import SharedProbes
from meshinstall.engine.staging.put_back import changed_by_others
from meshinstall.engine.staging.restarts import restart
from meshinstall.engine.staging.retire import removal_of
from meshinstall.engine.staging.stage_plan import make_so
from meshinstall.engine.staging.terms import Callbacks, End, Result, Terms
from meshinstall.engine.staging.undo import Before, begun_before, charts_of, remember, undo_plan
from meshinstall.engine.staging.waves import Waves
from meshinstall.engine.tasks import soon, task_group
from meshinstall.engine.upgrade.pieces import OF_OTHERS, Piece, coming, cut, left_to_others, own_moves
from meshinstall.engine.upgrade.restarts import is_held
from meshinstall.engine.upgrade.retirement import users
from meshinstall.engine.upgrade.stages import STAGES_BACK, is_beyond
from meshinstall.errors import ClusterError, MeshinstallError, PlanRefusedError, UnauthorizedError, UnreachableError, UsageError
from meshinstall.model.desired import Desired
from meshinstall.model.gate import Gate, GateCheck, GateOutcome, Moved, Snapshot, workload_place, worst_of
from meshinstall.model.place import Place
from meshinstall.model.release import ChartRef, ReleaseKey
from meshinstall.model.revision import DEFAULT_REVISION, istiod_release
from meshinstall.model.upgrade import Stage, StageName, UpgradePlan

_RESTART = "their owners restart them (kubectl rollout restart)"
Plan = Callable[[], Awaitable[Planned]]


async def upgrade(resolve: Resolve, session: Session, terms: Terms, callbacks: Callbacks, to: str | None = None) -> Result:
    """Plan the way to a version, show it, ask, and run its stages; raises MeshinstallError with what stopped it before the first one."""
    return await _carry_out(resolve, partial(plan_from, resolve, session, to), session, terms, callbacks)


async def rollback(resolve: Resolve, session: Session, terms: Terms, callbacks: Callbacks, to: str | None = None) -> Result:
    """The same for the way back, of which nothing is taken back by itself; raises UsageError for a last stage that it does not have."""
    if terms.until and terms.until not in STAGES_BACK:
        raise UsageError(f"--until {terms.until}: a rollback does not have this stage", ", ".join(STAGES_BACK))
    return await _carry_out(resolve, partial(plan_back, resolve, session, to), session, replace(terms, undoes=False), callbacks)


async def _carry_out(resolve: Resolve, make: Plan, session: Session, terms: Terms, callbacks: Callbacks) -> Result:
    planned = await make()
    callbacks.show(planned.plan)
    refuse(planned.plan, terms.allow)
    if planned.plan.is_empty:
        return Result(planned.plan, End.DONE, is_back=planned.is_back)
    await callbacks.ask(planned.plan)
    async with run_lock(session, planned.desired.mesh_namespace) as lock:
        what = f"upgrade {planned.desired.environment} to {planned.plan.target}"
        await lock.take(what, tell=lambda why: callbacks.emit(LockWaiting(why)))
        run = _Run(planned, session, terms, callbacks, lock)
        callbacks.emit(StageWaiting("start", "looking at the mesh before the first stage"))
        result = await run.stages(make)
    result = replace(result, counted=run.counts.so_far)
    return replace(result, to_write=lines_to_write(run.planned, resolve(None, None)), is_back=planned.is_back)


@dataclass(slots=True)
class _Run:
    """One run over the stages that are left."""

    planned: Planned
    session: Session
    terms: Terms
    callbacks: Callbacks
    lock: RunLock
    start: Snapshot | None = None
    gates: list[Gate] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    # Revisions whose injector selects nothing, as this run wants it.
    switched_off: tuple[str, ...] = field(init=False)
    # What was agreed to, by name.
    shown: frozenset[str] = field(init=False)
    probes: SharedProbes = field(init=False)
    ahead: PlansAhead = field(init=False)
    early: EarlyScouts = field(default_factory=EarlyScouts)

    def __post_init__(self) -> None:
        self.ahead = PlansAhead(self.session)
        self.switched_off = _switched_off(self.plan)
        self.shown = frozenset(move.name for stage in self.plan.stages for move in stage.moves)
        self.probes = SharedProbes(self._judges.start, self.session, self._tell_gate, self.lock.name_probes)

    @property
    def plan(self) -> UpgradePlan:
        """What was agreed to."""
        return self.planned.plan

    @property
    def _judges(self) -> Judges:
        return self.terms.judges

    @property
    def _execution(self) -> Execution:
        return Execution(self.session, self.callbacks.emit, self.lock, self.terms.seconds, "upgrade")

    async def stages(self, make: Plan) -> Result:
        """Run them until one does not end well, or the last that was asked for; raises PlanRefusedError where they are others now."""
        async with self.probes, task_group() as plans:
            self.ahead = PlansAhead(self.session, self._coming(), plans)
            self.ahead.begin()
            async with task_group() as group:
                again = soon(group, make)
                start = soon(group, self._look, Moved())
            refuse(again.value.plan, self.terms.allow)
            if own_moves(again.value.plan) != own_moves(self.plan):
                raise PlanRefusedError("the mesh changed since the plan was shown", "run the same command again: it makes a new plan")
            self.planned, self.start = again.value, unexcused(start.value, self._left_in_hand(again.value))
            self.switched_off = _switched_off(self.plan)
            result = await self._in_turn()
            plans.cancel_scope.cancel()
        return result

    def _left_in_hand(self, planned: Planned) -> frozenset[Place]:
        """Gateways that an earlier run moved and did not prove; on the way back only what gets worse counts."""
        held = () if planned.is_back else filter(is_held, planned.plan.position.proxied)
        return frozenset(workload_place(one.kind, one.place) for one in held)

    def _coming(self) -> list[Desired]:
        """What is to be made so, in its order."""
        wanted = [stage for stage in self.plan.stages if stage.moves and not self._is_beyond(stage)]
        return [part for stage in wanted for part in coming(stage, self.planned.desired, self.plan.position)]

    def _is_beyond(self, stage: Stage) -> bool:
        return self.terms.until is not None and is_beyond(stage.name, self.terms.until, is_back=self.planned.is_back)

    async def _in_turn(self) -> Result:
        self.counts.tell(self.callbacks.emit)
        wanted = [stage for stage in self.plan.stages if stage.moves]
        for number, stage in enumerate(wanted, 1):
            if self._is_beyond(stage):
                why = f"as asked: --until {self.terms.until}"
                return Result(self.plan, End.HELD, stage.name, why, gates=tuple(self.gates))
            if why := self.terms.shut():
                return Result(self.plan, End.PAUSED, stage.name, why, gates=tuple(self.gates))
            self.callbacks.emit(StageStarted(stage.name, number, len(wanted), stage.does, tuple(move.name for move in stage.moves)))
            result = await self._told(stage)
            if result.end is not End.DONE:
                return replace(result, gates=tuple(self.gates))
        return Result(self.plan, End.DONE, gates=tuple(self.gates))

    async def _told(self, stage: Stage) -> Result:
        """A stage, whose end is told however it comes."""
        started = anyio.current_time()
        end, why = End.FAILED, "interrupted"
        try:
            result = await self._stage(stage)
            end, why = result.end, result.why
        except MeshinstallError as error:
            why = error.message
            raise
        finally:
            self.callbacks.emit(StageEnded(stage.name, anyio.current_time() - started, end, why))
        return result

    async def _stage(self, stage: Stage) -> Result:
        if stage.name in OF_OTHERS:
            return await self._of_others(stage)
        if stage.name is StageName.SCOUT:
            return await self._judged(stage.name, stage.name, lambda: self.early.found(partial(self._scouts, stage), self._tell(stage)))
        if stage.name is StageName.RETIRE:
            return await self._retire(stage)
        return await self._pieces(stage)

    async def _pieces(self, stage: Stage) -> Result:
        pieces = cut(stage, self.planned.desired, self.plan.position)
        for piece in pieces:
            if why := self.terms.shut():
                return Result(self.plan, End.PAUSED, stage.name, why)
            result = await self._piece(piece)
            if result.end is not End.DONE:
                return result
        if left := left_to_others(stage, self.plan.position, pieces):
            return Result(self.plan, End.HELD, stage.name, "the rest is their owners' to do", left)
        return Result(self.plan, End.DONE)

    async def _of_others(self, stage: Stage) -> Result:
        """Restart workloads in the waves that are configured, else leave them to their owners."""
        if stage.name is StageName.WORKLOADS and self.planned.desired.waves:
            waves = Waves(self.session, self.planned, self.terms, self._tell(stage), self._judged, self._compare)
            return await waves.run(stage, self.shown)
        left = left_to_others(stage, self.plan.position, ())
        return Result(self.plan, End.HELD, stage.name, _RESTART, left) if left else Result(self.plan, End.DONE)

    async def _piece(self, piece: Piece) -> Result:
        """Run a piece, judge it, and take it back where it failed."""
        before = await remember(piece, self.session)
        charts = await charts_of(before, piece, self.session) if self.terms.undoes else {}
        result, made = await self._judged(piece.stage, piece.name, partial(self._do, piece)), piece.desired
        if result.end is End.DONE and piece.after:
            result, made = await self._judged(piece.stage, piece.name, partial(self._finish, piece)), piece.after
        if result.end is End.FAILED:
            others = await changed_by_others(made, self.session, is_switched_off=bool(self.switched_off))
            result = replace(result, why=f"{result.why}; since the stage made it so, {others}") if others else result
        if result.end is End.FAILED and self.terms.undoes:
            return await self._undo(piece, before, charts, result)
        return result

    async def _do(self, piece: Piece) -> Checks:
        """What a piece does; then what its gate says."""
        if (proof := await _seen(self._judges.before_rolling(self.session, self.planned, piece))) and _is_bad(proof):
            return proof
        addresses = await self._addresses(piece)
        await make_so(piece.desired, self._execution, self.terms.allow, self.ahead, holds=piece.after is not None)
        if piece.takes_over:
            await switch_off(self.session.kube, piece.desired.mesh_namespace)
            self.switched_off = (DEFAULT_REVISION,)
        if piece.gives_back:
            self.switched_off = ()
            await self._switch_on(piece)
            await remove_default_tag(self.session.kube, piece.desired.mesh_namespace)
        if (proof := await _seen(self._judges.after_moving(self.session, self.planned, piece))) and _is_bad(proof):
            return proof
        await restart(self.session, piece.restarts, self._tell_piece(piece))
        if piece.stage is StageName.CONTROL_PLANE:
            proof = await self._own_pods(piece)
        same = (same_addresses(addresses, await self._addresses(piece)),) if addresses else ()
        compared = await self._compare(moved_by(piece, self.planned, is_held=piece.after is not None))
        if piece.tags:
            # An engine of GitOps puts back within seconds, which the first answer was too early to see.
            proof = await _seen(self._judges.after_moving(self.session, self.planned, piece))
        return (*proof, *same, *compared)

    async def _own_pods(self, piece: Piece) -> Checks:
        """Whether pods of ours run with the new istiod; the scouts of the stage after it start beside them."""

        def prove() -> Awaitable[Checks]:
            return _seen(self._judges.own_pods(self.probes, self.plan.revision))

        scouting = (stage for stage in self.plan.stages if stage.name is StageName.SCOUT and stage.moves and not self._is_beyond(stage))
        if stage := next(scouting, None):
            self._tell_piece(piece)("starting pods with the new istiod, and scouts of the gateways beside them")
            return await self.early.beside(prove, partial(self._scouts, stage))
        return await prove()

    async def _scouts(self, stage: Stage, tell: Callable[[str], None]) -> Checks:
        return await _seen(self._judges.scouts(self.session, self.planned, stage, tell))

    async def _addresses(self, piece: Piece) -> Addresses:
        (release,) = piece.desired.releases if piece.gateway else (None,)
        return await read_addresses(self.session, release.key) if release else {}

    async def _finish(self, piece: Piece) -> Checks:
        if piece.after:
            await make_so(piece.after, self._execution, self.terms.allow, self.ahead)
        return await self._compare(moved_by(piece, self.planned))

    async def _compare(self, moved: Moved) -> Checks:
        """What was moved, against the same at the start of this run."""
        moved = replace(moved, switched_off=self.switched_off)
        self.ahead.begin()
        checks = await _seen(self._judge(moved))
        # A node that was drained, or a pod that its owner deleted, at this very moment is no fault of the stage.
        return await _seen(self._judge(moved, waits=True)) if _is_bad(checks) else checks

    async def _judge(self, moved: Moved, *, waits: bool = False) -> Checks:
        now = await self._look(moved, waits=waits)
        return self._judges.judge(self.start or now, now, moved, require_pass=self.terms.require_pass)

    async def _look(self, moved: Moved, *, waits: bool = False) -> Snapshot:
        since = Since(moved, self.start, await self.probes.ready(), waits)
        seen = await self._judges.look(self.session, self.planned.desired, self.callbacks.emit, since=since)
        return self.counts.add(seen, self.switched_off)

    async def _judged(self, stage: str, name: str, work: Callable[[], Awaitable[Checks]]) -> Result:
        """The gate after some work; a step of it that failed is a check that failed."""
        started = anyio.current_time()
        try:
            checks = await work()
        except MeshinstallError as error:
            if self.lock.is_lost:
                raise
            # Who cannot see the mesh knows nothing of the stage, and could not take it back either.
            is_blind = isinstance(error, UnreachableError | UnauthorizedError)
            outcome = GateOutcome.NOT_PROVEN if is_blind else GateOutcome.FAIL
            checks = (GateCheck("run", outcome, error.message, (error.hint,) if error.hint else ()),)
        gate = Gate(name if name.startswith(stage) else f"{stage} {name}", checks, anyio.current_time() - started)
        self.gates.append(gate)
        self.callbacks.emit(GateJudged(gate))
        self.counts.tell(self.callbacks.emit)
        why = "; ".join(f"{check.name}: {check.words}" for check in checks if check.outcome is not GateOutcome.PASS)
        match gate.outcome:
            case GateOutcome.PASS:
                return Result(self.plan, End.DONE)
            case GateOutcome.FAIL:
                return Result(self.plan, End.FAILED, stage, why)
        return Result(self.plan, End.NOT_PROVEN, stage, why)

    async def _undo(self, piece: Piece, before: Before, charts: Mapping[ReleaseKey, ChartRef], failed: Result) -> Result:
        self.callbacks.emit(StageWaiting(piece.stage, f"taking back {piece.name}"))
        try:
            if piece.takes_over:
                await self._switch_on(piece)
            plan = undo_plan(piece, before, await remember(piece, self.session), charts)
            if not plan.is_empty:
                await install(plan, piece.desired, self._execution)
        except MeshinstallError as error:
            if self.lock.is_lost:
                raise
            return replace(failed, why=f"{failed.why}; and it could not be taken back: {error.message}")
        if begun := ", ".join(begun_before(piece, before)):
            return replace(failed, why=f"{failed.why}; an earlier run had changed {begun} already, and that stays")
        return replace(failed, end=End.UNDONE)

    async def _switch_on(self, piece: Piece) -> None:
        namespace = piece.desired.mesh_namespace
        records = await self.session.releases.newest([namespace])
        await switch_on(self.session.kube, namespace, records.get(ReleaseKey(namespace, istiod_release(""))))

    async def _retire(self, stage: Stage) -> Result:
        """Remove the old istiods, where a new look finds that nothing leads to them."""
        desired, staying = self.planned.desired, self.plan.revision
        if not self._probes_stay(staying):
            await self.probes.end()
            self.probes.revision = "" if staying == DEFAULT_REVISION else staying
        position = await observe_upgrade(desired, self.session)
        if position.gaps:
            return Result(
                self.plan, End.NOT_PROVEN, stage.name, "cannot tell whether the istiod that would be removed is still used", position.gaps
            )
        if left := tuple(users(position, staying)):
            return Result(self.plan, End.HELD, stage.name, "the istiod that would be removed is still used", left)
        going = [plane for plane in position.planes if plane.revision != staying]
        plan, theirs = await removal_of(going, desired, self.session)

        async def work() -> Checks:
            if not plan.is_empty:
                # Before the istiod goes: to become the leader, who gives their namespace its roots, may take the one that stays 40 s.
                await self.probes.ready()
                await install(plan, desired, self._execution)
            return await self._compare(retired(going))

        result = await self._judged(stage.name, stage.name, work)
        return (
            Result(self.plan, End.HELD, stage.name, "remove it with what installed it", theirs)
            if theirs and result.end is End.DONE
            else result
        )

    def _probes_stay(self, staying: str) -> bool:
        """Whether the probes of this run are known to have the istiod that stays: those of the default one, where that led there before."""
        if self.probes.revision:
            return self.probes.revision == staying
        start = self.plan.position
        leads = start.plane(DEFAULT_REVISION)
        is_named = any(plane.revision == DEFAULT_REVISION for plane in start.planes)
        return is_named and leads is not None and leads.revision == staying

    def _tell(self, stage: Stage) -> Callable[[str], None]:
        return lambda text: self.callbacks.emit(StageWaiting(stage.name, text))

    def _tell_gate(self, text: str) -> None:
        self.callbacks.emit(StageWaiting("gate", text))

    def _tell_piece(self, piece: Piece) -> Callable[[str], None]:
        return lambda text: self.callbacks.emit(StageWaiting(piece.stage, text))


def _switched_off(plan: UpgradePlan) -> tuple[str, ...]:
    return (DEFAULT_REVISION,) if plan.position.switched_off else ()


async def _seen(look: Awaitable[Checks]) -> Checks:
    """What a gate says; that it could not look proves nothing, and is no failure of what was done."""
    try:
        return await look
    except ClusterError as error:
        return (
            GateCheck("look", GateOutcome.NOT_PROVEN, f"the gate could not look: {error.message}", (error.hint,) if error.hint else ()),
        )


def _is_bad(checks: Checks) -> bool:
    return worst_of(check.outcome for check in checks) is not GateOutcome.PASS
