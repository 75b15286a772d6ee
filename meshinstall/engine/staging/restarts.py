"""Restarts workloads, so that their pods get the proxies of another istiod, and waits until they are ready."""

from collections.abc import Callable, Iterable

import anyio

from meshinstall.engine.objects import readiness
from meshinstall.engine.run.waiting import reasons
from meshinstall.engine.session import Session
from meshinstall.errors import StepError
from meshinstall.model.facts import ObjectKey
from meshinstall.model.mesh_position import Proxied
from meshinstall.model.paths import path_of
from meshinstall.model.release import Manifest

# Ours, and not that of ``kubectl rollout restart``: engines that revert what kubectl writes would restart everything a second time.
_RESTARTED = "meshinstall.dev/restartedAt"
# Seconds for one workload, and between two looks.
_PATIENCE = 300.0
_LOOK = 0.2


async def restart(session: Session, workloads: Iterable[Proxied], tell: Callable[[str], None]) -> None:
    """Restart one workload after the other; raises StepError for the first that does not become ready."""
    for one in workloads:
        key = ObjectKey("apps/v1", one.kind, one.place.namespace, one.place.name)
        if await session.kube.get(path_of(key)) is None:
            # Its owner deleted it since the plan was made.
            continue
        tell(f"restarting {one.name}")
        annotations = {_RESTARTED: session.now().isoformat(timespec="seconds")}
        await session.kube.patch(path_of(key), {"spec": {"template": {"metadata": {"annotations": annotations}}}})
        await until_ready(session, key, tell)


async def until_ready(
    session: Session,
    key: ObjectKey,
    tell: Callable[[str], None],
    seconds: float = _PATIENCE,
    is_over: Callable[[Manifest], bool] = lambda _: False,
) -> None:
    """Wait until a workload's pods are those of its newest template, or ``is_over``; raises StepError where waiting does not help."""
    last = ""
    with anyio.move_on_after(seconds):
        while True:
            live = await session.kube.get(path_of(key))
            if live is None or is_over(live) or not (wait := readiness.unready(live, key.kind, may_be_empty=True)):
                return
            troubles = [trouble async for trouble in reasons(session, key, live)]
            if hopeless := next((trouble for trouble in troubles if trouble.hopeless and not trouble.grace), None):
                raise StepError(f"{key}: {hopeless.text}", hopeless.hint)
            told = "; ".join(dict.fromkeys(trouble.text for trouble in troubles)) or f"{key}: {wait}"
            if told != last:
                last = told
                tell(told)
            await anyio.sleep(_LOOK)
    raise StepError(f"{key} was restarted and is not ready after {seconds:.0f} s: {last}", f"kubectl rollout status, then undo: {key}")
