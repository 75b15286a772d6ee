"""The lock on a real API server: two runs whose clocks differ (one that is cut off from the server: tests/soak/test_locks.py)."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import anyio
import pytest

from meshinstall.adapters import machine
from meshinstall.adapters.kube import kubeconfig
from meshinstall.adapters.kube.client import KubeClient
from meshinstall.adapters.kube.kubeconfig import Kubeconfig
from meshinstall.engine.run.run_lock import run_lock
from meshinstall.engine.session import Session
from meshinstall.errors import LockedError
from meshinstall.model.ownership import lease_path
from testbed.cluster import Cluster
from tests.fakes import World

pytestmark = pytest.mark.cluster


@pytest.fixture
def space(cluster: Cluster) -> Iterator[str]:
    """A namespace for one lock."""
    name = f"lock-{uuid4().hex[:6]}"
    cluster.api().post("/api/v1/namespaces", {"metadata": {"name": name}})
    yield name
    cluster.api().delete(f"/api/v1/namespaces/{name}")


def session(config: Kubeconfig, who: str, clock: timedelta = timedelta()) -> Session:
    """A run on another machine whose wall clock is off by ``clock``."""
    found = World().session(f"{who}@elsewhere/0-1/7-1")
    return replace(found, kube=KubeClient(config, None), now=lambda: datetime.now(UTC) + clock, clock=machine.seconds)


async def take(found: Session, space: str) -> None:
    """Take the lock and give it back."""
    async with run_lock(found, space) as lock:
        await lock.take("up dev, run 2")


@pytest.mark.parametrize("skew", [timedelta(seconds=-45), timedelta(hours=-1)])
def test_a_live_lock_is_not_taken_whatever_the_clocks_say(cluster: Cluster, space: str, skew: timedelta) -> None:
    config = kubeconfig.load(cluster.kubeconfig)
    ann, bob = session(config, "ann", skew), session(config, "bob")

    async def run() -> None:
        async with run_lock(ann, space) as lock:
            await lock.take("up dev, run 1")
            with pytest.raises(LockedError, match=r"ann@elsewhere/0-1/7-1 has held the lock of this mesh since .* \(up dev, run 1\)"):
                await take(bob, space)
        async with run_lock(bob, space) as other:
            await other.take("up dev, run 2")
            lease = await bob.kube.get(lease_path(space))
            assert lease
            assert lease["spec"]["holderIdentity"] == "bob@elsewhere/0-1/7-1"
            assert lease["spec"]["leaseTransitions"] == 2

    anyio.run(run)
