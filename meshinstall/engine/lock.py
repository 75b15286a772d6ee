"""One run at a time for a mesh: a Lease in its namespace (coordination.k8s.io/v1)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import anyio

from meshinstall.engine.groups import task_group
from meshinstall.engine.session import Session
from meshinstall.errors import ClusterError, ConflictError, LockedError
from meshinstall.model.paths import object_path
from meshinstall.model.release import Manifest

NAME = "meshinstall"
# Seconds: how long a holder that says nothing is believed, and how often it speaks.
_LIFE = 30
_RENEW = 10


def lease_path(namespace: str) -> str:
    """Path of the lock of the mesh in ``namespace``."""
    return object_path("coordination.k8s.io/v1", "leases", namespace, NAME)


@asynccontextmanager
async def held(session: Session, namespace: str, what: str) -> AsyncIterator[None]:
    """Hold the lock for a ``with`` block and renew it; raises LockedError with who holds it since when.

    A holder that died on this same machine is known to be dead at once; any
    other is believed for 30 s after its last word.
    """
    await _acquire(session, namespace, what)
    async with task_group() as group:
        group.start_soon(_renew, session, namespace)
        try:
            yield
        finally:
            group.cancel_scope.cancel()
            with anyio.CancelScope(shield=True), anyio.move_on_after(_RENEW):
                await _release(session, namespace)


async def _release(session: Session, namespace: str) -> None:
    try:
        await session.kube.patch(lease_path(namespace), {"spec": {"holderIdentity": "", "leaseDurationSeconds": 1}})
    except ClusterError:
        # Gone with its namespace, or out of reach: then it frees itself.
        return


async def _acquire(session: Session, namespace: str, what: str) -> None:
    path = lease_path(namespace)
    lease = await session.kube.get(path)
    now = session.now()
    spec = {
        "holderIdentity": session.who,
        "leaseDurationSeconds": _LIFE,
        "acquireTime": _micro(now),
        "renewTime": _micro(now),
        "leaseTransitions": ((lease or {}).get("spec") or {}).get("leaseTransitions", 0) + 1,
    }
    metadata: dict[str, Any] = {"name": NAME, "namespace": namespace, "annotations": {"meshinstall.dev/run": what}}
    body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
    try:
        if lease is None:
            await session.kube.create(object_path("coordination.k8s.io/v1", "leases", namespace), body)
            return
        _refuse_if_held(lease, session, now)
        metadata["resourceVersion"] = lease["metadata"]["resourceVersion"]
        await session.kube.patch(path, body)
    except ConflictError:
        lease = await session.kube.get(path)
        raise _locked(lease or body) from None


def _refuse_if_held(lease: Manifest, session: Session, now: datetime) -> None:
    spec = lease.get("spec") or {}
    holder = spec.get("holderIdentity")
    if not holder or session.is_dead(holder):
        return
    renewed = datetime.fromisoformat(spec["renewTime"])
    if now < renewed + timedelta(seconds=spec.get("leaseDurationSeconds", _LIFE)):
        raise _locked(lease)


def _locked(lease: Manifest) -> LockedError:
    spec = lease.get("spec") or {}
    what = (lease["metadata"].get("annotations") or {}).get("meshinstall.dev/run", "a run")
    since = spec.get("acquireTime", "an unknown time").partition(".")[0]
    return LockedError(
        f"{spec.get('holderIdentity') or 'another run'} holds the lock of this mesh since {since} ({what})",
        f"wait for it; if it is dead, the lock frees itself {_LIFE} s after its last word",
    )


async def _renew(session: Session, namespace: str) -> None:
    while True:
        await anyio.sleep(_RENEW)
        await session.kube.patch(lease_path(namespace), {"spec": {"renewTime": _micro(session.now())}})


def _micro(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
