"""One night: inside its windows, to what the files let it take, stage after stage, until nothing is left or the window closes."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial

from meshinstall.engine.events import Event, StageEnded
from meshinstall.engine.nightly.choice import TABLE, Decision, Kind, Known, decide
from meshinstall.engine.nightly.offer import find_offer
from meshinstall.engine.nightly.sight import see
from meshinstall.engine.observe.upgrade import observe_upgrade
from meshinstall.engine.plan.layered_steps import UNSEEN
from meshinstall.engine.planning import make_plan
from meshinstall.engine.session import Session
from meshinstall.engine.staging.planned import Resolve
from meshinstall.engine.staging.terms import Callbacks, End, Result, Terms
from meshinstall.engine.staging.upgrade import upgrade
from meshinstall.engine.tasks import soon, task_group
from meshinstall.engine.upgrade.pieces import cut, left_to_others
from meshinstall.engine.upgrade.plan import plan_upgrade
from meshinstall.engine.upgrade.waves import with_waves
from meshinstall.errors import ExitStatus, MeshinstallError
from meshinstall.model.desired import Desired
from meshinstall.model.istio_version import IstioVersion
from meshinstall.model.mesh_position import MeshPosition
from meshinstall.model.night import STATUS, Night, NightEnd, Sight, StageTime
from meshinstall.model.revision import DEFAULT_REVISION
from meshinstall.model.upgrade import UpgradePlan
from meshinstall.model.windows import time_words

# What no flag of a job lets a night take: it would stay in its command for years.
NEVER_ALLOWED = frozenset({"missing-fix", "eol"})
_ENDS = {
    End.DONE: NightEnd.DONE,
    End.HELD: NightEnd.LEFT,
    End.PAUSED: NightEnd.PAUSED,
    End.NOT_PROVEN: NightEnd.NOT_PROVEN,
    End.UNDONE: NightEnd.UNDONE,
    End.FAILED: NightEnd.FAILED,
}
# Steps that are named.
_SHOWN = 5


@dataclass(slots=True)
class NightRun:
    """A night on a cluster; ``stages`` are those that have ended, also where the run is ended from outside."""

    resolve: Resolve
    session: Session
    terms: Terms
    callbacks: Callbacks
    trusts_source: bool
    known: Known = TABLE
    stages: list[StageTime] = field(default_factory=list)
    began: datetime = field(init=False)
    written: Desired = field(init=False)

    def __post_init__(self) -> None:
        self.began = self.session.now()
        self.written = self.resolve(None, None)

    async def run(self) -> Night:
        """The night to its end; raises MeshinstallError with what stopped it before a stage, or in the middle of one."""
        if self.shut():
            return self.ended(NightEnd.OUTSIDE)
        async with task_group() as group:
            offer = soon(group, partial(find_offer, self.written, self.session, trusts_source=self.trusts_source))
            position = soon(group, self._look)
        begins = position.value
        decision = decide(offer.value, begins, lambda version: self._plan(begins, version), self.known, self.session.now().date())
        night = replace(await self._act(decision), before=_versions(begins), passed=decision.passed)
        async with task_group() as group:
            settled = soon(group, self._settled, night)
            sight = soon(group, self._see, None if decision.kind is Kind.MOVE else begins)
        return replace(settled.value, sight=sight.value, seconds=self._seconds())

    def shut(self) -> str:
        """Why nothing may begin now; empty while the windows are open."""
        windows, now = self.written.windows, self.session.now()
        if windows.is_open(now):
            return ""
        opens = windows.next_open(now)
        return f"its window is closed, and the next one opens on {time_words(opens)}" if opens else "its windows are closed"

    def ended(self, end: NightEnd, why: str = "", status: int | None = None) -> Night:
        """A night that ends so."""
        return Night(
            environment=self.written.environment,
            cluster=self.session.cluster,
            cloud=self.written.cloud,
            began=self.began,
            seconds=self._seconds(),
            end=end,
            status=STATUS[end] if status is None else status,
            why=why,
            stages=tuple(self.stages),
            next_open=self.written.windows.next_open(self.session.now()) if end in {NightEnd.OUTSIDE, NightEnd.PAUSED} else None,
        )

    def stopped_by(self, error: MeshinstallError) -> Night:
        """A night that an error ended."""
        end = NightEnd.INTERRUPTED if error.exit_code == ExitStatus.INTERRUPTED else NightEnd.FAILED
        return self.ended(end, error.in_one_line(), error.exit_code)

    def _plan(self, position: MeshPosition, version: IstioVersion) -> UpgradePlan:
        desired = self.resolve(str(version), None)
        return with_waves(plan_upgrade(desired, position, version, self.session.now().date()), desired)

    async def _act(self, decision: Decision) -> Night:
        plan = decision.plan
        if plan is None or decision.kind is Kind.REFUSED:
            return self.ended(NightEnd.REFUSED, decision.why)
        if why := disagreement(plan, self.resolve(str(plan.target), None)):
            return replace(self.ended(NightEnd.REFUSED, why), target=str(plan.target))
        if decision.kind is Kind.NOTHING:
            return replace(self.ended(NightEnd.NOTHING), target=str(plan.target))
        if decision.kind is Kind.LEFT:
            return replace(self.ended(NightEnd.LEFT, "their owners restart them"), target=str(plan.target), left=self._left(plan))
        allow = self.terms.allow - NEVER_ALLOWED | (NEVER_ALLOWED if decision.is_begun else frozenset())
        terms = replace(self.terms, allow=allow, shut=self.shut)
        heard = replace(self.callbacks, emit=self._hearing(self.callbacks.emit))
        return self._of(await upgrade(self.resolve, self.session, terms, heard, str(plan.target)))

    def _of(self, result: Result) -> Night:
        # The last stage that was asked for is done, and nobody else has to do anything.
        is_asked = result.end is End.HELD and not result.left
        night = self.ended(NightEnd.PAUSED if is_asked else _ENDS[result.end], result.why)
        return replace(night, target=str(result.plan.target), stage=result.stage, left=result.left, gates=result.gates)

    def _left(self, plan: UpgradePlan) -> tuple[str, ...]:
        desired = self.resolve(str(plan.target), None)
        stages = [(stage, cut(stage, desired, plan.position)) for stage in plan.stages]
        return tuple(one for stage, pieces in stages for one in left_to_others(stage, plan.position, pieces))

    async def _see(self, position: MeshPosition | None) -> Sight:
        """What there is at the end, where it is now unless that is known."""
        return await see(position or await self._look(), self.session)

    async def _look(self) -> MeshPosition:
        """Where the mesh is; helm is not asked, which most nights do not need, and an upgrade asks itself."""
        return await observe_upgrade(self.written, self.session, asks_helm=False)

    async def _settled(self, night: Night) -> Night:
        """The night; where it ended well, whether ``plan`` with the same files finds nothing more to do."""
        if night.end not in {NightEnd.DONE, NightEnd.NOTHING}:
            return night
        plan = await make_plan(self.written, self.session)
        pending = [step.name for step in plan.pending]
        if not pending:
            return night
        more = f" and {len(pending) - _SHOWN} more" if len(pending) > _SHOWN else ""
        # Policies that could not be listed look as if they were not there.
        unseen = next((f"{one.title} ({one.detail})" for one in plan.findings if one.code == UNSEEN), "")
        why = unseen or f"meshinstall plan has what no night does: {', '.join(pending[:_SHOWN])}{more}"
        return replace(night, end=NightEnd.CHANGES, status=STATUS[NightEnd.CHANGES], why=why)

    def _hearing(self, emit: Callable[[Event], None]) -> Callable[[Event], None]:
        def hear(event: Event) -> None:
            if isinstance(event, StageEnded):
                self.stages.append(StageTime(event.stage, event.seconds, event.end, event.why))
            emit(event)

        return hear

    def _seconds(self) -> float:
        return max((self.session.now() - self.began).total_seconds(), 0.0)


def disagreement(plan: UpgradePlan, desired: Desired) -> str:
    """Why the files would not say what runs after the plan: revisions that they do not have, or have; empty where they do."""
    if plan.strategy is None or plan.strategy.revision == (desired.revision or DEFAULT_REVISION):
        return ""
    wanted = "false" if plan.strategy.revision == DEFAULT_REVISION else "true"
    return f"{plan.strategy.reason}; write istio: {{revisions: {wanted}}} first, or the files would want something else after this night"


def _versions(position: MeshPosition) -> str:
    return ", ".join(str(version) for version in sorted({plane.version for plane in position.planes if plane.version}))
