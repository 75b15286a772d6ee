"""What keeps a workload of a wave from a restart: its budgets, on restarts and evictions, and who reverted one."""

from collections.abc import Callable
from typing import Any

import pytest

from meshinstall.engine.events import Event, StageWaiting
from meshinstall.engine.staging.terms import End
from meshinstall.errors import BudgetError
from meshinstall.model.ownership import RESTARTED_FOR
from tests.fake_kube import forbidden
from tests.fakes import World
from tests.unit.engine.staging.upgrading import NEW, OLD
from tests.unit.engine.staging.waving import VALUE, change, mesh, patches, path, run_of, stuck

pytestmark = pytest.mark.anyio


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
