"""Our client and the official one see the same cluster: the official one is the referee."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import pytest

from meshinstall.adapters.kube import kubeconfig
from meshinstall.adapters.kube.client import KubeClient
from meshinstall.errors import ConflictError
from meshinstall.model.paths import object_path
from meshinstall.model.trial import Answer, Attempt, Write
from testbed.cluster import Cluster
from testbed.waiting import until

pytestmark = pytest.mark.cluster

# The ConfigMap that Kubernetes puts into every namespace.
_ROOTS = "kube-root-ca.crt"


@pytest.fixture
def ours(cluster: Cluster) -> KubeClient:
    return KubeClient(kubeconfig.load(cluster.kubeconfig), None)


@pytest.fixture
def official(cluster: Cluster, tmp_path: Path) -> Iterator[Any]:
    from kubernetes import config, dynamic

    with config.new_client_from_config(str(cluster.kubeconfig)) as client:
        # By default it keeps what a server knows in a file by its address, which another cluster had before.
        yield dynamic.DynamicClient(client, cache_file=str(tmp_path / "kinds.json"))


@pytest.fixture
def space(cluster: Cluster, official: Any) -> Iterator[str]:
    """A namespace with three ConfigMaps that the official client made, beside the one that Kubernetes puts into every namespace."""
    spaces = official.resources.get(api_version="v1", kind="Namespace")
    name = f"referee-{uuid4().hex[:6]}"
    spaces.create({"metadata": {"name": name}})
    maps = official.resources.get(api_version="v1", kind="ConfigMap")
    for letter in ("a", "b", "c"):
        maps.create({"metadata": {"name": letter, "labels": {"letter": letter}}, "data": {"x": "1"}}, namespace=name)
    until(lambda: _roots(cluster, name), 30, lambda: f"Kubernetes writes no {_ROOTS} to {name}")
    yield name
    spaces.delete(name=name)


def _roots(cluster: Cluster, namespace: str) -> bool:
    """Whether Kubernetes has written its own ConfigMap, which it does some moments after a namespace was made."""
    found = cluster.api().get(f"/api/v1/namespaces/{namespace}/configmaps")["items"]
    return _ROOTS in {one["metadata"]["name"] for one in found}


def listed(client: KubeClient, path: str, labels: str = "") -> list[dict[str, Any]]:
    async def collect() -> list[Any]:
        return [item async for item in client.list(path, labels=labels)]

    return anyio.run(collect)


def call(work: Callable[[], Any]) -> Any:
    async def run() -> Any:
        return await work()

    return anyio.run(run)


def test_both_list_the_same(ours: KubeClient, official: Any, space: str) -> None:
    maps = official.resources.get(api_version="v1", kind="ConfigMap")
    theirs = {item.metadata.name: item.metadata.resourceVersion for item in maps.get(namespace=space).items}
    mine = {item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in listed(ours, object_path("v1", "configmaps", space))}
    assert mine == theirs
    assert [item["metadata"]["name"] for item in listed(ours, object_path("v1", "configmaps", space), labels="letter=b")] == ["b"]


def test_what_we_apply_the_official_client_sees_as_ours(ours: KubeClient, official: Any, space: str) -> None:
    path = object_path("v1", "configmaps", space, "mine")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine", "namespace": space}, "data": {"x": "1"}}
    call(lambda: ours.apply(path, body))
    maps = official.resources.get(api_version="v1", kind="ConfigMap")
    seen = maps.get(name="mine", namespace=space)
    assert dict(seen.data) == {"x": "1"}
    assert [one.manager for one in seen.metadata.managedFields] == ["meshinstall"]

    call(lambda: ours.delete(path))
    assert call(lambda: ours.get(path)) is None


def test_a_field_of_another_manager_is_a_conflict_unless_forced(ours: KubeClient, official: Any, space: str) -> None:
    maps = official.resources.get(api_version="v1", kind="ConfigMap")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": space}, "data": {"x": "2"}}
    maps.server_side_apply(body={**body, "data": {"x": "1"}}, field_manager="referee", force_conflicts=True)
    path = object_path("v1", "configmaps", space, "a")
    with pytest.raises(ConflictError, match="referee"):
        call(lambda: ours.apply(path, body))
    assert call(lambda: ours.apply(path, body, force=True))["data"] == {"x": "2"}


def test_a_dry_run_changes_nothing_and_a_refusal_is_an_answer(ours: KubeClient, official: Any, space: str) -> None:
    path = object_path("v1", "configmaps", space, "tried")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "tried", "namespace": space}, "data": {"x": "1"}}

    def attempt(write: Write, where: str = path, **changes: Any) -> Answer:
        answer: Answer = call(lambda: ours.attempt(Attempt(write, where, body | changes)))
        return answer

    made = attempt(Write.APPLY)
    assert made.is_accepted
    assert made.made["metadata"]["managedFields"][0]["manager"] == "helm"
    assert attempt(Write.CREATE, path.rpartition("/")[0]).is_accepted
    refused = attempt(Write.CREATE, path.rpartition("/")[0], colour="red")
    assert (refused.status, refused.message) == (
        400,
        'ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: unknown field "colour"',
    )
    assert attempt(Write.APPLY, object_path("v1", "configmaps", "nowhere", "tried"), metadata={"name": "tried"}).status == 404
    invalid = attempt(Write.CREATE, path.rpartition("/")[0], metadata={"name": "Upper", "namespace": space})
    assert [cause.field for cause in invalid.causes] == ["metadata.name"]
    assert attempt(Write.STRATEGIC_MERGE, path.replace("tried", "a"), metadata={"name": "a"}).is_accepted
    maps = official.resources.get(api_version="v1", kind="ConfigMap")
    assert {item.metadata.name for item in maps.get(namespace=space).items} >= {"a", "b", "c"}
    assert "tried" not in {item.metadata.name for item in maps.get(namespace=space).items}
    assert dict(maps.get(name="a", namespace=space).data) == {"x": "1"}


def test_both_know_the_same_kinds(ours: KubeClient, official: Any) -> None:
    theirs = {
        (one.group_version, one.kind): (one.name, one.namespaced)
        for one in official.resources.search()
        if one.name and "/" not in one.name and not one.kind.endswith("List")
    }
    mine = {name: (found.plural, found.namespaced) for name, found in call(ours.kinds).items()}
    assert theirs.items() <= mine.items()
    assert mine["apps/v1", "Deployment"] == ("deployments", True)
    assert mine["v1", "Namespace"] == ("namespaces", False)
