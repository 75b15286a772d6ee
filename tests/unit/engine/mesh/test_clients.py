"""Which proxies are asked for which others, and what the objects say that explain their answers."""

from collections.abc import Mapping, Sequence
from typing import Any

import anyio
import pytest

from meshinstall.engine.mesh.client_dump import ADDRESSES, CLUSTERS, ENDPOINTS, LISTENER
from meshinstall.engine.mesh.client_objects import (
    Chosen,
    InternalEntry,
    WorkloadEntry,
    envoy_filter,
    internal_entry,
    led_hosts,
    mesh_entries,
    reroute,
    sidecar,
    tls_policy,
    workload_entry,
)
from meshinstall.engine.mesh.clients import Clients, Group, Objects, alike
from meshinstall.engine.mesh.clients import ask_clients as ask
from meshinstall.engine.mesh.outlook_reader import Hosts
from meshinstall.engine.mesh.proxies import Word
from meshinstall.engine.mesh.syncz import Sync
from meshinstall.model.clients import ClientGroup, LedHost, Outlook, Reroute
from meshinstall.model.istio import ENVOY_ADMIN_PORT
from meshinstall.model.mesh import Dataplane, Place, Pod, SyncState
from tests.fakes import FakePods
from tests.unit.engine.mesh.kube_worlds import metadata

pytestmark = pytest.mark.anyio

BRAIN = Place("istio-system", "istiod-1")
IN_SYNC = Word(BRAIN, Sync("1.31.0", SyncState.SYNCED))
WEB, API = {"app": "web"}, {"app": "api"}


def client(name: str = "web-1", namespace: str = "shop", labels: Mapping[str, str] = WEB, **more: Any) -> Pod:
    return Pod(Place(namespace, name), f"Deployment {name}", more.pop("dataplane", Dataplane.SIDECAR), labels=labels, **more)


def groups(pods: Sequence[Pod], chosen: Sequence[Chosen] | None = (), **words: Word | None) -> list[list[str]]:
    """The names of the pods in each group; a word is about one pod, and those that have none are in sync."""
    syncs = {pod.place: word for pod in pods if (word := words.get(pod.place.name.replace("-", "_"), IN_SYNC))}
    clients = Clients(pods, syncs, frozenset({"istio-system"}), complete=chosen is not None)
    return [[pod.place.name for pod in group.pods] for group in alike(clients, Objects(filters=tuple(chosen or ())), ())]


TOGETHER, APART = [["web-1", "api-1"]], [["web-1"], ["api-1"]]


def test_pods_that_nothing_tells_apart_are_one_kind_whatever_their_labels() -> None:
    assert groups([client(), client("api-1", labels=API)]) == TOGETHER


@pytest.mark.parametrize(
    "other",
    [
        {"namespace": "crm"},
        {"revision": "canary"},
        {"labels": {**WEB, "topology.istio.io/network": "two"}},
        {"annotations": {"sidecar.istio.io/interceptionMode": "NONE"}},
        {"annotations": {"proxy.istio.io/config": "{proxyMetadata: {ISTIO_META_NETWORK: two}}"}},
        {"ip": "10.0.0.1", "more_ips": ("fd00::1",)},
        {"dataplane": Dataplane.GATEWAY},
    ],
    ids=lambda other: next(iter(other)),
)
def test_what_istiod_looks_at_tells_them_apart(other: dict[str, Any]) -> None:
    assert groups([client(ip="10.0.0.2"), client("api-1", **({"ip": "10.0.0.3"} | other))]) == APART


def test_gateways_differ_by_account_and_by_labels() -> None:
    first = client(dataplane=Dataplane.GATEWAY)
    assert groups([first, client("api-1", dataplane=Dataplane.GATEWAY)]) == TOGETHER
    assert groups([first, client("api-1", dataplane=Dataplane.GATEWAY, service_account="other")]) == APART
    assert groups([first, client("api-1", dataplane=Dataplane.GATEWAY, labels=API)]) == APART
    assert groups([client(), client("api-1", service_account="other")]) == TOGETHER


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [
        ((Chosen("shop", API),), APART),
        ((Chosen("istio-system", API),), APART),
        ((Chosen("crm", API),), TOGETHER),
        ((Chosen("shop", {}),), TOGETHER),
        ((Chosen("shop", {"tier": "front"}),), TOGETHER),
        ((Chosen("shop", {}, unclear=True),), APART),
        ((Chosen("crm", {}, unclear=True),), TOGETHER),
        (None, APART),
    ],
    ids=["beside", "root", "elsewhere", "all", "none of them", "by more", "by more elsewhere", "not all are known"],
)
def test_objects_that_choose_by_labels_tell_them_apart(chosen: Sequence[Chosen] | None, expected: list[list[str]]) -> None:
    assert groups([client(), client("api-1", labels=API)], chosen) == expected


@pytest.mark.parametrize("state", [state for state in SyncState if state is not SyncState.SYNCED])
def test_a_proxy_that_is_not_in_sync_speaks_for_itself(state: SyncState) -> None:
    late = Word(BRAIN, Sync("1.31.0", state))
    assert groups([client(), client("api-1")], api_1=late) == APART
    assert groups([client(), client("api-1")], web_1=late, api_1=late) == APART
    assert groups([client(), client("api-1")], None, web_1=late, api_1=late) == APART


def test_proxies_of_another_version_or_that_no_istiod_knows_are_another_kind() -> None:
    pods = [client(), client("api-1")]
    assert groups(pods, api_1=Word(BRAIN, Sync("1.30.0", SyncState.SYNCED))) == APART
    assert groups(pods, api_1=None) == APART


def test_only_running_pods_with_an_envoy_are_clients_that_can_be_asked() -> None:
    others = [client(kind.name, dataplane=kind) for kind in (Dataplane.NONE, Dataplane.AMBIENT, Dataplane.CONTROL)]
    assert groups([client(), *others, client("off", running=False)]) == [["web-1"]]


class Envoys(FakePods):
    """Keeps who was asked; ``hanging`` never answer."""

    def __init__(self, *answering: Pod) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.hanging: set[str] = set()
        for pod in answering:
            self.answers[(*pod.place, ENVOY_ADMIN_PORT, CLUSTERS)] = b'{"configs": [{"cluster": {"name": "BlackHoleCluster"}}]}'
            for path in (ENDPOINTS, LISTENER, ADDRESSES):
                self.answers[(*pod.place, ENVOY_ADMIN_PORT, path)] = b"{}"

    async def get(self, namespace: str, pod: str, port: int, path: str) -> bytes:
        """The body that was put there."""
        if path == CLUSTERS:
            self.asked.append(pod)
        if pod in self.hanging:
            await anyio.sleep_forever()
        return await super().get(namespace, pod, port, path)


async def ask_clients(groups: Sequence[Sequence[Pod]], envoys: FakePods) -> tuple[ClientGroup, ...]:
    """Few Services, and all of one kind."""
    return await ask([Group(tuple(pods), "kind") for pods in groups], envoys, Hosts())


FIRST, SECOND, THIRD = client("a"), client("b"), client("c")


async def test_another_is_asked_when_the_first_is_silent_and_the_only_one_once_more() -> None:
    envoys = Envoys(SECOND, THIRD)
    (group,) = await ask_clients([(FIRST, SECOND, THIRD)], envoys)
    assert (group.asked, group.problem, envoys.asked) == (SECOND.place, "", ["a", "b"])
    assert group.pods == (FIRST.place, SECOND.place, THIRD.place)
    envoys = Envoys()
    (group,) = await ask_clients([(FIRST,)], envoys)
    assert group == ClientGroup((FIRST.place,), problem="no port-forward to pod shop/a")
    assert envoys.asked == ["a", "a"]


async def test_two_tries_are_all() -> None:
    envoys = Envoys(THIRD)
    (group,) = await ask_clients([(FIRST, SECOND, THIRD)], envoys)
    assert (group.asked, envoys.asked) == (None, ["a", "b"])


@pytest.mark.parametrize("rubbish", [b"", b"{}", b"<html>", b'{"configs": 7}', b'{"configs": [{"cluster": {"type": 7}}]}'])
async def test_a_proxy_that_answers_rubbish_is_silent_and_the_rest_is_read(rubbish: bytes) -> None:
    envoys = Envoys(FIRST, SECOND)
    envoys.answers[(*FIRST.place, ENVOY_ADMIN_PORT, CLUSTERS)] = rubbish
    bad, good = await ask_clients([(FIRST,), (SECOND,)], envoys)
    assert (bad.asked, bad.outlook) == (None, Outlook())
    assert bad.problem.startswith("its Envoy")
    assert good.asked == SECOND.place


async def test_proxies_that_hang_are_given_up_and_the_others_are_kept() -> None:
    envoys = Envoys(SECOND)
    envoys.hanging.add("a")
    bad, good = await ask_clients([(FIRST,), (SECOND,)], envoys)
    assert (bad.asked, bad.problem) == (None, "it was not read within 60 s")
    assert good.asked == SECOND.place


async def test_of_more_than_two_hundred_kinds_the_rest_is_not_asked() -> None:
    pods = [client(f"web-{number}") for number in range(203)]
    envoys = Envoys(*pods)
    found = await ask_clients([(pod,) for pod in pods], envoys)
    assert [group.problem for group in found if not group.asked] == ["more than 200 kinds of proxies differ"] * 3
    assert len(envoys.asked) == 200
    assert len({id(group.outlook) for group in found if group.asked}) == 1


def item(spec: Any, **meta: Any) -> dict[str, Any]:
    return {"metadata": metadata(**meta), "spec": spec}


def entry(**spec: Any) -> InternalEntry:
    """A ServiceEntry of the mesh."""
    found = internal_entry(item({"location": "MESH_INTERNAL", "hosts": ["vm.shop.internal"], **spec}, name="vm"))
    assert found
    return found


PORTS = [{"number": 80, "name": "http", "targetPort": 8080}, {"number": 90, "name": "tcp"}]
VM = workload_entry(item({"address": "VM.Example.", "labels": API, "ports": {"http": 8081}}, name="vm-1"))


@pytest.mark.parametrize("location", [None, "MESH_EXTERNAL"])
def test_a_service_entry_that_leads_out_is_no_part_of_the_mesh(location: str | None) -> None:
    assert internal_entry(item({"hosts": ["pay.example"], "location": location})) is None


def test_a_workload_entry_is_part_of_the_mesh_where_a_service_entry_beside_it_selects_it() -> None:
    selecting = entry(ports=PORTS, workloadSelector={"labels": API})
    (found,) = mesh_entries([selecting], [VM], frozenset())
    assert found.object == "WorkloadEntry shop/vm-1"
    assert found.address == "vm.example"
    assert found.ports == {80: 8081, 90: 90}
    elsewhere = WorkloadEntry(Place("crm", "vm-1"), "192.0.2.1", API, {})
    assert list(mesh_entries([selecting, entry(ports=PORTS, workloadSelector={"labels": WEB})], [elsewhere], frozenset())) == []


def test_endpoints_and_hosts_of_a_service_entry_are_parts_of_the_mesh_but_for_pods() -> None:
    told = entry(ports=PORTS, endpoints=[{"address": "10.0.0.7"}, {"address": "192.0.2.7", "ports": {"tcp": 9000, "none": 1}}])
    assert [(one.object, one.address, one.ports) for one in mesh_entries([told], [VM], frozenset({"10.0.0.7"}))] == [
        ("ServiceEntry shop/vm", "192.0.2.7", {80: 8080, 90: 9000})
    ]
    assert [(one.address, one.ports) for one in mesh_entries([entry(ports=PORTS)], [VM], frozenset())] == [
        ("vm.shop.internal", {80: 8080, 90: 90})
    ]


def test_a_sidecar_and_an_envoy_filter_choose_by_labels() -> None:
    chosen = {"workloadSelector": {"labels": WEB}}
    assert sidecar(item(chosen, name="x")).selector == WEB
    assert sidecar(item({}, name="x")).selector == {}
    assert envoy_filter(item(chosen)) == Chosen("shop", WEB)
    by_version = {"configPatches": [{"match": {"proxy": {"proxyVersion": "1.*"}}}]}
    assert envoy_filter(item(by_version)).unclear
    assert not envoy_filter(item({"configPatches": [{"match": {"context": "ANY"}}]})).unclear


_ROUTE = {"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "PassthroughCluster"}}]}


@pytest.mark.parametrize(
    ("patch", "chooses"),
    [
        ({"applyTo": "VIRTUAL_HOST", "patch": {"operation": "MERGE", "value": _ROUTE}}, True),
        (
            {"applyTo": "HTTP_ROUTE", "match": {"context": "SIDECAR_OUTBOUND"}, "patch": {"value": {"route": {"cluster_header": "x-to"}}}},
            True,
        ),
        ({"applyTo": "NETWORK_FILTER", "patch": {"value": {"typed_config": {"weightedClusters": {"clusters": []}}}}}, True),
        ({"applyTo": "HTTP_ROUTE", "match": {"context": "SIDECAR_INBOUND"}, "patch": {"value": {"route": {"cluster": "a"}}}}, False),
        ({"applyTo": "CLUSTER", "patch": {"value": {"name": "a", "cluster": "b"}}}, False),
        (
            {"applyTo": "HTTP_FILTER", "patch": {"value": {"server_uri": {"uri": "http://authz", "cluster": "authz"}}}},
            False,
        ),
        ({"applyTo": "HTTP_FILTER", "patch": {"value": {"grpc_service": {"envoy_grpc": {"cluster_name": "limits"}}}}}, False),
        ({"applyTo": "HTTP_FILTER", "patch": {"operation": "REMOVE"}}, False),
    ],
)
def test_an_envoy_filter_that_names_a_cluster_to_send_to_may_lead_elsewhere(patch: dict[str, Any], chooses: bool) -> None:  # noqa: FBT001
    found = reroute(item({"workloadSelector": {"labels": WEB}, "configPatches": [patch]}, name="fast"))
    assert found == (Reroute(Place("shop", "fast"), WEB) if chooses else None)


@pytest.mark.parametrize("spec", [{"configPatches": 7}, {"workloadSelector": {"labels": {"a": 1}}}, {"configPatches": [{"match": "x"}]}])
def test_an_envoy_filter_of_another_shape_is_refused(spec: Any) -> None:
    with pytest.raises(ValueError, match="expected"):
        envoy_filter(item(spec))


def to(host: str) -> dict[str, Any]:
    return {"destination": {"host": host}}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"http": [{"route": [to("out"), to("pay.example")]}]}, ["out"]),
        ({"tls": [{"route": [to("out")]}], "tcp": [{"route": [to("more")]}]}, ["out", "more"]),
        ({"http": [{"mirror": {"host": "copy"}, "mirrors": [to("second")]}]}, ["copy", "second"]),
        ({"gateways": ["mesh", "edge"], "http": [{"route": [to("out")]}]}, ["out"]),
        ({"gateways": ["edge"], "http": [{"route": [to("out")]}]}, []),
        ({"gateways": ["mesh", "edge"], "http": [{"match": [{"gateways": ["edge"]}], "route": [to("out")]}]}, []),
        ({"http": [{"match": [{"uri": {"prefix": "/"}}], "route": [to("out")]}]}, ["out"]),
        ({}, []),
    ],
)
def test_a_virtual_service_leads_clients_of_the_mesh_to_other_hosts(spec: Any, expected: list[str]) -> None:
    found = led_hosts(item({"hosts": ["pay.example"], **spec}, name="lead"))
    assert found == tuple(LedHost(Place("shop", "lead"), host) for host in expected)


def test_a_backend_tls_policy_is_about_services_unless_istiod_leaves_it() -> None:
    spec = {"targetRefs": [{"kind": "Service", "name": "web"}, {"kind": "Other", "name": "x"}]}
    found = tls_policy(item(spec, name="tls"))
    assert found
    assert found.services == ("web",)
    assert tls_policy(item(spec, annotations={"istio.io/ignore-policy-attachment": "true"})) is None
