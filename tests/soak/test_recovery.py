"""Clusters that are half dead, on a real one: ``check`` names what is wrong, ``up`` repairs it, ``down`` cleans it up."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from testbed import paths
from testbed.cluster import Cluster
from testbed.waiting import until
from tests.cluster.mesh import Shell
from tests.cluster.meshinstall_run import Program, meshinstall

pytestmark = pytest.mark.cluster

_STRICT = ("--allow", "strict")
_SYSTEM, _CA = "istio-system", "istio-ca-secret"
_KINDS = "clusterroles,clusterrolebindings,mutatingwebhookconfigurations,validatingwebhookconfigurations"


@pytest.fixture(scope="module")
def shell(own_module_cluster: Cluster, build_part: Callable[[str], Path]) -> Shell:
    return Shell(own_module_cluster, (build_part("kubectl"),))


@pytest.fixture
def program(own_module_cluster: Cluster, shell: Shell) -> Iterator[Program]:
    """A mesh with an application in it; whatever a test leaves of it goes."""
    found = meshinstall(own_module_cluster)
    found.up("--no-verify")
    shell.ok("kubectl", "apply", "-f", str(paths.REPOSITORY / "testbed" / "app.yaml"))
    for name in ("web", "client"):
        shell.ok("kubectl", "rollout", "status", "-n", "shop", f"deployment/{name}", "--timeout=120s", seconds=130)
    yield found
    shell.run("kubectl", "delete", "namespace", "shop", "--wait=true", seconds=120)
    found.ok("down", "--yes", "--crds")


def _ca(shell: Shell) -> dict[str, Any]:
    """The Secret of the CA as somebody kept it."""
    found = json.loads(shell.ok("kubectl", "get", "secret", "-n", _SYSTEM, _CA, "-o", "json"))
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": found["type"],
        "metadata": {"name": _CA, "namespace": _SYSTEM},
        "data": found["data"],
    }


def _delete(shell: Shell, *what: str) -> None:
    shell.ok("kubectl", "delete", *what, "--wait=true", "--timeout=90s", seconds=100)


def _pods(shell: Shell) -> set[str]:
    return set(shell.ok("kubectl", "get", "pods", "-n", "shop", "-o", "name").split())


def _codes(program: Program) -> set[str]:
    """Codes of the errors that ``check`` finds."""
    checks = json.loads(program.run("check", "-o", "json").out)["checks"]
    return {one["code"] for check in checks for one in check["findings"] if one["severity"] == "error"}


def test_a_control_plane_whose_namespace_was_deleted_comes_back_with_its_ca_and_no_pod_restarts(program: Program, shell: Shell) -> None:
    kept, before = _ca(shell), _pods(shell)
    _delete(shell, "namespace", _SYSTEM)
    assert "CHK001" in _codes(program)
    # Without its CA the proxies that are left would refuse all that a new istiod signs.
    refused = program.run("up", "--yes", "--no-verify")
    assert refused.status == 1, refused
    assert "PRE059" in refused.err, refused
    shell.ok("kubectl", "create", "namespace", _SYSTEM)
    shell.apply(kept)
    # The mesh-wide policy went with the namespace: whoever sends plaintext may have begun to.
    assert "PRE024" in program.run("up", "--yes", "--no-verify").err
    program.up("--no-verify", *_STRICT)
    assert _pods(shell) == before
    assert program.pending() == {}
    assert json.loads(program.ok("verify", "-n", "shop", "-o", "json").out)["verdict"] == "PASS"


def test_webhooks_that_lead_nowhere_are_named_and_repaired(program: Program, shell: Shell) -> None:
    _delete(shell, "deployment", "-n", _SYSTEM, "istiod")
    _delete(shell, "service", "-n", _SYSTEM, "istiod")
    assert _codes(program) & {"CHK001", "CHK002"}
    program.up("--no-verify")
    assert program.pending() == {}
    assert _codes(program) == set()


def test_crds_that_are_gone_come_back(program: Program, shell: Shell) -> None:
    names = [name for name in shell.ok("kubectl", "get", "crds", "-o", "name").split() if name.endswith(".istio.io")]
    _delete(shell, *names)
    assert "CHK015" in _codes(program)
    program.up("--no-verify", *_STRICT)
    assert program.pending() == {}
    assert _codes(program) == set()


def test_down_cleans_up_what_a_deleted_namespace_left(program: Program, shell: Shell) -> None:
    _delete(shell, "namespace", "shop")
    _delete(shell, "namespace", _SYSTEM)
    done = program.run("down", "--yes", "--crds")
    assert done.status == 0, done
    left = shell.ok("kubectl", "get", f"{_KINDS},crds", "-o", "name").split()
    assert [name for name in left if "istio" in name] == []


def test_a_control_plane_that_is_half_there_is_named_and_completed(program: Program, shell: Shell) -> None:
    """Its records are gone as well: whoever lost them may have lost more."""
    _delete(shell, "deployment", "-n", _SYSTEM, "istiod")
    _delete(shell, "configmap", "-n", _SYSTEM, "istio")
    shell.ok("kubectl", "delete", "secret", "-n", _SYSTEM, "-l", "owner=helm,name=istiod")
    assert "CHK001" in _codes(program)
    program.up("--no-verify")
    assert program.pending() == {}
    assert _codes(program) == set()


def test_an_install_that_was_killed_is_completed_or_cleaned_up(program: Program, shell: Shell) -> None:
    _delete(shell, "namespace", "shop")
    for command in ("up", "down"):
        program.ok("down", "--yes", "--crds")
        with program.started("up", "--yes", "--no-verify") as running:
            running.until_it_says(r"istio-system/istiod: … helm install")
            running.process.kill()
            running.process.wait()
        assert _codes(program)
        program.ok(command, "--yes", *(("--no-verify",) if command == "up" else ("--crds",)))
    left = shell.ok("kubectl", "get", f"{_KINDS},crds,namespaces", "-o", "name").split()
    assert [name for name in left if "istio" in name] == []


def test_a_namespace_that_does_not_end_is_named_with_what_holds_it(program: Program, shell: Shell) -> None:
    kept = _ca(shell)
    held = {"metadata": {"name": "held", "namespace": _SYSTEM, "finalizers": ["example.com/hold"]}}
    shell.apply({"apiVersion": "v1", "kind": "ConfigMap", **held})
    shell.ok("kubectl", "delete", "namespace", _SYSTEM, "--wait=false")
    until(lambda: "CHK001" in _codes(program), 60, lambda: "istiod is still there")
    said = program.run("check").out
    assert "namespace istio-system is being deleted" in said
    refused = program.run("up", "--yes", "--no-verify")
    assert refused.status == 1, refused
    assert "PRE003" in refused.err, refused
    assert "example.com/hold" in refused.err, refused
    assert "PRE031" not in refused.err, refused
    # What can be removed is, and what holds the rest is named.
    down = program.run("down", "--yes", "--allow", "in-use")
    assert "configmaps/held" in down.err, down

    shell.ok("kubectl", "patch", "configmap", "-n", _SYSTEM, "held", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    shell.ok("kubectl", "wait", "--for=delete", f"namespace/{_SYSTEM}", "--timeout=60s")
    shell.ok("kubectl", "create", "namespace", _SYSTEM)
    shell.apply(kept)
    program.up("--no-verify", *_STRICT)
    assert program.pending() == {}
