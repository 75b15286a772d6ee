"""The status of a mesh that a GitOps engine or kubectl applied: there is no record of helm, but the objects are there."""

from typing import Any

import pytest

from meshinstall.engine.report.status import look
from meshinstall.model.ownership import MANAGED_BY
from meshinstall.model.release import Component
from meshinstall.model.status import Health, MeshStatus
from tests.cases import plans
from tests.fake_kube import forbidden
from tests.fakes import World

pytestmark = pytest.mark.anyio

DESIRED = plans.load("fresh").desired
TRACKED = "argocd.argoproj.io/tracking-id"


def applied(api_version: str, kind: str, place: str, chart: str, release: str, **parts: Any) -> dict[str, Any]:
    """An object with the labels of Istio's charts, which Argo CD tracks unless it is cluster-wide."""
    namespace, _, name = place.rpartition("/")
    labels = {"app.kubernetes.io/instance": release, "helm.sh/chart": chart, MANAGED_BY: "Helm"}
    marks = {"annotations": {TRACKED: f"prod-{release}:apps/{kind}:{place}"}} if namespace else {}
    metadata = {"name": name, "labels": labels, "generation": 1, **({"namespace": namespace} if namespace else {}), **marks}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **parts}


def rolled(pods: int, ready: int) -> dict[str, Any]:
    status = {"observedGeneration": 1, "replicas": pods, "updatedReplicas": pods, "availableReplicas": ready}
    return {"spec": {"replicas": pods, "selector": {"matchLabels": {"app": "istiod"}}}, "status": status}


def mesh(ready: int = 1) -> World:
    there = World()
    crd = "gateways.networking.istio.io"
    there.kube.put(
        applied("apiextensions.k8s.io/v1", "CustomResourceDefinition", crd, "base-1.31.0", "istio-base"),
        applied("apps/v1", "Deployment", "istio-system/istiod", "istiod-1.31.0", "istiod", **rolled(1, ready)),
        applied("v1", "Service", "istio-system/istiod", "istiod-1.31.0", "istiod", spec={"type": "ClusterIP", "clusterIP": "10.0.0.1"}),
    )
    return there


async def status(there: World) -> MeshStatus:
    return await look(DESIRED, there.session())


async def test_a_release_of_which_helm_has_no_record_is_found_by_the_labels_of_its_chart() -> None:
    found = {one.component: one for one in (await status(mesh())).releases}
    assert found[Component.BASE].health is Health.CURRENT
    assert (found[Component.BASE].chart, found[Component.BASE].chart_version) == ("base", "1.31.0")
    istiod = found[Component.ISTIOD]
    assert (istiod.chart, istiod.istio_version, istiod.helm_status) == ("istiod", "1.31.0", "")
    assert [str(one.key) for one in istiod.workloads] == ["Deployment istio-system/istiod", "Service istio-system/istiod"]
    assert istiod.kept_by == ("Argo CD Application prod-istiod",)


async def test_its_workloads_are_judged_as_those_of_helm() -> None:
    found = await status(mesh(ready=0))
    istiod = next(one for one in found.releases if one.component is Component.ISTIOD)
    assert istiod.health is Health.IN_PROGRESS
    assert not found.is_current


async def test_what_is_not_there_is_not_installed() -> None:
    found = await status(World())
    assert not found.is_installed
    assert {one.health for one in found.releases} == {Health.NOT_FOUND}


async def test_objects_that_no_engine_marked_are_a_warning() -> None:
    there = mesh()
    for live in there.kube.objects.values():
        live["metadata"].pop("annotations", None)
    assert "helm has no record of istio-system/istiod, and no GitOps engine marked it" in " ".join((await status(there)).warnings())


async def test_a_label_that_is_no_chart_is_not_a_release() -> None:
    there = mesh()
    for live in there.kube.objects.values():
        live["metadata"]["labels"]["helm.sh/chart"] = "istiod"
    assert not (await status(there)).is_installed


async def test_a_list_that_is_refused_is_not_read_as_nothing() -> None:
    there = mesh()
    there.kube.refusals["LIST /apis/apps/v1/namespaces/istio-system/deployments"] = forbidden("deployments")
    with pytest.raises(type(forbidden("deployments"))):
        await status(there)
