"""A mesh of somebody else, of another environment, or in use: named, and left alone until that is agreed to by name."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from testbed import pins
from testbed.cluster import Cluster
from tests.cluster.mesh import Shell
from tests.cluster.meshinstall_run import Program, meshinstall

pytestmark = pytest.mark.cluster

_SYSTEM = "istio-system"
_LOST = "meshConfig.outboundTrafficPolicy.mode=REGISTRY_ONLY"


@pytest.fixture(scope="module")
def shell(own_module_cluster: Cluster, build_part: Callable[[str], Path]) -> Shell:
    """A person's shell with Helm and kubectl."""
    return Shell(own_module_cluster, tuple(build_part(name) for name in ("helm4", "kubectl")))


@pytest.fixture(scope="module")
def program(own_module_cluster: Cluster, shell: Shell, build_part: Callable[[str], Path]) -> Program:
    """Meshinstall on a mesh that a person made with helm, with a value of its own."""
    charts = build_part("charts")
    shell.ok("helm", "install", "istio-base", str(charts / f"base-{pins.ISTIO}.tgz"), "-n", _SYSTEM, "--create-namespace")
    small = ("--set", "resources.requests.cpu=10m", "--set", "resources.requests.memory=64Mi", "--set", "env.PILOT_ENABLE_STATUS=false")
    shell.ok("helm", "install", "istiod", str(charts / f"istiod-{pins.ISTIO}.tgz"), "-n", _SYSTEM, "--set", _LOST, *small)
    return meshinstall(own_module_cluster).having("--profile", "minimal")


def found(program: Program, code: str) -> list[dict[str, Any]]:
    """The findings of a plan with this code."""
    done = program.run("plan", "-o", "json")
    assert done.status == 3, done
    return [one for one in json.loads(done.out)["findings"] if one["code"] == code]


def test_a_mesh_that_helm_made_is_taken_over_only_by_name(program: Program, shell: Shell) -> None:
    told = {one["object"]: one["detail"] for one in found(program, "PRE017")}
    assert f"release {_SYSTEM}/istiod" in told
    assert _LOST in told[f"release {_SYSTEM}/istiod"]
    done = program.run("up", "--yes")
    assert done.status == 1
    assert "PRE017" in done.err
    history = json.loads(shell.ok("helm", "history", "istiod", "-n", _SYSTEM, "-o", "json"))
    assert len(history) == 1
    program.up("--no-verify", "--allow", "takeover")
    assert program.pending() == {}


def test_a_control_plane_in_use_is_removed_only_by_name(program: Program, shell: Shell) -> None:
    shell.ok("kubectl", "create", "namespace", "shop")
    shell.ok("kubectl", "label", "namespace", "shop", "istio-injection=enabled")
    shell.ok("kubectl", "create", "deployment", "web", "-n", "shop", f"--image={pins.APP_IMAGE}")
    shell.ok("kubectl", "rollout", "status", "deployment/web", "-n", "shop", "--timeout=90s")
    done = program.run("down", "--yes")
    assert done.status == 1, done
    assert "PRE023: this control plane is in use: 1 proxy, by namespace: shop (1)" in done.err
    assert program.pending() == {}


def test_another_environment_neither_takes_nor_removes_it(program: Program) -> None:
    other = program.having("--env", "prod")
    (told,) = found(other, "PRE016")
    assert told["title"] == "the mesh in this cluster is environment dev, not prod"
    for command in ("up", "down"):
        done = other.run(command, "--yes")
        assert done.status == 1
        assert "PRE016" in done.err
    program.ok("down", "--yes", "--crds", "--allow", "in-use")
