"""Several holders of one lock: the real code of each behind a network of its own, with clocks that differ in time and in speed."""

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import Enum
from typing import Any

import anyio
from anyio.abc import TaskGroup
from hypothesis import strategies as st

from meshinstall.engine.run.run_lock import run_lock
from meshinstall.engine.session import Session
from meshinstall.errors import MeshinstallError, UnreachableError
from meshinstall.model.release import Manifest
from tests.fake_kube import FakeKube, now
from tests.fakes import World
from tests.virtual_time import VirtualTimeLoop

# Seconds after which our client believes that no answer comes, and in which a helm that is ended may still be at work.
_PATIENCE = 35
_HELM_ENDS = 4


class Fate(Enum):
    """What becomes of one request."""

    ANSWERED = "answered"
    REFUSED = "never reaches the server, which the client hears"
    UNTOLD = "done, and the client hears that the connection broke"
    HANGS = "never reaches the server, and nothing is heard"
    SILENT = "done, and nothing is heard"


@dataclass(frozen=True, slots=True)
class Trip:
    """A request's seconds to the server and back."""

    fate: Fate = Fate.ANSWERED
    there: float = 0.01
    back: float = 0.01


@dataclass(frozen=True, slots=True)
class Holder:
    """A machine: when it begins, its wall clock's difference, the speed of its own clock, seconds of work, when it dies, its network."""

    begins: float = 0
    wall: float = 0
    speed: float = 1
    work: float = 20
    dies: float | None = None
    trips: tuple[Trip, ...] = ()


TRIPS = st.builds(Trip, st.sampled_from(Fate), *[st.sampled_from([0.01, 1.0, 4.9, 6.0, 17.0, 29.0, 45.0])] * 2)
HOLDERS = st.builds(
    Holder,
    begins=st.sampled_from([0.0, 0.005, 1.0, 10.0, 25.0, 40.0]),
    wall=st.sampled_from([0.0, -45.0, 45.0, -3600.0, 3600.0]),
    speed=st.sampled_from([1.0, 0.9, 1.1]),
    work=st.sampled_from([1.0, 20.0, 70.0]),
    dies=st.none() | st.sampled_from([5.0, 30.0]),
    trips=st.lists(TRIPS | st.just(Trip()), max_size=25).map(tuple),
)


@dataclass
class Mesh:
    """One cluster; ``at_work`` are those that change it now, ``worked`` all that ever did."""

    there: World = field(default_factory=World)
    at_work: set[str] = field(default_factory=set)
    worked: list[str] = field(default_factory=list)

    def begin(self, who: str) -> None:
        """Somebody changes the mesh."""
        assert not self.at_work, f"{who} begins at {anyio.current_time()} beside {self.at_work}"
        self.at_work.add(who)
        self.worked.append(who)

    def end(self, who: str) -> None:
        """And is done."""
        self.at_work.discard(who)


class _Far(FakeKube):
    """A cluster at the other end of a network: what a client no longer waits for arrives all the same."""

    def __init__(self, kube: FakeKube, trips: tuple[Trip, ...], network: TaskGroup) -> None:
        super().__init__()
        self._kube = kube
        self._trips: Iterator[Trip] = iter(trips)
        self._network = network
        self.is_dead = False

    async def get(self, path: str) -> Manifest | None:
        """Through the network."""
        found: Manifest | None = await self._send(lambda: self._kube.get(path))
        return found

    async def create(self, path: str, body: Manifest, *, dry_run: bool = False) -> Manifest:
        """Through the network."""
        made: Manifest = await self._send(lambda: self._kube.create(path, body, dry_run=dry_run))
        return made

    async def patch(self, path: str, body: Manifest, *, dry_run: bool = False) -> Manifest:
        """Through the network."""
        made: Manifest = await self._send(lambda: self._kube.patch(path, body, dry_run=dry_run))
        return made

    async def _send(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        trip = next(self._trips, Trip())
        done = anyio.Event()
        answers: list[Any] = []

        async def carry() -> None:
            await anyio.sleep(trip.there)
            if trip.fate in {Fate.ANSWERED, Fate.UNTOLD, Fate.SILENT}:
                try:
                    answers.append(await ask())
                except MeshinstallError as error:
                    answers.append(error)
            await anyio.sleep(trip.back)
            done.set()

        if self.is_dead:
            await anyio.sleep_forever()
        self._network.start_soon(carry)
        with anyio.move_on_after(_PATIENCE):
            await done.wait()
            if trip.fate in {Fate.HANGS, Fate.SILENT}:
                await anyio.sleep(_PATIENCE)
        if trip.fate is not Fate.ANSWERED or not done.is_set():
            raise UnreachableError(trip.fate.value)
        if isinstance(answers[0], MeshinstallError):
            raise answers[0]
        return answers[0]


def race(holders: list[Holder]) -> list[str]:
    """Let them run, twice each, and say who worked; raises AssertionError when two are at work at once."""
    mesh = Mesh()

    async def run() -> None:
        async with anyio.create_task_group() as network:
            async with anyio.create_task_group() as group:
                for number, holder in enumerate(holders):
                    group.start_soon(_twice, mesh, holder, f"ann@host-{number}", network)
            network.cancel_scope.cancel()

    anyio.run(run, backend_options={"loop_factory": VirtualTimeLoop})
    return mesh.worked


async def _twice(mesh: Mesh, holder: Holder, name: str, network: TaskGroup) -> None:
    await anyio.sleep(holder.begins)
    far = _Far(mesh.there.kube, holder.trips, network)
    for again in range(2):
        await _once(mesh, holder, far, f"{name}/1-{again}/7-1")
        if far.is_dead:
            return
        await anyio.sleep(3)


async def _once(mesh: Mesh, holder: Holder, far: _Far, who: str) -> None:
    async with anyio.create_task_group() as process:
        if holder.dies is not None:
            process.start_soon(_die, holder.dies, far, process)
        try:
            async with run_lock(_session(mesh, holder, far, who), "istio-system") as lock:
                await lock.take("up dev, run 1")
                mesh.begin(who)
                try:
                    await anyio.sleep(holder.work)
                finally:
                    if not far.is_dead:
                        with anyio.CancelScope(shield=True):
                            await anyio.sleep(_HELM_ENDS)
                    mesh.end(who)
        except MeshinstallError:
            # Locked, lost, or out of reach: the run is over.
            pass
        process.cancel_scope.cancel()


async def _die(seconds: float, far: _Far, process: TaskGroup) -> None:
    """SIGKILL: nothing is sent any more, and the kernel ends helm."""
    await anyio.sleep(seconds)
    far.is_dead = True
    process.cancel_scope.cancel()


def _session(mesh: Mesh, holder: Holder, far: _Far, who: str) -> Session:
    return replace(
        mesh.there.session(who),
        kube=far,
        now=lambda: now() + timedelta(seconds=holder.wall),
        clock=lambda: 1000 + anyio.current_time() * holder.speed,
    )
