"""The rendered objects before a real API server: every field is one that it knows, and it keeps what it was given."""

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from meshinstall.model.cluster_ref import Cloud
from testbed.api import Api, Json, RefusedError
from testbed.cluster import Cluster
from tests.cases.jobs import PLACE, rendered
from tests.cluster.mesh import namespace

pytestmark = pytest.mark.cluster

PLURALS = {
    "ServiceAccount": "serviceaccounts",
    "ClusterRole": "clusterroles",
    "ClusterRoleBinding": "clusterrolebindings",
    "Role": "roles",
    "RoleBinding": "rolebindings",
    "ConfigMap": "configmaps",
    "CronJob": "cronjobs",
}


@pytest.fixture(scope="module")
def api(cluster: Cluster) -> Iterator[Api]:
    """An API server with the namespaces that the job needs: a dry run looks for them."""
    found = cluster.api()
    there = {one["metadata"]["name"] for one in found.get("/api/v1/namespaces")["items"]}
    missing = sorted({PLACE.namespace, *PLACE.mesh, *PLACE.workloads} - there)
    for name in missing:
        found.post("/api/v1/namespaces", namespace(name))
    yield found
    for name in missing:
        found.delete(f"/api/v1/namespaces/{name}")


def tried(api: Api, one: Mapping[str, Any]) -> Json:
    """What the API server would keep; it refuses fields that it does not know."""
    version, where = one["apiVersion"], one["metadata"].get("namespace", "")
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    space = f"/namespaces/{where}" if where else ""
    return api.post(f"{root}{space}/{PLURALS[one['kind']]}?dryRun=All&fieldValidation=Strict", dict(one))


@pytest.mark.parametrize("cloud", Cloud)
def test_the_api_server_takes_every_object_and_drops_no_field(api: Api, cloud: Cloud) -> None:
    objects = rendered(cloud).objects
    assert {one["kind"] for one in objects} == set(PLURALS)
    for one in objects:
        assert missing(one, tried(api, one)) == []


def test_it_refuses_a_field_that_it_does_not_know(api: Api) -> None:
    night = rendered(Cloud.LOCAL).objects[-1]
    with pytest.raises(RefusedError, match="timezone"):
        tried(api, {**night, "spec": {**night["spec"], "timezone": "Etc/UTC"}})


def missing(given: Any, kept: Any, path: str = "") -> list[str]:
    """Paths of what was given and not kept as it was."""
    if isinstance(given, Mapping):
        return [line for key, value in given.items() for line in missing(value, kept.get(key) if kept else None, f"{path}.{key}")]
    if isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        return [line for index, value in enumerate(given) for line in missing(value, kept[index], f"{path}[{index}]")]
    return [] if given == kept else [path]
