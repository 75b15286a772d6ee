"""A mesh of another environment, of somebody else, or in use is not changed or removed without a word."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from meshinstall.engine.pipeline import Terms
from meshinstall.engine.planning import make_plan
from meshinstall.errors import PlanRefusedError
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.plan import Plan
from meshinstall.model.release import ReleaseKey, ReleaseStatus
from meshinstall.model.stack import ValuesStack
from meshinstall.model.values import Layer, LayerKind
from tests.cases import plans
from tests.fake_kube import forbidden, now
from tests.fakes import World
from tests.unit.engine import stages
from tests.unit.engine.installed import ISTIOD, POLICY_PATH, PUBLIC, world

pytestmark = pytest.mark.anyio

DESIRED = plans.load("fresh").desired
PODS = "/api/v1/pods"


async def installed() -> World:
    there = world()
    await stages.up(there, DESIRED, [])
    return there


async def planned(there: World, **session: Any) -> Plan:
    return await make_plan(DESIRED, replace(there.session(), **session))


def found(plan: Plan, code: str) -> list[Finding]:
    return [finding for finding in plan.findings if finding.code == code]


def allowing(*names: str) -> Terms:
    return Terms(allow=frozenset(names), prove=False)


def of_helm(there: World) -> None:
    """Release istiod was made by a person with helm, with a value that the environment does not have."""
    record = there.releases.records[ISTIOD]
    there.releases.records[ISTIOD] = replace(record, description="Install complete", values={**record.values, "egress": "REGISTRY_ONLY"})


def interrupted(there: World, seconds: int) -> None:
    """A helm is in the middle of istiod since some seconds."""
    record, began = there.releases.records[ISTIOD], now() - timedelta(seconds=seconds)
    there.releases.records[ISTIOD] = replace(record, status=ReleaseStatus.PENDING_UPGRADE, updated=began.isoformat())


def last_run(there: World, result: str, seconds: int) -> None:
    """A run of ours ended some seconds ago."""
    data = {"result": result, "finished": (now() - timedelta(seconds=seconds)).isoformat(timespec="seconds")}
    there.kube.objects["/api/v1/namespaces/istio-system/configmaps/meshinstall"] = {"metadata": {"name": "meshinstall"}, "data": data}


def client(there: World, name: str, **status: Any) -> None:
    """A pod of a tenant, injected as ``status`` says."""
    notes = {"sidecar.istio.io/status": json.dumps(status)} if status else {}
    metadata = {"name": name, "namespace": "shop", "annotations": notes, "labels": {"app.kubernetes.io/instance": "web"}}
    there.kube.objects[f"/api/v1/namespaces/shop/pods/{name}"] = {"metadata": metadata}


async def test_a_mesh_of_another_environment_is_not_taken_for_ours_where_all_releases_are_alike() -> None:
    there = await installed()
    there.helm.calls.clear()
    other = replace(DESIRED, environment="production")
    plan = await make_plan(other, there.session())
    assert [step.name for step in plan.pending] == ["PeerAuthentication/istio-system/default"]
    (finding,) = found(plan, "PRE016")
    assert finding.title == f"the mesh in this cluster is environment {DESIRED.environment}, not production"
    with pytest.raises(PlanRefusedError, match="PRE016"):
        await stages.up(there, other, [])
    with pytest.raises(PlanRefusedError, match="PRE016"):
        await stages.down(there, other, [])
    assert there.helm.calls == []
    await stages.up(there, other, [], allowing("environment"))


async def test_the_same_environment_is_no_finding() -> None:
    there = await installed()
    assert not found(await planned(there), "PRE016")
    assert not found(await planned(there), "PRE017")


async def test_a_release_of_helm_is_taken_over_only_by_name_and_the_values_that_would_be_lost_are_told() -> None:
    there = await installed()
    of_helm(there)
    there.helm.calls.clear()
    (finding,) = found(await planned(there), "PRE017")
    assert finding.severity is Severity.ERROR
    assert finding.detail == "revision 1; values that would be lost: egress=REGISTRY_ONLY"
    with pytest.raises(PlanRefusedError, match="PRE017"):
        await stages.up(there, DESIRED, [])
    assert there.helm.calls == []
    await stages.up(there, DESIRED, [], allowing("takeover"))
    assert not found(await planned(there), "PRE017")


async def test_a_release_of_helm_of_which_nothing_changes_is_named_in_every_plan() -> None:
    there = await installed()
    there.releases.records[PUBLIC] = replace(there.releases.records[PUBLIC], description="Install complete")
    plan = await planned(there)
    assert plan.is_empty
    assert [(one.severity, one.object) for one in found(plan, "PRE017")] == [(Severity.INFO, f"release {PUBLIC}")]
    await stages.up(there, DESIRED, [])


@pytest.mark.parametrize(
    ("metadata", "engine"),
    [
        ({"annotations": {"argocd.argoproj.io/tracking-id": "mesh:apps/Deployment:istio-system/istiod"}}, "Argo CD Application mesh"),
        ({"labels": {"argocd.argoproj.io/instance": "mesh"}}, "Argo CD Application mesh"),
        ({"labels": {"helm.toolkit.fluxcd.io/name": "istiod", "helm.toolkit.fluxcd.io/namespace": "flux"}}, "Flux HelmRelease flux/istiod"),
        ({"labels": {"kustomize.toolkit.fluxcd.io/name": "mesh"}}, "Flux Kustomization /mesh"),
        ({"ownerReferences": [{"kind": "IstioRevision", "name": "default"}]}, "the Sail operator's IstioRevision default"),
    ],
)
async def test_a_mesh_that_an_engine_keeps_is_refused_with_its_name(metadata: dict[str, Any], engine: str) -> None:
    there = await installed()
    path = "/apis/apps/v1/namespaces/istio-system/deployments/istiod"
    live = there.kube.objects[path]["metadata"]
    for key, value in metadata.items():
        live[key] = value if isinstance(value, list) else {**live.get(key, {}), **value}
    of_helm(there)
    assert [one.title for one in found(await planned(there), "PRE017")] == [f"this mesh is kept by {engine}"]
    with pytest.raises(PlanRefusedError, match="PRE017"):
        await stages.up(there, DESIRED, [])


async def test_up_of_a_mesh_that_an_engine_keeps_is_refused_also_where_nothing_would_change() -> None:
    """A job that somebody forgot would be green until the files change."""
    there = await installed()
    live = there.kube.objects["/apis/apps/v1/namespaces/istio-system/deployments/istiod"]["metadata"]
    live["labels"] = {**live["labels"], "helm.toolkit.fluxcd.io/name": "istiod", "helm.toolkit.fluxcd.io/namespace": "flux"}
    assert (await planned(there)).is_empty
    with pytest.raises(PlanRefusedError, match="PRE017: this mesh is kept by Flux HelmRelease flux/istiod"):
        await stages.up(there, DESIRED, [])
    await stages.up(there, DESIRED, [], allowing("takeover"))


async def test_several_engines_are_one_finding_that_says_what_to_change_in_git() -> None:
    there = await installed()
    for name, application in (("istiod", "prod-istiod"), ("public", "prod-public")):
        path = next(path for path in there.kube.objects if path.endswith(f"/deployments/{name}"))
        live = there.kube.objects[path]["metadata"]
        live["annotations"] = {**live.get("annotations", {}), "argocd.argoproj.io/tracking-id": f"{application}:apps/Deployment:x"}
    (told,) = found(await planned(there), "PRE017")
    assert "prod-istiod" in told.title
    assert "so does Argo CD Application prod-public" in told.detail
    assert "change the files, then run meshinstall render --format argocd, and commit what it writes" in told.hint


async def test_a_control_plane_with_proxies_of_others_is_removed_only_by_name() -> None:
    there = await installed()
    client(there, "web-1", revision="default")
    client(there, "web-2", revision="default")
    client(there, "other-mesh", revision="canary")
    client(there, "no-proxy")
    there.kube.objects["/api/v1/namespaces/shop/pods/forged"] = {
        "metadata": {"name": "forged", "namespace": "shop", "annotations": {"sidecar.istio.io/status": "no JSON"}}
    }
    there.helm.calls.clear()
    with pytest.raises(PlanRefusedError, match=r"PRE023: this control plane is in use: 2 proxies, by namespace: shop \(2\)"):
        await stages.down(there, DESIRED, [])
    assert there.helm.calls == []
    await stages.down(there, DESIRED, [], allowing("in-use"))
    assert ISTIOD not in there.releases.records


async def test_who_uses_the_second_istiod_of_an_upgrade_is_in_use_too() -> None:
    there = await installed()
    canary = ReleaseKey(ISTIOD.namespace, "istiod-1-31")
    made = there.releases.records[ISTIOD]
    there.releases.records[canary] = replace(made, key=canary, values={**made.values, "revision": "1-31"}, manifest="")
    client(there, "moved", revision="1-31")
    client(there, "other-mesh", revision="canary")
    with pytest.raises(PlanRefusedError, match=r"PRE023: this control plane is in use: 1 proxy, by namespace: shop \(1\)"):
        await stages.down(there, DESIRED, [])
    await stages.down(there, DESIRED, [], allowing("in-use"))
    assert canary not in there.releases.records


async def test_who_may_not_list_pods_does_not_know_and_is_told() -> None:
    there = await installed()
    there.kube.refusals[f"LIST {PODS}"] = forbidden("pods")
    with pytest.raises(PlanRefusedError, match="it is not known whether proxies use this control plane"):
        await stages.down(there, DESIRED, [])


async def test_nobody_but_our_own_gateways_is_in_use_by_nobody() -> None:
    there = await installed()
    notes = {"sidecar.istio.io/status": json.dumps({"revision": "default"})}
    labels = {"app.kubernetes.io/instance": "public"}
    metadata = {"name": "public-1", "namespace": "istio-ingress", "annotations": notes, "labels": labels}
    there.kube.objects["/api/v1/namespaces/istio-ingress/pods/public-1"] = {"metadata": metadata}
    await stages.down(there, DESIRED, [])
    assert there.releases.records == {}


def weakened(there: World, manager: str = "") -> None:
    """The mesh-wide policy is PERMISSIVE: as the environment said before, or as somebody edited it."""
    live = there.kube.objects[POLICY_PATH]
    live["spec"] = {"mtls": {"mode": "PERMISSIVE"}}
    fields: dict[str, Any] = {"f:spec": {"f:mtls": {"f:mode": {}}}}
    live["metadata"]["managedFields"] = [{"manager": manager or "meshinstall", "operation": "Update", "fieldsV1": fields}]


async def test_strict_comes_to_a_mesh_in_use_only_by_name_and_who_may_be_cut_off_is_told() -> None:
    there = await installed()
    client(there, "web-1", revision="default")
    client(there, "old")
    weakened(there)
    (finding,) = found(await planned(there), "PRE024")
    assert finding.title == "STRICT comes to a mesh in use: 1 proxy, by namespace: shop (1)"
    assert finding.detail.startswith("pods without a proxy, which can then no longer call them: shop (1)")
    with pytest.raises(PlanRefusedError, match="PRE024"):
        await stages.up(there, DESIRED, [])
    await stages.up(there, DESIRED, [], allowing("strict"))
    assert there.kube.objects[POLICY_PATH]["spec"] == {"mtls": {"mode": "STRICT"}}


async def test_proxies_of_another_revision_obey_the_same_policy() -> None:
    there = await installed()
    client(there, "web-1", revision="canary")
    weakened(there)
    (finding,) = found(await planned(there), "PRE024")
    assert finding.title == "STRICT comes to a mesh in use: 1 proxy, by namespace: shop (1)"


@pytest.mark.parametrize(
    ("spec", "labels"),
    [
        ({"mtls": {"mode": "STRICT"}, "selector": {"matchLabels": {"app": "a"}}}, {}),
        ({"mtls": {"mode": "STRICT"}}, {"istio.io/rev": "canary"}),
    ],
    ids=["of-some-pods", "of-a-revision"],
)
async def test_a_strict_policy_of_somebody_else_for_a_part_is_none_for_all(spec: dict[str, Any], labels: dict[str, str]) -> None:
    there = await installed()
    client(there, "web-1", revision="default")
    live = there.kube.objects[POLICY_PATH]
    live["spec"], live["metadata"]["labels"] = spec, labels
    assert found(await planned(there), "PRE024")


async def test_what_somebody_weakened_goes_back_to_strict_without_being_asked() -> None:
    there = await installed()
    client(there, "web-1", revision="default")
    weakened(there, "kubectl-patch")
    plan = await planned(there)
    assert [step.name for step in plan.pending] == ["PeerAuthentication/istio-system/default"]
    assert not found(plan, "PRE024")


async def test_strict_comes_to_an_empty_mesh_without_being_asked() -> None:
    there = world()
    client(there, "old")
    assert not found(await planned(there), "PRE024")


async def test_a_revision_does_not_change_in_place() -> None:
    there = await installed()
    (istiod,) = (release for release in DESIRED.releases if release.key == ISTIOD)
    layer = Layer(LayerKind.FLAG, "--set istiod.revision", {"revision": "canary"})
    other = replace(istiod, values=ValuesStack((*istiod.values.layers, layer)))
    desired = replace(DESIRED, releases=tuple(other if release is istiod else release for release in DESIRED.releases))
    (finding,) = found(await make_plan(desired, there.session()), "PRE015")
    assert finding.title == "the revision of istio-system/istiod would change from default to canary in place"
    assert finding.origin == "--set istiod.revision"
    with pytest.raises(PlanRefusedError, match="PRE015"):
        await stages.up(there, desired, [])


async def test_a_release_at_which_another_helm_is_at_work_is_left_alone() -> None:
    there = await installed()
    interrupted(there, 30)
    (finding,) = found(await planned(there), "PRE027")
    assert finding.title == "another helm may be at work at release istio-system/istiod: revision 1 is pending-upgrade"
    with pytest.raises(PlanRefusedError, match="PRE027"):
        await stages.up(there, DESIRED, [])
    with pytest.raises(PlanRefusedError, match="PRE027"):
        await stages.down(there, DESIRED, [])
    assert there.releases.freed == []
    await stages.up(there, DESIRED, [], allowing("at-work"))
    assert there.releases.freed == ["istio-system/istiod"]


@pytest.mark.parametrize(
    ("result", "ended", "began", "ours"), [("failed: x", 20, 30, True), ("failed: x", 40, 30, False), ("done", 20, 30, False)]
)
async def test_what_a_failed_run_of_ours_left_is_repaired_at_once(result: str, ended: int, began: int, ours: bool) -> None:  # noqa: FBT001
    there = await installed()
    last_run(there, result, ended)
    interrupted(there, began)
    assert bool(found(await planned(there), "PRE027")) is not ours


async def test_a_run_of_ours_that_died_with_the_lock_left_it() -> None:
    there = await installed()
    interrupted(there, 30)
    lease = {"metadata": {"name": "meshinstall", "resourceVersion": "1"}, "spec": {"holderIdentity": "gone/1"}}
    there.kube.objects["/apis/coordination.k8s.io/v1/namespaces/istio-system/leases/meshinstall"] = lease
    assert found(await planned(there), "PRE027") == []


async def test_after_ten_minutes_no_helm_is_at_work_any_more() -> None:
    there = await installed()
    interrupted(there, 601)
    assert found(await planned(there), "PRE027") == []


LEASE = "/apis/coordination.k8s.io/v1/namespaces/istio-system/leases/meshinstall"


def lease(there: World, who: str, seconds: int) -> None:
    """A run took the lock, and renewed it some seconds ago."""
    renewed = (now() - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    spec = {"holderIdentity": who, "acquireTime": "2026-11-21T11:58:00.000000Z", "renewTime": renewed, "leaseDurationSeconds": 30}
    metadata = {"name": "meshinstall", "namespace": "istio-system", "annotations": {"meshinstall.dev/run": "up 1 for dev"}}
    there.kube.objects[LEASE] = {"metadata": metadata, "spec": spec}


async def test_a_plan_names_another_run_that_is_at_work() -> None:
    there = await installed()
    lease(there, "bob@desk/8-1", 2)
    (finding,) = found(await planned(there, is_alive=lambda _: True), "PRE028")
    assert finding.title == "another run is at work on this mesh: bob@desk/8-1 since 2026-11-21T11:58:00Z"
    assert (finding.severity, finding.detail) == (Severity.WARNING, "up 1 for dev")


@pytest.mark.parametrize("seconds", [2, 31])
async def test_of_a_run_on_another_machine_no_clock_tells_whether_it_is_over(seconds: int) -> None:
    there = await installed()
    lease(there, "bob@desk/8-1", seconds)
    (finding,) = found(await planned(there), "PRE028")
    assert finding.title.startswith("another run holds the lock of this mesh, and may be at work: bob@desk/8-1")


@pytest.mark.parametrize("who", ["", "bob@desk/8-1"])
async def test_a_run_that_is_over_is_not_named(who: str) -> None:
    there = await installed()
    lease(there, who, 2)
    assert found(await planned(there, is_dead=lambda _: True), "PRE028") == []


async def test_a_plan_without_the_right_to_read_the_lock_is_made() -> None:
    there = await installed()
    there.kube.refusals[f"GET {LEASE}"] = forbidden("leases")
    assert found(await planned(there), "PRE028") == []
