"""One run at a time: who may take the lock of a mesh, and what the others are told."""

from dataclasses import replace
from datetime import timedelta

import anyio
import pytest

from meshinstall.engine.run.run_lock import run_lock
from meshinstall.errors import ClusterError, ConflictError, LockedError, UnreachableError
from meshinstall.model.ownership import lease_path
from meshinstall.model.release import Manifest
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


async def keep_alive(there: World, seconds: float) -> None:
    """What another machine's holder does: it writes a renewal by its own clock, which may be any."""
    for second in range(int(seconds)):
        await anyio.sleep(1)
        there.kube.objects[LEASE]["spec"]["renewTime"] = f"2001-01-01T00:00:{second % 60:02d}.000000Z"
        there.kube.put(there.kube.objects[LEASE])


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
    async with anyio.create_task_group() as group:
        group.start_soon(keep_alive, there, 60)
        with pytest.raises(LockedError) as caught:
            await take(there)
        group.cancel_scope.cancel()
    assert caught.value.message == "bob@desk/8-1 has held the lock of this mesh since 2026-11-21T11:59:50 (up prod, run 7)"
    assert there.kube.objects[LEASE]["spec"]["holderIdentity"] == "bob@desk/8-1"


@pytest.mark.parametrize("age", [-3600, -45, 0, 45, 3600])
async def test_the_clocks_of_two_machines_are_not_compared(age: float) -> None:
    """A holder that renews is left its lock whatever its clock says, and one that does not is watched for its whole lease."""
    there, told = World(), list[str]()
    place(there, "bob@desk/8-1", age)
    async with anyio.create_task_group() as group:
        group.start_soon(keep_alive, there, 60)
        with pytest.raises(LockedError):
            await take(there)
        group.cancel_scope.cancel()
    place(there, "bob@desk/8-1", age)
    began = anyio.current_time()
    async with run_lock(there.session(), "istio-system") as lock:
        await lock.take("up dev, run 1", tell=told.append)
    assert 30 <= anyio.current_time() - began < 40
    assert told == ["bob@desk/8-1 holds the lock of this mesh: watching for 30 s whether it is renewed"]
    assert there.kube.objects[LEASE]["spec"]["leaseTransitions"] == 5


async def test_a_holder_is_believed_as_long_as_it_asked_for() -> None:
    there = World()
    place(there, "bob@desk/8-1", age=0, life=90)
    began = anyio.current_time()
    await take(there)
    assert 90 <= anyio.current_time() - began < 100


async def test_a_holder_known_to_live_is_not_watched() -> None:
    """A process of this machine that was stopped for a while would go on beside us."""
    there = World()
    place(there, "ann@laptop/3-1", age=3600)
    there.alive.add("ann@laptop/3-1")
    with pytest.raises(LockedError, match="ann@laptop/3-1 has held"):
        await take(there)
    assert anyio.current_time() == 0


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
    assert there.kube.objects[LEASE]["spec"]["renewTime"] == "2026-11-21T12:00:46.000000Z"


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

    with pytest.raises(LockedError, match="somebody deleted the lock of this mesh during the run"):
        await ours()
    # The next may come at once.
    assert anyio.current_time() < 5


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


@pytest.mark.parametrize("hangs", [False, True])
async def test_a_holder_that_cannot_renew_gives_up_before_another_may_begin(hangs: bool) -> None:  # noqa: FBT001 - both ways
    there, ended = World(), list[float]()

    async def ours() -> None:
        async with run_lock(there.session(), "istio-system") as lock:
            await lock.take("up dev, run 1")
            if hangs:
                there.kube.pauses[f"PATCH {LEASE}"] = [3600.0] * 9
            else:
                there.kube.refusals[f"PATCH {LEASE}"] = ClusterError("the API server does not answer")
            try:
                await anyio.sleep(3600)
            finally:
                # Helm gets SIGTERM, and seconds later SIGKILL.
                with anyio.CancelScope(shield=True):
                    await anyio.sleep(4)
                ended.append(anyio.current_time())
                assert lock.is_lost

    with pytest.raises(LockedError, match="was not renewed for 18 s, so this run stops before another can take it"):
        await ours()
    assert ended[0] <= 24


async def test_a_renewal_counts_from_when_it_was_sent() -> None:
    """Whoever watches saw it come before its answer did."""
    there, ended = World(), list[float]()

    async def ours() -> None:
        async with run_lock(there.session(), "istio-system") as lock:
            await lock.take("up dev, run 1")
            there.kube.pauses[f"PATCH {LEASE}"] = [4.9, *[3600.0] * 9]
            try:
                await anyio.sleep(3600)
            finally:
                ended.append(anyio.current_time())

    with pytest.raises(LockedError, match="was not renewed for 18 s"):
        await ours()
    # Sent after 2 s, answered after 6.9.
    assert 18 < ended[0] <= 22


async def test_a_clock_that_counts_a_sleep_ends_the_run_when_the_machine_wakes() -> None:
    there, slept = World(), [0.0]
    session = replace(there.session(), clock=lambda: anyio.current_time() + slept[0])

    async def ours() -> None:
        async with run_lock(session, "istio-system") as lock:
            await lock.take("up dev, run 1")
            await anyio.sleep(60)
            slept[0] = 600.0
            await anyio.sleep(60)

    with pytest.raises(LockedError, match="was not renewed"):
        await ours()
    assert anyio.current_time() < 65


async def test_a_lost_answer_to_the_first_write_leaves_no_lock_that_nobody_has() -> None:
    there = World()
    kept = there.kube.create

    async def lost(path: str, body: Manifest, *, dry_run: bool = False) -> Manifest:
        await kept(path, body, dry_run=dry_run)
        raise UnreachableError("the connection was reset")

    there.kube.create = lost  # type: ignore[method-assign]
    await take(there)
    assert there.kube.objects[LEASE]["spec"]["holderIdentity"] == ""


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


@pytest.mark.parametrize("transitions", [None, 2**31 - 1, -1, "many"])
@pytest.mark.parametrize("life", [None, -5, 0, "long"])
async def test_odd_numbers_in_a_lock_do_not_keep_it(transitions: object, life: object) -> None:
    """The API server takes 32 bits; a count that goes on would be refused for ever."""
    there = World()
    place(there, "bob@desk/8-1", age=10)
    there.kube.objects[LEASE]["spec"] |= {"leaseTransitions": transitions, "leaseDurationSeconds": life}
    there.kube.put(there.kube.objects[LEASE])
    await take(there)
    assert 0 < there.kube.objects[LEASE]["spec"]["leaseTransitions"] < 2**31
