"""The gate of a scout: what it finds, what it cannot find out, and that nothing of it stays."""

from typing import Any

import anyio
import pytest

from meshinstall.errors import ClusterError, HelmError
from meshinstall.model.gate import GateOutcome
from tests.fake_kube import NOON, forbidden
from tests.unit.engine.gates.scout_world import DEPLOYMENTS, ISTIOD, LIVE, PODS, SCOUT, Cluster, pod, synced
from tests.unit.engine.mesh.gateway_dumps import http, route, shop

pytestmark = pytest.mark.anyio
BOTH = {"app": "public", "istio": "public"}
NAME = "public-scout"


async def test_a_scout_that_serves_the_same_passes_and_goes() -> None:
    there = Cluster()
    there.gateways({"istio": "public"})
    there.services({"selector": BOTH, "ports": [{"port": 80, "targetPort": 80}]})
    found = await there.scouted()
    assert found.outcome is GateOutcome.PASS, found
    assert found.name == "scout of istio-ingress/public"
    assert "3 listeners" in found.words
    assert found.evidence == (
        "compared with pod istio-ingress/public-1",
        "the scout was injected by revision 1-31 with proxy 1.31.0",
    )
    assert there.scouts == []
    (made,) = there.nodes.made
    assert made["metadata"]["annotations"] == {"meshinstall.dev/holder": "ann@laptop/7-1"}
    assert made["spec"]["template"]["metadata"]["labels"]["app"] == NAME
    assert there.told == ["starting Deployment istio-ingress/public-scout beside the gateway; no Service selects it"]


async def test_a_scout_that_lacks_something_fails_when_it_had_time_to_get_it() -> None:
    there = Cluster()
    del there.scout.listeners[0]
    found = await there.scouted()
    assert found.outcome is GateOutcome.FAIL
    assert found.words == "the scout lacks listener 0.0.0.0:80"
    assert anyio.current_time() >= 10
    assert there.scouts == []


async def test_what_comes_late_is_waited_for() -> None:
    there = Cluster()
    whole = there.scout
    there.scout = shop()
    del there.scout.listeners[0]

    async def later() -> None:
        await anyio.sleep(3)
        there.scout = whole
        there.says()

    async with anyio.create_task_group() as group:
        group.start_soon(later)
        found = await there.scouted()
    assert found.outcome is GateOutcome.PASS


async def test_all_pods_of_the_live_gateway_count_and_those_that_are_silent_are_named() -> None:
    there = Cluster()
    labels = there.kube.objects[f"{PODS}/{LIVE.name}"]["metadata"]["labels"]
    there.kube.objects[f"{PODS}/public-2"] = pod(LIVE._replace(name="public-2"), labels, "1-30")
    there.kube.objects[f"{PODS}/public-3"] = pod(LIVE._replace(name="public-3"), labels, "1-30", conditions=[])
    found = await there.scouted()
    assert found.outcome is GateOutcome.PASS
    assert "pod istio-ingress/public-2 was not compared: no port-forward to pod istio-ingress/public-2" in found.evidence
    assert "public-3" not in str(found)


def _no_live(there: Cluster) -> None:
    del there.kube.objects[f"{DEPLOYMENTS}/public"]


def _not_ready(there: Cluster) -> None:
    there.kube.objects[f"{PODS}/{LIVE.name}"]["status"]["conditions"] = []


def _silent(there: Cluster) -> None:
    there.says = lambda: None  # type: ignore[method-assign] # nobody answers


def _both(there: Cluster) -> None:
    there.gateways(BOTH)


def _caught(there: Cluster) -> None:
    there.services({"selector": {"app.kubernetes.io/name": "public"}})


def _unread(there: Cluster) -> None:
    there.kube.refusals[f"LIST /api/v1/namespaces/{LIVE.namespace}/services"] = forbidden("services")


def _no_istiod(there: Cluster) -> None:
    del there.kube.objects["/apis/apps/v1/namespaces/istio-system/deployments/istiod-1-31"]


def _no_chart(there: Cluster) -> None:
    there.charts.missing.add("gateway")


def _no_helm(there: Cluster) -> None:
    there.helm.unusable = "there is no helm"


def _no_workload(there: Cluster) -> None:
    there.helm.renders.clear()


def _on_the_node(there: Cluster) -> None:
    made = there.kube.objects[f"{DEPLOYMENTS}/public"]
    made["spec"]["template"]["spec"]["hostNetwork"] = True
    there.helm.renders = {key: lambda _: (made,) for key in there.helm.renders}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_no_live, "Deployment istio-ingress/public does not exist"),
        (_not_ready, "has no pod that is Ready"),
        (_silent, "what the live gateway serves could not be read: pod istio-ingress/public-1 was not compared"),
        (_both, "Gateway shop/gateways-0 selects by the label app; Gateway shop/gateways-0 selects by the label istio"),
        (_caught, "would get traffic of Service istio-ingress/services-0"),
        (_unread, "what selects the gateway's pods could not be read"),
        (_no_istiod, "the cluster has no istiod of revision 1-31"),
        (_no_chart, "chart gateway"),
        (_no_helm, "there is no helm"),
        (_no_workload, "makes neither a Deployment nor a DaemonSet"),
        (_on_the_node, "network of their nodes"),
    ],
)
async def test_what_cannot_be_scouted_is_not_proven_and_starts_nothing(change: Any, words: str) -> None:
    there = Cluster()
    change(there)
    found = await there.scouted()
    assert found.outcome is GateOutcome.NOT_PROVEN
    assert words in found.words
    assert there.nodes.made == []


async def test_gateways_that_select_by_app_swap_the_roles() -> None:
    there = Cluster()
    there.gateways({"app": "public"})
    assert (await there.scouted()).outcome is GateOutcome.PASS
    labels = there.nodes.made[0]["spec"]["template"]["metadata"]["labels"]
    assert (labels["app"], labels["istio"]) == ("public", NAME)


async def test_the_ports_of_the_service_are_those_of_the_scout() -> None:
    there = Cluster()
    there.services({"selector": BOTH, "ports": [{"port": 80, "targetPort": 8080}, {"port": 81, "targetPort": "nobodys"}]})
    hosts = {"shop.example.com": [route("/", "web")]}
    there.live.listeners[0], there.live.tables[0] = http(8080, hosts)
    there.scout.listeners[0], there.scout.tables[0] = http(80, hosts)
    assert (await there.scouted()).outcome is GateOutcome.PASS


@pytest.mark.parametrize("kind", ["filters", "api_gateways"])
async def test_what_only_the_live_gateway_can_have_excuses_what_is_missing(kind: str) -> None:
    there = Cluster()
    there.services({"selector": BOTH, "ports": []})
    if kind == "filters":
        there.filters({"app": "public"}, {"istio": "public"})
        words = "EnvoyFilter istio-ingress/envoyfilters-0 selects the gateway by a label that the scout cannot have"
    else:
        there.api_gateways("services-0.istio-ingress.svc.cluster.local", "other")
        words = "Gateway istio-ingress/gateways-0 of the Gateway API names the gateway's Service, and a scout has no Service"
    assert (await there.scouted()).outcome is GateOutcome.PASS
    del there.scout.listeners[0]
    found = await there.scouted()
    assert found.outcome is GateOutcome.NOT_PROVEN
    assert found.words.endswith(f"but {words}")


async def test_a_scout_of_another_revision_proves_nothing() -> None:
    there = Cluster()
    there.nodes.revision = "1-30"
    found = await there.scouted()
    assert found.outcome is GateOutcome.NOT_PROVEN
    assert "injected by revision 1-30 and not by 1-31" in found.words
    assert there.scouts == []


async def test_an_image_that_is_not_there_fails_at_once() -> None:
    there = Cluster()
    there.nodes.starts = False
    _with_replicas(there)
    waiting = {"name": "istio-proxy", "image": "x", "state": {"waiting": {"reason": "ErrImagePull", "message": "manifest unknown"}}}
    there.nodes.status = {"conditions": [], "containerStatuses": [waiting]}
    found = await there.scouted()
    assert found.outcome is GateOutcome.FAIL
    assert "ErrImagePull" in found.words
    assert anyio.current_time() < 10
    assert there.scouts == []


async def test_a_cluster_without_room_proves_nothing() -> None:
    there = Cluster()
    there.nodes.starts = False
    _with_replicas(there)
    there.nodes.status = {"conditions": [{"type": "PodScheduled", "reason": "Unschedulable", "message": "0/1 nodes are available"}]}
    found = await there.scouted()
    assert found.outcome is GateOutcome.NOT_PROVEN
    assert "does not fit on any node" in found.words


def _with_replicas(there: Cluster) -> None:
    """What a Deployment's controller makes."""
    labels = {"app": NAME, "istio": "public", "pod-template-hash": "h"}
    metadata = {"name": "r", "namespace": LIVE.namespace, "labels": labels}
    there.kube.objects[f"/apis/apps/v1/namespaces/{LIVE.namespace}/replicasets/r"] = {"metadata": metadata}
    made = there.helm.renders

    def hashed(values: Any) -> Any:
        objects = next(iter(made.values()))(values)
        objects[1]["spec"]["template"]["metadata"]["labels"]["pod-template-hash"] = "h"
        return objects

    there.helm.renders = dict.fromkeys(made, hashed)


@pytest.mark.parametrize(
    ("record", "outcome", "words", "seconds"),
    [
        ([], GateOutcome.NOT_PROVEN, "does not report it as synced: unknown", 60),
        ([synced(SCOUT, acked="6")], GateOutcome.NOT_PROVEN, "did not have its configuration within 60 s", 60),
        ([synced(SCOUT, acked="6", lastError="bad listener")], GateOutcome.FAIL, "it rejects Listener: bad listener", 3),
        (ClusterError("it is away"), GateOutcome.NOT_PROVEN, "within 60 s", 60),
    ],
)
async def test_what_istiod_says_of_it_counts(record: Any, outcome: GateOutcome, words: str, seconds: float) -> None:
    there = Cluster()
    there.istiod.records = {ISTIOD: record}
    found = await there.scouted()
    assert found.outcome is outcome
    assert words in found.words
    assert seconds <= anyio.current_time() < seconds + 5
    assert there.scouts == []


@pytest.mark.parametrize(
    ("more", "outcome", "words"),
    [
        (
            {"acked": "6", "lastError": "bad cluster"},
            GateOutcome.FAIL,
            "the scout refuses its configuration: it rejects Listener: bad cluster",
        ),
        ({}, GateOutcome.NOT_PROVEN, "did not have its configuration within 60 s"),
    ],
)
async def test_a_scout_that_never_was_ready_fails_only_where_it_refused_what_it_was_sent(
    more: dict[str, str], outcome: GateOutcome, words: str
) -> None:
    there = Cluster()
    there.nodes.starts = False
    there.nodes.status = {"conditions": []}
    there.istiod.records = {ISTIOD: [synced(SCOUT, **more)]}
    found = await there.scouted()
    assert found.outcome is outcome
    assert words in found.words
    assert there.scouts == []


async def test_the_other_istiod_is_not_asked() -> None:
    there = Cluster()
    there.istiod.records = {ISTIOD: [], "istiod-1-30-1": [synced(SCOUT)]}
    assert (await there.scouted()).outcome is GateOutcome.NOT_PROVEN


async def test_an_envoy_that_does_not_answer_proves_nothing() -> None:
    there = Cluster()
    there.scout.tables.clear()
    found = await there.scouted()
    assert found.outcome is GateOutcome.NOT_PROVEN
    assert "still waits for the route configuration http.80" in found.words


@pytest.mark.parametrize("seconds", [0.0, 0.3, 2.0])
async def test_a_run_that_is_ended_leaves_nothing(seconds: float) -> None:
    there = Cluster()
    there.istiod.records = {ISTIOD: []}
    await there.cancelled(seconds)
    assert there.scouts == []


async def test_a_scout_that_was_made_although_nobody_heard_of_it_goes_too() -> None:
    there = Cluster()
    create = there.nodes.create

    async def lost(path: str, body: Any, *, dry_run: bool = False) -> Any:
        await create(path, body, dry_run=dry_run)
        raise ClusterError("the connection broke")

    there.nodes.create = lost  # type: ignore[method-assign] # an API server that is cut off
    found = await there.scouted()
    assert found.outcome is GateOutcome.NOT_PROVEN
    assert "the connection broke" in found.words
    assert there.scouts == []


def _leftover(there: Cluster, holder: str, name: str = NAME, created: str = NOON.isoformat(), **labels: str) -> None:
    marks = {"app.kubernetes.io/managed-by": "meshinstall", "meshinstall.dev/scout": "public", **labels}
    metadata = {
        "name": name,
        "namespace": LIVE.namespace,
        "labels": marks,
        "annotations": {"meshinstall.dev/holder": holder},
        "uid": "u",
        "creationTimestamp": created,
    }
    there.kube.objects[f"{DEPLOYMENTS}/{name}"] = {"metadata": metadata, "spec": {}}


@pytest.mark.parametrize(
    ("holder", "created"),
    [("dead@laptop/1-1", NOON.isoformat()), ("ann@laptop/7-1", NOON.isoformat()), ("far@away/1-1", "2026-11-21T11:39:00+00:00")],
)
async def test_scouts_of_dead_runs_and_old_ones_are_removed_first(holder: str, created: str) -> None:
    there = Cluster()
    there.dead.add("dead@laptop/1-1")
    _leftover(there, holder, created=created)
    _leftover(there, holder, "other-scout", created)
    assert (await there.scouted()).outcome is GateOutcome.PASS
    assert there.scouts == []


async def test_the_scout_of_a_run_that_may_live_stays() -> None:
    there = Cluster()
    _leftover(there, "far@away/1-1")
    found = await there.scouted()
    assert found.outcome is GateOutcome.NOT_PROVEN
    assert "another run has a scout there: istio-ingress/public-scout" in found.words
    assert there.scouts == [f"{DEPLOYMENTS}/{NAME}"]


async def test_what_somebody_else_made_under_that_name_stays() -> None:
    there = Cluster()
    _leftover(there, "ann@laptop/7-1", **{"app.kubernetes.io/managed-by": "Helm"})
    there.kube.objects[f"{DEPLOYMENTS}/{NAME}"]["metadata"]["annotations"] = {}
    found = await there.scouted()
    assert found.outcome is GateOutcome.NOT_PROVEN
    assert "already exists" in found.words
    assert there.scouts == [f"{DEPLOYMENTS}/{NAME}"]


async def test_a_scout_that_cannot_be_removed_is_told() -> None:
    there = Cluster()
    there.kube.refusals[f"DELETE {DEPLOYMENTS}/{NAME}"] = forbidden("deployments")
    assert (await there.scouted()).outcome is GateOutcome.PASS
    assert there.told[-1].startswith("Deployment istio-ingress/public-scout, a scout, could not be removed: ")


async def test_an_error_of_helm_is_one_line() -> None:
    there = Cluster()
    there.helm.unusable = "first\nsecond"
    found = await there.scouted()
    assert found.words.isprintable()
    assert HelmError("x").message == "x"
