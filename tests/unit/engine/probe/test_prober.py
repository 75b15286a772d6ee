"""Live probes on a cluster in memory: what is tried, what failures are called, and what is left behind."""

import anyio
import pytest

from meshinstall.engine.probe import probe_objects, prober
from meshinstall.engine.probe.prober import probes
from meshinstall.errors import ClusterError, ForbiddenError
from meshinstall.model.mesh import Place
from meshinstall.model.ownership import HOLDER
from meshinstall.model.wire import Answer, Probe, Probing, Seen, WireTarget
from meshinstall.ports import Heard, Stream
from tests.unit.engine.probe.prober_world import GOOD, LABELS, WEB, Cluster, probed, wire

pytestmark = pytest.mark.anyio


async def test_all_four_are_tried_in_order_and_kept_by_target(cluster: Cluster) -> None:
    found = await probed(cluster, WEB)
    assert found == Probing({WEB: tuple(Seen(probe, answer) for probe, answer in GOOD.items())})


async def test_the_probes_stand_in_one_namespace_of_the_mesh_while_they_last(cluster: Cluster) -> None:
    async with probes(cluster.session("ann@laptop/7-1"), cluster.said.append) as prober:
        assert prober.problem == ""
        assert prober.gaps == []
        namespace = cluster.nodes.objects[f"/api/v1/namespaces/{prober.namespace}"]
        assert namespace["metadata"]["labels"] | {"istio.io/rev": "default", **LABELS} == namespace["metadata"]["labels"]
        assert namespace["metadata"]["annotations"] == {HOLDER: "ann@laptop/7-1"}
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
