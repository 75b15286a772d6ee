"""The main flow: what ``up`` does, from the desired mesh to a finished run."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from typing import Any

import anyio

from meshinstall.checks.preflight import ALLOWABLE, before_changes
from meshinstall.config.lockfile import Lock
from meshinstall.config.schema import check_values
from meshinstall.engine.events import Emit, RunEnded, RunStarted
from meshinstall.engine.observe.cloud import cloud_findings, explaining
from meshinstall.engine.observe.cluster import observe
from meshinstall.engine.observe.namespace_contents import why_kept
from meshinstall.engine.observe.prerequisites import inquire
from meshinstall.engine.plan.planner import plan
from meshinstall.engine.plan.removal import plan_removal, removable
from meshinstall.engine.run.leftovers import delete_root_certificates, survivors
from meshinstall.engine.run.run_lock import has_place, held
from meshinstall.engine.run.runner import Runner
from meshinstall.engine.session import Session
from meshinstall.engine.tasks import gather
from meshinstall.errors import (
    ClusterError,
    ConfigError,
    HelmError,
    MeshinstallError,
    PlanRefusedError,
    Problem,
    StepError,
)
from meshinstall.model.desired import Desired
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.ownership import audit_labels
from meshinstall.model.paths import object_path
from meshinstall.model.plan import Action, ObjectStep, Plan, ReleaseStep
from meshinstall.model.release import ChartRef

SUMMARY = "meshinstall"
NO_HELM = "PRE901"
# Seconds for the last words of a run: the summary and the lock.
_LAST_WORDS = 10


async def make_plan(desired: Desired, session: Session) -> Plan:
    """Look at the cluster and decide; changes nothing. Raises ConfigError for values that a chart refuses."""
    async with explaining(session, desired):
        facts = await observe(desired, session.kube, session.releases, session.charts, session.lock)
    found = plan(desired, facts, session.now().date())
    if found.is_empty:
        return found
    asks: Mapping[str, Callable[[], Awaitable[Any]]] = {
        "inquiry": lambda: inquire(desired, session.kube),
        "cloud": lambda: cloud_findings(desired, session),
        "values": lambda: _check_values(found, desired, session),
        "helm": lambda: helm_findings(session),
    }
    answers = await gather(asks, lambda name: asks[name]())
    asked = (*answers["helm"], *answers["values"], *before_changes(answers["inquiry"]), *answers["cloud"])
    return replace(found, findings=(*found.findings, *asked))


async def helm_findings(session: Session) -> tuple[Finding, ...]:
    """That there is no helm which can be used, when there is none."""
    try:
        await session.helm.version()
    except HelmError as error:
        return (Finding(NO_HELM, Severity.ERROR, error.message, hint=error.hint),)
    return ()


async def _check_values(found: Plan, desired: Desired, session: Session) -> tuple[Finding, ...]:
    """Hold the values of what will be installed against its charts."""
    stacks = {release.key: release.values for release in desired.releases}
    steps = [step for step in found.pending if isinstance(step, ReleaseStep) and step.action in {Action.INSTALL, Action.UPGRADE}]
    files = await gather(dict.fromkeys(step.chart for step in steps), session.charts.read)
    verdicts = [check_values(step.component, files[step.chart], stacks[step.release]) for step in steps]
    if errors := [problem for verdict in verdicts for problem in verdict.errors]:
        raise ConfigError(tuple(dict.fromkeys(errors)))
    return tuple(_as_finding(problem) for problem in dict.fromkeys(problem for verdict in verdicts for problem in verdict.warnings))


def _as_finding(problem: Problem) -> Finding:
    origin = f"{problem.source}:{problem.line}" if problem.line else problem.source
    return Finding("CFG003", Severity.WARNING, problem.text, origin=origin, hint=problem.hint)


def refuse(found: Plan, allowed: frozenset[str]) -> None:
    """Raise PlanRefusedError when the plan holds what was not allowed by name."""
    stops = [finding for finding in found.refusals if ALLOWABLE.get(finding.code) not in allowed]
    if stops:
        lines = [f"{finding.code}: {finding.title}{f' ({finding.detail})' if finding.detail else ''}" for finding in stops]
        raise PlanRefusedError("\n".join(lines), "; ".join(finding.hint for finding in stops if finding.hint))


async def make_removal(desired: Desired, session: Session, *, crds: bool) -> Plan:
    """Look at the cluster and decide what down would remove; changes nothing."""
    charted = replace(desired, releases=tuple(replace(release, chart=_undigested(release.chart)) for release in desired.releases))
    async with explaining(session, desired):
        facts = await observe(charted, session.kube, session.releases, session.charts, Lock(()))
        # One that is being deleted already cannot be kept.
        staying = [name for name, live in removable(facts).items() if "deletionTimestamp" not in live["metadata"]]
        kept = await why_kept(session.kube, desired, facts, staying, crds=crds)
    return plan_removal(desired, facts, kept, crds=crds)


def _undigested(chart: ChartRef) -> ChartRef:
    """A removal needs no chart: any digest keeps the source from being asked."""
    return replace(chart, digest="not asked")


async def down(found: Plan, desired: Desired, session: Session, emit: Emit, seconds: float) -> None:
    """Run a removal under the lock, then clear up what no step names; raises StepError with what survived.

    A removal of nothing clears up too: an earlier one may have been ended before it did.
    """
    if not found.is_empty:
        await _remove(found, session, emit, seconds)
    await delete_root_certificates(session.kube, desired)
    crds = any(isinstance(step, ObjectStep) and step.manifest["kind"] == "CustomResourceDefinition" for step in found.steps)
    if left := await survivors(session, desired, crds=crds):
        raise StepError(
            f"still there: {', '.join(left)}",
            "helm uninstall removes a release; look at who owns the rest, kubectl delete removes what nobody does",
        )


async def _remove(found: Plan, session: Session, emit: Emit, seconds: float) -> None:
    run = _run_name(found, session)
    await session.helm.version()
    # Where an earlier down removed the namespace, only objects of the whole cluster are left, and no place for a lock.
    there = await has_place(session.kube, found.mesh_namespace)
    async with held(session, found.mesh_namespace, f"down {found.environment}, run {run}", leaving=True) if there else nullcontext():
        emit(RunStarted(run, found))
        await _bounded(Runner(found, session, emit), run, emit, seconds)


async def up(found: Plan, desired: Desired, session: Session, emit: Emit, seconds: float) -> None:
    """Run a plan under the lock, within ``seconds`` in all; raises what stopped it, PlanRefusedError when the releases have moved."""
    run = _run_name(found, session)
    await session.helm.version()
    runner = Runner(found, session, emit)
    await runner.ensure_namespace(found.mesh_namespace)
    async with held(session, found.mesh_namespace, f"up {found.environment}, run {run}"):
        await _insist_unmoved(found, session)
        emit(RunStarted(run, found))
        async with _summarised(session, desired, found, run):
            await _bounded(runner, run, emit, seconds)


async def _insist_unmoved(found: Plan, session: Session) -> None:
    """Refuse when another run changed a release between the look at the cluster and the lock: this plan would undo it."""
    steps = [step for step in found.pending if isinstance(step, ReleaseStep)]
    records = await session.releases.newest({step.release.namespace: None for step in steps})
    for step in steps:
        record = records.get(step.release)
        revision, is_pending = (record.revision, record.status.is_pending) if record else (0, False)
        if (revision, is_pending) != (step.revision, step.repair):
            now = f"revision {revision}, {record.status}" if record else "not installed"
            raise PlanRefusedError(
                f"release {step.release} has moved since the plan was made: it is {now} now, and was at revision {step.revision}",
                "run the same command again: it plans anew",
            )


def _run_name(found: Plan, session: Session) -> str:
    return f"{session.now():%Y%m%dT%H%M%SZ}-{found.digest[7:15]}"


async def _bounded(runner: Runner, run: str, emit: Emit, seconds: float) -> None:
    started = anyio.current_time()
    failure = ""
    try:
        with anyio.fail_after(seconds):
            await runner.run()
    except MeshinstallError as error:
        failure = error.message
        raise
    except TimeoutError:
        waits = "; ".join(f"{name}: {wait}" for name, wait in runner.waits.items())
        failure = f"not done in {seconds:.0f} s; last seen: {waits}"
        raise StepError(failure, "run the same command again to go on, or give it more --timeout") from None
    except anyio.get_cancelled_exc_class():
        failure = "interrupted"
        raise
    finally:
        emit(RunEnded(run, anyio.current_time() - started, failure))


@asynccontextmanager
async def _summarised(session: Session, desired: Desired, found: Plan, run: str) -> AsyncIterator[None]:
    """Leave a small summary of the run in the mesh's namespace, however it ends."""
    result = "interrupted"
    try:
        yield
        result = "done"
    except MeshinstallError as error:
        result = f"failed: {error.message}"
        raise
    finally:
        data = {
            "run": run,
            "result": result[:1000],
            "finished": session.now().isoformat(timespec="seconds"),
            "by": session.who,
            "environment": found.environment,
            "profile": found.profile,
            "istioVersion": found.istio_version,
            "plan": found.digest,
        }
        metadata = {"name": SUMMARY, "namespace": found.mesh_namespace, "labels": audit_labels(desired)}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
        with anyio.CancelScope(shield=True), anyio.move_on_after(_LAST_WORDS):
            try:
                await session.kube.apply(object_path("v1", "configmaps", found.mesh_namespace, SUMMARY), body, force=True)
            except ClusterError:
                # It is a convenience: losing it loses nothing, and the run's own error matters more.
                if result == "done":
                    raise
