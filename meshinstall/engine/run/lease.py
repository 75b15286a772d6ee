"""The Lease behind a run lock, by the rules of Kubernetes' own leader election (client-go: tools/leaderelection).

Clocks of machines are never compared. Whoever wants a held Lease watches it, by a clock of its own, for the whole life that a holder
is believed: any change means that the holder lives. The holder gives up well before, counted from the moment at which it sent its last
renewal that was answered, so that its helm has ended when another may begin.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import anyio

from meshinstall.engine.session import Session
from meshinstall.errors import ClusterError, ConflictError, LockedError
from meshinstall.model.ownership import PROBES, RUN_OBJECT, lease_path
from meshinstall.model.paths import object_path
from meshinstall.model.release import Manifest
from meshinstall.ports import Kube

_RUN = "meshinstall.dev/run"
# Seconds: a holder that is silent is believed for _LIFE; it renews every _RENEW and gives up _GIVE_UP after its last renewal, which
# leaves helm's process group the time to end (adapters/helm/process.py: 4 s) and clocks to run 20 % faster or slower.
_LIFE = 30
_GIVE_UP = 18
_RENEW = 2
# Seconds for the answer to one renewal: a connection may hang.
_ANSWER = 5
# The API server takes no more (int32).
_MOST_TRANSITIONS = 2**31 - 1
_AGAIN = "run the same command again to continue"
_API = "coordination.k8s.io/v1"


async def has_place(kube: Kube, namespace: str) -> bool:
    """Whether a namespace can hold a lock: it is there, and nothing is made any more in one that is being deleted."""
    live = await kube.get(object_path("v1", "namespaces", name=namespace))
    return live is not None and "deletionTimestamp" not in live["metadata"]


class Lease:
    """The Lease as this run last saw it: what was changed by another is never written over."""

    def __init__(self, session: Session, namespace: str, *, leaving: bool) -> None:
        self._session = session
        self._namespace = namespace
        self._path = lease_path(namespace)
        self._version = ""
        self._leaving = leaving
        # By the session's clock, when the newest renewal that was answered was sent.
        self._sent = 0.0
        self.is_lost = False

    async def acquire(self, what: str, tell: Callable[[str], None]) -> None:
        """Take it; ``tell`` hears who is watched. Raises LockedError when its holder lives, or is known never to have renewed it."""
        watched: Manifest | None = None
        since = 0.0
        while True:
            lease = await self._session.kube.get(self._path)
            if lease is None or self._is_free(lease):
                if await self._try(lease, what):
                    return
                continue
            if watched is None:
                watched, since = lease, self._session.clock()
                tell(f"{_holder(lease)} holds the lock of this mesh: watching for {_patience(lease):.0f} s whether it is renewed")
            elif _spec(lease) != _spec(watched):
                raise _locked(lease)
            elif self._session.clock() - since >= _patience(lease):
                if await self._try(lease, what):
                    return
                continue
            await anyio.sleep(_RENEW)

    def _is_free(self, lease: Manifest) -> bool:
        """Whether nobody has it; raises LockedError where somebody surely does."""
        holder = _spec(lease).get("holderIdentity")
        if not holder or self._session.is_dead(holder):
            return True
        # Who never renewed it may hold it still: a person decides.
        if self._session.is_alive(holder) or not _spec(lease).get("renewTime"):
            raise _locked(lease)
        return False

    async def _try(self, lease: Manifest | None, what: str) -> bool:
        """Write ourselves into the version that was seen; False when it was changed meanwhile. An answer may be lost: then look."""
        now = _micro(self._session)
        spec = {
            "holderIdentity": self._session.who,
            "leaseDurationSeconds": _LIFE,
            "acquireTime": now,
            "renewTime": now,
            "leaseTransitions": _number(lease, "leaseTransitions") % _MOST_TRANSITIONS + 1,
        }
        metadata: dict[str, Any] = {"name": RUN_OBJECT, "namespace": self._namespace, "annotations": {_RUN: what}}
        body = {"apiVersion": _API, "kind": "Lease", "metadata": metadata, "spec": spec}
        kube, sent = self._session.kube, self._session.clock()
        try:
            if lease is None:
                taken = await kube.create(object_path(_API, "leases", self._namespace), body)
            else:
                metadata["resourceVersion"] = lease["metadata"]["resourceVersion"]
                taken = await kube.patch(self._path, body)
        except ClusterError as error:
            found = await kube.get(self._path)
            if _spec(found).get("holderIdentity") != self._session.who:
                if isinstance(error, ConflictError) or (lease is not None and found is None):
                    return False
                raise
            taken = found or {}
        self._version, self._sent = taken["metadata"]["resourceVersion"], sent
        while self._session.clock() - self._sent > _ANSWER:
            # The answer took so long that another may have taken it over since.
            await self._write({"renewTime": _micro(self._session)})
        return True

    async def rename(self, what: str) -> None:
        """Say what the lock is held for now; raises LockedError when it is lost."""
        await self._annotate(_RUN, what)

    async def name_probes(self, namespace: str) -> None:
        """Say which namespace, ``NAME/UID``, has the probes of this run; raises LockedError when the lock is lost."""
        await self._annotate(PROBES, namespace)

    async def _annotate(self, name: str, value: str) -> None:
        with self._noticing():
            await self._write({}, {"annotations": {name: value}})

    async def renew(self) -> None:
        """Say that this run lives, until the lock goes with its namespace; raises LockedError when it is lost or not renewed in time."""
        with self._noticing():
            await self._renew()

    @contextmanager
    def _noticing(self) -> Iterator[None]:
        """A block that may find that the lock is lost."""
        try:
            yield
        except LockedError:
            self.is_lost = True
            raise

    async def _renew(self) -> None:
        trouble = "the API server does not answer"
        while True:
            await anyio.sleep(_RENEW)
            left = self._sent + _GIVE_UP - self._session.clock()
            if left <= 0:
                message = f"the lock of this mesh was not renewed for {_GIVE_UP} s, so this run stops before another can take it: {trouble}"
                raise LockedError(message, _AGAIN)
            with anyio.move_on_after(min(left, _ANSWER)):
                try:
                    await self._write({"renewTime": _micro(self._session)})
                except ClusterError as error:
                    trouble = error.message
                    if await self._is_gone():
                        return

    async def _is_gone(self) -> bool:
        """Whether the lock went with its namespace, which this run deletes; raises LockedError when it alone is gone."""
        try:
            if await self._session.kube.get(self._path) is not None:
                return False
            if self._leaving and not await has_place(self._session.kube, self._namespace):
                return True
        except ClusterError:
            return False
        raise LockedError(f"somebody deleted the lock of this mesh during the run: the Lease {self._namespace}/{RUN_OBJECT}", _AGAIN)

    async def release(self) -> None:
        """Give it back, if it is still ours."""
        try:
            with anyio.move_on_after(_ANSWER):
                await self._write({"holderIdentity": "", "leaseDurationSeconds": 1})
        except (ClusterError, LockedError):
            # Gone with its namespace, out of reach, or another's by now.
            return

    async def _write(self, spec: Mapping[str, object], metadata: Mapping[str, object] | None = None) -> None:
        """Change our Lease; what else was changed in it, or a renewal whose answer was lost, gives it another version only."""
        while True:
            sent = self._session.clock()
            version = {"resourceVersion": self._version}
            try:
                lease = await self._session.kube.patch(self._path, {"metadata": {**(metadata or {}), **version}, "spec": spec})
            except ConflictError:
                lease = await self._session.kube.get(self._path) or {}
                if _spec(lease).get("holderIdentity") != self._session.who:
                    raise _locked(lease) from None
                self._version = lease["metadata"]["resourceVersion"]
            else:
                self._version, self._sent = lease["metadata"]["resourceVersion"], max(sent, self._sent)
                return


def _spec(lease: Manifest | None) -> Mapping[str, Any]:
    return (lease or {}).get("spec") or {}


def _holder(lease: Manifest) -> str:
    return str(_spec(lease).get("holderIdentity") or "another run")


def _patience(lease: Manifest) -> float:
    """Seconds that its holder is believed: what it asked for, and at least what we ask for."""
    return float(max(_number(lease, "leaseDurationSeconds"), _LIFE))


def _number(lease: Manifest | None, name: str) -> int:
    found = _spec(lease).get(name)
    return found if isinstance(found, int) else 0


def _locked(lease: Manifest) -> LockedError:
    what = ((lease.get("metadata") or {}).get("annotations") or {}).get(_RUN, "a run")
    since = str(_spec(lease).get("acquireTime") or "an unknown time").partition(".")[0]
    return LockedError(
        f"{_holder(lease)} has held the lock of this mesh since {since} ({what})",
        f"wait until that run ends; a run that died on another machine is believed for {_LIFE} s",
    )


def _micro(session: Session) -> str:
    return session.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
