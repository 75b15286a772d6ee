"""What down removes, in which order, and what it finds left."""

from dataclasses import replace

import anyio
import pytest

from meshinstall.engine import pipeline
from meshinstall.engine.events import Event, StepDone, StepWaiting
from meshinstall.errors import StepError
from meshinstall.model.plan import Plan, ReleaseStep
from meshinstall.model.release import ReleaseStatus
from tests.cases import plans
from tests.fakes import World
from tests.unit.engine.installed import PUBLIC, world

pytestmark = pytest.mark.anyio

FRESH = plans.load("fresh")


async def installed() -> World:
    there = world()
    session = there.session()
    await pipeline.up(await pipeline.make_plan(FRESH.desired, session), FRESH.desired, session, lambda _: None, 600)
    there.helm.calls.clear()
    return there


async def removal(there: World, *, crds: bool = False) -> Plan:
    return await pipeline.make_removal(FRESH.desired, there.session(), crds=crds)


async def down(there: World, *, crds: bool = False) -> list[Event]:
    events: list[Event] = []
    await pipeline.down(await removal(there, crds=crds), FRESH.desired, there.session(), events.append, 600)
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
        "namespace/istio-system",
        "namespace/istio-ingress",
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
    assert [(step.name, step.reasons) for step in kept] == [
        ("namespace/istio-ingress", ("deployments/shop in it is not of this installation",))
    ]


async def test_a_policy_that_others_made_stays() -> None:
    there = await installed()
    path = "/apis/security.istio.io/v1/namespaces/istio-system/peerauthentications/default"
    there.kube.objects[path]["metadata"]["labels"] = {}
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
        "finalizers": ["service.kubernetes.io/load-balancer-cleanup"],
    }
    there.kube.put({"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"type": "LoadBalancer"}})
    events: list[Event] = []
    plan = await removal(there)

    async def cloud() -> None:
        await anyio.sleep(60)
        assert "uninstall istio-ingress/public" not in there.helm.calls
        del there.kube.objects[path]

    async with anyio.create_task_group() as group:
        group.start_soon(cloud)
        await pipeline.down(plan, FRESH.desired, there.session(), events.append, 600)
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


async def test_the_root_certificate_in_every_namespace_goes() -> None:
    there = await installed()
    for namespace in ("shop", "bank"):
        there.kube.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "istio-ca-root-cert", "namespace": namespace}})
    there.kube.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "theirs", "namespace": "shop"}})
    await down(there)
    assert [path for path in there.kube.objects if "/configmaps/" in path and "istio-system" not in path] == [
        "/api/v1/namespaces/shop/configmaps/theirs"
    ]
