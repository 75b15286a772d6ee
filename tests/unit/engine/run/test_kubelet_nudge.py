"""Pods of an istiod that starts are touched, so that the kubelet looks at them; no others, and at no risk."""

from typing import Any

import anyio
import pytest

from meshinstall.engine.run.kubelet_nudge import AWAITED
from tests.cases import plans
from tests.fake_kube import forbidden
from tests.fakes import World
from tests.unit.engine.installed import ISTIOD, PODS, PUBLIC, broken_gateway, world
from tests.unit.engine.run.test_runner import ran

pytestmark = pytest.mark.anyio

DEPLOYMENT = "/apis/apps/v1/namespaces/istio-system/deployments/istiod"
SETS = "/apis/apps/v1/namespaces/istio-system/replicasets"
POD = f"{PODS}/istiod-t1"
PATCH = f"PATCH {POD}"
RUNS = {"name": "discovery", "ready": False, "state": {"running": {"startedAt": "2026-11-21T12:00:00Z"}}}
WAITS = {"name": "discovery", "ready": False, "state": {"waiting": {"reason": "ContainerCreating"}}}


def starting(there: World) -> None:
    """Istiod as helm leaves it: its pods are still to come."""
    (made,) = there.helm.brings[ISTIOD]
    status = {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": 0}
    there.helm.brings[ISTIOD] = (
        {**made, "metadata": {**made["metadata"], "annotations": {"deployment.kubernetes.io/revision": "1"}}, "status": status},
    )
    labels = {"app": "istiod", "pod-template-hash": "t1"}
    annotations = {"deployment.kubernetes.io/revision": "1"}
    there.kube.objects[f"{SETS}/istiod-t1"] = {"metadata": {"name": "istiod-t1", "labels": labels, "annotations": annotations}}


def is_pod(there: World, container: dict[str, Any]) -> None:
    metadata = {
        "name": "istiod-t1",
        "namespace": "istio-system",
        "labels": {"app": "istiod", "pod-template-hash": "t1"},
        "resourceVersion": "1",
    }
    there.kube.objects[POD] = {"metadata": metadata, "status": {"containerStatuses": [container]}}


async def ready_at(there: World, second: float) -> None:
    await anyio.sleep_until(second)
    is_pod(there, {**RUNS, "ready": True})
    there.kube.objects[DEPLOYMENT]["status"]["availableReplicas"] = 2


async def installed(there: World, second: float) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(ready_at, there, second)
        await ran(there, plans.load("fresh").plan())


async def test_pods_that_run_are_touched_every_second() -> None:
    there = world()
    starting(there)
    is_pod(there, RUNS)
    await installed(there, 3.55)
    assert there.kube.calls.count(PATCH) == 4


async def test_what_was_touched_says_when() -> None:
    there = world()
    starting(there)
    is_pod(there, RUNS)
    with anyio.move_on_after(1.5):
        await ran(there, plans.load("fresh").plan())
    touched = there.kube.objects[POD]["metadata"]["annotations"][AWAITED]
    assert touched.startswith("2026-11-21T12:00:01.")


@pytest.mark.parametrize("container", [WAITS, {**RUNS, "ready": True}, {"name": "discovery", "ready": False}])
async def test_pods_that_do_not_run_or_are_ready_are_left_alone(container: dict[str, Any]) -> None:
    there = world()
    starting(there)
    is_pod(there, container)
    await installed(there, 3.55)
    assert PATCH not in there.kube.calls


async def test_a_gateways_pods_are_left_alone() -> None:
    there = world()
    there.helm.brings[PUBLIC] = broken_gateway(there)
    pod = "/api/v1/namespaces/istio-ingress/pods/public"
    labels = {"app": "public", "pod-template-hash": "t2"}
    there.kube.objects[pod] = {"metadata": {"name": "public", "labels": labels}, "status": {"containerStatuses": [RUNS]}}
    with anyio.move_on_after(5):
        await ran(there, plans.load("fresh").plan())
    assert f"PATCH {pod}" not in there.kube.calls


async def test_who_may_not_touch_pods_installs_all_the_same() -> None:
    there = world()
    starting(there)
    is_pod(there, RUNS)
    there.kube.refusals[PATCH] = forbidden("pods")
    await installed(there, 3.55)
    assert PATCH in there.kube.calls
    assert PUBLIC in there.releases.records


async def test_a_pod_that_goes_meanwhile_stops_nothing() -> None:
    there = world()
    starting(there)
    is_pod(there, RUNS)
    there.kube.pauses[PATCH] = [0.5]

    async def go() -> None:
        await anyio.sleep(0.2)
        del there.kube.objects[POD]

    async with anyio.create_task_group() as group:
        group.start_soon(go)
        await installed(there, 3.55)
    assert PUBLIC in there.releases.records
