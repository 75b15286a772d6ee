"""``meshinstall down``: everything that was installed goes, and what does not is named."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from testbed.cluster import Cluster
from tests.cluster.mesh import Shell
from tests.cluster.meshinstall_run import Program, meshinstall

pytestmark = pytest.mark.cluster

_CLUSTER_WIDE = "clusterroles,clusterrolebindings,mutatingwebhookconfigurations,validatingwebhookconfigurations"


@pytest.fixture(scope="module")
def program(own_module_cluster: Cluster) -> Program:
    """Meshinstall with the default profile."""
    return meshinstall(own_module_cluster)


@pytest.fixture(scope="module")
def shell(own_module_cluster: Cluster, build_part: Callable[[str], Path]) -> Shell:
    """A person's shell."""
    return Shell(own_module_cluster, (build_part("kubectl"),))


def test_everything_goes_but_the_crds_and_what_others_made(program: Program, shell: Shell) -> None:
    program.up()
    shell.ok("kubectl", "create", "clusterrole", "survivor", "--verb=get", "--resource=pods")
    shell.ok("kubectl", "label", "clusterrole", "survivor", "app.kubernetes.io/part-of=istio")
    try:
        done = program.run("down", "--yes")
    finally:
        shell.ok("kubectl", "delete", "clusterrole", "survivor")
    assert done.status == 1, done
    assert "still there: clusterroles/survivor" in done.err
    # Gateways first: their load balancers are given back while istiod is still there.
    gone = re.findall(r"^✓ (\S+): done", done.err, re.MULTILINE)
    assert [name for name in gone if not name.startswith("namespace/")] == [
        "PeerAuthentication/istio-system/default",
        "istio-ingress/istio-ingress",
        "istio-system/istiod",
        "istio-system/istio-base",
    ]
    assert _istios(shell, _CLUSTER_WIDE) == []
    assert _istios(shell, "namespaces,configmaps,services,deployments,leases") == []
    assert len(_istios(shell, "crds")) > 10


def test_a_namespace_with_something_of_others_stays_until_that_is_gone(program: Program, shell: Shell) -> None:
    minimal = program.having("--profile", "minimal")
    minimal.up()
    shell.ok("kubectl", "create", "secret", "generic", "theirs", "-n", "istio-system", "--from-literal=key=value")
    said = minimal.ok("down", "--yes").err
    assert "it contains foreign objects: secrets/theirs" in said
    assert shell.ok("kubectl", "get", "secret", "theirs", "-n", "istio-system", "-o", "name") == "secret/theirs\n"
    assert _istios(shell, f"deployments,services,{_CLUSTER_WIDE}") == []
    shell.ok("kubectl", "delete", "secret", "theirs", "-n", "istio-system")
    minimal.ok("down", "--yes")
    assert _istios(shell, "namespaces") == []


@pytest.mark.usefixtures("program")
def test_crds_go_when_asked_for_and_then_nothing_is_left_to_do(program: Program, shell: Shell) -> None:
    program.up("--profile", "minimal")
    program.ok("down", "--profile", "minimal", "--crds", "--yes")
    assert _istios(shell, f"crds,namespaces,configmaps,{_CLUSTER_WIDE}") == []
    assert "Nothing to do." in program.ok("down", "--crds").err


def _istios(shell: Shell, kinds: str) -> list[str]:
    """Everything of these kinds whose name or namespace has to do with Istio or with us."""
    found = shell.ok("kubectl", "get", kinds, "-A", "--no-headers", "-o", "custom-columns=:kind,:metadata.namespace,:metadata.name")
    return [line for line in found.splitlines() if re.search("istio|meshinstall", line)]
