"""One look for a gate: the mesh is surveyed once, waited for, and nobody's pod spoils the view of the others."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest

from meshinstall.checks.moving.clients import sidelined
from meshinstall.engine.events import Event, Verifying
from meshinstall.engine.gates.condensed import namespaces
from meshinstall.engine.gates.snapshot import Since, look, until_stopped
from meshinstall.engine.gates.verify import Scope
from meshinstall.errors import ForbiddenError
from meshinstall.model.gate import Moved, ProxiesSeen, Snapshot
from meshinstall.model.mesh import Dataplane, MeshFacts, NamespaceFacts, SyncState
from meshinstall.model.place import Place
from tests.cases import plans
from tests.fake_kube import now
from tests.unit.engine.mesh.kube_worlds import APP, init, pod, proxy
from tests.unit.engine.mesh.survey_world import ROOT_FACTS, Mesh, record

pytestmark = pytest.mark.anyio

DESIRED = plans.load("fresh").desired
READY = {"phase": "Running", "podIP": "10.0.0.8", "conditions": [{"type": "Ready", "status": "True"}]}
OWNER = [{"kind": "ReplicaSet", "name": "web-5d9", "controller": True}]
WEB, GATE = Place("shop", "Deployment web"), Place("edge", "Pod gate")
PODS = "/api/v1/namespaces/shop/pods"
LABELS = {"app": "web", "pod-template-hash": "5d9"}


def web(name: str = "web", **more: Any) -> dict[str, Any]:
    return pod(name=name, labels=LABELS, ownerReferences=OWNER, status=READY, **more)


def deployment(replicas: int | None = 2, name: str = "web") -> dict[str, Any]:
    spec = {} if replicas is None else {"replicas": replicas}
    return {"metadata": {"name": name, "namespace": "shop"}, "spec": spec}


class Ready(Mesh):
    """A mesh whose pods are ready, and whose clients answer."""

    def __init__(self) -> None:
        super().__init__()
        self.kube.answers["/apis/authentication.k8s.io/v1/selfsubjectreviews"] = lambda _: {
            "metadata": {"creationTimestamp": now().isoformat()}
        }
        gate = pod(inits=[], containers=[proxy("router")], name="gate", namespace="edge", status=READY)
        brain = pod(
            inits=[],
            containers=[{"name": "discovery"}],
            name="istiod-1",
            namespace="istio-system",
            labels={"app": "istiod", "istio.io/rev": "canary", "pod-template-hash": "7c"},
            ownerReferences=[{"kind": "ReplicaSet", "name": "istiod-canary-7c", "controller": True}],
            status={**READY, "containerStatuses": [{"restartCount": 2}]},
        )
        self.add("v1", "pods", web(), gate, brain)
        self.pods.answers["istio-system", "istiod-1", 15014, "/metrics"] = b"process_resident_memory_bytes 1e8\n"
        self.add("apps/v1", "deployments", deployment())
        self.istiod.records["istiod-1"] = [record(), record("gate.edge")]
        for place in (Place("shop", "web"), Place("edge", "gate")):
            self.sends(place)

    async def seen(self, since: Since | None = None, scope: Scope | None = None) -> Snapshot:
        """A look that tries nothing on the wire."""
        self.said: list[Event] = []
        return await look(self.session(), DESIRED, self.said.append, scope=scope or Scope(read_only=True), since=since)


async def test_a_look_has_what_every_check_of_a_gate_needs() -> None:
    there = Ready()
    found = await there.seen()
    seen = found.workloads[WEB]
    assert (seen.pods, seen.ready, seen.restarts, seen.wanted, seen.dataplane) == (1, 1, 0, 2, Dataplane.SIDECAR)
    assert seen.proxies == (ProxiesSeen("canary", "1.31.0", SyncState.SYNCED, 1, example="web"),)
    assert found.workloads[GATE].dataplane is Dataplane.GATEWAY
    assert found.workloads[GATE].wanted is None
    (plane,) = found.planes
    assert (plane.revision, plane.version, plane.trust_domain) == ("canary", "1.31.0", "corp")
    assert (plane.ready, plane.wanted, plane.restarts) == (1, 1, 2)
    assert found.namespaces["shop"].roots == (ROOT_FACTS.fingerprint,)
    assert found.namespaces["shop"].policies
    assert found.namespaces["shop"].objects != found.namespaces["shop"].policies
    assert found.namespaces["edge"].policies == ""
    assert {one.code for one in found.checks} >= {"CHK001", "CHK013"}
    assert [one.revision for one in found.webhooks] == ["canary"]
    assert {(port.namespace, port.workload) for port in found.verdict.ports} == {WEB, GATE}
    assert found.unread == frozenset()


async def test_the_mesh_is_surveyed_once() -> None:
    there = Ready()
    await there.seen()
    assert there.kube.calls.count("LIST /api/v1/pods") == 1
    assert there.kube.calls.count("LIST /api/v1/namespaces") == 1
    assert len([call for call in there.kube.calls if call.startswith("LIST /apis/apps/v1/")]) == 4  # one of them finds istiods


async def test_what_may_not_be_listed_is_a_gap() -> None:
    there = Ready()
    there.kube.refusals["LIST /apis/apps/v1/deployments"] = ForbiddenError("no")
    found = await there.seen()
    assert "Deployment" in found.unread
    assert found.workloads[WEB].wanted is None
    assert any("Deployments could not be listed" in gap for gap in found.gaps)


async def test_a_workload_without_any_pod_is_not_one_that_was_removed() -> None:
    there = Ready()
    start = await there.seen()
    del there.kube.objects[f"{PODS}/web"]
    there.istiod.records["istiod-1"] = [record("gate.edge")]
    since = Since(Moved(workloads=(WEB,)), start)
    found = await there.seen(since)
    assert (found.workloads[WEB].pods, found.workloads[WEB].wanted) == (0, 2)
    del there.kube.objects["/apis/apps/v1/namespaces/shop/deployments/web"]
    assert WEB not in (await there.seen(since)).workloads


async def test_proxies_of_pods_that_are_not_ready_or_are_ending_are_not_held_against_it() -> None:
    there = Ready()
    starting = web("web-2")
    starting["status"] = {"phase": "Running", "podIP": "10.0.0.9", "containerStatuses": [{"restartCount": 7}]}
    there.add("v1", "pods", starting)
    seen = (await there.seen()).workloads[WEB]
    assert (seen.pods, seen.ready, seen.restarts, len(seen.proxies)) == (2, 1, 7, 1)
    there.add("v1", "pods", web("web-2", deletionTimestamp="2026-11-29T12:00:00Z"))
    assert (await there.seen()).workloads[WEB].pods == 1


async def test_a_tenants_silent_proxy_does_not_keep_the_clients_of_others_from_being_proven() -> None:
    there = Ready()
    sound = await there.seen()
    there.add("v1", "pods", pod(name="mute", namespace="edge", status=READY))
    found = await there.seen()
    clients = [port.clients for port in found.verdict.ports if (port.namespace, port.workload) == WEB]
    assert clients == [port.clients for port in sound.verdict.ports if (port.namespace, port.workload) == WEB]
    mute = found.workloads[Place("edge", "Pod mute")]
    assert mute.is_aside
    assert mute.proxies[0].problem
    assert not found.workloads[WEB].is_aside


AS_PROXY = {**APP, "securityContext": {"runAsUser": 1337}}


async def test_new_and_changed_clients_do_not_count_and_moved_ones_do() -> None:
    there = Ready()
    start = await there.seen()
    bad = Place("shop", "Pod bad")
    there.add(
        "v1",
        "pods",
        web(containers=[AS_PROXY]),
        pod(name="bad", containers=[AS_PROXY], inits=[init(), {**proxy("sidecar"), "restartPolicy": "Always"}]),
    )
    for place in (Place("shop", "bad"), Place("shop", "web")):
        there.sends(place)
    facts = await there.look()
    assert sidelined(facts, start, Moved()) == {WEB, bad}
    assert sidelined(facts, start, Moved(workloads=(WEB,))) == {bad}
    was = {**start.workloads, WEB: replace(start.workloads[WEB], is_aside=True)}
    assert sidelined(facts, replace(start, workloads=was), Moved(workloads=(WEB,))) == {WEB, bad}
    assert sidelined(facts, None, Moved()) == {WEB, bad}


async def test_rows_that_what_was_moved_would_reach_have_no_other_client() -> None:
    there = Ready()
    start = await there.seen()
    found = await there.seen(Since(Moved(gateways=(GATE,), revision="canary"), start))
    assert {(port.namespace, port.workload) for port in found.reached} == {WEB, GATE}
    assert (await there.seen(Since(Moved(), start))).reached == ()


ENDING = "2026-11-29T12:00:00Z"
# What a pod that does not run any more leaves unknown: what its proxy has.
SILENT = "proxies"


@pytest.mark.parametrize("moved", [Moved(workloads=(WEB,)), Moved(namespaces=("shop",))])
async def test_pods_of_what_was_moved_that_are_being_deleted_do_not_count_and_are_not_waited_for(moved: Moved) -> None:
    there = Ready()
    start = await there.seen()
    sound = await there.seen(Since(moved, start))
    there.add("v1", "pods", web("old", deletionTimestamp=ENDING, containers=[AS_PROXY]))
    started = anyio.current_time()
    found = await there.seen(Since(moved, start))
    assert anyio.current_time() == started
    assert found.unread == frozenset()
    assert found.verdict.ports == sound.verdict.ports
    assert found.workloads == sound.workloads
    assert found.checks == sound.checks


async def test_a_pod_of_others_that_is_being_deleted_is_seen_as_it_is() -> None:
    there = Ready()
    start = await there.seen()
    there.add("v1", "pods", web("old", deletionTimestamp=ENDING))
    assert (await there.seen(Since(Moved(gateways=(GATE,)), start))).unread == {SILENT}
    assert (await there.seen()).unread == {SILENT}


async def test_a_workload_all_of_whose_pods_are_being_deleted_has_none() -> None:
    there = Ready()
    start = await there.seen()
    there.add("v1", "pods", web(deletionTimestamp=ENDING))
    found = await there.seen(Since(Moved(workloads=(WEB,)), start))
    assert (found.workloads[WEB].pods, found.workloads[WEB].wanted) == (0, 2)


async def test_a_look_that_waits_sees_the_mesh_when_they_have_stopped() -> None:
    there = Ready()
    there.add("v1", "pods", web("old", deletionTimestamp=ENDING))

    async def stop() -> None:
        await anyio.sleep(5)
        del there.kube.objects[f"{PODS}/old"]

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stop)
        await there.seen(Since(Moved(workloads=(WEB,)), waits=True))
        assert 5 <= anyio.current_time() <= 7


@pytest.mark.parametrize("moved", [Moved(workloads=(WEB,)), Moved(namespaces=("shop",))])
async def test_pods_of_what_was_moved_are_waited_for_while_they_stop(moved: Moved) -> None:
    there = Ready()
    there.add("v1", "pods", web("old-1", deletionTimestamp="2026-11-29T12:00:00Z"), web("old-2", deletionTimestamp="2026-11-29T12:00:00Z"))
    said: list[Event] = []

    async def stop() -> None:
        await anyio.sleep(5)
        for name in ("old-1", "old-2"):
            del there.kube.objects[f"{PODS}/{name}"]

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(stop)
        await until_stopped(there.session(), moved, said.append)
    assert [event.doing for event in said if isinstance(event, Verifying)] == ["waiting until shop/old-1 and 1 more pods have stopped"]
    assert 5 <= anyio.current_time() <= 7


async def test_who_does_not_stop_is_not_waited_for_longer_than_a_while() -> None:
    there = Ready()
    there.add("v1", "pods", web("old", deletionTimestamp="2026-11-29T12:00:00Z"))
    started = anyio.current_time()
    await until_stopped(there.session(), Moved(workloads=(WEB,)), lambda _: None)
    assert 90 <= anyio.current_time() - started <= 92


async def test_nobody_elses_pods_are_waited_for() -> None:
    there = Ready()
    there.add("v1", "pods", pod(name="mine", deletionTimestamp="2026-11-29T12:00:00Z"))
    started = anyio.current_time()
    await until_stopped(there.session(), Moved(workloads=(WEB,), namespaces=("edge",)), lambda _: None)
    there.kube.refusals[f"LIST {PODS}"] = ForbiddenError("no")
    await until_stopped(there.session(), Moved(workloads=(WEB,)), lambda _: None)
    assert anyio.current_time() == started


@pytest.mark.parametrize(
    ("labels", "selector"),
    [
        ({}, ""),
        ({"istio.io/rev": "prod"}, "prod"),
        ({"istio-injection": "enabled", "istio.io/rev": "prod"}, "default"),
        ({"istio-injection": "disabled", "istio.io/rev": "prod"}, ""),
    ],
)
def test_a_namespace_is_injected_by_what_its_labels_say(labels: dict[str, str], selector: str) -> None:
    facts = MeshFacts(datetime(2026, 11, 29, tzinfo=UTC), namespaces={"shop": NamespaceFacts("shop", labels)})
    assert namespaces(facts)["shop"].selector == selector


def test_a_namespace_that_is_ending_or_our_own_is_not_kept() -> None:
    spaces = {"gone": NamespaceFacts("gone", ending=True), "probe": NamespaceFacts("probe")}
    assert namespaces(MeshFacts(datetime(2026, 11, 29, tzinfo=UTC), namespaces=spaces, probes=("probe",))) == {}
