"""Who holds the lock, and whether that run lives, as far as anybody can know it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest

from meshinstall.engine.observe.run_holder import holder, watched_holder
from meshinstall.model.ownership import RUN_OBJECT, lease_path
from meshinstall.model.status import Holder, MeshStatus, Proxies
from tests.fake_kube import FakeKube
from tests.fakes import World


def status(found: Holder) -> MeshStatus:
    """A mesh of which nothing else is to be said."""
    now = datetime(2026, 11, 21, 9, tzinfo=UTC)
    return MeshStatus("dev", "here", now, "1.31.0", "default", (), Proxies(), (), None, found)


def lease(who: str, renewed: str = "2026-11-21T09:00:05.000000Z") -> dict[str, Any]:
    spec = {"holderIdentity": who, "acquireTime": "2026-11-21T09:00:00.000000Z", "renewTime": renewed, "leaseDurationSeconds": 30}
    name = {"name": RUN_OBJECT, "namespace": "istio-system", "annotations": {"meshinstall.dev/run": "up dev"}}
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": name, "spec": spec}


def nobody(_: str) -> bool:
    return False


def test_the_lock_says_who_holds_it_and_what_is_known_of_that_run() -> None:
    assert holder(None, nobody, nobody) is None
    assert holder(lease(""), nobody, nobody) is None
    found = holder(lease("me@here/1-2"), nobody, nobody)
    wanted = Holder("me@here/1-2", "2026-11-21T09:00:00Z", "up dev", is_dead=False)
    assert found == wanted
    assert holder(lease("me@here/1-2"), lambda _: True, nobody) == replace(wanted, is_dead=True)
    assert holder(lease("me@here/1-2"), nobody, lambda _: True) == replace(wanted, is_alive=True)


@pytest.mark.parametrize("renewed", ["2001-01-01T00:00:00.000000Z", "9999-12-31T23:59:59.000000Z", "soon", None])
@pytest.mark.anyio
async def test_a_clock_of_another_machine_says_nothing(renewed: str) -> None:
    """Minutes of skew made a live run a dead one, and a time that no clock reaches a traceback."""
    found = await watched(lambda _: None, renewed)
    assert found
    assert (found.is_dead, found.is_alive) == (False, False)
    assert "it may be dead: up finds out" in next(told for told in status(found).warnings() if "lock" in told)


@pytest.mark.anyio
async def test_a_lock_that_is_renewed_is_held_by_a_live_run() -> None:
    found = await watched(lambda kube: kube.put(lease("ann@there/1-2", "2001-01-01T00:00:02.000000Z")), "2001-01-01T00:00:00.000000Z")
    assert found
    assert (found.is_dead, found.is_alive) == (False, True)
    assert list(status(found).warnings()) == ["the lock is held: ann@there/1-2 since 2026-11-21T09:00:00Z"]


@pytest.mark.anyio
async def test_a_lock_that_is_given_back_meanwhile_is_free() -> None:
    assert await watched(lambda kube: kube.put(lease(""))) is None


async def watched(change: Callable[[FakeKube], object], renewed: str | None = "2026-11-21T09:00:05.000000Z") -> Holder | None:
    """What status says of a lock that another machine holds, and that changes while it looks."""
    world = World()
    world.kube.put(lease("ann@there/1-2", renewed))  # type: ignore[arg-type] # null too
    found: list[Holder | None] = []

    async def look() -> None:
        found.append(await watched_holder(world.session(), lease_path("istio-system")))

    async with anyio.create_task_group() as group:
        group.start_soon(look)
        await anyio.sleep(2.5)
        change(world.kube)
    return found[0]
