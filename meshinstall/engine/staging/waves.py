"""Runs the waves of the stage ``workloads``: restart, wait, judge, soak; then the next. Where a run goes on is read from the cluster."""

from collections.abc import Awaitable, Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

import anyio

from meshinstall.engine.observe.upgrade import observe_upgrade
from meshinstall.engine.session import Session
from meshinstall.engine.staging.judging import Checks
from meshinstall.engine.staging.planned import Planned
from meshinstall.engine.staging.terms import End, Result, Terms
from meshinstall.engine.staging.wave_restarts import Done, Restarting, left_lines
from meshinstall.engine.tasks import gather
from meshinstall.engine.upgrade.pieces import left_to_others
from meshinstall.engine.upgrade.stages import Goal
from meshinstall.engine.upgrade.waves import Waving, names_of, plan_waves
from meshinstall.errors import StepError
from meshinstall.model.duration import in_words
from meshinstall.model.gate import Moved, workload_place
from meshinstall.model.upgrade import Part, Stage
from meshinstall.model.waves import PlannedWave, Restart, WavesPlan

_REST = "the rest is their owners' to restart (kubectl rollout restart)"
_STAYS = "its workloads keep the new proxies: of those that were restarted nothing is taken back"
_LATE = "came since the plan was shown: run the same command again"
_DOWN = "not restarted without --allow downtime"

Judged = Callable[[str, str, Callable[[], Awaitable[Checks]]], Awaitable[Result]]


@dataclass(frozen=True, slots=True)
class Waves:
    """One run over the waves; ``judged`` makes a gate of some work, ``compare`` says how what was moved is against the start."""

    session: Session
    planned: Planned
    terms: Terms
    tell: Callable[[str], None]
    judged: Judged
    compare: Callable[[Moved], Awaitable[Checks]]
    left: list[str] = field(default_factory=list)

    async def run(self, stage: Stage, shown: AbstractSet[str]) -> Result:
        """Every wave in its order, of the workloads whose names were ``shown``, as they are now."""
        found = await self._now(names_of(stage) & shown)
        self._leave(stage, found)
        self.left.extend(f"{name}: {_LATE}" for name in sorted(names_of(stage) - shown))
        restarting = self._restarting(found)
        for number, planned in enumerate(found.waves, 1):
            if why := self.terms.shut():
                return Result(self.planned.plan, End.PAUSED, stage.name, why, tuple(self.left))
            result = await self._wave(planned, f"wave {planned.wave.name} ({number} of {len(found.waves)})", restarting, stage)
            if result.end is not End.DONE:
                return replace(result, left=tuple(self.left))
        if self.left:
            return Result(self.planned.plan, End.HELD, stage.name, _REST, tuple(self.left))
        return Result(self.planned.plan, End.DONE)

    async def _now(self, names: AbstractSet[str]) -> WavesPlan:
        plan, desired = self.planned.plan, self.planned.desired
        if plan.strategy is None:
            return WavesPlan()
        position = await observe_upgrade(desired, self.session)
        own = frozenset(space.name for space in desired.namespaces)
        return plan_waves(Waving(desired.waves, position, Goal(plan.target, plan.strategy), own, is_now=True), names)

    def _leave(self, stage: Stage, found: WavesPlan) -> None:
        others = replace(stage, moves=tuple(move for move in stage.moves if move.part is not Part.PROXIES))
        self.left.extend(left_to_others(others, self.planned.plan.position, ()))
        target = self.planned.plan.target
        self.left.extend(f"{one.workload}: {one.before} → {target}; {one.why}" for one in found.left)
        if "downtime" not in self.terms.allow:
            self.left.extend(f"{one.name}: {one.before} → {target}; {_DOWN}: {one.means}" for one in found.down)

    def _restarting(self, found: WavesPlan) -> Restarting:
        plan = self.planned.plan
        return Restarting(self.session, found.value, plan.target, plan.revision, self.terms.seconds, self.tell)

    def _may(self, restart: Restart) -> bool:
        return not restart.downtime or "downtime" in self.terms.allow

    async def _wave(self, planned: PlannedWave, name: str, restarting: Restarting, stage: Stage) -> Result:
        wave, done, shut = planned.wave, list[Done](), ""
        count = sum(map(self._may, planned.restarts))
        self.tell(f"{name}: {count} workloads, {wave.parallel} at once" if count else f"{name}: nothing that it may restart")

        async def restart() -> Checks:
            nonlocal shut
            for batch in planned.batches:
                # What was begun is judged, whenever its window closes.
                if done and (shut := self.terms.shut()):
                    break
                answers = await gather([one for one in batch if self._may(one)], restarting.one)
                done.extend(answers.values())
                if failed := "; ".join(one.failed for one in done if one.failed):
                    raise StepError(failed)
            return await self._compare(done)

        result = await self._kept(stage, name, restart) if count else Result(self.planned.plan, End.DONE)
        self.left.extend(left_lines(done, self.planned.plan.target))
        if result.end is End.DONE and shut:
            return Result(self.planned.plan, End.PAUSED, stage.name, shut)
        if result.end is End.DONE and wave.soak and any(one.is_moved for one in done):
            self.tell(f"{name}: soaks for {in_words(wave.soak)}")
            await anyio.sleep(wave.soak)
            result = await self._kept(stage, f"{name} after {in_words(wave.soak)}", lambda: self._compare(done))
        return result

    async def _compare(self, done: list[Done]) -> Checks:
        plan = self.planned.plan
        moved = tuple(workload_place(one.restart.kind, one.restart.place) for one in done if one.is_moved and not one.left)
        return await self.compare(Moved(workloads=moved, revision=plan.revision, version=plan.target))

    async def _kept(self, stage: Stage, name: str, work: Callable[[], Awaitable[Checks]]) -> Result:
        """A gate; what does not pass it stays as it is, since tags lead to the new istiod."""
        result = await self.judged(stage.name, name, work)
        return result if result.end is End.DONE else replace(result, why=f"{result.why}; {_STAYS}")
