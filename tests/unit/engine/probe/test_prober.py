"""Live probes on a cluster in memory: what is tried, what failures are called, and what is left behind."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest

from meshinstall.engine.probe import probe_objects, prober
from meshinstall.engine.probe.prober import probes, remove_leftovers
from meshinstall.errors import ClusterError, ForbiddenError
from meshinstall.model.mesh import Place
from meshinstall.model.release import Manifest
from meshinstall.model.wire import PROBE_LABEL, PROBE_PREFIX, Answer, Probe, Probing, Seen, WireTarget
from meshinstall.ports import Dial, Heard, Stream, Talk
from tests.fake_kube import NOON, FakeKube, forbidden, vouch
from tests.fakes import FakePods, FakeWire, World

pytestmark = pytest.mark.anyio

WEB = WireTarget(Place("shop", "web-1"), "10.0.0.7", 8080)
OWN = "spiffe://cluster.local/ns/meshinstall-probe/sa/probe"
CERTS = {"certificates": [{"ca_cert": [], "cert_chain": [{"subject_alt_names": [{"uri": OWN}]}]}]}
LABELS = {PROBE_LABEL: "namespace"}


class Nodes(FakeKube):
    """A cluster with an injector, a kubelet and an istiod that gives roots; ``status`` is what becomes of pods, by name."""

    def __init__(self) -> None:
        super().__init__()
        self.image = "docker.io/istio/proxyv2:1.31.0"
        self.roots = True
        self.env: list[Manifest] = []
        self.status: dict[str, Manifest] = {}

    async def create(self, path: str, body: Manifest, *, dry_run: bool = False) -> Manifest:
        """Create, and let the controllers do their part."""
        item = json.loads(json.dumps(body))
        if item["kind"] == "Pod":
            item["status"] = self.status.get(item["metadata"]["name"], {"phase": "Running"})
            for container in item["spec"]["containers"]:
                container |= {"image": self.image, "env": self.env}
        made = await super().create(path, item, dry_run=dry_run)
        if item["kind"] == "Namespace" and self.roots:
            self.give_roots(item["metadata"]["name"])
        return made

    def give_roots(self, namespace: str) -> None:
        """What istiod's leader does for a new namespace."""
        metadata = {"name": "istio-ca-root-cert", "namespace": namespace}
        self.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"root-cert.pem": "ROOT"}})

    async def delete(self, path: str) -> None:
        """Delete, and with a namespace all that is in it."""
        await super().delete(path)
        for inside in [one for one in self.objects if one.startswith(f"{path}/") or f"{path.removeprefix('/api/v1')}/" in one]:
            del self.objects[inside]

    def of_kind(self, kind: str) -> list[str]:
        """Names of the objects of a kind."""
        return [item["metadata"]["name"] for item in self.objects.values() if item["kind"] == kind]


class Proxies(FakePods):
    """Proxies that are ready from ``ready`` on and know ``certs``; ``talks`` counts streams that are open."""

    def __init__(self) -> None:
        super().__init__()
        self.ready = 1.0
        self.certs: object = CERTS
        self.refusal: ClusterError | None = None
        self.most = 0
        self._open = 0

    async def get(self, namespace: str, pod: str, port: int, path: str) -> bytes:
        """Ready, or not yet."""
        assert namespace.startswith(PROBE_PREFIX)
        if self.refusal:
            raise self.refusal
        if anyio.current_time() < self.ready:
            raise ClusterError(f"pod {pod} refuses {path} on {port}: HTTP 503")
        if path != "/certs":
            return b""
        return self.certs if isinstance(self.certs, bytes) else json.dumps(self.certs).encode()

    async def talk(self, namespace: str, pod: str, port: int, talk: Callable[[Stream], Any]) -> Any:
        """Talk for 0.1 s."""
        assert pod == "client"
        assert port == probe_objects.LISTENER
        assert namespace.startswith(PROBE_PREFIX)
        self._open += 1
        self.most = max(self.most, self._open)
        try:
            await anyio.sleep(0.1)
            return talk(None)  # type: ignore[arg-type]
        finally:
            self._open -= 1


class Cluster(World):
    """A cluster with an istiod."""

    def __init__(self) -> None:
        super().__init__()
        self.nodes = self.kube = Nodes()
        self.proxies = self.pods = Proxies()
        self.wire = wire()
        self.said: list[str] = []
        labels = {"app": "istiod", "istio.io/rev": "default"}
        self.put_istiod("istiod", labels)

    def put_istiod(self, name: str, labels: dict[str, str], *, ready: bool = True) -> None:
        """A Deployment of istiod."""
        metadata = {"name": name, "namespace": "istio-system", "labels": labels}
        status = {"readyReplicas": 1 if ready else 0}
        spec = {"template": {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "discovery"}]}}}
        plane = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec, "status": status}
        self.kube.put(plane)
        vouch(self.kube, plane)

    def is_clean(self) -> bool:
        """Whether nothing of probes is left."""
        return not [path for path in self.nodes.objects if PROBE_PREFIX in path]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Cleaned up at the end, whatever happened."""
    cluster = Cluster()
    yield cluster
    assert cluster.is_clean()


GOOD = {
    Probe.PLAINTEXT: Answer.REFUSED,
    Probe.ANONYMOUS: Answer.REFUSED,
    Probe.FOREIGN: Answer.REFUSED,
    Probe.MESHED: Answer.SERVED,
}


def wire(heard: dict[Probe, Heard] | None = None, tried: list[tuple[WireTarget, Probe]] | None = None) -> FakeWire:
    """A wire on which everything is well but for what was ``heard``; keeps what was ``tried``."""

    def dialled(roots: str, identity: str) -> Dial:
        assert roots == "ROOT"
        assert identity == OWN

        def dial(target: WireTarget, probe: Probe) -> Talk:
            def talk(_: Stream) -> Heard:
                if tried is not None:
                    tried.append((target, probe))
                return (heard or {}).get(probe) or Heard(Seen(probe, GOOD[probe]))

            return talk

        return dial

    return FakeWire(dialled)


async def probed(cluster: Cluster, *targets: WireTarget, dialling: FakeWire | None = None) -> Probing:
    """One round of probes."""
    cluster.wire = dialling or wire()
    async with probes(cluster.session(), cluster.said.append) as prober:
        return await prober.probe(targets)


async def problem(cluster: Cluster) -> str:
    """Why there are no probes; nothing was then tried."""
    found = await probed(cluster, WEB)
    assert not found.seen
    return found.problem


async def test_all_four_are_tried_in_order_and_kept_by_target(cluster: Cluster) -> None:
    found = await probed(cluster, WEB)
    assert found == Probing({WEB: tuple(Seen(probe, answer) for probe, answer in GOOD.items())})


async def test_the_probes_stand_in_one_namespace_of_the_mesh_while_they_last(cluster: Cluster) -> None:
    async with probes(cluster.session("ann@laptop/7-1"), cluster.said.append) as prober:
        assert prober.problem == ""
        assert prober.gaps == []
        namespace = cluster.nodes.objects[f"/api/v1/namespaces/{prober.namespace}"]
        assert namespace["metadata"]["labels"] | {"istio.io/rev": "default", **LABELS} == namespace["metadata"]["labels"]
        assert namespace["metadata"]["annotations"] == {probe_objects.HOLDER: "ann@laptop/7-1"}
        assert sorted(cluster.nodes.of_kind("Pod")) == ["client", "target"]
        assert cluster.nodes.of_kind("Sidecar") == ["probe"]
        assert sorted(cluster.nodes.of_kind("EnvoyFilter")) == ["client", "target"]
    assert cluster.is_clean()


@pytest.mark.parametrize(
    ("ip", "address"),
    [
        ("10.0.0.3", {"address": "0.0.0.0", "port_value": 8080}),  # noqa: S104 - its proxy stands before it
        ("fd00::3", {"address": "::", "ipv4_compat": True, "port_value": 8080}),
        ("", {"address": "0.0.0.0", "port_value": 8080}),  # noqa: S104 - as before
    ],
)
async def test_the_target_listens_where_pods_have_their_addresses(cluster: Cluster, ip: str, address: dict[str, object]) -> None:
    metadata = {"name": "istiod-1", "namespace": "istio-system", "labels": {"app": "istiod"}}
    brain = {"metadata": metadata, "status": {"podIP": ip} if ip else {}}
    cluster.nodes.objects["/api/v1/namespaces/istio-system/pods/istiod-1"] = brain
    async with probes(cluster.session(), cluster.said.append) as prober:
        filters = "/apis/networking.istio.io/v1alpha3/namespaces/{}/envoyfilters/{}"
        found = [cluster.nodes.objects[filters.format(prober.namespace, name)] for name in ("client", "target")]
    patches = [patch for one in found for patch in one["spec"]["configPatches"] if patch["applyTo"] == "LISTENER"]
    client, target = (patch["patch"]["value"]["address"]["socket_address"] for patch in patches)
    assert target == address
    assert client == {"address": "127.0.0.1", "port_value": probe_objects.LISTENER}


async def test_whoever_may_not_list_pods_can_still_probe(cluster: Cluster) -> None:
    cluster.kube.refusals["LIST /api/v1/pods"] = ForbiddenError("pods is forbidden")
    assert (await probed(cluster, WEB)).problem == ""


async def test_pods_end_before_the_namespace_goes(cluster: Cluster) -> None:
    await probed(cluster)
    deleted = [call.rpartition("/")[2] for call in cluster.nodes.calls if call.startswith("DELETE")]
    assert sorted(deleted[:2]) == ["client", "target"]
    assert len(deleted) == 3


async def test_the_pods_use_the_meshs_own_image_and_no_rights(cluster: Cluster) -> None:
    async with probes(cluster.session(), cluster.said.append) as prober:
        pods = [cluster.nodes.objects[f"/api/v1/namespaces/{prober.namespace}/pods/{name}"] for name in ("client", "target")]
    for pod in pods:
        assert [container["name"] for container in pod["spec"]["containers"]] == ["istio-proxy"]
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert pod["spec"]["terminationGracePeriodSeconds"] == 0


@pytest.mark.parametrize(
    ("revisions", "chosen"), [(["canary", "default"], "default"), (["1-31", "1-30"], "1-30"), ([], "default")], ids=str
)
async def test_one_revision_is_probed(cluster: Cluster, revisions: list[str], chosen: str) -> None:
    if revisions:
        await cluster.kube.delete("/apis/apps/v1/namespaces/istio-system/deployments/istiod")
    for revision in revisions:
        cluster.put_istiod(f"istiod-{revision}", {"app": "istiod", "istio.io/rev": revision})
    async with probes(cluster.session(), cluster.said.append) as prober:
        namespace = cluster.nodes.objects[f"/api/v1/namespaces/{prober.namespace}"]
        assert namespace["metadata"]["labels"]["istio.io/rev"] == chosen


async def test_what_cannot_be_connected_is_tried_once(cluster: Cluster) -> None:
    tried: list[tuple[WireTarget, Probe]] = []
    silent = Heard(Seen(Probe.PLAINTEXT, Answer.SILENT, "no connection within 2 s"), connected=False)
    found = await probed(cluster, WEB, dialling=wire({Probe.PLAINTEXT: silent}, tried))
    assert [probe for _, probe in tried] == [Probe.PLAINTEXT]
    assert found.seen[WEB] == tuple(Seen(probe, Answer.SILENT, "no connection within 2 s") for probe in Probe)


async def test_a_reset_proves_nothing_where_nothing_serves(cluster: Cluster) -> None:
    idle = Heard(Seen(Probe.MESHED, Answer.SERVED), held=False)
    found = await probed(cluster, WEB, dialling=wire({Probe.MESHED: idle}))
    assert [seen.answer for seen in found.seen[WEB]] == [Answer.NOTHING, Answer.REFUSED, Answer.REFUSED, Answer.SERVED]


async def test_plaintext_that_was_served_stays_so_where_nothing_serves(cluster: Cluster) -> None:
    heard = {
        Probe.PLAINTEXT: Heard(Seen(Probe.PLAINTEXT, Answer.SERVED)),
        Probe.MESHED: Heard(Seen(Probe.MESHED, Answer.SERVED), held=False),
    }
    found = await probed(cluster, WEB, dialling=wire(heard))
    assert found.seen[WEB][0].answer is Answer.SERVED


async def test_what_must_be_tried_another_way_is(cluster: Cluster) -> None:
    newer = Heard(Seen(Probe.MESHED, Answer.SERVED, "TLSv1.3"))
    older = Heard(Seen(Probe.MESHED, Answer.FAILED), again=lambda _: newer)
    found = await probed(cluster, WEB, dialling=wire({Probe.MESHED: older}))
    assert found.seen[WEB][3] == newer.seen


async def test_a_way_that_breaks_fails_the_one_probe(cluster: Cluster) -> None:
    def breaks(_: Stream) -> Heard:
        raise ClusterError("no port-forward to pod client")

    found = await probed(cluster, WEB, dialling=wire({Probe.FOREIGN: Heard(Seen(Probe.FOREIGN, Answer.FAILED), again=breaks)}))
    assert found.seen[WEB][2] == Seen(Probe.FOREIGN, Answer.FAILED, "no port-forward to pod client")
    assert found.seen[WEB][3].answer is Answer.SERVED


async def test_a_client_that_hangs_fails_each_probe_in_time(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hang(*_: object) -> None:
        await anyio.sleep_forever()

    monkeypatch.setattr(cluster.proxies, "talk", hang)
    found = await probed(cluster, WEB)
    assert {(seen.answer, seen.words) for seen in found.seen[WEB]} == {
        (Answer.FAILED, "the probes' client did not answer within 12 s"),
    }


def many(count: int) -> list[WireTarget]:
    return [WireTarget(Place("shop", f"web-{index}"), "10.0.0.7", index) for index in range(count)]


async def test_few_streams_are_open_at_a_time(cluster: Cluster) -> None:
    found = await probed(cluster, *many(40))
    assert len(found.seen) == 40
    assert cluster.proxies.most == 8


async def test_a_target_that_is_named_twice_is_tried_once(cluster: Cluster) -> None:
    tried: list[tuple[WireTarget, Probe]] = []
    await probed(cluster, WEB, WEB, dialling=wire(tried=tried))
    assert len(tried) == 4


@pytest.mark.parametrize(
    ("limit", "words"), [("MOST_TARGETS", "at most 20 ports are probed in one run"), ("_ALL", "not probed within 20 s")]
)
async def test_what_is_too_much_is_not_proven(cluster: Cluster, limit: str, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prober, limit, 20)
    targets = many(500)
    found = await probed(cluster, *targets)
    assert list(found.seen) == targets
    assert {len(seen) for seen in found.seen.values()} == {4}
    assert found.seen[targets[0]][0].answer is Answer.REFUSED
    assert found.seen[targets[-1]] == tuple(Seen(probe, Answer.FAILED, words) for probe in Probe)


async def test_no_targets_need_nothing(cluster: Cluster) -> None:
    assert await probed(cluster) == Probing()


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
    annotations = {probe_objects.HOLDER: holder} if holder else {}
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
            async with probes(cluster.session(), say) as second:
                assert first.namespace not in cluster.nodes.of_kind("Namespace")
                assert not second.problem

        group.start_soon(again)
        await waits.wait()


async def test_leftovers_that_cannot_be_listed_stop_nothing(cluster: Cluster) -> None:
    cluster.nodes.refusals["LIST /api/v1/namespaces"] = forbidden("listing")
    async with probes(cluster.session(), cluster.said.append) as prober:
        assert not prober.problem
    assert ["probes of an earlier run" in gap for gap in prober.gaps] == [True]
    with pytest.raises(ForbiddenError):
        await remove_leftovers(cluster.session())
