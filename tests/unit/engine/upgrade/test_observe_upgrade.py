"""What of a cluster becomes the position of a mesh: each part once, by lists, and without what is going away."""

from typing import Any

import pytest

from meshinstall.catalog.upgrades import GATEWAY_ROUTES, REGISTERED_ENTRIES, SHARED_HOSTS
from meshinstall.engine.observe.upgrade import observe_upgrade
from meshinstall.model.istio_version import IstioVersion
from meshinstall.model.mesh_position import Carrier, MeshPosition, ProxyCount, Rollout, TagAt
from meshinstall.model.place import Place
from tests.cases import plans
from tests.fake_kube import forbidden
from tests.fakes import World
from tests.unit.engine.upgrade.upgrade_world import deployment, istiod, namespace, pod, put, served, world

pytestmark = pytest.mark.anyio

OLD = IstioVersion(1, 30, 4)
HOOKS = "/apis/admissionregistration.k8s.io/v1"


async def look(there: World) -> MeshPosition:
    return await observe_upgrade(plans.make({}).desired, there.session())


async def test_each_part_is_where_it_is() -> None:
    found = await look(world())
    assert found.kubernetes == "1.36.3"
    assert found.helm == "4.3.1"
    assert found.base == OLD
    assert [(plane.revision, plane.version, plane.release, plane.images) for plane in found.planes] == [
        ("default", OLD, "istiod", "docker.io/istio")
    ]
    (web,) = found.proxied
    assert (web.name, web.carrier, web.proxies) == ("Deployment shop/web", Carrier.SIDECAR, (ProxyCount("default", OLD, 1),))
    assert web.rollout == Rollout("RollingUpdate", 1, 0, 1)
    assert found.gaps == ()


async def test_it_is_known_which_engine_keeps_a_part_and_without_a_record_what_the_crds_say() -> None:
    there = world()
    there.releases.records.clear()
    labels = {"app.kubernetes.io/instance": "istio-base", "helm.sh/chart": "base-1.30.4"}
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/gateways.networking.istio.io"
    there.kube.objects[path] = {"metadata": {"name": "gateways.networking.istio.io", "labels": labels}}
    for place in ("istio-system/deployments/istiod", "shop/deployments/web"):
        live = there.kube.objects[f"/apis/apps/v1/namespaces/{place}"]["metadata"]
        live["annotations"] = {**live.get("annotations", {}), "argocd.argoproj.io/tracking-id": "mesh:apps/Deployment:x"}
    found = await look(there)
    assert found.base == OLD
    assert [plane.kept_by for plane in found.planes] == ["Argo CD Application mesh"]
    assert [one.kept_by for one in found.proxied] == ["Argo CD Application mesh"]


async def test_pods_that_are_being_deleted_are_left_out() -> None:
    there = world()
    pod(there, "shop", "web-old", owner=("Deployment", "web"), tag="1.29.0", deletionTimestamp="2026-11-21T12:00:00Z")
    (web,) = (await look(there)).proxied
    assert web.pods == 1


async def test_the_number_of_requests_does_not_depend_on_the_number_of_objects() -> None:
    few, many = world(), world()
    for number in range(50):
        namespace(many, f"n{number}", istio_injection="enabled")
        deployment(many, f"n{number}", "web")
        pod(many, f"n{number}", "web-1", owner=("Deployment", "web"))
    await look(few)
    assert len((await look(many)).proxied) == 51
    assert len(many.kube.calls) == len(few.kube.calls)


@pytest.mark.parametrize(
    ("owner", "labels", "name"),
    [
        (None, {}, "Pod shop/p"),
        (("Job", "migrate"), {}, "Job shop/migrate"),
        (("StatefulSet", "db"), {}, "StatefulSet shop/db"),
        (("ReplicaSet", "bare"), {}, "ReplicaSet shop/bare"),
        (("ReplicaSet", "canary-h2"), {"rollouts-pod-template-hash": "h2"}, "Rollout shop/canary"),
        (("Deployment", "web"), {}, "Deployment shop/web"),
    ],
)
async def test_the_workload_behind_a_pod(owner: tuple[str, str] | None, labels: dict[str, str], name: str) -> None:
    there = world()
    pod(there, "shop", "p", owner=owner, labels=labels)
    assert name in [one.name for one in (await look(there)).proxied]


@pytest.mark.parametrize(
    ("spec", "rollout"),
    [
        ({"replicas": 3}, Rollout("RollingUpdate", 3, 0, 1)),
        ({"replicas": 4}, Rollout("RollingUpdate", 4, 1, 1)),
        ({"strategy": {"type": "Recreate"}}, Rollout("Recreate", 1, 0, 1)),
        ({"strategy": {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}}}, Rollout("RollingUpdate", 1, 1, 0)),
        ({"paused": True}, Rollout("RollingUpdate", 1, 0, 1, is_paused=True)),
        ({"replicas": 0}, Rollout("RollingUpdate", 0, 1, 0)),
    ],
)
async def test_how_a_deployment_is_rolled_out(spec: dict[str, Any], rollout: Rollout) -> None:
    there = world()
    deployment(there, "shop", "web", **spec)
    (web,) = (await look(there)).proxied
    assert web.rollout == rollout


async def test_a_budget_that_allows_none_is_named_where_it_selects() -> None:
    there = world()
    deployment(there, "shop", "web", template={"labels": {"app": "web"}})
    path = "/apis/policy/v1/namespaces/shop/poddisruptionbudgets"
    status = {"expectedPods": 1, "disruptionsAllowed": 0}
    put(there, f"{path}/other", spec={"selector": {"matchLabels": {"app": "api"}}}, status=status)
    put(there, f"{path}/tight", spec={"selector": {"matchLabels": {"app": "web"}}}, status=status)
    (web,) = (await look(there)).proxied
    assert web.rollout.budget == "shop/tight"


async def test_the_revision_is_the_injectors_and_the_pins_are_the_templates() -> None:
    there = world()
    istiod(there, "istiod-1-31", "1-31", "1.31.0")
    deployment(
        there,
        "shop",
        "web",
        template={"labels": {"istio.io/rev": "1-31"}, "annotations": {"sidecar.istio.io/proxyImage": "r/proxyv2:1.30.4"}},
    )
    pod(there, "shop", "web-2", owner=("Deployment", "web"), tag="1.31.0", annotations={"sidecar.istio.io/status": '{"revision": "1-31"}'})
    (web,) = (await look(there)).proxied
    assert set(web.proxies) == {ProxyCount("default", OLD, 1), ProxyCount("1-31", IstioVersion(1, 31, 0), 1)}
    assert (web.pinned, web.pinned_image) == ("1-31", "r/proxyv2:1.30.4")


async def test_tags_validator_and_an_injector_that_is_switched_off() -> None:
    there = world()
    istiod(there, "istiod-1-31", "1-31", "1.31.0")
    put(there, f"{HOOKS}/mutatingwebhookconfigurations/t", metadata={"labels": {"istio.io/tag": "default", "istio.io/rev": "1-31"}})
    never = {"matchLabels": {"istio.io/deactivated": "never-match"}}
    put(
        there,
        f"{HOOKS}/mutatingwebhookconfigurations/istio-sidecar-injector",
        metadata={"labels": {"istio.io/rev": "default", "app": "sidecar-injector"}},
        webhooks=[{"name": "x.sidecar-injector.istio.io", "namespaceSelector": never}],
    )
    service = {"name": "istiod-1-31", "namespace": "istio-system"}
    put(
        there,
        f"{HOOKS}/validatingwebhookconfigurations/istiod-default-validator",
        webhooks=[{"name": "validation.istio.io", "clientConfig": {"service": service}}],
    )
    found = await look(there)
    assert found.tags == (TagAt("default", "1-31"),)
    assert found.validator == "1-31"
    assert found.switched_off
    plane = found.plane("default")
    assert plane is not None
    assert plane.revision == "1-31"


async def test_objects_with_a_revision_and_what_release_notes_ask_for() -> None:
    there = world()
    served(
        there, "networking.istio.io/v1", virtualservices="VirtualService", serviceentries="ServiceEntry", workloadentries="WorkloadEntry"
    )
    served(there, "gateway.networking.k8s.io/v1", gateways="Gateway")
    served(there, "gateway.networking.k8s.io/v1alpha2", tlsroutes="TLSRoute", gateways="Gateway")
    networking = "/apis/networking.istio.io/v1/namespaces"
    put(there, f"{networking}/shop/virtualservices/old", metadata={"labels": {"istio.io/rev": "default"}})
    put(there, f"{networking}/shop/virtualservices/free")
    put(there, f"{networking}/shop/serviceentries/a", spec={"hosts": ["x.example", "own.example"]})
    put(there, f"{networking}/web/serviceentries/b", spec={"hosts": ["x.example", "db.shop.svc.cluster.local"]})
    put(there, f"{networking}/shop/workloadentries/vm", metadata={"annotations": {"istio.io/autoRegistrationGroup": "vms"}})
    api = "/apis/gateway.networking.k8s.io"
    put(there, f"{api}/v1/namespaces/shop/gateways/in", spec={"gatewayClassName": "istio"}, metadata={"labels": {"istio.io/rev": "stable"}})
    put(there, f"{api}/v1/namespaces/shop/gateways/way", spec={"gatewayClassName": "istio-waypoint"})
    put(there, f"{api}/v1/namespaces/shop/gateways/foreign", spec={"gatewayClassName": "nginx"})
    put(there, f"{api}/v1alpha2/namespaces/shop/tlsroutes/pass")
    found = await look(there)
    assert sorted(map(str, found.labelled)) == ["VirtualService shop/old"]
    assert [(str(one), one.is_waypoint, one.revision) for one in found.api_gateways] == [
        ("Gateway shop/in", False, "stable"),
        ("Gateway shop/way", True, ""),
    ]
    assert found.used[GATEWAY_ROUTES] == ("TLSRoute shop/pass",)
    assert found.used[SHARED_HOSTS] == ("ServiceEntries of host db.shop.svc.cluster.local", "ServiceEntries of host x.example")
    assert found.used[REGISTERED_ENTRIES] == ("WorkloadEntry shop/vm",)


async def test_another_mesh_of_the_cluster_is_left_out() -> None:
    there = world()
    istiod(there, "istiod-asm-1-28", "asm-1-28", "1.28.0")
    path = "/apis/apps/v1/namespaces/istio-system/deployments/istiod-asm-1-28"
    there.kube.objects[path.replace("istio-system", "aks-istio-system")] = there.kube.objects.pop(path)
    for kind in ("services",):
        old = f"/api/v1/namespaces/istio-system/{kind}/istiod-asm-1-28"
        there.kube.objects[old.replace("istio-system", "aks-istio-system")] = there.kube.objects.pop(old)
    for item in there.kube.objects.values():
        for hook in item.get("webhooks", ()):
            if hook["clientConfig"]["service"]["name"] == "istiod-asm-1-28":
                hook["clientConfig"]["service"]["namespace"] = "aks-istio-system"
        if item["metadata"].get("name") == "istiod-asm-1-28":
            item["metadata"]["namespace"] = "aks-istio-system"
    namespace(there, "theirs", istio__io___rev="asm-1-28")
    pod(there, "theirs", "p", annotations={"sidecar.istio.io/status": '{"revision": "asm-1-28"}'})
    found = await look(there)
    assert [plane.revision for plane in found.planes] == ["default"]
    assert [one.name for one in found.proxied] == ["Deployment shop/web"]
    assert "theirs" not in [space.name for space in found.namespaces]


async def test_what_may_not_be_listed_is_a_gap() -> None:
    there = world()
    there.kube.refusals["LIST /apis/policy/v1/poddisruptionbudgets"] = forbidden("poddisruptionbudgets")
    there.helm.unusable = "helm is not on the PATH"
    found = await look(there)
    assert len(found.gaps) == 2
    assert found.proxied[0].place == Place("shop", "web")


async def test_a_scout_of_our_gateway_is_no_part_of_the_mesh_and_anybody_elses_pod_is_whatever_its_label_says() -> None:
    there = world()
    marked = {"meshinstall.dev/scout": "public"}
    for space, name in (("istio-ingress", "public-scout"), ("shop", "hidden")):
        pod(there, space, f"{name}-1", owner=("Deployment", name), labels=marked)
        there.kube.objects[f"/api/v1/namespaces/{space}/pods/{name}-1"]["spec"]["containers"][0]["args"] = ["proxy", "router"]
    pod(there, "istio-ingress", "sidecar-1", owner=("Deployment", "sidecar"), labels=marked)
    found = [one.name for one in (await look(there)).proxied]
    assert found == ["Deployment istio-ingress/sidecar", "Deployment shop/hidden", "Deployment shop/web"]


async def test_probes_are_no_part_of_the_mesh_and_what_only_has_their_name_is() -> None:
    there = world()
    namespace(there, "meshinstall-probe-1", istio__io___rev="default", meshinstall__dev___probe="namespace")
    pod(there, "meshinstall-probe-1", "client", labels={"meshinstall.dev/probe": "client"})
    namespace(there, "meshinstall-probe-2", istio__io___rev="default")
    pod(there, "meshinstall-probe-2", "lone")
    pod(there, "shop", "marked", labels={"meshinstall.dev/probe": "client"})
    namespace(there, "ending", istio_injection="enabled")
    there.kube.objects["/api/v1/namespaces/ending"]["metadata"]["deletionTimestamp"] = "2026-11-21T12:00:00Z"
    found = await look(there)
    assert [one.name for one in found.proxied] == ["Deployment shop/web", "Pod meshinstall-probe-2/lone", "Pod shop/marked"]
    assert {"meshinstall-probe-1", "meshinstall-probe-2", "ending"} & {space.name for space in found.namespaces} == {"meshinstall-probe-2"}
