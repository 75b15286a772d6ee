"""What keeps probes from starting, or from being removed, is a problem that is told, and nothing stays."""

from typing import Any

import anyio
import pytest

from meshinstall.engine.probe import prober as prober_module
from meshinstall.engine.probe.prober import probes, remove_leftovers
from meshinstall.errors import ForbiddenError
from meshinstall.model.ownership import HOLDER
from meshinstall.model.release import Manifest
from meshinstall.model.wire import Answer
from tests.fake_kube import NOON, forbidden
from tests.unit.engine.probe.prober_world import LABELS, WEB, Cluster, probed

pytestmark = pytest.mark.anyio


async def problem(cluster: Cluster) -> str:
    """Why there are no probes; nothing was then tried."""
    found = await probed(cluster, WEB)
    assert not found.seen
    return found.problem


@pytest.mark.parametrize(
    "verb",
    [
        "CREATE /api/v1/namespaces",
        "LIST /apis/apps/v1/namespaces/istio-system/deployments",
        "LIST /api/v1/namespaces/istio-system/services",
        "LIST /apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations",
    ],
)
async def test_a_missing_right_is_a_problem(cluster: Cluster, verb: str) -> None:
    cluster.nodes.refusals[verb] = forbidden("this")
    assert 'this is forbidden: User "ann"' in await problem(cluster)


async def test_what_may_not_be_made_is_not_removed_either(cluster: Cluster) -> None:
    cluster.nodes.refusals["CREATE /api/v1/namespaces"] = forbidden("this")
    async with probes(cluster.session(), cluster.said.append) as prober:
        assert prober.problem
    assert prober.gaps == []
    assert [call for call in cluster.nodes.calls if call.startswith("DELETE")] == []


async def test_without_an_istiod_there_is_nothing_to_probe_with(cluster: Cluster) -> None:
    await cluster.kube.delete("/apis/apps/v1/namespaces/istio-system/deployments/istiod")
    assert "the cluster has no istiod" in await problem(cluster)


async def test_an_istiod_that_is_not_ready_is_not_waited_for(cluster: Cluster) -> None:
    cluster.put_istiod("istiod", {"app": "istiod"}, ready=False)
    assert "no pod of istiod is ready: istio-system/istiod" in await problem(cluster)
    assert "CREATE /api/v1/namespaces" not in cluster.nodes.calls


async def test_a_new_leader_of_istiod_is_waited_for_and_it_is_said(cluster: Cluster) -> None:
    cluster.nodes.roots = False

    async def elected() -> None:
        await anyio.sleep(9)
        (space,) = cluster.nodes.of_kind("Namespace")
        cluster.nodes.give_roots(space)

    async with anyio.create_task_group() as group:
        group.start_soon(elected)
        async with probes(cluster.session(), cluster.said.append) as prober:
            assert not prober.problem
    assert ["waiting for istiod to write istio-ca-root-cert" in line for line in cluster.said] == [True]


@pytest.mark.parametrize("kind", ["sidecars", "pods"])
async def test_a_webhook_that_cannot_be_called_for_moments_is_waited_for_and_it_is_said(cluster: Cluster, kind: str) -> None:
    cluster.nodes.refused[kind] = 4
    found = await probed(cluster, WEB)
    assert not found.problem
    assert found.seen
    waits = [line for line in cluster.said if "waiting until the API server can call istiod" in line]
    assert waits
    assert "connection refused" in waits[0]
    assert cluster.is_clean()


async def test_a_webhook_that_stays_away_is_a_problem_within_seconds(cluster: Cluster) -> None:
    cluster.nodes.refused["sidecars"] = 1000
    started = anyio.current_time()
    assert "connection refused" in await problem(cluster)
    assert anyio.current_time() - started < 12
    assert cluster.is_clean()


async def test_a_webhook_that_refuses_is_not_asked_twice(cluster: Cluster) -> None:
    cluster.nodes.refused["sidecars"] = 1000
    cluster.nodes.refusal = 'admission webhook "validation.istio.io" denied the request: no'
    assert "denied the request" in await problem(cluster)
    assert len([call for call in cluster.nodes.calls if call.startswith("CREATE") and call.endswith("/sidecars")]) == 1


async def test_a_namespace_that_istiod_does_not_see_is_a_problem(cluster: Cluster) -> None:
    cluster.nodes.roots = False
    assert "istiod did not write istio-ca-root-cert to a new namespace" in await problem(cluster)


async def test_a_pod_that_is_not_injected_is_a_problem_at_once(cluster: Cluster) -> None:
    cluster.nodes.image = "auto"
    assert "the injection webhook did not inject a pod that asks for a sidecar" in await problem(cluster)
    assert anyio.current_time() < 1


def pulling(message: str, reason: str = "ErrImagePull") -> Manifest:
    waiting = {"reason": reason, "message": message}
    return {"phase": "Pending", "containerStatuses": [{"name": "istio-proxy", "image": "proxyv2:1", "state": {"waiting": waiting}}]}


async def test_an_image_that_is_not_there_is_a_problem_in_seconds(cluster: Cluster) -> None:
    cluster.nodes.status["client"] = pulling("dial tcp: connection refused")
    assert "ErrImagePull: dial tcp: connection refused" in await problem(cluster)
    assert anyio.current_time() < 8


async def test_a_client_that_never_gets_ready_says_what_it_waited_for(cluster: Cluster) -> None:
    cluster.proxies.ready = 1000
    assert "pod client was not ready within 45 s: pod client refuses /ready on 15000: HTTP 503" in await problem(cluster)


async def test_a_clients_envoy_is_asked_where_the_injector_says_it_answers(cluster: Cluster) -> None:
    cluster.nodes.env = [{"name": "PROXY_CONFIG", "value": '{"proxyAdminPort":15999}'}]
    cluster.proxies.ready = 1000
    assert "pod client refuses /ready on 15999: HTTP 503" in await problem(cluster)


async def test_a_client_that_never_runs_says_so(cluster: Cluster) -> None:
    cluster.nodes.status["client"] = {"phase": "Pending"}
    assert "pod client was not ready within 45 s: it is Pending" in await problem(cluster)


async def test_what_may_pass_by_itself_is_waited_for(cluster: Cluster) -> None:
    cluster.nodes.status["client"] = pulling("back-off", "CrashLoopBackOff")
    assert "pod client was not ready within 45 s: pod client, container istio-proxy: CrashLoopBackOff" in await problem(cluster)


async def test_without_the_right_to_forward_ports_nobody_waits(cluster: Cluster) -> None:
    cluster.proxies.refusal = ForbiddenError("no permission for pods/portforward")
    assert "no permission for pods/portforward" in await problem(cluster)
    assert anyio.current_time() < 1


@pytest.mark.parametrize(
    ("certs", "words"),
    [
        (b"[" * 200_000, "its Envoy does not report its certificates"),
        ([], "its Envoy does not report its certificates"),
        ({"certificates": [{"cert_chain": [{}]}]}, "its Envoy does not report its certificates"),
        ({"certificates": []}, "its Envoy has no certificate yet"),
        ({"certificates": [{"cert_chain": [{"subject_alt_names": [{"dns": "x"}, {"uri": 7}]}]}]}, "its Envoy has no certificate yet"),
    ],
)
async def test_a_client_without_an_identity_is_not_ready(cluster: Cluster, certs: object, words: str) -> None:
    cluster.proxies.certs = certs
    assert words in await problem(cluster)


async def test_without_the_target_workloads_are_still_probed(cluster: Cluster) -> None:
    cluster.nodes.status["target"] = pulling("code = NotFound")
    async with probes(cluster.session(), cluster.said.append) as prober:
        assert (await prober.probe([WEB])).seen[WEB][3].answer is Answer.SERVED
    assert ["the probes' own target cannot be started" in gap for gap in prober.gaps] == [True]


async def test_an_error_inside_passes_and_leaves_nothing(cluster: Cluster) -> None:
    with pytest.raises(ZeroDivisionError):
        async with probes(cluster.session(), cluster.said.append):
            raise ZeroDivisionError


@pytest.mark.parametrize("after", [0.0, 0.5, 1.5, 3.0])
async def test_a_cancelled_run_leaves_nothing(cluster: Cluster, after: float) -> None:
    with anyio.move_on_after(after):
        async with probes(cluster.session(), cluster.said.append):
            await anyio.sleep_forever()


async def test_a_namespace_that_was_asked_for_is_not_left_by_a_cancelled_request(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    create = cluster.nodes.create

    async def slowly(path: str, body: Manifest) -> Manifest:
        if body["kind"] == "Namespace":
            await anyio.sleep(2)
        return await create(path, body)

    monkeypatch.setattr(cluster.nodes, "create", slowly)
    with anyio.move_on_after(1):
        async with probes(cluster.session(), cluster.said.append):
            pytest.fail("was cancelled before")
    assert "CREATE /api/v1/namespaces" in cluster.nodes.calls


async def test_what_cannot_be_cleaned_up_is_told(cluster: Cluster) -> None:
    async with probes(cluster.session(), cluster.said.append) as prober:
        path = f"/api/v1/namespaces/{prober.namespace}"
        cluster.nodes.refusals[f"DELETE {path}"] = forbidden("deleting")
    assert prober.gaps == [f'namespace {prober.namespace} could not be removed: deleting is forbidden: User "ann" cannot do it']
    cluster.nodes.refusals.clear()
    await cluster.nodes.delete(path)


def left(name: str, holder: str = "", created: str = NOON.isoformat(), **metadata: Any) -> Manifest:
    annotations = {HOLDER: holder} if holder else {}
    told = {"name": name, "labels": LABELS, "annotations": annotations, "creationTimestamp": created, **metadata}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": told}


async def test_leftovers_of_the_dead_and_the_forgotten_are_removed(cluster: Cluster) -> None:
    cluster.dead.add("dead@laptop")
    cluster.nodes.put(
        left("meshinstall-probe-dead", "dead@laptop"),
        left("meshinstall-probe-old", "far@away", "2026-11-21T11:39:00Z"),
        left("meshinstall-probe-going", "dead@laptop", deletionTimestamp=NOON.isoformat()),
        left("meshinstall-probe-alive", "ann@laptop/8-1"),
        left("shop", "dead@laptop"),
        left("meshinstall-probe-other", "dead@laptop", labels={}),
    )
    async with probes(cluster.session(), cluster.said.append) as prober:
        kept = {"meshinstall-probe-going", "meshinstall-probe-alive", "shop", "meshinstall-probe-other", prober.namespace}
        assert set(cluster.nodes.of_kind("Namespace")) == kept
        assert "waiting for another verification to end: meshinstall-probe-alive" in cluster.said
    for name in ("going", "alive", "other"):
        await cluster.nodes.delete(f"/api/v1/namespaces/meshinstall-probe-{name}")


async def test_a_second_run_starts_when_the_first_has_ended(cluster: Cluster) -> None:
    waits = anyio.Event()

    def say(text: str) -> None:
        if text.startswith("waiting for another verification to end: "):
            waits.set()

    async with anyio.create_task_group() as group, probes(cluster.session(), cluster.said.append) as first:

        async def again() -> None:
            async with probes(cluster.session("bob@desk/8-1"), say) as second:
                assert first.namespace not in cluster.nodes.of_kind("Namespace")
                assert not second.problem

        group.start_soon(again)
        await waits.wait()


async def test_a_run_may_have_two_and_each_revision_gives_its_own_proxies(cluster: Cluster) -> None:
    async with probes(cluster.session(), cluster.said.append) as first, probes(cluster.session(), cluster.said.append, "1-31") as second:
        labels = {
            name: cluster.nodes.objects[f"/api/v1/namespaces/{name}"]["metadata"]["labels"] for name in (first.namespace, second.namespace)
        }
        assert labels[second.namespace]["istio.io/rev"] == "1-31"
        assert labels[first.namespace] != labels[second.namespace]
    assert cluster.said == []
    assert cluster.is_clean()


async def test_leftovers_that_cannot_be_listed_stop_nothing(cluster: Cluster) -> None:
    cluster.nodes.refusals["LIST /api/v1/namespaces"] = forbidden("listing")
    async with probes(cluster.session(), cluster.said.append) as prober:
        assert not prober.problem
    assert ["probes of an earlier run" in gap for gap in prober.gaps] == [True]
    with pytest.raises(ForbiddenError):
        await remove_leftovers(cluster.session())


async def test_what_is_not_cleaned_up_in_time_is_told(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(path: str, *, uid: str = "") -> None:
        assert path or uid
        await anyio.sleep_forever()

    monkeypatch.setattr(prober_module, "_CLEAN_UP", 0.05)
    async with probes(cluster.session(), cluster.said.append) as prober:
        delete = cluster.nodes.delete
        monkeypatch.setattr(cluster.nodes, "delete", hang)
    assert prober.gaps == [f"namespace {prober.namespace} could not be removed: not in time"]
    await delete(f"/api/v1/namespaces/{prober.namespace}")
