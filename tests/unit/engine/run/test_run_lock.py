"""One run at a time: who may take the lock of a mesh, and what the others are told."""

from datetime import timedelta

import anyio
import pytest

from meshinstall.engine.run.run_lock import run_lock
from meshinstall.errors import ClusterError, ConflictError, LockedError
from meshinstall.model.ownership import lease_path
from tests.fake_kube import NOON
from tests.fakes import World

pytestmark = pytest.mark.anyio

LEASE = lease_path("istio-system")


def place(there: World, holder: str, age: float, life: int = 30) -> None:
    """A Lease whose holder spoke ``age`` seconds ago."""
    spoken = (NOON - timedelta(seconds=age)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    metadata = {"name": "meshinstall", "namespace": "istio-system", "annotations": {"meshinstall.dev/run": "up prod, run 7"}}
    spec = {"holderIdentity": holder, "leaseDurationSeconds": life, "acquireTime": spoken, "renewTime": spoken, "leaseTransitions": 4}
    there.kube.put({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata, "spec": spec})


async def take(there: World, who: str = "ann@laptop/7-1", seconds: float = 0) -> None:
    async with run_lock(there.session(who), "istio-system") as lock:
        await lock.take("up dev, run 1")
        await anyio.sleep(seconds)


async def test_a_free_lock_is_taken_says_who_for_what_and_is_given_back() -> None:
    there = World()
    async with run_lock(there.session(), "istio-system") as lock:
        await lock.take("up dev, run 1")
        lease = there.kube.objects[LEASE]
        assert lease["spec"]["holderIdentity"] == "ann@laptop/7-1"
        assert lease["metadata"]["annotations"] == {"meshinstall.dev/run": "up dev, run 1"}
    assert there.kube.objects[LEASE]["spec"]["holderIdentity"] == ""
    await take(there, "bob@desk/8-1")


async def test_a_lock_that_is_held_says_by_whom_since_when_for_what() -> None:
    there = World()
    place(there, "bob@desk/8-1", age=10)
    with pytest.raises(LockedError) as caught:
        await take(there)
    assert caught.value.message == "bob@desk/8-1 has held the lock of this mesh since 2026-11-21T11:59:50 (up prod, run 7)"
    assert there.kube.objects[LEASE]["spec"]["holderIdentity"] == "bob@desk/8-1"


@pytest.mark.parametrize(("age", "free"), [(29.9, False), (30.1, True)])
async def test_a_holder_that_says_nothing_is_believed_for_its_lease(age: float, free: bool) -> None:  # noqa: FBT001 - a column of the table
    there = World()
    place(there, "bob@desk/8-1", age)
    if not free:
        with pytest.raises(LockedError):
            await take(there)
        return
    await take(there)
    assert there.kube.objects[LEASE]["spec"]["leaseTransitions"] == 5


async def test_a_holder_that_never_said_when_it_spoke_is_left_its_lock() -> None:
    there = World()
    place(there, "bob@desk/8-1", age=60)
    there.kube.objects[LEASE]["spec"] = {"holderIdentity": "bob@desk/8-1"}
    with pytest.raises(LockedError, match="since an unknown time"):
        await take(there)
    del there.kube.objects[LEASE]["spec"]
    await take(there)


async def test_a_holder_known_to_be_dead_is_not_waited_for() -> None:
    there = World()
    place(there, "ann@laptop/3-1", age=1)
    there.dead.add("ann@laptop/3-1")
    await take(there)


async def test_the_lock_is_renewed_while_it_is_held() -> None:
    there = World()
    async with run_lock(there.session(), "istio-system") as lock:
        await lock.take("up dev, run 1")
        await anyio.sleep(45)
        with pytest.raises(LockedError):
            await take(there, "bob@desk/8-1")
    assert there.kube.objects[LEASE]["spec"]["renewTime"] == "2026-11-21T12:00:40.000000Z"


async def test_of_two_that_find_no_lock_one_gets_it() -> None:
    there, outcomes = World(), []

    async def one(who: str) -> None:
        try:
            await take(there, who, seconds=5)
            outcomes.append("ran")
        except LockedError as error:
            outcomes.append(error.message)

    async with anyio.create_task_group() as group:
        group.start_soon(one, "ann@laptop/7-1")
        group.start_soon(one, "bob@desk/8-1")
    assert outcomes == ["ann@laptop/7-1 has held the lock of this mesh since 2026-11-21T12:00:00 (up dev, run 1)", "ran"]


async def test_of_two_that_find_an_expired_lock_one_gets_it() -> None:
    there, outcomes = World(), []
    place(there, "eve@gone/1-1", age=60)

    async def one(who: str) -> None:
        try:
            await take(there, who, seconds=5)
            outcomes.append("ran")
        except LockedError:
            outcomes.append("locked")

    async with anyio.create_task_group() as group:
        group.start_soon(one, "ann@laptop/7-1")
        group.start_soon(one, "bob@desk/8-1")
    assert outcomes == ["locked", "ran"]


async def test_a_namespace_that_is_gone_at_the_end_is_no_error() -> None:
    there = World()
    async with run_lock(there.session(), "istio-system") as lock:
        await lock.take("down dev, run 1")
        del there.kube.objects[LEASE]


@pytest.mark.parametrize("left", [{}, {"deletionTimestamp": "2026-11-21T12:00:01Z"}])
async def test_a_removal_goes_on_when_the_lock_went_with_its_namespace(left: dict[str, str]) -> None:
    there, ended = World(), False
    async with run_lock(there.session(), "istio-system") as lock:
        await lock.take("down dev, run 1", leaving=True)
        del there.kube.objects[LEASE]
        if left:
            there.kube.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "istio-system", **left}})
        await anyio.sleep(120)
        ended = True
    assert ended


@pytest.mark.parametrize("leaving", [False, True])
async def test_a_lock_that_vanishes_from_a_namespace_that_stays_ends_the_run(leaving: bool) -> None:  # noqa: FBT001 - both ways
    there = World()
    there.kube.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "istio-system"}})

    async def ours() -> None:
        async with run_lock(there.session(), "istio-system") as lock:
            await lock.take("up dev, run 1", leaving=leaving)
            del there.kube.objects[LEASE]
            await anyio.sleep(120)

    with pytest.raises(ClusterError, match="not found"):
        await ours()


async def test_the_lock_is_given_back_when_the_run_fails_or_is_cancelled() -> None:
    there = World()

    async def failing() -> None:
        async with run_lock(there.session(), "istio-system") as lock:
            await lock.take("up dev, run 1")
            raise ConflictError("the run's own error")

    with pytest.raises(ConflictError, match="the run's own error"):
        await failing()
    assert there.kube.objects[LEASE]["spec"]["holderIdentity"] == ""
    with anyio.move_on_after(5):
        await take(there, seconds=100)
    assert there.kube.objects[LEASE]["spec"]["holderIdentity"] == ""


async def test_a_server_that_is_away_during_one_renewal_does_not_stop_the_run() -> None:
    there, ended = World(), False
    async with run_lock(there.session(), "istio-system") as lock:
        await lock.take("up dev, run 1")
        there.kube.refusals[f"PATCH {LEASE}"] = ClusterError("the API server does not answer")
        await anyio.sleep(12)
        there.kube.refusals.clear()
        await anyio.sleep(12)
        ended = True
    assert ended


async def test_a_lock_that_another_run_took_over_is_left_to_it() -> None:
    there = World()

    async def ours() -> None:
        async with run_lock(there.session(), "istio-system") as lock:
            await lock.take("up dev, run 1")
            place(there, "bob@desk/8-1", age=0)
            await anyio.sleep(15)

    with pytest.raises(LockedError):
        await ours()
    assert there.kube.objects[LEASE]["spec"]["holderIdentity"] == "bob@desk/8-1"
