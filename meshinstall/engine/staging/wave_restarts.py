"""Replaces the pods of one workload of a wave: asks its PodDisruptionBudgets, restarts or evicts, and waits until new pods are ready."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import anyio

from meshinstall.engine.mesh import discovery
from meshinstall.engine.mesh.crash_loops import crashing
from meshinstall.engine.mesh.kube_objects import labels, place
from meshinstall.engine.objects.json_fields import at, number, rows, table, text, texts
from meshinstall.engine.objects.readiness import unready
from meshinstall.engine.observe.restart_marks import changed_by
from meshinstall.engine.observe.upgrade_objects import ProxyPod, proxy_pod
from meshinstall.engine.session import Session
from meshinstall.engine.staging.restarts import until_ready
from meshinstall.errors import BudgetError, ClusterError, StepError, UnauthorizedError, UnreachableError
from meshinstall.model.facts import ObjectKey
from meshinstall.model.istio_version import IstioVersion
from meshinstall.model.ownership import RESTARTED_FOR
from meshinstall.model.paths import object_path, path_of
from meshinstall.model.release import Manifest
from meshinstall.model.selectors import selects
from meshinstall.model.waves import How, Restart

# Seconds that a PodDisruptionBudget may take to allow a restart, and between two looks: the pods that were replaced before become ready.
BUDGET_PATIENCE = 60.0
_LOOK = 0.2
# Seconds that a workload may take to be ready before it is restarted, as when it is scaled at that moment.
_HEALTHY_PATIENCE = 15.0
_UNRECORDED = "somebody that Kubernetes did not record"
# Where Kubernetes keeps earlier templates of a workload, and where in such an object the template is.
_HISTORY: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "Deployment": ("replicasets", ("spec", "template")),
    "StatefulSet": ("controllerrevisions", ("data", "spec", "template")),
    "DaemonSet": ("controllerrevisions", ("data", "spec", "template")),
}


@dataclass(frozen=True, slots=True)
class Done:
    """What became of a restart: ``is_moved``: pods were replaced; ``left`` says why not, or not all; ``failed`` what went wrong."""

    restart: Restart
    is_moved: bool = False
    left: str = ""
    failed: str = ""


@dataclass(frozen=True, slots=True)
class Restarting:
    """How workloads are restarted; ``value`` is written on them, ``seconds`` are for each of them.

    ``version`` and ``revision`` are those of the new proxies.
    """

    session: Session
    value: str
    version: IstioVersion
    revision: str
    seconds: float
    tell: Callable[[str], None]

    async def one(self, restart: Restart) -> Done:
        """Restart a workload; what goes wrong with it is an answer. Raises UnreachableError and UnauthorizedError alone."""
        try:
            return await (self._evict(restart) if restart.how is How.EVICTION else self._restart(restart))
        except (UnreachableError, UnauthorizedError):
            raise
        except (ClusterError, StepError) as error:
            return Done(restart, is_moved=True, failed=error.in_one_line())
        except ValueError as error:
            return Done(restart, is_moved=True, failed=f"{restart.name}: cannot read what the API server sent: {error}")

    async def _restart(self, restart: Restart) -> Done:
        key = ObjectKey("apps/v1", restart.kind, restart.place.namespace, restart.place.name)
        live = await self.session.kube.get(path_of(key))
        if live is None:
            # Its owner deleted it since the plan was made.
            return Done(restart)
        if _mark(live) != self.value:
            if kept := await self._reverted(live, restart) or await self._until_healthy(key, restart):
                return Done(restart, left=kept)
            if refused := await self._until_allowed(restart, labels(table(at(live, "spec", "template")))):
                return Done(restart, left=refused)
            self.tell(f"restarting {restart.name}, for up to {self.seconds:.0f} s")
            note = {"annotations": {RESTARTED_FOR: self.value}}
            await self.session.kube.patch(path_of(key), {"metadata": note, "spec": {"template": {"metadata": note}}})
        await until_ready(self.session, key, self.tell, self.seconds, lambda now: _mark(now) != self.value)
        now = await self.session.kube.get(path_of(key))
        if now is not None and _mark(now) != self.value:
            return Done(restart, is_moved=True, left=_reverted_by(now))
        return Done(restart, is_moved=True)

    async def _reverted(self, live: Manifest, restart: Restart) -> str:
        """That a restart for this target was taken back; empty where there was none, as far as the cluster still knows."""
        if texts(at(live, "metadata", "annotations")).get(RESTARTED_FOR) == self.value:
            return _reverted_by(live)
        plural, template = _HISTORY[restart.kind]
        uid = text(at(live, "metadata", "uid"))
        async for item in self.session.kube.list(object_path("apps/v1", plural, restart.place.namespace)):
            is_its = any(text(at(one, "uid")) == uid for one in rows(at(item, "metadata", "ownerReferences")))
            if is_its and texts(at(item, *template, "metadata", "annotations")).get(RESTARTED_FOR) == self.value:
                return _reverted_by(live)
        return ""

    async def _until_healthy(self, key: ObjectKey, restart: Restart) -> str:
        """Why a workload should not be restarted now: a rollout would wait for ever beside a pod that is broken already."""
        now = self.session.now()
        if ends := next(filter(None, (crashing(pod, now) for pod in await self._pods(restart))), ""):
            return f"is not ready already ({ends}): restart it when it is"
        wait = ""
        with anyio.move_on_after(_HEALTHY_PATIENCE):
            while True:
                live = await self.session.kube.get(path_of(key))
                if live is None or not (wait := unready(live, key.kind, may_be_empty=True)):
                    return ""
                await anyio.sleep(_LOOK)
        return f"is not ready already ({wait}): restart it when it is"

    async def _until_allowed(self, restart: Restart, its: Mapping[str, str]) -> str:
        """Wait until every PodDisruptionBudget allows it; what refuses it still, in words."""
        refused = told = ""
        with anyio.move_on_after(BUDGET_PATIENCE):
            while refused := await self._refused(restart, its):
                told = self._tell_once(f"{restart.name} waits, for up to {BUDGET_PATIENCE:.0f} s: {refused}", told)
                await anyio.sleep(_LOOK)
        return refused

    def _tell_once(self, text: str, told: str) -> str:
        """Tell what was not told last; give it back."""
        if text != told:
            self.tell(text)
        return text

    async def _refused(self, restart: Restart, its: Mapping[str, str]) -> str:
        path = object_path("policy/v1", "poddisruptionbudgets", restart.place.namespace)
        async for item in self.session.kube.list(path):
            (selector,) = discovery.selectors([at(item, "spec", "selector") or {}])
            if selects(selector, its) and (why := _refuses(item, restart.needs)):
                return f"PodDisruptionBudget {place(item)} {why}"
        return ""

    async def _evict(self, restart: Restart) -> Done:
        """Evict old pods one after the other, each when the one before is replaced."""
        pods = await self._pods(restart)
        wanted, is_moved = sum(map(_is_ready, pods)), False
        for item in [one for one in pods if self._is_old(one)]:
            self.tell(f"evicting pod {place(item)} of {restart.name}")
            if refused := await self._until_evicted(item):
                return Done(restart, is_moved=is_moved, left=refused)
            is_moved = True
            await self._until_replaced(restart, item, wanted)
        return Done(restart, is_moved=is_moved)

    async def _until_evicted(self, pod: Manifest) -> str:
        """Evict a pod; why its PodDisruptionBudget still refuses it after a while."""
        where = place(pod)
        metadata = {"name": where.name, "namespace": where.namespace}
        options = {"preconditions": {"uid": text(at(pod, "metadata", "uid"))}}
        body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata, "deleteOptions": options}
        refused = told = ""
        with anyio.move_on_after(BUDGET_PATIENCE):
            while True:
                try:
                    await self.session.kube.create(object_path("v1", "pods", where.namespace, where.name, "eviction"), body)
                except BudgetError as error:
                    # An answer, and no sign of a busy server: it stays so until other pods are ready.
                    refused = f"its PodDisruptionBudget allows no eviction now: {error.message}"
                    told = self._tell_once(f"pod {where} waits, for up to {BUDGET_PATIENCE:.0f} s: {refused}", told)
                    await anyio.sleep(_LOOK)
                else:
                    return ""
        return refused

    async def _until_replaced(self, restart: Restart, gone: Manifest, wanted: int) -> None:
        uid = text(at(gone, "metadata", "uid"))
        with anyio.move_on_after(self.seconds):
            while True:
                pods = await self._pods(restart)
                is_there = any(text(at(one, "metadata", "uid")) == uid for one in pods)
                if not is_there and sum(map(_is_ready, pods)) >= wanted:
                    return
                await anyio.sleep(_LOOK)
        hint = f"see why: kubectl get pods -n {restart.place.namespace}"
        raise StepError(f"the pod that replaces {place(gone)} of {restart.name} is not ready after {self.seconds:.0f} s", hint)

    async def _pods(self, restart: Restart) -> list[Manifest]:
        """Pods of a workload with a proxy that are not being deleted."""
        path = object_path("v1", "pods", restart.place.namespace)
        return [item async for item in self.session.kube.list(path) if _is_of(proxy_pod(item), restart)]

    def _is_old(self, item: Manifest) -> bool:
        pod = proxy_pod(item)
        return pod is not None and (pod.version != self.version or pod.revision != self.revision)


def _is_of(pod: ProxyPod | None, restart: Restart) -> bool:
    return pod is not None and (pod.owner.kind, pod.owner.place) == (restart.kind, restart.place)


def _mark(live: Manifest) -> str:
    return texts(at(live, "spec", "template", "metadata", "annotations")).get(RESTARTED_FOR, "")


def _reverted_by(live: Manifest) -> str:
    return f"its restart was reverted by {changed_by(live) or _UNRECORDED}, and is not made a second time"


def _refuses(budget: Manifest, needs: int) -> str:
    """Why a PodDisruptionBudget does not allow that many pods to be missing; empty where it does."""
    status = table(at(budget, "status"))
    if number(status.get("observedGeneration")) < number(at(budget, "metadata", "generation")):
        return "was changed, and its controller has not seen it yet"
    allowed, expected = number(status.get("disruptionsAllowed")), number(status.get("expectedPods"))
    if not expected:
        return "counts no pods, so that it cannot tell"
    return "" if allowed >= needs else f"allows {allowed} of {expected} pods to be missing now, and this takes {needs}"


def _is_ready(item: Manifest) -> bool:
    return any(at(one, "type") == "Ready" and at(one, "status") == "True" for one in rows(at(item, "status", "conditions")))


def left_lines(done: Iterable[Done], target: IstioVersion) -> Iterator[str]:
    """What was left, a line for each."""
    yield from (f"{one.restart.name}: {one.restart.before} → {target}; {one.left}" for one in done if one.left)
