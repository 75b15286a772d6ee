"""The stage ``workloads`` in waves: order, downtime, soak, what fails, and a kill anywhere."""

from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from typing import Any

import anyio
import pytest

from meshinstall.engine.events import Event, StageWaiting
from meshinstall.engine.staging.terms import End
from meshinstall.model.ownership import RESTARTED_FOR
from meshinstall.model.upgrade import UpgradePlan
from tests.unit.engine.staging import upgrading
from tests.unit.engine.staging.living import workload
from tests.unit.engine.staging.upgrading import FAIL, NEW, OLD, PASS, Upgrade, killed, number, proxies, state
from tests.unit.engine.staging.waving import FIRST, REST, VALUE, change, mesh, patches, path, run_of, stuck

pytestmark = pytest.mark.anyio

# More than a run has events; in parts, which run side by side.
_EVENTS, _PARTS = range(1, 250), 4


async def test_workloads_are_restarted_wave_by_wave_and_the_upgrade_goes_to_its_end() -> None:
    there = await mesh()
    run = run_of(there)
    done = await run.to()
    assert done.end is End.DONE, f"{done.why} {done.left}"
    assert patches(there) == ["lab/web", "pay/web", "shop/api", "shop/web"]
    assert {proxy for some in proxies(there).values() for proxy in some} == {("1-31", NEW)}
    gates = [name for name in run.judged if "wave" in name]
    assert gates == ["workloads wave first (1 of 2)", "workloads wave rest (2 of 2)"]
    asked = [what for what in run.gates.asked if what.startswith("workloads")]
    assert asked == ["workloads pay/Deployment web", "workloads shop/Deployment api shop/Deployment web"]
    for space, name in (("pay", "web"), ("shop", "api"), ("shop", "web")):
        live = there.kube.objects[path(space, name)]
        assert live["metadata"]["annotations"][RESTARTED_FOR] == VALUE
        assert live["spec"]["template"]["metadata"]["annotations"][RESTARTED_FOR] == VALUE


async def test_the_plan_shows_the_waves() -> None:
    there = await mesh()
    run = run_of(there)
    await run.to()
    found = run.shown[0].waves
    assert [(planned.wave.name, [[one.name for one in batch] for batch in planned.batches]) for planned in found.waves] == [
        ("first", [["Deployment pay/web"]]),
        ("rest", [["Deployment shop/api", "Deployment shop/web"]]),
    ]
    assert found.left == ()


async def test_without_waves_owners_restart_and_nothing_is_patched() -> None:
    there = await mesh()
    held = await Upgrade(there).to()
    assert held.end is End.HELD
    assert patches(there) == ["lab/web"]


async def test_what_no_wave_has_is_left_to_its_owner_and_named() -> None:
    there = await mesh()
    held = await run_of(there, FIRST).to()
    assert held.end is End.HELD
    assert held.left == (
        f"Deployment shop/api: {OLD} → {NEW}; no wave has its namespace",
        f"Deployment shop/web: {OLD} → {NEW}; no wave has its namespace",
    )
    assert patches(there) == ["lab/web", "pay/web"]


@pytest.mark.parametrize("part", range(_PARTS))
async def test_an_upgrade_in_waves_that_is_killed_anywhere_is_finished_by_the_same_command(part: int) -> None:
    whole = await mesh()
    assert (await run_of(whole).to()).end is End.DONE
    kills = 0
    for event in _EVENTS[part::_PARTS]:
        there = await mesh()
        run = run_of(there)
        if not await killed(run, number(event)):
            break
        kills += 1
        result = await Upgrade(there, who="bob@desk/9-1", files=run.files).to()
        assert result.end is End.DONE, f"killed at event {event}: {result.why} {result.left}"
        assert state(there) == state(whole), f"killed at event {event}: {run.events[-1]}"
        mine = [one for one in patches(there) if one != "lab/web"]
        assert sorted(mine) == ["pay/web", "shop/api", "shop/web"], f"killed at event {event}"
    assert kills > 10


def recreated(item: dict[str, Any]) -> None:
    item["spec"]["strategy"] = {"type": "Recreate"}


async def test_what_would_be_down_is_restarted_only_where_that_is_allowed() -> None:
    there = await mesh()
    change(there, "shop", recreated)
    run = run_of(there)
    held = await run.to()
    assert held.end is End.HELD
    (left,) = held.left
    assert left.startswith(f"Deployment shop/web: {OLD} → {NEW}; not restarted without --allow downtime: down from the stop of the old")
    assert "shop/web" not in patches(there)
    assert "PRE049" in [finding.code for finding in run.shown[0].findings]
    done = await run.to(allow=frozenset({"missing-fix", "downtime"}))
    assert done.end is End.DONE
    assert patches(there)[-1] == "shop/web"


async def test_a_workload_that_does_not_become_ready_stops_the_waves_and_stays() -> None:
    there = await mesh()
    run = run_of(there)
    run.at = stuck(there, "pay/web")
    failed = await run.to(seconds=40.0)
    assert (failed.end, failed.stage) == (End.FAILED, "workloads")
    assert "Deployment pay/web was restarted and is not ready after 40 s" in failed.why
    assert failed.why.endswith("its workloads keep the new proxies: of those that were restarted nothing is taken back")
    assert patches(there) == ["lab/web", "pay/web"]
    there.kube.objects[path("pay")]["status"]["updatedReplicas"] = 1
    run.at = upgrading.nothing
    assert (await run.to()).end is End.DONE
    assert patches(there).count("pay/web") == 1


async def test_a_gate_that_fails_stops_the_waves_after_it() -> None:
    there = await mesh()
    run = run_of(there)
    run.gates.says["workloads pay/Deployment web"] = FAIL
    failed = await run.to()
    assert (failed.end, failed.stage) == (End.FAILED, "workloads")
    assert proxies(there)["pay/web"] == [("1-31", NEW)]
    assert proxies(there)["shop/web"] == [("default", OLD)]
    run.gates.says["workloads pay/Deployment web"] = PASS
    assert (await run.to()).end is End.DONE


async def test_a_wave_soaks_and_is_judged_after_it() -> None:
    there = await mesh()
    run = run_of(there, replace(FIRST, soak=300), REST)
    times: dict[str, float] = {}

    def note(event: Event) -> None:
        if isinstance(event, StageWaiting) and event.reason.startswith(("wave first (1 of 2): soaks", "restarting Deployment shop/web")):
            times[event.reason.split(" ")[0]] = anyio.current_time()

    run.at = note
    assert (await run.to()).end is End.DONE
    assert times["restarting"] - times["wave"] >= 300
    assert "workloads wave first (1 of 2) after 5 min" in run.judged


async def test_no_more_than_parallel_are_restarted_at_once() -> None:
    there = await mesh()
    run = run_of(there, replace(REST, parallel=1))
    run.at = stuck(there, "shop/api", "shop/web")
    await run.to(seconds=20.0)
    assert patches(there) == ["lab/web", "pay/web", "shop/api"]
    two = await mesh()
    run = run_of(two)
    run.at = stuck(two, "shop/api", "shop/web")
    await run.to(seconds=20.0)
    assert patches(two) == ["lab/web", "pay/web", "shop/api", "shop/web"]


async def test_a_workload_that_ends_again_and_again_is_left_alone_though_it_looks_ready_now() -> None:
    there = await mesh()
    ended = (there.session().now() - timedelta(minutes=4)).isoformat()
    for key, pod in there.kube.objects.items():
        if key.startswith("/api/v1/namespaces/shop/pods/web"):
            crash = {"name": "web", "restartCount": 2, "state": {"running": {}}, "lastState": {"terminated": {"finishedAt": ended}}}
            pod["status"]["containerStatuses"] = [crash]
    held = await run_of(there).to()
    assert held.end is End.HELD, held.why
    assert held.left == (
        f"Deployment shop/web: {OLD} → {NEW}; is not ready already (container web ends again and again): restart it when it is",
    )
    assert "shop/web" not in patches(there)


async def test_a_workload_that_is_broken_already_is_left_alone() -> None:
    there = await mesh()
    there.kube.objects[path("shop")]["status"]["availableReplicas"] = 0
    held = await run_of(there).to()
    assert held.end is End.HELD
    assert held.left == (f"Deployment shop/web: {OLD} → {NEW}; is not ready already (0 of 1 pods are ready): restart it when it is",)
    assert "shop/web" not in patches(there)


async def test_a_workload_that_came_after_the_plan_was_shown_is_not_restarted() -> None:
    there = await mesh()
    run = run_of(there)

    async def late(_: UpgradePlan) -> None:
        workload(there, "shop", "late")

    run.ask = late
    held = await run.to()
    assert held.end is End.HELD
    assert held.left == ("Deployment shop/late: came since the plan was shown: run the same command again",)
    assert "shop/late" not in patches(there)


async def test_a_way_back_goes_through_the_waves_too() -> None:
    there = await mesh()
    run = run_of(there)
    run.gates.says["workloads shop/Deployment api shop/Deployment web"] = FAIL
    await run.to()
    run.gates.says.clear()
    back = await run.back()
    assert back.end is End.DONE, f"{back.why} {back.left}"
    assert {proxy for some in proxies(there).values() for proxy in some} == {("default", OLD)}
    assert deepcopy(there.kube.objects[path("pay")])["metadata"]["annotations"][RESTARTED_FOR] == f"{OLD}/default"
