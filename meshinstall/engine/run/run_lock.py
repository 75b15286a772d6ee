"""One run at a time for a mesh: a Lease in its namespace (coordination.k8s.io/v1)."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from anyio.abc import TaskGroup

from meshinstall.engine.run.lease import Lease
from meshinstall.engine.session import Session
from meshinstall.engine.tasks import closing, task_group

# Seconds to give it back.
_LAST_WORDS = 10


def _nobody(_: str) -> None:
    """Hears nothing."""


@asynccontextmanager
async def run_lock(session: Session, namespace: str) -> AsyncIterator["RunLock"]:
    """A lock for a ``with`` block, which may run one stage or several; nothing is written before it is taken.

    When it is lost the block is cancelled, helm's process group with it, and LockedError raised.
    """
    async with task_group() as group:
        lock = RunLock(session, namespace, group)
        try:
            yield lock
        finally:
            with closing(_LAST_WORDS):
                group.cancel_scope.cancel()
                await lock.release()


class RunLock:
    """The run lock of one mesh; once taken it is renewed until the block that made it ends."""

    def __init__(self, session: Session, namespace: str, group: TaskGroup) -> None:
        self._session = session
        self._namespace = namespace
        self._group = group
        self._lease: Lease | None = None

    @property
    def is_taken(self) -> bool:
        """Whether this caller holds it already, for an earlier stage."""
        return self._lease is not None

    @property
    def is_lost(self) -> bool:
        """Whether it was taken and may now be another's."""
        return self._lease is not None and self._lease.is_lost

    async def take(self, what: str, *, leaving: bool = False, tell: Callable[[str], None] = _nobody) -> None:
        """Take it for the run that ``what`` names; raises LockedError with who holds it since when.

        Of a holder on this same machine it is known at once whether it lives; any other is watched, for 30 s when it does not
        renew. ``leaving``: the run deletes the namespace, and the lock with it. ``tell`` hears what is waited for.
        """
        if self._lease is not None:
            await self._lease.rename(what)
            return
        lease = Lease(self._session, self._namespace, leaving=leaving)
        await lease.acquire(what, tell)
        self._lease = lease
        self._group.start_soon(lease.renew)

    async def name_probes(self, name: str, uid: str) -> None:
        """Let other runs know the namespace of this one's probes, which no tenant can forge; raises LockedError."""
        if self._lease is not None:
            await self._lease.name_probes(f"{name}/{uid}")

    async def release(self) -> None:
        """Give it back, if it was taken."""
        if self._lease is not None:
            await self._lease.release()
