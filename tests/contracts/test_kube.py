"""Our client and the official one see the same cluster: the official one is the referee."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import anyio
import pytest

from meshinstall.adapters.kube import kubeconfig
from meshinstall.adapters.kube.client import KubeClient
from meshinstall.errors import ConflictError
from meshinstall.model.paths import object_path
from testbed.cluster import Cluster

pytestmark = pytest.mark.cluster


@pytest.fixture
def ours(cluster: Cluster) -> KubeClient:
    return KubeClient(kubeconfig.load(cluster.kubeconfig), None)


@pytest.fixture
def official(cluster: Cluster) -> Iterator[Any]:
    from kubernetes import config, dynamic

    with config.new_client_from_config(str(cluster.kubeconfig)) as client:
        yield dynamic.DynamicClient(client)


@pytest.fixture
def space(official: Any) -> Iterator[str]:
    """A namespace with three ConfigMaps that the official client made."""
    spaces = official.resources.get(api_version="v1", kind="Namespace")
    name = f"referee-{uuid4().hex[:6]}"
    spaces.create({"metadata": {"name": name}})
    maps = official.resources.get(api_version="v1", kind="ConfigMap")
    for letter in ("a", "b", "c"):
        maps.create({"metadata": {"name": letter, "labels": {"letter": letter}}, "data": {"x": "1"}}, namespace=name)
    yield name
    spaces.delete(name=name)


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
