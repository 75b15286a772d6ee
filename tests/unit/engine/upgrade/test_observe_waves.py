"""What waves need to know of a cluster: budgets with what they allow, probes, restarts that were made or reverted, labels of namespaces."""

from typing import Any

import pytest

from meshinstall.engine.observe.upgrade import observe_upgrade
from meshinstall.model.mesh_position import BudgetAt, Mark, MeshPosition, Proxied
from meshinstall.model.ownership import RESTARTED_FOR
from meshinstall.model.place import Place
from tests.cases import plans
from tests.fakes import World
from tests.unit.engine.upgrade.upgrade_world import deployment, namespace, pod, put, world

pytestmark = pytest.mark.anyio

VALUE = "1.31.0/1-31"
CURRENT = {"observedGeneration": 2, "replicas": 1, "updatedReplicas": 1, "availableReplicas": 1}


async def look(there: World) -> MeshPosition:
    return await observe_upgrade(plans.load("fresh").desired, there.session())


async def seen(there: World) -> Proxied:
    (found,) = (await look(there)).proxied
    return found


async def test_every_budget_of_a_workload_is_read_with_what_it_allows() -> None:
    there = world()
    deployment(there, "shop", "web", template={"labels": {"app": "web"}})
    path = "/apis/policy/v1/namespaces/{}/poddisruptionbudgets/{}"
    selector = {"selector": {"matchLabels": {"app": "web"}}}
    put(there, path.format("shop", "wide"), spec=selector, status={"expectedPods": 4, "disruptionsAllowed": 2})
    put(there, path.format("shop", "tight"), spec=selector, status={"expectedPods": 4, "disruptionsAllowed": 0})
    put(there, path.format("pay", "else"), spec=selector, status={"expectedPods": 4, "disruptionsAllowed": 0})
    web = await seen(there)
    assert web.budgets == (BudgetAt(Place("shop", "wide"), 2, 4), BudgetAt(Place("shop", "tight"), 0, 4))
    assert web.rollout.budget == "shop/tight"


async def test_of_what_kubernetes_does_not_roll_out_the_labels_of_its_pods_select() -> None:
    there = world()
    del there.kube.objects["/api/v1/namespaces/shop/pods/web-1"]
    pod(there, "shop", "set-1", owner=("CloneSet", "set"), labels={"app": "set"})
    path = "/apis/policy/v1/namespaces/shop/poddisruptionbudgets/set"
    put(there, path, spec={"selector": {"matchLabels": {"app": "set"}}}, status={"expectedPods": 1, "disruptionsAllowed": 1})
    assert (await seen(there)).budgets == (BudgetAt(Place("shop", "set"), 1, 1),)


@pytest.mark.parametrize(
    ("containers", "lacks"),
    [
        ([{"name": "app"}], True),
        ([{"name": "app", "readinessProbe": {"httpGet": {}}}, {"name": "log"}], False),
        ([{"name": "app"}, {"name": "istio-proxy", "readinessProbe": {"httpGet": {}}}], True),
    ],
)
async def test_a_readiness_probe_is_that_of_the_application(containers: list[dict[str, Any]], *, lacks: bool) -> None:
    there = world()
    put(there, "/apis/apps/v1/namespaces/shop/deployments/web", spec={"replicas": 1, "template": {"spec": {"containers": containers}}})
    assert (await seen(there)).lacks_probe is lacks


FIELDS: dict[str, Any] = {"f:spec": {"f:template": {"f:spec": {"f:containers": {}}}}}
EDITORS = [
    {"manager": "helm", "operation": "Update", "time": "2026-11-21T12:09:00Z", "fieldsV1": FIELDS},
    {"manager": "argocd", "operation": "Update", "time": "2026-11-21T12:05:00Z", "fieldsV1": FIELDS},
    {"manager": "kubectl-edit", "operation": "Update", "time": "2026-11-21T12:01:00Z", "fieldsV1": FIELDS},
    {"manager": "hpa", "operation": "Update", "time": "2026-11-21T12:08:00Z", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
]


@pytest.mark.parametrize(
    ("tried", "now", "updated", "mark"),
    [
        ("", "", 1, Mark()),
        (VALUE, VALUE, 0, Mark(VALUE, VALUE, is_rolling=True)),
        (VALUE, VALUE, 1, Mark(VALUE, VALUE)),
        (VALUE, "", 1, Mark("", VALUE, changed_by="argocd")),
    ],
)
async def test_restarts_that_were_made_and_who_reverted_them(tried: str, now: str, updated: int, mark: Mark) -> None:
    there = world()
    metadata = {"generation": 2, "annotations": {RESTARTED_FOR: tried} if tried else {}, "managedFields": EDITORS}
    template = {"metadata": {"annotations": {RESTARTED_FOR: now} if now else {}}}
    path = "/apis/apps/v1/namespaces/shop/deployments/web"
    put(there, path, metadata=metadata, spec={"replicas": 1, "template": template}, status={**CURRENT, "updatedReplicas": updated})
    assert (await seen(there)).mark == mark


async def test_namespaces_have_their_labels() -> None:
    there = world()
    namespace(there, "pay", istio_injection="enabled", team="pay")
    found = {space.name: dict(space.labels) for space in (await look(there)).namespaces}
    assert found["pay"] == {"istio-injection": "enabled", "team": "pay"}
