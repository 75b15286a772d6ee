"""Runs a plan: each step when what it needs is done, side by side where nothing forbids it."""

from collections.abc import Awaitable, Callable
from graphlib import TopologicalSorter

import anyio

from meshinstall.engine.events import Emit, StepDone, StepEnded, StepStarted, StepWaiting
from meshinstall.engine.objects.field_managers import may_be_taken_over
from meshinstall.engine.observe.belongings import stranger
from meshinstall.engine.observe.root_certificates import other_istiods
from meshinstall.engine.run import waiting
from meshinstall.engine.run.overtaken import is_gone, refuse_if_overtaken
from meshinstall.engine.run.tag_authority import with_authority
from meshinstall.engine.run.undoing import PLAN_AGAIN, put_back
from meshinstall.engine.session import Session
from meshinstall.engine.tasks import gather, task_group
from meshinstall.errors import ConflictError, HelmConflictError, MeshinstallError, PlanRefusedError, StepError
from meshinstall.model.facts import ObjectKey, key_of
from meshinstall.model.istio import ISTIOD_SELECTOR
from meshinstall.model.ownership import is_ours, owner_of, release_description
from meshinstall.model.paths import object_path, path_of
from meshinstall.model.plan import Action, ObjectStep, Plan, ReleaseStep, Step, SweepStep
from meshinstall.model.release import ReleaseRecord


async def _nothing(_: str) -> str:
    """No namespace is kept: an install deletes none."""
    return ""


def _is_other_namespace(step: Step, mesh: str) -> bool:
    """Whether it deletes a namespace that is not the mesh's own."""
    return step.action is Action.DELETE and step.name.startswith("namespace/") and step.name != f"namespace/{mesh}"


class Runner:
    """Runs the steps of one plan and keeps what is done and what is waited for; ``why_kept`` looks into a namespace before it goes."""

    def __init__(self, plan: Plan, session: Session, emit: Emit, why_kept: Callable[[str], Awaitable[str]] = _nothing) -> None:
        self.done: list[Step] = []
        self.waits: dict[str, str] = {}
        self._plan = plan
        self._session = session
        self._emit = emit
        self._why_kept = why_kept
        self._asked = {step.name: anyio.Event() for step in plan.pending if _is_other_namespace(step, plan.mesh_namespace)}
        self._failures: list[MeshinstallError] = []

    async def run(self) -> None:
        """Run everything that is pending; after a failure nothing new is begun. Raises the first failure."""
        steps = {step.name: step for step in self._plan.steps}
        order = TopologicalSorter({name: [need for need in step.needs if need in steps] for name, step in steps.items()})
        order.prepare()
        news = anyio.Event()

        async def one(step: Step) -> None:
            nonlocal news
            if await self._run(step):
                order.done(step.name)
            news.set()

        async with task_group() as group:
            while order.is_active() and not self._failures:
                news = anyio.Event()
                for name in order.get_ready():
                    group.start_soon(one, steps[name])
                await news.wait()
        if self._failures:
            raise self._failures[0]

    async def ensure_namespace(self, name: str) -> None:
        """Make the mesh's own namespace before all else: the lock lives in it."""
        step = next(step for step in self._plan.steps if step.name == f"namespace/{name}")
        await self._run(step)
        if self._failures:
            raise self._failures[0]

    async def _run(self, step: Step) -> bool:
        if not step.is_pending or step in self.done:
            return True
        started = anyio.current_time()
        self._emit(StepStarted(step))
        try:
            detail = await self._act(step)
        except MeshinstallError as error:
            self._emit(StepEnded(step, anyio.current_time() - started, error.message))
            self._failures.append(StepError(f"{step.name}: {error.message}", error.hint) if type(error) is StepError else error)
            return False
        except anyio.get_cancelled_exc_class():
            self._emit(StepEnded(step, anyio.current_time() - started, self.waits.get(step.name, "stopped")))
            raise
        self.done.append(step)
        self.waits.pop(step.name, None)
        self._emit(StepDone(step, anyio.current_time() - started, detail))
        return True

    async def _act(self, step: Step) -> str:
        match step:
            case ReleaseStep(action=Action.UNINSTALL):
                await self._uninstall(step)
            case ReleaseStep():
                return await self._release(step)
            case SweepStep():
                return await self._sweep(step)
            case ObjectStep(action=Action.DELETE):
                return await self._delete_shown(step)
            case ObjectStep():
                await self._apply(step)
        return ""

    async def _release(self, step: ReleaseStep) -> str:
        if step.repair:
            await self._repair(step)
        await put_back(self._session.kube, step.undo, lambda text: self._tell(step, text))
        runs_helm = step.action in {Action.INSTALL, Action.UPGRADE}
        if runs_helm:
            await self._insist_on_record(step)
            self._tell(step, f"helm {'upgrade' if step.revision else 'install'}")
            await self._run_helm(step)
        record = await waiting.find_record(self._session, step)
        if runs_helm and record.status.is_pending:
            record = await self._record_again(step, record)
        return await waiting.until_ready(self._session, step, record, lambda text: self._tell(step, text))

    async def _insist_on_record(self, step: ReleaseStep) -> None:
        """Refuse where helm may go by another record than the plan did: an upgrade deletes what that one names."""
        record = (await self._session.releases.newest([step.release.namespace])).get(step.release) if step.revision else None
        if record and (why := await self._session.releases.rivals(record)):
            raise PlanRefusedError(f"release {step.release} is not upgraded: it {why}", "if no helm wrote it, delete it; then run up again")

    async def _record_again(self, step: ReleaseStep, record: ReleaseRecord) -> ReleaseRecord:
        """Helm ends well also when it cannot write its last record (helm: pkg/action/install.go, recordRelease): run it once more."""
        self._tell(step, "helm succeeded but did not record it; it runs once more")
        await self._session.releases.mark_failed(record, "helm did not record its success; freed by meshinstall")
        await self._run_helm(step)
        record = await waiting.find_record(self._session, step)
        if record.status.is_pending:
            message = f"helm succeeds but does not record it: the release stays {record.status}"
            raise StepError(message, "check that the API server is not overloaded, then run the same command again")
        return record

    async def _run_helm(self, step: ReleaseStep) -> None:
        """Install or upgrade; fields that a person edited are taken back, as the plan said."""
        session = self._session
        archive = await session.charts.fetch(step.chart)
        description = release_description(self._plan, step.chart)
        try:
            await session.helm.upgrade(step.release, archive, step.values, description=description)
        except HelmConflictError as error:
            if not may_be_taken_over(error.managers, step.editors):
                raise
            await session.helm.upgrade(step.release, archive, step.values, description=description, force=True)

    async def _uninstall(self, step: ReleaseStep) -> None:
        """A gateway's Services go first: their finalizer gives the cloud's load balancer back.

        The steps before may have taken minutes: the release is looked at again, and helm has nothing to do where it is gone.
        """
        record = (await self._session.releases.newest([step.release.namespace])).get(step.release)
        refuse_if_overtaken(step, record)
        if record is None or is_gone(record):
            return
        if why := await stranger(self._session.kube, self._session.releases, record):
            raise PlanRefusedError(f"release {step.release} is not uninstalled: it {why}", PLAN_AGAIN)
        if step.repair:
            await self._repair(step)
        path = object_path("v1", "services", step.release.namespace)
        services = [item async for item in self._session.kube.list(path, labels=f"app.kubernetes.io/instance={step.release.name}")]
        for service in services:
            # Anybody may write that label: what is not marked as the release's stays.
            if service["spec"].get("type") == "LoadBalancer" and owner_of(service["metadata"]) == step.release:
                metadata = service["metadata"]
                key, uid = ObjectKey("v1", "Service", step.release.namespace, metadata["name"]), metadata.get("uid", "")
                await self._ask_to_delete(key, uid)
                await self._until_gone(key, step, uid)
        self._tell(step, "helm uninstall")
        await self._session.helm.uninstall(step.release)

    async def _delete_shown(self, step: ObjectStep) -> str:
        """Delete the object that the plan showed; a namespace only if nobody has put anything into it since."""
        key, uid = key_of(step.manifest), step.manifest["metadata"].get("uid", "")
        try:
            if key.kind == "Namespace":
                if key.name == self._plan.mesh_namespace:
                    # The lock goes with it: all else must have been asked for.
                    for asked in self._asked.values():
                        await asked.wait()
                if reason := await self._why_kept(key.name):
                    return f"kept: {reason}"
            await self._ask_to_delete(key, uid)
        finally:
            if step.name in self._asked:
                self._asked[step.name].set()
        await self._until_gone(key, step, uid)
        return ""

    async def _ask_to_delete(self, key: ObjectKey, uid: str) -> None:
        try:
            await self._session.kube.delete(path_of(key), uid=uid)
        except ConflictError as error:
            raise ConflictError(f"{key} is not the one that the plan showed: somebody made it again since", PLAN_AGAIN) from error

    async def _until_gone(self, key: ObjectKey, step: Step, uid: str) -> None:
        path = path_of(key)
        await waiting.until_gone(self._session.kube, path, lambda held_by: self._tell(step, f"{key} is being deleted{held_by}"), uid)

    async def _sweep(self, step: SweepStep) -> str:
        """Delete what our istiod put into every namespace, when it has ended: it would write it again."""
        kube, namespace = self._session.kube, self._plan.mesh_namespace
        await waiting.until_none(kube, object_path("v1", "pods", namespace), ISTIOD_SELECTOR, lambda text: self._tell(step, text))
        if others := await other_istiods(kube, ()):
            return f"kept: another istiod needs them: {', '.join(others)}"
        gone = await gather(step.objects, self._swept)
        kept = [str(key) for (key, _), is_gone in gone.items() if not is_gone]
        again = f", kept because somebody made them again: {', '.join(kept)}" if kept else ""
        return f"{len(gone) - len(kept)} deleted{again}"

    async def _swept(self, one: tuple[ObjectKey, str]) -> bool:
        key, uid = one
        try:
            await self._session.kube.delete(path_of(key), uid=uid)
        except ConflictError:
            return False
        return True

    async def _repair(self, step: ReleaseStep) -> None:
        """Free a release whose helm died: we hold the lock, so nobody is at it."""
        records = await self._session.releases.newest([step.release.namespace])
        record = records.get(step.release)
        if record and record.status.is_pending:
            await self._session.releases.mark_failed(record, "a helm process died; freed by meshinstall")

    async def _apply(self, step: ObjectStep) -> None:
        path = path_of(key_of(step.manifest))
        manifest = await with_authority(self._session.kube, step.manifest)
        if step.patch:
            await self._insist_on_ours(path, step, ConflictError("it has fields that somebody added"))
            try:
                await self._session.kube.patch(path, step.patch)
            except ConflictError as error:
                raise ConflictError(f"{key_of(step.manifest)} has changed since the plan was made", PLAN_AGAIN) from error
        try:
            await self._session.kube.apply(path, manifest)
        except ConflictError as error:
            await self._insist_on_ours(path, step, error)
            # Ours, and edited by somebody: the plan said that it goes back.
            await self._session.kube.apply(path, manifest, force=True)

    async def _insist_on_ours(self, path: str, step: ObjectStep, error: ConflictError) -> None:
        live = await self._session.kube.get(path)
        if live is None or not is_ours(live):
            hint = f"{key_of(step.manifest)} was not made by meshinstall: remove it or change it by hand"
            raise ConflictError(error.message, hint) from error

    def _tell(self, step: Step, text: str) -> None:
        self.waits[step.name] = text
        self._emit(StepWaiting(step, text))
