"""Carries out a plan under the run lock: told from its first event to its last, bounded in time, summarised in the cluster."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio

from meshinstall.engine.events import Emit, LockWaiting, RunEnded, RunStarted
from meshinstall.engine.observe.namespace_contents import Going, why_kept
from meshinstall.engine.run.lease import has_place
from meshinstall.engine.run.overtaken import refuse_if_overtaken
from meshinstall.engine.run.run_lock import RunLock
from meshinstall.engine.run.runner import Runner
from meshinstall.engine.session import Session
from meshinstall.engine.tasks import closing
from meshinstall.errors import ClusterError, MeshinstallError, OutOfTimeError
from meshinstall.model.desired import Desired
from meshinstall.model.ownership import RUN_OBJECT, audit_labels, summary_path
from meshinstall.model.paths import object_path
from meshinstall.model.plan import ObjectStep, Plan, ReleaseStep
from meshinstall.ports import Kube

# Seconds for the summary, however the run ends.
_LAST_WORDS = 10
# Seconds for which the end of a namespace with nothing in it is waited for, and between two looks.
_EMPTY_NAMESPACE, _LOOK = 60, 0.5


@dataclass(frozen=True, slots=True)
class Execution:
    """How a plan is carried out: through which ports, who hears of it, under which lock, the seconds that it may take, and for whom.

    ``first`` is done under the lock before the first step.
    """

    session: Session
    emit: Emit
    lock: RunLock
    seconds: float
    command: str = "up"
    first: Callable[[], Awaitable[None]] | None = None


async def install(plan: Plan, desired: Desired, execution: Execution) -> None:
    """Run the plan of ``up``; raises what stopped it, PlanRefusedError when another run changed the releases since."""
    session = execution.session
    await session.helm.version()
    run, runner = _name_run(plan, session), Runner(plan, session, execution.emit)
    async with _told(run, plan, execution.emit), _bounded(runner, execution.seconds):
        # The lock is an object of this namespace.
        await runner.ensure_namespace(plan.mesh_namespace)
        is_planned_under_lock = execution.lock.is_taken
        await _take(execution, runner, f"{execution.command} {plan.environment}, run {run}")
        if not is_planned_under_lock:
            await _refuse_if_overtaken(plan, session)
        async with _summarised(execution, desired, plan, run):
            if execution.first:
                await execution.first()
            await runner.run()


async def remove(plan: Plan, desired: Desired, execution: Execution) -> None:
    """Run the plan of ``down``; raises what stopped it, PlanRefusedError when a release is no longer the one that was shown."""
    session = execution.session
    await session.helm.version()
    look = _looking_again(plan, desired, session)
    run, runner = _name_run(plan, session), Runner(plan, session, execution.emit, look)
    async with _told(run, plan, execution.emit), _bounded(runner, execution.seconds), _place(plan, desired, execution, look) as is_there:
        if is_there:
            await _take(execution, runner, f"down {plan.environment}, run {run}", leaving=True)
        await _refuse_if_overtaken(plan, session)
        # A removal that is done takes the summary's namespace with it; of one that failed, what it left is known to be ours.
        async with _summarised(execution, desired, plan, run, failures_alone=True):
            await runner.run()


@asynccontextmanager
async def _place(plan: Plan, desired: Desired, execution: Execution, look: Callable[[str], Awaitable[str]]) -> AsyncIterator[bool]:
    """Whether the mesh's namespace can hold the lock; where an earlier down removed it, it is made for as long as this run lasts.

    While it is being deleted no other run can take a lock in it either. One that was made is waited for until it is gone: the next
    command would find a namespace that is being deleted.
    """
    kube, name = execution.session.kube, plan.mesh_namespace
    if await kube.get(object_path("v1", "namespaces", name=name)) is not None:
        yield await has_place(kube, name)
        return
    metadata = {"name": name, "labels": audit_labels(desired)}
    made = await kube.create(object_path("v1", "namespaces"), {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    try:
        yield True
    finally:
        with anyio.CancelScope(shield=True), anyio.move_on_after(_LAST_WORDS):
            if not execution.lock.is_lost and not await look(name):
                await kube.delete(object_path("v1", "namespaces", name=name), uid=made["metadata"]["uid"])
    with anyio.move_on_after(_EMPTY_NAMESPACE):
        while not execution.lock.is_lost:
            if not await _is_going(kube, name):
                break
            await anyio.sleep(_LOOK)


async def _is_going(kube: Kube, name: str) -> bool:
    live = await kube.get(object_path("v1", "namespaces", name=name))
    return live is not None and "deletionTimestamp" in live["metadata"]


def _looking_again(plan: Plan, desired: Desired, session: Session) -> Callable[[str], Awaitable[str]]:
    """Why a namespace is kept after all: others may have put something into it since the plan was made."""
    staying = {step.release for step in plan.steps if isinstance(step, ReleaseStep) and not step.is_pending}
    crds = any(isinstance(step, ObjectStep) and step.manifest["kind"] == "CustomResourceDefinition" for step in plan.pending)
    going = Going(frozenset({release.key for release in desired.releases} - staying), crds)

    async def look(namespace: str) -> str:
        return (await why_kept(session.kube, session.releases, going, [namespace])).get(namespace, "")

    return look


async def _take(execution: Execution, runner: Runner, what: str, *, leaving: bool = False) -> None:
    """Take the lock, and tell whom it is waited for."""

    def tell(reason: str) -> None:
        runner.waits["lock"] = reason
        execution.emit(LockWaiting(reason))

    await execution.lock.take(what, leaving=leaving, tell=tell)
    runner.waits.pop("lock", None)


def _name_run(plan: Plan, session: Session) -> str:
    return f"{session.now():%Y%m%dT%H%M%SZ}-{plan.digest[7:15]}"


@asynccontextmanager
async def _told(run: str, plan: Plan, emit: Emit) -> AsyncIterator[None]:
    """The first event of a run and its last, which says how it ended."""
    started, failure = anyio.current_time(), ""
    emit(RunStarted(run, plan))
    try:
        yield
    except MeshinstallError as error:
        failure = error.message
        raise
    except anyio.get_cancelled_exc_class():
        failure = "interrupted"
        raise
    finally:
        emit(RunEnded(run, anyio.current_time() - started, failure))


@asynccontextmanager
async def _bounded(runner: Runner, seconds: float) -> AsyncIterator[None]:
    """Raises OutOfTimeError with what was waited for when the block is not done in time."""
    try:
        with anyio.fail_after(seconds):
            yield
    except TimeoutError:
        waits = "; ".join(f"{name}: {wait}" for name, wait in runner.waits.items())
        message = f"not done in {seconds:.0f} s; last seen: {waits}"
        raise OutOfTimeError(message, "run the same command again to continue, or raise --timeout") from None


async def _refuse_if_overtaken(plan: Plan, session: Session) -> None:
    """Refuse when somebody changed a release between the look at the cluster and the lock."""
    steps = [step for step in plan.pending if isinstance(step, ReleaseStep)]
    records = await session.releases.newest({step.release.namespace: None for step in steps})
    for step in steps:
        refuse_if_overtaken(step, records.get(step.release))


@asynccontextmanager
async def _summarised(execution: Execution, desired: Desired, plan: Plan, run: str, *, failures_alone: bool = False) -> AsyncIterator[None]:
    """Leave a small summary of the run in the mesh's namespace, however it ends; not when it lost the lock, as another may write there."""
    result = "interrupted"
    try:
        yield
        result = "done"
    except MeshinstallError as error:
        result = f"failed: {error.message}"
        raise
    finally:
        if not execution.lock.is_lost and not (failures_alone and result == "done"):
            await _leave_summary(execution.session, desired, plan, run, result)


async def _leave_summary(session: Session, desired: Desired, plan: Plan, run: str, result: str) -> None:
    data = {
        "run": run,
        "result": result[:1000],
        "finished": session.now().isoformat(timespec="seconds"),
        "by": session.who,
        "environment": plan.environment,
        "profile": plan.profile,
        "istioVersion": plan.istio_version,
        "plan": plan.digest,
    }
    metadata = {"name": RUN_OBJECT, "namespace": plan.mesh_namespace, "labels": audit_labels(desired)}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
    with closing(_LAST_WORDS):
        try:
            await session.kube.apply(summary_path(plan.mesh_namespace), body, force=True)
        except ClusterError:
            # It is a convenience: losing it loses nothing, and the run's own error matters more.
            if result == "done":
                raise
