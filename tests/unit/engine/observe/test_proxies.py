"""Every proxy with its version, revision and owner: one list for each kind, whatever the size of the mesh."""

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from meshinstall.engine.mesh.proxies import Word
from meshinstall.engine.mesh.syncz import Sync
from meshinstall.engine.observe.proxies import Owners, PodSeen, list_proxies, observe_proxies
from meshinstall.engine.observe.upgrade_objects import Owner, ProxyPod, WorkloadAt
from meshinstall.errors import ClusterError
from meshinstall.model.istio_version import IstioVersion
from meshinstall.model.mesh import SyncState
from meshinstall.model.mesh_position import Carrier, Rollout
from meshinstall.model.place import Place
from meshinstall.model.proxy_list import ListedProxy, ProxyList, RolledBy
from tests.cases import plans
from tests.fake_kube import NOON, forbidden
from tests.fakes import FakeIstiod, World
from tests.unit.engine.upgrade.upgrade_world import deployment, istiod, pod, put, world

pytestmark = pytest.mark.anyio

MADE = "2026-11-21T11:00:00Z"
NEW, OLD = IstioVersion(1, 31, 0), IstioVersion(1, 30, 4)


def proxied(there: World, namespace: str, name: str, **more: Any) -> None:
    """A pod with a sidecar, made an hour ago."""
    pod(there, namespace, name, creationTimestamp=MADE, **more)


def mesh() -> World:
    """An istiod whose pod runs, and one workload of it."""
    there = world()
    there.kube.objects["/api/v1/namespaces/shop/pods/web-1"]["metadata"]["creationTimestamp"] = MADE
    runs(there, "istiod-x")
    return there


def runs(there: World, name: str, *records: dict[str, Any] | ClusterError) -> None:
    """The pod of an istiod, and what it says of its proxies."""
    path = f"/api/v1/namespaces/istio-system/pods/{name}"
    put(there, path, metadata={"labels": {"app": "istiod"}}, spec={"containers": []}, status={"phase": "Running"})
    assert isinstance(there.istiod, FakeIstiod)
    refused = next((one for one in records if isinstance(one, ClusterError)), None)
    there.istiod.records[name] = refused or [one for one in records if isinstance(one, dict)]


def record(proxy: str, acked: str = "1") -> dict[str, Any]:
    """What istiod says of one."""
    return {"proxy": proxy, "istio_version": "1.30.4", "cluster_sent": "1", "cluster_acked": acked}


async def look(there: World) -> ProxyList:
    return await observe_proxies(plans.make({}).desired, there.session())


def named(found: ProxyList, name: str) -> ListedProxy:
    return next(one for one in found.proxies if one.pod.name == name)


async def test_a_proxy_has_its_version_revision_age_and_owner() -> None:
    there = mesh()
    runs(there, "istiod-x", record("web-1.shop"))
    found = await look(there)
    (web,) = found.proxies
    assert (str(web.pod), web.version, web.revision) == ("shop/web-1", "1.30.4", "default")
    assert (web.kind, str(web.workload), web.carrier) == ("Deployment", "shop/web", Carrier.SIDECAR)
    assert found.at - web.created >= timedelta(hours=1)
    assert web.rolling.by is RolledBy.ROLLOUT
    assert (web.is_connected, web.sync, web.istiod) == (True, SyncState.SYNCED, "istio-system/istiod-x")
    assert found.gaps == ()


async def test_a_proxy_that_no_istiod_lists_is_not_connected_and_unknown_where_one_did_not_answer() -> None:
    there = mesh()
    assert named(await look(there), "web-1").is_connected is False
    runs(there, "istiod-y", ClusterError("no port-forward"))
    found = await look(there)
    assert named(found, "web-1").is_connected is None
    assert "istiod istio-system/istiod-y does not report" in "".join(found.gaps)


async def test_pods_elsewhere_that_call_themselves_istiod_are_not_asked() -> None:
    there = mesh()
    put(there, "/api/v1/namespaces/shop/pods/evil", metadata={"labels": {"app": "istiod"}}, spec={}, status={"phase": "Running"})
    # It has no records: to ask it would raise KeyError.
    assert named(await look(there), "web-1").is_connected is False


@pytest.mark.parametrize(
    ("owner", "labels", "by", "note"),
    [
        (None, {}, RolledBy.NOBODY, "a bare pod"),
        (("Job", "migrate"), {}, RolledBy.NOBODY, "a Job: it ends by itself"),
        (("ReplicaSet", "bare"), {}, RolledBy.NOBODY, "a ReplicaSet without a Deployment"),
        (("ReplicationController", "rc"), {}, RolledBy.NOBODY, "a ReplicationController"),
        (("ReplicaSet", "canary-h2"), {"rollouts-pod-template-hash": "h2"}, RolledBy.CONTROLLER, "Rollout is not a kind of Kubernetes"),
        (("CloneSet", "web"), {}, RolledBy.CONTROLLER, "CloneSet is not a kind of Kubernetes"),
        (("Deployment", "gone"), {}, RolledBy.NOBODY, "its Deployment does not exist"),
        (("StatefulSet", "db"), {}, RolledBy.NOBODY, "OnDelete: delete its pods"),
        (("StatefulSet", "kept"), {}, RolledBy.ROLLOUT, "its partition keeps 2 pods"),
        (("DaemonSet", "agent"), {}, RolledBy.ROLLOUT, ""),
        (("Deployment", "paused"), {}, RolledBy.NOBODY, "the Deployment is paused"),
        (("Deployment", "pinned"), {}, RolledBy.ROLLOUT, "its pod template names the image r/proxyv2:1.29.0"),
    ],
)
async def test_who_rolls_it(owner: tuple[str, str] | None, labels: dict[str, str], by: RolledBy, note: str) -> None:
    there = mesh()
    apps = "/apis/apps/v1/namespaces/shop"
    put(there, f"{apps}/statefulsets/db", spec={"updateStrategy": {"type": "OnDelete"}})
    put(there, f"{apps}/statefulsets/kept", spec={"replicas": 3, "updateStrategy": {"rollingUpdate": {"partition": 2}}})
    put(there, f"{apps}/daemonsets/agent", spec={})
    deployment(there, "shop", "paused", paused=True)
    deployment(there, "shop", "pinned", template={"annotations": {"sidecar.istio.io/proxyImage": "r/proxyv2:1.29.0"}})
    proxied(there, "shop", "p", owner=owner, labels=labels)
    rolling = named(await look(there), "p").rolling
    assert rolling.by is by
    assert rolling.note.startswith(note)
    assert bool(rolling.note) is bool(note)


async def test_gateways_are_rolled_by_istiod_or_by_an_upgrade() -> None:
    there = mesh()
    gateway = next(key for key in (str(one.key) for one in plans.make({}).desired.releases) if "ingress" in key)
    space, _, name = gateway.partition("/")
    notes = {"meta.helm.sh/release-name": name, "meta.helm.sh/release-namespace": space}
    put(there, f"/apis/apps/v1/namespaces/{space}/deployments/{name}", metadata={"annotations": notes}, spec={"template": {}})
    proxied(there, space, "mine", owner=("Deployment", name))
    proxied(there, "shop", "made", owner=("Deployment", "gw"), labels={"gateway.networking.k8s.io/gateway-name": "gw"})
    for path in (f"/api/v1/namespaces/{space}/pods/mine", "/api/v1/namespaces/shop/pods/made"):
        there.kube.objects[path]["spec"]["containers"][0]["args"] = ["proxy", "router"]
    found = await look(there)
    assert (named(found, "mine").carrier, named(found, "mine").rolling.by) == (Carrier.GATEWAY, RolledBy.UPGRADE)
    assert (named(found, "made").carrier, named(found, "made").rolling.by) == (Carrier.MANAGED_GATEWAY, RolledBy.ISTIOD)


async def test_what_another_mesh_injects_is_counted_and_not_listed() -> None:
    there = mesh()
    istiod(there, "istiod-theirs", "theirs")
    theirs = there.kube.objects.pop("/apis/apps/v1/namespaces/istio-system/deployments/istiod-theirs")
    theirs["metadata"]["namespace"] = "aks-istio-system"
    there.kube.objects["/apis/apps/v1/namespaces/aks-istio-system/deployments/istiod-theirs"] = theirs
    for path in [path for path in there.kube.objects if "istio-system/services/istiod-theirs" in path]:
        service = there.kube.objects.pop(path)
        service["metadata"]["namespace"] = "aks-istio-system"
        there.kube.objects[path.replace("/istio-system/", "/aks-istio-system/")] = service
    for path, item in there.kube.objects.items():
        if "webhookconfigurations" in path and "theirs" in str(item):
            for hook in item["webhooks"]:
                hook["clientConfig"]["service"]["namespace"] = "aks-istio-system"
    proxied(there, "other", "p", labels={"istio.io/rev": "theirs"})
    found = await look(there)
    assert [one.pod.name for one in found.proxies] == ["web-1"]
    assert found.others == 1


async def test_without_the_right_to_list_pods_it_is_not_said_that_there_are_none() -> None:
    there = mesh()
    there.kube.refusals["LIST /api/v1/pods"] = forbidden("pods")
    with pytest.raises(ClusterError, match="cannot tell which proxies there are"):
        await look(there)


async def test_owners_that_could_not_be_listed_are_not_known_rather_than_gone() -> None:
    there = mesh()
    there.kube.refusals["LIST /apis/apps/v1/deployments"] = forbidden("deployments")
    found = await look(there)
    assert named(found, "web-1").rolling.by is RolledBy.UNKNOWN
    assert len(found.gaps) == 1


async def test_a_pod_of_another_shape_is_a_gap_and_not_the_end() -> None:
    there = mesh()
    pod(there, "shop", "odd", creationTimestamp="yesterday")
    pod(there, "shop", "local", creationTimestamp="2026-11-21T11:00:00")
    found = await look(there)
    assert [one.pod.name for one in found.proxies] == ["web-1"]
    assert "pods that could not be parsed: 2".casefold() in "".join(found.gaps).casefold()


async def test_each_kind_is_listed_once_however_many_there_are() -> None:
    few, many = mesh(), mesh()
    for number in range(50):
        deployment(many, f"n{number}", "web")
        proxied(many, f"n{number}", "web-1", owner=("Deployment", "web"))
    await look(few)
    assert len((await look(many)).proxies) == 51
    assert many.kube.calls == few.kube.calls
    lists = Counter(many.kube.calls)
    every = ("/api/v1/pods", "/apis/apps/v1/deployments", "/apis/apps/v1/statefulsets", "/apis/apps/v1/daemonsets")
    assert [lists[f"LIST {path}"] for path in every] == [1, 1, 1, 1]
    assert not [call for call in many.kube.calls if not call.startswith("LIST ")]


def test_two_thousand_pods_are_sorted_by_version_revision_and_namespace() -> None:
    pods = [
        PodSeen(
            Place(f"n{number % 40}", f"p{number}"),
            ProxyPod(
                Owner("Deployment", Place(f"n{number % 40}", f"w{number % 7}")), "sidecar", f"r{number % 3}", (OLD, NEW, None)[number % 3]
            ),
            NOON,
            is_ready=True,
        )
        for number in range(2000)
    ]
    owner = pods[0].proxy.owner
    owners = Owners({owner: WorkloadAt(owner, Rollout("RollingUpdate", 1), {})})
    words = {one.place: Word(Place("istio-system", "i"), Sync("1.30.4", SyncState.SYNCED)) for one in pods[::2]}
    found = list_proxies(pods, owners, words, all_answered=True)
    assert len(found) == 2000
    assert [one.version for one in found[::667]] == ["", "1.30.4", "1.31.0"]
    keys = [(one.revision, one.workload.namespace) for one in found if one.version == "1.30.4"]
    assert keys == sorted(keys)
    assert sum(bool(one.is_connected) for one in found) == 1000
    again = [replace(one, created=NOON) for one in list_proxies(reversed(pods), owners, words, all_answered=True)]
    assert again == list(found)
