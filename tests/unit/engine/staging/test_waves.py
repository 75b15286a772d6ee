"""The stage ``workloads`` in waves: order, budgets, downtime, eviction, soak, what is reverted, what fails, and a kill anywhere."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from typing import Any

import anyio
import pytest

from meshinstall.engine.events import Event, StageWaiting
from meshinstall.engine.staging.terms import End
from meshinstall.errors import BudgetError
from meshinstall.model.desired import Desired
from meshinstall.model.ownership import RESTARTED_FOR
from meshinstall.model.upgrade import UpgradePlan
from meshinstall.model.waves import Wave
from tests.fake_kube import forbidden
from tests.fakes import World
from tests.unit.engine.staging import upgrading
from tests.unit.engine.staging.living import workload
from tests.unit.engine.staging.upgrading import FAIL, NEW, OLD, PASS, Upgrade, killed, number, proxies, start, state

pytestmark = pytest.mark.anyio

VALUE = f"{NEW}/1-31"
FIRST, REST = Wave("first", ("pay",)), Wave("rest", ("*",), parallel=2)
# More than a run has events; in parts, which run side by side.
_EVENTS, _PARTS = range(1, 250), 4


def path(space: str, name: str = "web", kind: str = "deployments") -> str:
    return f"/apis/apps/v1/namespaces/{space}/{kind}/{name}"


def waved(*waves: Wave) -> Callable[[str | None, bool | None], Desired]:
    return lambda version, revisions: replace(upgrading.files(version, revisions), waves=waves)


async def mesh() -> World:
    """Workloads shop/web, shop/api and pay/web, and lab/web of the tag canary."""
    there = await start()
    labels = {"istio-injection": "enabled"}
    there.kube.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "pay", "labels": labels}})
    workload(there, "pay", "web")
    workload(there, "shop", "api")
    return there


def run_of(there: World, *waves: Wave) -> Upgrade:
    return Upgrade(there, files=waved(*(waves or (FIRST, REST))))


def patches(there: World) -> list[str]:
    """The workloads that were patched, in their order."""
    found = [call.removeprefix("PATCH /apis/apps/v1/namespaces/") for call in there.kube.calls if call.startswith("PATCH /apis/apps/")]
    return [call.replace("/deployments/", "/") for call in found if not call.startswith("istio-")]


def change(there: World, space: str, edit: Callable[[dict[str, Any]], None], name: str = "web") -> None:
    """What the owner of a workload changes without a restart."""
    edit(there.kube.objects[path(space, name)])


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


def budget(there: World, allowed: int, expected: int = 1, **status: Any) -> dict[str, Any]:
    told = {"disruptionsAllowed": allowed, "expectedPods": expected, **status}
    item = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "pdb", "namespace": "shop"}}
    there.kube.put({**item, "spec": {"selector": {"matchLabels": {"app": "web"}}}, "status": told})
    return there.kube.objects["/apis/policy/v1/namespaces/shop/poddisruptionbudgets/pdb"]


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ((0, 1), "allows 0 of 1 pods to be missing now, and this takes 1"),
        ((1, 0), "counts no pods, so that it cannot tell"),
    ],
)
async def test_a_budget_that_allows_nothing_keeps_its_workload_alone(told: tuple[int, int], why: str) -> None:
    there = await mesh()
    budget(there, *told)
    run = run_of(there)
    held = await run.to()
    assert held.end is End.HELD
    assert held.left == (f"Deployment shop/web: {OLD} → {NEW}; PodDisruptionBudget shop/pdb {why}",)
    assert patches(there) == ["lab/web", "pay/web", "shop/api"]
    # It is asked again and again, and told of once.
    assert len([event for event in run.events if isinstance(event, StageWaiting) and "shop/pdb" in event.reason]) == 1


async def test_a_budget_that_allows_it_later_is_waited_for() -> None:
    there = await mesh()
    item = budget(there, 0)
    run = run_of(there)

    def allow(event: Event) -> None:
        if isinstance(event, StageWaiting) and "PodDisruptionBudget shop/pdb allows 0" in event.reason:
            item["status"]["disruptionsAllowed"] = 1

    run.at = allow
    assert (await run.to()).end is End.DONE


async def test_budgets_that_cannot_be_read_allow_nothing() -> None:
    there = await mesh()
    there.kube.refusals["LIST /apis/policy/v1/namespaces/shop/poddisruptionbudgets"] = forbidden("poddisruptionbudgets")
    result = await run_of(there).to()
    assert result.end is End.FAILED
    assert patches(there) == ["lab/web", "pay/web"]


def stuck(there: World, *names: str) -> Callable[[Event], None]:
    """New pods of these workloads, as SPACE/NAME, do not start."""

    def at(event: Event) -> None:
        for one in names:
            if isinstance(event, StageWaiting) and event.reason.startswith(f"restarting Deployment {one},"):
                there.kube.objects[path(*one.split("/"))]["status"]["updatedReplicas"] = 0

    return at


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


def reverted(item: dict[str, Any]) -> None:
    """As a GitOps controller that writes the whole pod template, and leaves annotations of the object that are not its own."""
    item["metadata"].setdefault("annotations", {})[RESTARTED_FOR] = VALUE
    item["spec"]["template"]["metadata"].pop("annotations", None)
    fields: dict[str, Any] = {"f:spec": {"f:template": {"f:spec": {}}}}
    item["metadata"]["managedFields"] = [{"manager": "argocd", "operation": "Update", "time": "2026-11-21T12:00:00Z", "fieldsV1": fields}]


REVERTED = "its restart was reverted by argocd, and is not made a second time"


async def test_a_restart_that_an_earlier_run_made_and_somebody_reverted_is_not_made_again() -> None:
    there = await mesh()
    change(there, "shop", reverted)
    held = await run_of(there).to()
    assert held.left == (f"Deployment shop/web: {OLD} → {NEW}; {REVERTED}",)
    assert "shop/web" not in patches(there)


async def test_a_restart_that_is_reverted_while_it_is_waited_for_is_not_made_again() -> None:
    there = await mesh()
    run = run_of(there)
    fail = stuck(there, "shop/web")

    def revert(event: Event) -> None:
        fail(event)
        if isinstance(event, StageWaiting) and "0 of 1 pods have the new version" in event.reason:
            change(there, "shop", reverted)

    run.at = revert
    held = await run.to()
    assert held.end is End.HELD
    assert held.left == (f"Deployment shop/web: {OLD} → {NEW}; {REVERTED}",)
    assert patches(there).count("shop/web") == 1


async def test_a_restart_that_an_earlier_run_began_is_waited_for_and_not_made_again() -> None:
    there = await mesh()
    live = there.kube.objects[path("shop")]
    for metadata in (live["metadata"], live["spec"]["template"]["metadata"]):
        metadata["annotations"] = {RESTARTED_FOR: VALUE}
    live["status"]["updatedReplicas"] = 0
    run = run_of(there)
    waited = []

    def finish(event: Event) -> None:
        if isinstance(event, StageWaiting) and event.stage == "workloads" and "0 of 1 pods have the new version" in event.reason:
            waited.append(event.reason)
            there.kube.objects[path("shop")]["status"]["updatedReplicas"] = 1

    run.at = finish
    await run.to()
    assert len(waited) == 1
    assert run.ended["workloads"] == End.DONE
    assert "shop/web" not in patches(there)


async def test_a_restart_of_which_only_the_history_of_the_workload_tells_is_not_made_again() -> None:
    there = await mesh()
    uid = there.kube.objects[path("shop")]["metadata"]["uid"]
    owner = {"kind": "Deployment", "name": "web", "uid": uid, "controller": True}
    metadata = {"name": "web-abc", "namespace": "shop", "ownerReferences": [owner]}
    template = {"metadata": {"annotations": {RESTARTED_FOR: VALUE}}}
    there.kube.put({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": metadata, "spec": {"template": template}})
    held = await run_of(there).to()
    assert [left.partition("; ")[2][:24] for left in held.left] == ["its restart was reverted"]
    assert "shop/web" not in patches(there)


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


def database(there: World, *names: str) -> list[str]:
    """A StatefulSet that nobody rolls out, with these pods; what evictions were asked for."""
    spec = {"replicas": len(names), "updateStrategy": {"type": "OnDelete"}, "template": {"metadata": {"labels": {"app": "db"}}}}
    metadata = {"name": "db", "namespace": "shop"}
    there.kube.put({"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": metadata, "spec": spec, "status": {}})
    asked: list[str] = []

    def evict(name: str) -> Callable[[Any], dict[str, Any]]:
        def answer(body: Any) -> dict[str, Any]:
            asked.append(name)
            assert body["deleteOptions"]["preconditions"]["uid"] == there.kube.objects[where(name)]["metadata"]["uid"]
            database_pod(there, name, "1-31", NEW)
            return dict(body)

        return answer

    for name in names:
        database_pod(there, name, "default", OLD)
        there.kube.answers[f"{where(name)}/eviction"] = evict(name)
    return asked


def where(name: str) -> str:
    return f"/api/v1/namespaces/shop/pods/{name}"


def database_pod(there: World, name: str, revision: str, version: str) -> None:
    owner = {"kind": "StatefulSet", "name": "db", "controller": True}
    labels = {"istio.io/rev": revision, "of": "db", "app": "db"}
    metadata = {"name": name, "namespace": "shop", "uid": f"{name}-{version}", "labels": labels, "ownerReferences": [owner]}
    proxy = {"name": "istio-proxy", "image": f"istio/proxyv2:{version}", "args": ["proxy", "sidecar"]}
    status = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    there.kube.objects[where(name)] = {"metadata": metadata, "spec": {"containers": [proxy]}, "status": status}


async def test_what_nobody_rolls_out_is_evicted_one_pod_after_the_other() -> None:
    there = await mesh()
    asked = database(there, "db-0", "db-1")
    done = await run_of(there).to()
    assert done.end is End.DONE, f"{done.why} {done.left}"
    assert asked == ["db-0", "db-1"]
    assert not [call for call in there.kube.calls if call == f"PATCH {path('shop', 'db', 'statefulsets')}"]


async def test_the_word_of_a_budget_on_an_eviction_is_an_answer() -> None:
    there = await mesh()
    asked = database(there, "db-0", "db-1")
    said = "Cannot evict pod as it would violate the pod's disruption budget."
    there.kube.refusals[f"CREATE {where('db-0')}/eviction"] = BudgetError(said)
    held = await run_of(there).to()
    assert held.end is End.HELD
    assert held.left == (f"StatefulSet shop/db: {OLD} → {NEW}; its PodDisruptionBudget allows no eviction now: {said}",)
    assert asked == []


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
