"""Keeps the scout of a gateway in the cluster for as long as it is looked at (engine/upgrade/scout.py makes it).

Whoever runs it needs list, create, get and delete on deployments, list on pods, replicasets and events of the gateway's namespace.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio

from meshinstall.engine.observe.run_holder import is_left
from meshinstall.engine.observe.scouts import scouts_in
from meshinstall.engine.run.waiting import until_none
from meshinstall.engine.session import Session
from meshinstall.engine.tasks import closing
from meshinstall.errors import ClusterError, ConflictError
from meshinstall.model.ownership import HOLDER, SCOUT
from meshinstall.model.paths import object_path
from meshinstall.model.release import Manifest
from meshinstall.ports import Kube

Tell = Callable[[str], None]

# Seconds to clean up.
_CLEAN_UP = 20.0


@asynccontextmanager
async def scout_pod(session: Session, deployment: Mapping[str, Any], tell: Tell) -> AsyncIterator[None]:
    """Create a scout, and remove it after the ``with`` block, whatever happens in it; raises ClusterError, also for another run's."""
    name, namespace = deployment["metadata"]["name"], deployment["metadata"]["namespace"]
    if others := await remove_leftovers(session, namespace, name, tell):
        raise ConflictError(f"another run has a scout there: {', '.join(others)}", "wait until that run ends")
    try:
        # A request that is on its way must have arrived before anything is removed.
        with anyio.CancelScope(shield=True):
            await session.kube.create(object_path("apps/v1", "deployments", namespace), deployment)
        yield
    finally:
        with closing(_CLEAN_UP):
            await _remove_own(session, namespace, name, tell)


async def remove_leftovers(session: Session, namespace: str, name: str, tell: Tell) -> list[str]:
    """Remove the scouts of runs that are dead, and any that are older than a run can be; those of this name that stay are told."""
    others = []
    for item in await scouts_in(session.kube, namespace):
        if is_left(item, session) or _holder(item) == session.who:
            await _remove(session.kube, item, tell)
        elif item["metadata"]["name"] == name:
            others.append(f"{namespace}/{name}")
    return others


async def _remove_own(session: Session, namespace: str, name: str, tell: Tell) -> None:
    """Remove it, if it is this run's."""
    try:
        live = await session.kube.get(object_path("apps/v1", "deployments", namespace, name))
        if live and _holder(live) == session.who:
            await _remove(session.kube, live, tell)
    except ClusterError as error:
        tell(f"Deployment {namespace}/{name}, a scout, could not be removed: {error.message}")


async def _remove(kube: Kube, item: Manifest, tell: Tell) -> None:
    """Delete a scout and wait for its pod: what looks at the mesh next must not see it end, nor another scout take it for its own."""
    metadata = item["metadata"]
    namespace, mark = metadata["namespace"], metadata["labels"][SCOUT]
    await kube.delete(object_path("apps/v1", "deployments", namespace, metadata["name"]), uid=metadata.get("uid", ""))
    await until_none(kube, object_path("v1", "pods", namespace), f"{SCOUT}={mark}", tell)


def _holder(item: Manifest) -> str:
    return str((item["metadata"].get("annotations") or {}).get(HOLDER, ""))
