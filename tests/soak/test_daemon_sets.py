"""A gateway that is a DaemonSet, whose pods a quota refuses or no node takes: told in seconds, and never Current."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from testbed.cluster import Cluster
from tests.cluster.mesh import Shell
from tests.cluster.meshinstall_run import Program, meshinstall

_NAMESPACE = "istio-ingress"
_AGENTS = ("--set", "istio-ingress.kind=DaemonSet", "--set", "istio-ingress.autoscaling.enabled=false")


@pytest.fixture(scope="module")
def program(own_module_cluster: Cluster) -> Program:
    """Meshinstall with a control plane that is there."""
    found = meshinstall(own_module_cluster)
    found.up("--profile", "minimal")
    return found


@pytest.fixture(scope="module")
def shell(own_module_cluster: Cluster, build_part: Callable[[str], Path]) -> Shell:
    """A person's shell."""
    return Shell(own_module_cluster, tuple(build_part(name) for name in ("helm4", "kubectl")))


def test_a_quota_is_named_in_seconds(program: Program, shell: Shell) -> None:
    shell.ok("kubectl", "create", "namespace", _NAMESPACE)
    shell.ok("kubectl", "create", "quota", "tight", "-n", _NAMESPACE, "--hard=pods=0")
    done = program.run("up", "--yes", "--no-verify", *_AGENTS)
    assert done.status == 1, done
    found = re.search(r"stopped after ([0-9.]+) s: pods are refused: Error creating: a pod is forbidden: exceeded quota: tight", done.err)
    assert found, done
    assert float(found[1]) < 15
    shell.ok("kubectl", "delete", "quota", "tight", "-n", _NAMESPACE)
    program.up("--no-verify", *_AGENTS)
    assert program.pending(*_AGENTS) == {}


def test_a_daemon_set_that_no_node_takes_is_not_current(program: Program) -> None:
    nowhere = (*_AGENTS, "--set", "istio-ingress.nodeSelector.gpu=yes")
    done = program.run("up", "--yes", "--no-verify", *nowhere)
    assert done.status == 1, done
    assert "no node takes it: its pods ask for gpu=yes" in done.err
    assert "no node takes it" in program.run("status").out
    (step,) = [step for step in program.pending(*nowhere).values() if step["name"].startswith(_NAMESPACE)]
    assert step["action"] == "wait", step
    program.up("--no-verify", *_AGENTS)
    assert program.pending(*_AGENTS) == {}
