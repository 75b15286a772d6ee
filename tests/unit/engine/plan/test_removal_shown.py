"""A removal deletes what it showed and nothing else: not what came after the question, and not what others own by now."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import anyio
import pytest

from meshinstall.engine import pipeline
from meshinstall.engine.events import Event, StepDone
from meshinstall.engine.planning import make_removal
from meshinstall.errors import ConflictError, MeshinstallError, PlanRefusedError, UnreachableError
from meshinstall.model.ownership import lease_path
from meshinstall.model.plan import Plan
from meshinstall.model.release import Manifest, ReleaseKey, ReleaseStatus
from meshinstall.model.trial import ApiKind
from tests.fake_kube import vouch
from tests.fakes import World, record
from tests.unit.engine import stages
from tests.unit.engine.installed import ISTIOD, POLICY_PATH, PUBLIC
from tests.unit.engine.plan.test_removal import FRESH, control_plane, installed, order, placed, reasons, removal

pytestmark = pytest.mark.anyio

INGRESS = "/api/v1/namespaces/istio-ingress"
ROOT = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "istio-ca-root-cert", "namespace": "shop"}}
OWNER = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "istiod-x"}
ROOT_PATH = "/api/v1/namespaces/shop/configmaps/istio-ca-root-cert"


async def down(there: World, meanwhile: Callable[[], object], *, crds: bool = False) -> list[Event]:
    """A removal in which something happens while the person thinks."""
    events: list[Event] = []

    async def ask(_: Plan) -> None:
        meanwhile()

    callbacks = stages.callbacks(events, ask=ask)
    await pipeline.down(FRESH.desired, there.session(), stages.UNPROVEN, callbacks, crds=crds)
    return events


def details(events: list[Event]) -> dict[str, str]:
    return {event.step.name: event.detail for event in events if isinstance(event, StepDone) and event.detail}


@pytest.mark.parametrize(
    "path",
    [
        "apis/networking.k8s.io/v1/ingresses/shop",
        "apis/rbac.authorization.k8s.io/v1/roles/shop",
        "apis/rbac.authorization.k8s.io/v1/rolebindings/shop",
        "apis/autoscaling/v2/horizontalpodautoscalers/shop",
        "apis/policy/v1/poddisruptionbudgets/shop",
        "apis/networking.k8s.io/v1/networkpolicies/shop",
        "apis/coordination.k8s.io/v1/leases/shop-controller",
        "apis/cert-manager.io/v1/certificates/shop",
        "apis/shop.example.com/v1alpha1/carts/one",
        "api/v1/serviceaccounts/shop",
        "api/v1/resourcequotas/shop",
    ],
)
async def test_an_object_of_any_kind_keeps_its_namespace(path: str) -> None:
    there = await installed()
    placed(there, path)
    assert reasons(await removal(there)) == [f"namespace/istio-ingress: it contains foreign objects: {'/'.join(path.split('/')[-2:])}"]


async def test_what_kubernetes_writes_by_itself_keeps_no_namespace() -> None:
    there = await installed()
    placed(there, "api/v1/serviceaccounts/default")
    placed(there, "api/v1/endpoints/public")
    placed(there, "api/v1/events/public.1")
    placed(there, "apis/events.k8s.io/v1/events/public.1")
    placed(there, "apis/coordination.k8s.io/v1/leases/istio-gateway-status-leader-default")
    placed(
        there, "apis/elbv2.k8s.aws/v1beta1/targetgroupbindings/k8s-public", metadata={"labels": {"service.k8s.aws/stack-name": "public"}}
    )
    placed(
        there, "apis/discovery.k8s.io/v1/endpointslices/public-x", metadata={"ownerReferences": [{"apiVersion": "v1", "kind": "Service"}]}
    )
    assert reasons(await removal(there)) == []


async def test_kinds_that_are_computed_are_not_asked_for_and_each_kind_is_asked_for_once() -> None:
    there = await installed()
    there.kube.served = {
        ("v1", "Secret"): ApiKind("secrets", namespaced=True),
        ("metrics.k8s.io/v1beta1", "PodMetrics"): ApiKind("pods", namespaced=True, stored=False),
        ("v1", "Namespace"): ApiKind("namespaces", namespaced=False),
        ("autoscaling/v2", "HorizontalPodAutoscaler"): ApiKind("horizontalpodautoscalers", namespaced=True),
        ("autoscaling/v1", "HorizontalPodAutoscaler"): ApiKind("horizontalpodautoscalers", namespaced=True),
    }
    there.kube.calls.clear()
    await removal(there)
    asked = [call for call in there.kube.calls if call.startswith("LIST ") and "/namespaces/istio-ingress/" in call]
    assert [call for call in asked if "autoscal" in call or "metrics" in call] == [
        "LIST /apis/autoscaling/v2/namespaces/istio-ingress/horizontalpodautoscalers"
    ]


async def test_an_api_server_that_does_not_tell_its_kinds_keeps_every_namespace() -> None:
    there = await installed()

    async def get(path: str) -> Manifest | None:
        return None if path in {"/apis", "/api/v1"} else await kept(path)

    kept, there.kube.get = there.kube.get, get  # type: ignore[method-assign]
    why = "cannot tell what it contains: the API server does not list its kinds"
    assert reasons(await removal(there)) == [f"namespace/istio-ingress: {why}", f"namespace/istio-system: {why}"]


async def test_a_kind_that_cannot_be_listed_now_keeps_the_namespace() -> None:
    there = await installed()
    placed(there, "apis/broken.example.com/v1/things/one")
    there.kube.refusals["LIST /apis/broken.example.com/v1/namespaces/istio-ingress/things"] = UnreachableError("the service is down")
    assert reasons(await removal(there)) == ["namespace/istio-ingress: cannot tell whether it contains foreign things: the service is down"]


async def test_what_came_after_the_question_keeps_its_namespace_and_is_named() -> None:
    there = await installed()
    events = await down(there, lambda: placed(there, "apis/networking.k8s.io/v1/ingresses/shop"))
    assert details(events)["namespace/istio-ingress"] == "kept: it contains foreign objects: ingresses/shop"
    assert INGRESS in there.kube.objects
    assert "/api/v1/namespaces/istio-system" not in there.kube.objects


async def test_a_release_of_others_that_came_after_the_question_keeps_its_namespace() -> None:
    there = await installed()
    key = ReleaseKey("istio-ingress", "shop")
    events = await down(there, lambda: there.releases.records.update({key: record(key, "shop")}))
    assert details(events)["namespace/istio-ingress"] == "kept: it contains release istio-ingress/shop, which meshinstall did not install"


@pytest.mark.parametrize("path", [INGRESS, POLICY_PATH])
async def test_what_was_made_again_after_the_question_is_not_deleted(path: str) -> None:
    there = await installed()
    with pytest.raises(ConflictError, match="is not the one that the plan showed"):
        await down(there, lambda: there.kube.objects[path]["metadata"].update(uid="another"))
    assert path in there.kube.objects


async def test_a_release_that_helm_alone_installed_is_left_and_named() -> None:
    there = await installed()
    there.releases.records[PUBLIC] = replace(there.releases.records[PUBLIC], description="Install complete")
    events = await down(there, lambda: None)
    assert "istio-ingress/public" not in order(events)
    assert PUBLIC in there.releases.records
    plan = await removal(there)
    assert reasons(plan) == [
        "istio-ingress/public: was installed by helm, not by meshinstall",
        "namespace/istio-ingress: it contains release istio-ingress/public, which meshinstall did not install",
    ]
    assert plan.is_empty


async def test_a_release_whose_objects_are_another_ones_by_now_is_left() -> None:
    there = await installed()
    owner = {"meta.helm.sh/release-name": "public", "meta.helm.sh/release-namespace": "edge"}
    there.kube.objects["/apis/apps/v1/namespaces/istio-ingress/deployments/public"]["metadata"]["annotations"] = owner
    assert reasons(await removal(there))[0] == (
        "istio-ingress/public: has objects that belong to release edge/public now: Deployment istio-ingress/public"
    )
    assert "uninstall istio-ingress/public" not in (await down(there, lambda: None) and there.helm.calls)


@pytest.mark.parametrize(
    "changes", [{"revision": 2}, {"description": "Install complete"}, {"status": ReleaseStatus.PENDING_UPGRADE}, {"revision": 7}]
)
async def test_a_release_that_changed_after_the_question_is_not_uninstalled(changes: dict[str, Any]) -> None:
    there = await installed()

    def helm() -> None:
        there.releases.records[ISTIOD] = replace(there.releases.records[ISTIOD], **changes)

    with pytest.raises(PlanRefusedError, match=r"release istio-system/istiod .* since the plan was made"):
        await down(there, helm)
    assert there.helm.calls == []


async def test_a_release_that_changed_while_the_steps_before_ran_is_not_uninstalled() -> None:
    there = await installed()

    async def upgrade() -> None:
        there.releases.records[ISTIOD] = replace(there.releases.records[ISTIOD], revision=2)

    there.helm.before[PUBLIC] = upgrade
    with pytest.raises(PlanRefusedError, match=r"release istio-system/istiod has changed since the plan was made"):
        await down(there, lambda: None)
    assert "uninstall istio-system/istiod" not in there.helm.calls


async def test_a_release_that_is_gone_by_now_does_not_stop_the_rest() -> None:
    there = await installed()
    await down(there, lambda: there.releases.records.pop(PUBLIC))
    assert there.releases.records == {}
    assert "uninstall istio-ingress/public" not in there.helm.calls


async def test_a_load_balancer_of_another_release_with_our_label_stays() -> None:
    there = await installed()
    metadata = {"name": "shop", "labels": {"app.kubernetes.io/instance": "public"}, "annotations": {"meta.helm.sh/release-name": "shop"}}
    placed(there, "api/v1/services/shop", metadata=metadata, spec={"type": "LoadBalancer"})
    await down(there, lambda: None)
    assert f"{INGRESS}/services/shop" in there.kube.objects


async def test_root_certificates_are_shown_asked_about_and_deleted_under_the_lock_after_istiod() -> None:
    there, held = await installed(), []
    there.kube.put(ROOT)
    plan = await removal(there)
    step = next(step for step in plan.steps if step.name == "root-certificates")
    assert step.reasons == ("istiod wrote istio-ca-root-cert to 1 namespace: shop",)
    assert step.needs == ("istio-system/istiod",)

    async def delete(path: str, *, uid: str = "") -> None:
        if path == ROOT_PATH:
            held.append(there.kube.objects[lease_path("istio-system")]["spec"]["holderIdentity"])
        await kept(path, uid=uid)

    kept, there.kube.delete = there.kube.delete, delete  # type: ignore[method-assign]
    events = await down(there, lambda: None)
    assert held == ["ann@laptop/7-1"]
    assert details(events) == {"root-certificates": "1 deleted"}
    assert order(events)[-1] == "namespace/istio-system"
    assert ROOT_PATH not in there.kube.objects


async def test_a_root_certificate_that_was_made_again_after_the_question_stays() -> None:
    there = await installed()
    there.kube.put(ROOT)
    events = await down(there, lambda: there.kube.objects[ROOT_PATH]["metadata"].update(uid="another"))
    again = "0 deleted, kept because somebody made them again: ConfigMap shop/istio-ca-root-cert"
    assert details(events) == {"root-certificates": again}
    assert ROOT_PATH in there.kube.objects


async def test_a_removal_of_nothing_deletes_nothing_asks_nobody_and_takes_no_lock() -> None:
    there = await installed()
    await down(there, lambda: None)
    there.kube.put(ROOT)
    there.kube.calls.clear()

    def ask() -> None:
        raise AssertionError

    assert reasons(await removal(there)) == [
        "root-certificates: istiod wrote istio-ca-root-cert to 1 namespace: shop; this run does not uninstall an istiod"
    ]
    assert await down(there, ask) == []
    assert [call for call in there.kube.calls if not call.startswith(("GET", "LIST"))] == []
    assert ROOT_PATH in there.kube.objects


async def test_an_istiod_that_came_after_the_question_keeps_the_root_certificates() -> None:
    there = await installed()
    there.kube.put(ROOT)

    def come() -> None:
        other = control_plane("istio-canary")
        there.kube.put(other)
        vouch(there.kube, other)

    events = await down(there, come)
    assert details(events) == {"root-certificates": "kept: another istiod needs them: Deployment istio-canary/istiod-canary"}
    assert ROOT_PATH in there.kube.objects


async def test_root_certificates_go_when_istiod_has_stopped_and_would_write_them_no_more() -> None:
    there = await installed()
    there.kube.put(ROOT)
    pod = "/api/v1/namespaces/istio-system/pods/istiod-x"
    there.kube.objects[pod] = {
        "metadata": {"name": "istiod-x", "namespace": "istio-system", "labels": {"app": "istiod"}, "ownerReferences": [OWNER]}
    }

    async def stop() -> None:
        await anyio.sleep(30)
        assert ROOT_PATH in there.kube.objects
        del there.kube.objects[pod]

    async with anyio.create_task_group() as group:
        group.start_soon(stop)
        await down(there, lambda: None)
    assert ROOT_PATH not in there.kube.objects


async def test_where_the_namespace_of_the_mesh_is_gone_it_is_made_for_the_lock_and_goes_again() -> None:
    there = await installed()
    there.kube.objects = {path: item for path, item in there.kube.objects.items() if "istio-system" not in path}
    there.releases.records = {key: one for key, one in there.releases.records.items() if key.namespace != "istio-system"}
    there.kube.calls.clear()
    await down(there, lambda: None)
    lease = lease_path("istio-system").rpartition("/")[0]
    calls = [
        call for call in there.kube.calls if call in {f"CREATE {lease}", f"DELETE {INGRESS}", "DELETE /api/v1/namespaces/istio-system"}
    ]
    assert calls == [f"CREATE {lease}", f"DELETE {INGRESS}", "DELETE /api/v1/namespaces/istio-system"]


async def test_a_removal_that_another_run_locks_out_deletes_nothing() -> None:
    there = await installed()
    there.alive.add("bob@desk/8-1")
    there.kube.objects[lease_path("istio-system")]["spec"] = {"holderIdentity": "bob@desk/8-1", "renewTime": "2026-11-21T12:00:00.000000Z"}
    before = set(there.kube.objects)
    with pytest.raises(MeshinstallError, match="bob@desk/8-1 has held the lock"):
        await down(there, lambda: None)
    assert set(there.kube.objects) == before


async def test_the_plan_of_a_removal_names_each_object_by_its_uid() -> None:
    there = await installed()
    plan = await make_removal(FRESH.desired, there.session(), crds=True)
    manifests = [step.manifest["metadata"] for step in plan.steps if hasattr(step, "manifest")]
    assert manifests
    assert all(metadata["uid"].startswith("uid-") for metadata in manifests)
