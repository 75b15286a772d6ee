"""Many interleavings of two and three holders of a lock with lost answers, hanging requests, and clocks that differ in time and speed."""

import os
from datetime import timedelta

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshinstall.adapters.helm import process
from meshinstall.adapters.kube import kubeconfig
from meshinstall.adapters.kube.kubeconfig import Kubeconfig
from meshinstall.engine.run.run_lock import run_lock
from meshinstall.errors import LockedError
from testbed.cluster import Cluster
from tests.cluster.far_server import far_server
from tests.cluster.test_lock import session, space
from tests.unit.engine.run.holders import HOLDERS, Fate, Holder, Trip, race

__all__ = ["space"]  # a fixture


@given(st.lists(HOLDERS, min_size=2, max_size=3))
@settings(max_examples=5000)
def test_two_are_never_at_work_at_once(holders: list[Holder]) -> None:
    race(holders)


@pytest.mark.parametrize("fate", Fate)
@pytest.mark.parametrize("first", range(2, 12))
@pytest.mark.parametrize("delay", [0.01, 4.9, 6.0, 17.0, 29.0])
def test_every_renewal_may_be_the_one_that_is_lost(fate: Fate, first: int, delay: float) -> None:
    """From one request on, for each kind of loss: the second holder comes at every second of the first one's lease."""
    trips = (*[Trip()] * first, *[Trip(fate, delay)] * 60)
    for begins in range(0, 40, 3):
        race([Holder(work=70, speed=0.9, trips=trips), Holder(begins=begins, speed=1.1, wall=45)])


@pytest.mark.cluster
def test_a_run_that_is_cut_off_has_ended_its_helm_when_the_next_begins(cluster: Cluster, space: str) -> None:
    """In helm's place there is a process that ignores SIGTERM."""
    config = kubeconfig.load(cluster.kubeconfig)
    order: list[str] = []

    async def first(config: Kubeconfig, cut: anyio.Event) -> None:
        async with run_lock(session(config, "ann"), space) as lock:
            await lock.take("up dev, run 1")
            cut.set()
            try:
                await process.run(["sh", "-c", "trap '' TERM; sleep 600 & wait; sleep 600"], b"", dict(os.environ))
            finally:
                order.append("the first has ended")

    async def refused(config: Kubeconfig, cut: anyio.Event) -> None:
        with pytest.raises(LockedError, match="was not renewed for 18 s"):
            await first(config, cut)

    async def second() -> None:
        async with run_lock(session(config, "bob", timedelta(seconds=45)), space) as lock:
            await lock.take("up dev, run 2")
            order.append("the second has begun")

    async def run() -> None:
        with far_server(config) as far:
            held = anyio.Event()
            async with anyio.create_task_group() as group:
                group.start_soon(refused, far.config, held)
                await held.wait()
                far.cut.set()
                await second()

    anyio.run(run)
    assert order == ["the first has ended", "the second has begun"]
