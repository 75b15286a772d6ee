"""``meshinstall status`` on a real mesh: well, broken, read by somebody with few rights, and not there."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from testbed.cluster import Cluster
from tests.cluster.mesh import Shell
from tests.cluster.meshinstall_run import Program, meshinstall

pytestmark = pytest.mark.cluster

SCHEMA = Path(__file__).parents[2] / "docs" / "schemas" / "status.json"


@dataclass(frozen=True, slots=True)
class Mesh:
    """meshinstall and a shell, both on one cluster."""

    program: Program
    shell: Shell

    def status(self, *flags: str) -> dict[str, Any]:
        """The status as JSON, held against its schema; its exit status says whether all is Current."""
        done = self.program.run("status", "-o", "json", *flags)
        found: dict[str, Any] = json.loads(done.out)
        Draft202012Validator(json.loads(SCHEMA.read_text())).validate(found)
        assert done.status == (0 if found["current"] else 1), done
        return found


@pytest.fixture(scope="module")
def bare(own_module_cluster: Cluster, build_part: Callable[[str], Path]) -> Mesh:
    """A cluster on which nothing was installed yet, unless an earlier test did."""
    return Mesh(meshinstall(own_module_cluster), Shell(own_module_cluster, (build_part("kubectl"),)))


@pytest.fixture(scope="module")
def mesh(bare: Mesh) -> Mesh:
    """The same with Istio on it."""
    bare.program.up()
    return bare


@pytest.fixture
def viewer(mesh: Mesh, tmp_path: Path) -> Path:
    """A kubeconfig that may read everything, Secrets too, and may forward no port."""
    rules = [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list"]}]
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "viewer"}, "rules": rules}
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "viewer", "namespace": "default"}}
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "viewer"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "viewer"},
        "subjects": [{"kind": "ServiceAccount", "name": "viewer", "namespace": "default"}],
    }
    mesh.shell.apply(role, account, binding)
    config = json.loads(mesh.shell.ok("kubectl", "config", "view", "--raw", "-o", "json"))
    config["users"][0]["user"] = {"token": mesh.shell.ok("kubectl", "create", "token", "viewer").strip()}
    path = tmp_path / "kubeconfig"
    path.write_text(json.dumps(config))
    return path


def test_a_cluster_without_istio_says_so(bare: Mesh) -> None:
    done = bare.program.run("status")
    assert done.status == 1
    assert done.out.partition(":")[0] == "Istio is not installed"
    found = bare.status()
    assert not found["installed"]
    assert {release["health"] for release in found["releases"]} == {"NotFound"}


def test_a_fresh_mesh_is_current_and_everything_is_known(mesh: Mesh, until_true: Callable[[Callable[[], bool]], None]) -> None:
    def is_alone() -> bool:
        """The gateway is, once istiod has lost the last of the probes that ``up`` made."""
        proxies = mesh.status()["proxies"]
        return (proxies.get("inSync"), proxies.get("connected")) == (1, 1)

    until_true(is_alone)
    found = mesh.status()
    assert found["current"] is True
    assert found["problems"] == []
    assert found["warnings"] == []
    assert found["revision"] == "default"
    assert found["lastRun"]["result"] == "done"
    assert found["lock"] is None
    assert [release["chart"] for release in found["releases"]] == ["base", "istiod", "gateway"]
    assert found["proxies"]["connected"] == 1
    assert [(one["role"], one["daysLeft"]) for one in found["certificates"]] == [("root", 3649), ("CA", 3649)]
    (service,) = [one for one in found["releases"][2]["workloads"] if one["kind"] == "Service"]
    assert service["addresses"]
    assert service["addresses"][0] in mesh.program.run("status").out


def test_without_the_right_to_forward_ports_the_proxies_are_not_known(mesh: Mesh, viewer: Path) -> None:
    found = mesh.status("--kubeconfig", str(viewer))
    assert found["proxies"] == {"known": False, "reason": "no permission for pods/portforward in istio-system"}
    assert found["current"]


def test_an_image_that_cannot_be_pulled_fails_the_gateway_and_is_named(
    mesh: Mesh, until_true: Callable[[Callable[[], bool]], None]
) -> None:
    def set_image(image: str) -> None:
        mesh.shell.ok("kubectl", "set", "image", "-n", "istio-ingress", "deployment/istio-ingress", f"istio-proxy={image}")

    set_image("localhost:1/none:1")
    try:
        until_true(lambda: mesh.status()["releases"][2]["health"] == "Failed")
        # The kubelet changes between the two words.
        assert any(re.search("ErrImagePull|ImagePullBackOff", problem) for problem in mesh.status()["problems"])
    finally:
        mesh.shell.ok("kubectl", "rollout", "undo", "-n", "istio-ingress", "deployment/istio-ingress")
    until_true(lambda: bool(mesh.status()["current"]))


def test_a_gateway_without_an_address_says_that_it_waits(mesh: Mesh, until_true: Callable[[Callable[[], bool]], None]) -> None:
    mesh.shell.ok("kubectl", "annotate", "service", "-n", "istio-ingress", "istio-ingress", "testbed.meshinstall.dev/pending=true")
    mesh.shell.ok(
        "kubectl",
        "patch",
        "service",
        "-n",
        "istio-ingress",
        "istio-ingress",
        "--subresource=status",
        "-p",
        '{"status":{"loadBalancer":null}}',
    )
    assert mesh.status()["releases"][2]["health"] == "InProgress"
    assert "istio-ingress/istio-ingress  LoadBalancer  pending" in mesh.program.run("status").out

    mesh.shell.ok("kubectl", "annotate", "service", "-n", "istio-ingress", "istio-ingress", "testbed.meshinstall.dev/pending-")
    until_true(lambda: bool(mesh.status()["current"]))


def test_a_lock_that_is_held_is_shown(mesh: Mesh) -> None:
    path = ("lease", "-n", "istio-system", "meshinstall")
    mesh.shell.ok(
        "kubectl", "patch", *path, "--type=merge", "-p", '{"spec":{"holderIdentity":"me@elsewhere/1-2","leaseDurationSeconds":3600}}'
    )
    found = mesh.status()
    assert found["lock"]["who"] == "me@elsewhere/1-2"
    assert found["lock"]["dead"] is False
    assert found["current"] is True
    mesh.shell.ok("kubectl", "patch", *path, "--type=merge", "-p", '{"spec":{"holderIdentity":""}}')
    assert mesh.status()["lock"] is None


def test_an_istiod_that_somebody_deleted_is_found(mesh: Mesh) -> None:
    mesh.shell.ok("kubectl", "delete", "deployment", "-n", "istio-system", "istiod", "--wait=true", "--cascade=foreground")
    found = mesh.status()
    assert found["problems"] == ["Deployment istio-system/istiod: NotFound, Helm's record lists it, but the cluster does not have it"]
    assert found["proxies"] == {"known": False, "reason": "no istiod is running"}
    assert found["releases"][1]["health"] == "NotFound"
