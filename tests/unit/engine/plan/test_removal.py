"""What down removes, in which order, and what it finds left."""

from dataclasses import replace
from typing import Any

import anyio
import pytest

from meshinstall.engine.events import Event, StepDone, StepWaiting
from meshinstall.engine.planning import make_plan, make_removal
from meshinstall.errors import StepError
from meshinstall.model.ownership import lease_path
from meshinstall.model.plan import Plan, ReleaseStep
from meshinstall.model.release import ReleaseKey, ReleaseStatus
from tests.cases import plans
from tests.fake_kube import forbidden, vouch
from tests.fakes import World, record
from tests.unit.engine import stages
from tests.unit.engine.installed import POLICY, POLICY_PATH, PUBLIC, world

pytestmark = pytest.mark.anyio

FRESH = plans.load("fresh")


async def installed(there: World | None = None) -> World:
    there = there or world()
    await stages.up(there, FRESH.desired, [])
    there.helm.calls.clear()
    return there


async def removal(there: World, *, crds: bool = False) -> Plan:
    return await make_removal(FRESH.desired, there.session(), crds=crds)


async def down(there: World, *, crds: bool = False) -> list[Event]:
    events: list[Event] = []
    await stages.down(there, FRESH.desired, events, crds=crds)
    return events


def order(events: list[Event]) -> list[str]:
    return [event.step.name for event in events if isinstance(event, StepDone)]


async def test_an_empty_cluster_has_nothing_to_remove() -> None:
    assert (await removal(world())).steps == ()


async def test_policies_go_first_then_releases_backwards_then_namespaces() -> None:
    there = await installed()
    assert order(await down(there)) == [
        "PeerAuthentication/istio-system/default",
        "istio-ingress/partners",
        "istio-ingress/public",
        "istio-system/istiod",
        "istio-system/istio-base",
        "namespace/istio-ingress",
        "namespace/istio-system",
    ]
    assert there.releases.records == {}


@pytest.mark.parametrize("asked", [False, True])
async def test_crds_go_only_when_asked(asked: bool) -> None:  # noqa: FBT001 - both ways
    there = await installed()
    await down(there, crds=asked)
    assert any("customresourcedefinitions" in path for path in there.kube.objects) is not asked


async def test_a_namespace_that_others_made_stays() -> None:
    there = await installed()
    there.kube.objects["/api/v1/namespaces/istio-ingress"]["metadata"]["labels"] = {}
    assert "namespace/istio-ingress" not in [step.name for step in (await removal(there)).steps]


async def test_a_namespace_that_others_use_stays() -> None:
    there = await installed()
    shop = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "shop", "namespace": "istio-ingress"}}
    there.kube.put(shop)
    kept = [step for step in (await removal(there)).steps if not step.is_pending]
    assert [(step.name, step.reasons) for step in kept] == [("namespace/istio-ingress", ("it contains foreign objects: deployments/shop",))]


def placed(there: World, path: str, **more: Any) -> None:
    """Put an object of any kind at a path below that of the namespace istio-ingress, in the API of its group."""
    root, plural, name = path.rsplit("/", 2)
    metadata = {"name": name, "namespace": "istio-ingress"} | more.pop("metadata", {})
    there.kube.objects[f"/{root}/namespaces/istio-ingress/{plural}/{name}"] = {"metadata": metadata, **more}


def reasons(plan: Plan) -> list[str]:
    return [f"{step.name}: {' '.join(step.reasons)}" for step in plan.steps if not step.is_pending]


@pytest.mark.parametrize(
    "path",
    [
        "api/v1/secrets/shop-tls",
        "api/v1/configmaps/page",
        "api/v1/persistentvolumeclaims/data",
        "apis/batch/v1/jobs/once",
        "apis/batch/v1/cronjobs/nightly",
        "apis/networking.istio.io/v1/gateways/shop",
        "apis/gateway.networking.k8s.io/v1/httproutes/shop",
    ],
)
async def test_a_namespace_that_holds_what_others_made_stays(path: str) -> None:
    there = await installed()
    placed(there, path)
    assert reasons(await removal(there)) == [f"namespace/istio-ingress: it contains foreign objects: {'/'.join(path.split('/')[-2:])}"]


async def test_istio_objects_that_go_with_their_crds_keep_no_namespace() -> None:
    there = await installed()
    placed(there, "apis/networking.istio.io/v1/gateways/shop")
    assert reasons(await removal(there, crds=True)) == []


async def test_a_secret_that_an_operator_made_of_what_is_kept_elsewhere_stays() -> None:
    there = await installed()
    placed(there, "api/v1/secrets/shop-tls", metadata={"ownerReferences": [{"kind": "ExternalSecret"}]})
    assert reasons(await removal(there)) == ["namespace/istio-ingress: it contains foreign objects: secrets/shop-tls"]


async def test_the_authority_that_a_user_brought_stays() -> None:
    there = await installed()
    there.kube.objects["/api/v1/namespaces/istio-system/secrets/cacerts"] = {"metadata": {"name": "cacerts"}}
    assert reasons(await removal(there)) == ["namespace/istio-system: it contains foreign objects: secrets/cacerts"]


async def test_what_kubernetes_helm_and_istiod_put_into_a_namespace_does_not_keep_it() -> None:
    there = await installed()
    placed(there, "api/v1/configmaps/kube-root-ca.crt")
    placed(there, "api/v1/configmaps/istio-ca-root-cert")
    placed(there, "api/v1/configmaps/istio-leader", metadata={"annotations": {"control-plane.alpha.kubernetes.io/leader": "{}"}})
    placed(there, "api/v1/secrets/istio-ca-secret", type="istio.io/ca-root")
    placed(there, "api/v1/secrets/sh.helm.release.v1.public.v1", type="helm.sh/release.v1")
    placed(there, "api/v1/secrets/public-token", type="kubernetes.io/service-account-token")
    placed(there, "apis/batch/v1/jobs/once", metadata={"ownerReferences": [{"apiVersion": "batch/v1", "kind": "CronJob"}]})
    assert reasons(await removal(there)) == []


async def test_a_namespace_that_may_not_be_looked_into_stays() -> None:
    there = await installed()
    there.kube.refusals["LIST /api/v1/namespaces/istio-ingress/secrets"] = forbidden("secrets")
    assert reasons(await removal(there)) == [
        'namespace/istio-ingress: cannot tell whether it contains foreign secrets: secrets is forbidden: User "ann" cannot do it'
    ]


async def test_a_policy_that_others_made_stays() -> None:
    there = await installed()
    path = "/apis/security.istio.io/v1/namespaces/istio-system/peerauthentications/default"
    there.kube.objects[path]["metadata"]["labels"] = {}
    assert not any(step.name.startswith("PeerAuthentication") for step in (await removal(there)).steps)


async def test_a_policy_that_others_made_and_up_found_right_stays_theirs() -> None:
    there = world()
    there.kube.put(POLICY)
    await installed(there)
    assert "labels" not in there.kube.objects[POLICY_PATH]["metadata"]
    assert not any(step.name.startswith("PeerAuthentication") for step in (await removal(there)).steps)


async def test_no_chart_is_asked_for() -> None:
    there = await installed()
    there.charts.asked.clear()
    await down(there)
    assert there.charts.asked == []


async def test_a_release_whose_helm_died_is_repaired_first() -> None:
    there = await installed()
    there.releases.records[PUBLIC] = replace(there.releases.records[PUBLIC], status=ReleaseStatus.UNINSTALLING)
    assert [step.name for step in (await removal(there)).steps if isinstance(step, ReleaseStep) and step.repair] == ["istio-ingress/public"]


async def test_a_load_balancer_goes_before_its_release_and_is_waited_for() -> None:
    there = await installed()
    path = "/api/v1/namespaces/istio-ingress/services/public"
    labels = {"app.kubernetes.io/instance": "public"}
    metadata = {
        "name": "public",
        "namespace": "istio-ingress",
        "labels": labels,
        "annotations": {"meta.helm.sh/release-name": "public", "meta.helm.sh/release-namespace": "istio-ingress"},
        "finalizers": ["service.kubernetes.io/load-balancer-cleanup"],
    }
    there.kube.put({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"type": "LoadBalancer"}})
    events: list[Event] = []

    async def cloud() -> None:
        await anyio.sleep(60)
        assert "uninstall istio-ingress/public" not in there.helm.calls
        del there.kube.objects[path]

    async with anyio.create_task_group() as group:
        group.start_soon(cloud)
        await stages.down(there, FRESH.desired, events)
    waits = [event.reason for event in events if isinstance(event, StepWaiting) and event.step.name == "istio-ingress/public"]
    assert waits == [
        "Service istio-ingress/public is being deleted: held by service.kubernetes.io/load-balancer-cleanup",
        "helm uninstall",
    ]


async def test_what_survives_is_named() -> None:
    there = await installed()
    left = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "odd", "namespace": "istio-ingress", "labels": {"app.kubernetes.io/part-of": "istio"}},
    }
    there.kube.put(left)
    with pytest.raises(StepError, match="still there: deployments/istio-ingress/odd"):
        await down(there)


async def test_a_removal_waits_for_a_namespace_that_is_being_deleted_and_makes_no_lock_in_it() -> None:
    there = await installed()
    await down(there)
    ending = {
        "name": "istio-system",
        "labels": {"app.kubernetes.io/managed-by": "meshinstall"},
        "deletionTimestamp": "2026-11-21T12:00:01Z",
    }
    there.kube.put({"apiVersion": "v1", "kind": "Namespace", "metadata": ending})
    there.kube.objects.pop(lease_path("istio-system"), None)
    there.kube.refusals[f"CREATE {lease_path('istio-system').rpartition('/')[0]}"] = forbidden("leases")
    assert order(await down(there)) == ["namespace/istio-system"]


async def test_where_others_run_istio_and_we_do_not_nothing_of_theirs_is_named() -> None:
    there = world()
    part = {"app.kubernetes.io/part-of": "istio"}
    plane = control_plane("istio-system", **part)
    there.kube.put(plane)
    there.kube.put({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "istiod", "labels": part}})
    vouch(there.kube, plane)
    assert await down(there) == []


async def test_a_gateway_that_was_taken_out_of_the_configuration_is_found_in_its_own_namespace() -> None:
    there = await installed()
    labels = {"app.kubernetes.io/managed-by": "meshinstall", "meshinstall.dev/environment": "dev"}
    there.kube.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "old", "labels": labels}})
    key = ReleaseKey("old", "old")
    there.releases.records[key] = record(key, "gateway", description="meshinstall: environment dev")
    plan = await make_plan(FRESH.desired, there.session())
    assert [finding.object for finding in plan.findings if finding.code == "PRE013"] == ["release old/old"]
    assert reasons(await removal(there)) == ["namespace/old: it contains release old/old, which is no longer in the configuration"]
    with pytest.raises(StepError, match="still there: release old/old"):
        await down(there)
    del there.releases.records[key]
    assert order(await down(there)) == ["namespace/old"]


async def test_the_root_certificate_in_every_namespace_goes() -> None:
    there = await installed()
    for namespace in ("shop", "bank"):
        there.kube.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "istio-ca-root-cert", "namespace": namespace}})
    there.kube.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "theirs", "namespace": "shop"}})
    await down(there)
    assert [path for path in there.kube.objects if "/configmaps/" in path and "istio-system" not in path] == [
        "/api/v1/namespaces/shop/configmaps/theirs"
    ]


async def test_the_root_certificate_stays_while_another_control_plane_lives() -> None:
    there = await installed()
    there.kube.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "istio-ca-root-cert", "namespace": "shop"}})
    other = control_plane("istio-canary")
    there.kube.put(other)
    vouch(there.kube, other)
    # The plan says so already; the run looks again.
    (kept,) = reasons(await removal(there))
    assert kept.endswith("to 1 namespace: shop; another istiod needs them: Deployment istio-canary/istiod-canary")
    await down(there)
    assert "/api/v1/namespaces/shop/configmaps/istio-ca-root-cert" in there.kube.objects


async def test_what_only_looks_like_a_control_plane_keeps_no_root_certificate() -> None:
    there = await installed()
    there.kube.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "istio-ca-root-cert", "namespace": "shop"}})
    there.kube.put(control_plane("aaa"))
    await down(there)
    assert "/api/v1/namespaces/shop/configmaps/istio-ca-root-cert" not in there.kube.objects


def control_plane(namespace: str, **more: str) -> dict[str, Any]:
    """A Deployment like istiod's."""
    labels = {"app": "istiod"}
    metadata = {"name": "istiod-canary", "namespace": namespace, "labels": labels | more}
    pods = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "discovery"}]}}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": {"template": pods}}


def leave_scout(there: World, namespace: str = "istio-ingress", **labels: str) -> str:
    """The scout of a run that was killed, with the ReplicaSet that its controller made; gives its path."""
    marks = {"app.kubernetes.io/managed-by": "meshinstall", "meshinstall.dev/scout": "public", **labels}
    metadata = {"name": "public-scout", "namespace": namespace, "labels": marks, "uid": "uid-scout"}
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "public-scout", "controller": True}
    path = f"/apis/apps/v1/namespaces/{namespace}"
    there.kube.objects[f"{path}/deployments/public-scout"] = {"metadata": metadata}
    made = {"name": "public-scout-1", "namespace": namespace, "labels": marks, "ownerReferences": [owner]}
    there.kube.objects[f"{path}/replicasets/public-scout-1"] = {"metadata": made}
    return f"{path}/deployments/public-scout"


async def test_a_scout_of_a_killed_run_goes_and_keeps_no_namespace() -> None:
    there = await installed()
    path = leave_scout(there)
    steps = {step.name: step for step in (await removal(there)).pending}
    assert steps["Deployment/istio-ingress/public-scout"].reasons == ("a run that was killed left this scout of a gateway",)
    assert "namespace/istio-ingress" in steps
    done = order(await down(there))
    assert done.index("Deployment/istio-ingress/public-scout") < done.index("namespace/istio-ingress")
    assert f"DELETE {path}" in there.kube.calls


async def test_what_only_looks_like_a_scout_stays_and_keeps_its_namespace() -> None:
    there = await installed()
    leave_scout(there, **{"app.kubernetes.io/managed-by": "Helm"})
    steps = [step.name for step in (await removal(there)).pending]
    assert "Deployment/istio-ingress/public-scout" not in steps
    assert "namespace/istio-ingress" not in steps


BESIDE = ReleaseKey("istio-system", "istiod-1-32")


def beside(there: World, **fields: Any) -> None:
    """An istiod of another revision beside that of the configuration, as an upgrade leaves it in the middle."""
    told = {"version": "1.32.0", "values": {"revision": "1-32"}, "description": "meshinstall: dev, default, sha256:1", **fields}
    there.releases.records[BESIDE] = record(BESIDE, "istiod", **told)


async def test_in_the_middle_of_an_upgrade_both_istiods_go_after_the_gateways() -> None:
    there = await installed()
    beside(there)
    told = order(await down(there))
    assert told.index("istio-ingress/public") < told.index("istio-system/istiod-1-32") < told.index("istio-system/istio-base")
    assert "namespace/istio-system" in told
    assert BESIDE not in there.releases.records


@pytest.mark.parametrize("status", [ReleaseStatus.PENDING_INSTALL, ReleaseStatus.FAILED])
async def test_an_istiod_that_a_killed_upgrade_left_goes_too(status: ReleaseStatus) -> None:
    there = await installed()
    beside(there, status=status, description="Initial install underway")
    assert str(BESIDE) in order(await down(there))


@pytest.mark.parametrize(
    "fields",
    [
        {"description": "Install complete"},
        {"description": "Initial install underway", "status": ReleaseStatus.FAILED, "values": {"revision": "canary"}},
    ],
)
async def test_an_istiod_that_somebody_else_installed_beside_it_stays(fields: dict[str, Any]) -> None:
    there = await installed()
    beside(there, **fields)
    assert str(BESIDE) not in {step.name for step in (await removal(there)).steps}
