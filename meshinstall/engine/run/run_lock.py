"""One run at a time for a mesh: a Lease in its namespace (coordination.k8s.io/v1)."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import anyio
from anyio.abc import TaskGroup

from meshinstall.engine.session import Session
from meshinstall.engine.tasks import task_group
from meshinstall.errors import ClusterError, ConflictError, LockedError
from meshinstall.model.ownership import RUN_OBJECT, lease_path
from meshinstall.model.paths import object_path
from meshinstall.model.release import Manifest
from meshinstall.ports import Kube

_RUN = "meshinstall.dev/run"
# Seconds: how long a holder that says nothing is believed, and how often it speaks.
_LIFE = 30
_RENEW = 10


async def has_place(kube: Kube, namespace: str) -> bool:
    """Whether a namespace can hold a lock: it is there, and nothing is made any more in one that is being deleted."""
    live = await kube.get(object_path("v1", "namespaces", name=namespace))
    return live is not None and "deletionTimestamp" not in live["metadata"]


@asynccontextmanager
async def run_lock(session: Session, namespace: str) -> AsyncIterator["RunLock"]:
    """A lock for a ``with`` block, which may run one stage or several; nothing is written before it is taken."""
    async with task_group() as group:
        lock = RunLock(session, namespace, group)
        try:
            yield lock
        finally:
            group.cancel_scope.cancel()
            with anyio.CancelScope(shield=True), anyio.move_on_after(_RENEW):
                await lock.release()


class RunLock:
    """The run lock of one mesh; once taken it is renewed until the block that made it ends."""

    def __init__(self, session: Session, namespace: str, group: TaskGroup) -> None:
        self._session = session
        self._namespace = namespace
        self._group = group
        self._lease: _Lease | None = None

    @property
    def is_taken(self) -> bool:
        """Whether this caller holds it already, for an earlier stage."""
        return self._lease is not None

    async def take(self, what: str, *, leaving: bool = False) -> None:
        """Take it for the run that ``what`` names; raises LockedError with who holds it since when.

        A holder that died on this same machine is known to be dead at once; any other is believed for 30 s after its
        last renewal. ``leaving``: the run deletes the namespace, and the lock with it.
        """
        if self._lease is not None:
            await self._lease.rename(what)
            return
        lease = _Lease(self._session, self._namespace, leaving=leaving)
        await lease.acquire(what)
        self._lease = lease
        self._group.start_soon(lease.renew)

    async def release(self) -> None:
        """Give it back, if it was taken."""
        if self._lease is not None:
            await self._lease.release()


class _Lease:
    """The Lease as this run last saw it: what was changed by another is never written over."""

    def __init__(self, session: Session, namespace: str, *, leaving: bool) -> None:
        self._session = session
        self._namespace = namespace
        self._path = lease_path(namespace)
        self._version = ""
        self._leaving = leaving

    async def acquire(self, what: str) -> None:
        lease = await self._session.kube.get(self._path)
        now = self._session.now()
        spec = {
            "holderIdentity": self._session.who,
            "leaseDurationSeconds": _LIFE,
            "acquireTime": _micro(now),
            "renewTime": _micro(now),
            "leaseTransitions": ((lease or {}).get("spec") or {}).get("leaseTransitions", 0) + 1,
        }
        metadata: dict[str, Any] = {"name": RUN_OBJECT, "namespace": self._namespace, "annotations": {_RUN: what}}
        body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec}
        try:
            if lease is None:
                taken = await self._session.kube.create(object_path("coordination.k8s.io/v1", "leases", self._namespace), body)
            else:
                _refuse_if_held(lease, self._session, now)
                metadata["resourceVersion"] = lease["metadata"]["resourceVersion"]
                taken = await self._session.kube.patch(self._path, body)
        except ConflictError:
            raise _locked(await self._session.kube.get(self._path) or body) from None
        self._version = taken["metadata"]["resourceVersion"]

    async def rename(self, what: str) -> None:
        """Say what the lock is held for now."""
        await self._write({}, {"annotations": {_RUN: what}})

    async def renew(self) -> None:
        """Say that this run lives, until the lock goes with its namespace; an API server that is away may be so for the lease's life."""
        heard = anyio.current_time()
        while True:
            await anyio.sleep(_RENEW)
            try:
                await self._write({"renewTime": _micro(self._session.now())})
            except ClusterError:
                if self._leaving and await self._is_gone():
                    return
                if anyio.current_time() - heard > _LIFE:
                    raise
            else:
                heard = anyio.current_time()

    async def _is_gone(self) -> bool:
        """Whether there is no place for a lock any more, so that nobody else can take it either."""
        try:
            return not await has_place(self._session.kube, self._namespace)
        except ClusterError:
            return False

    async def release(self) -> None:
        try:
            await self._write({"holderIdentity": "", "leaseDurationSeconds": 1})
        except (ClusterError, LockedError):
            # Gone with its namespace, out of reach, or another's by now.
            return

    async def _write(self, spec: Mapping[str, object], metadata: Mapping[str, object] | None = None) -> None:
        try:
            lease = await self._patch(spec, metadata or {})
        except ConflictError:
            lease = await self._session.kube.get(self._path) or {}
            if (lease.get("spec") or {}).get("holderIdentity") != self._session.who:
                raise _locked(lease) from None
            self._version = lease["metadata"]["resourceVersion"]
            lease = await self._patch(spec, metadata or {})
        self._version = lease["metadata"]["resourceVersion"]

    async def _patch(self, spec: Mapping[str, object], metadata: Mapping[str, object]) -> Manifest:
        return await self._session.kube.patch(self._path, {"metadata": {**metadata, "resourceVersion": self._version}, "spec": spec})


def _refuse_if_held(lease: Manifest, session: Session, now: datetime) -> None:
    spec = lease.get("spec") or {}
    holder = spec.get("holderIdentity")
    if not holder or session.is_dead(holder):
        return
    renewed = spec.get("renewTime")
    # Who never said when it spoke may hold it still: a person decides.
    if not renewed or now < datetime.fromisoformat(renewed) + timedelta(seconds=spec.get("leaseDurationSeconds", _LIFE)):
        raise _locked(lease)


def _locked(lease: Manifest) -> LockedError:
    spec = lease.get("spec") or {}
    what = ((lease.get("metadata") or {}).get("annotations") or {}).get(_RUN, "a run")
    since = spec.get("acquireTime", "an unknown time").partition(".")[0]
    return LockedError(
        f"{spec.get('holderIdentity') or 'another run'} has held the lock of this mesh since {since} ({what})",
        f"wait until that run ends; if it is dead, the lock expires {_LIFE} s after its last renewal",
    )


def _micro(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
