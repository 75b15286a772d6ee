"""``meshinstall down``: everything that was installed goes, and what does not is named."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from meshinstall.model.wire import PROBE_LABEL
from testbed.cluster import Cluster
from testbed.waiting import until
from tests.cluster.mesh import Shell
from tests.cluster.meshinstall_run import Program, meshinstall, writes_held

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


def up(program: Program, shell: Shell) -> None:
    """Install, and wait until the namespace of the probes is gone: a removal waits for its own namespaces alone."""
    program.up()
    until(lambda: not _probes(shell), 120, lambda: f"still there: {_probes(shell)}")


def _probes(shell: Shell) -> str:
    return shell.ok("kubectl", "get", "namespace", "-l", PROBE_LABEL, "-o", "name")


def test_everything_goes_but_the_crds_and_what_others_made(program: Program, shell: Shell) -> None:
    up(program, shell)
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
    assert "✓ root-certificates: done" in done.err
    assert max(gone.index(name) for name in gone if not name.startswith("namespace/")) < gone.index("namespace/istio-system")
    assert [name for name in gone if not name.startswith(("namespace/", "root-"))] == [
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
    up(minimal, shell)
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
    up(program.having("--profile", "minimal"), shell)
    program.ok("down", "--profile", "minimal", "--crds", "--yes")
    assert _istios(shell, f"crds,namespaces,configmaps,{_CLUSTER_WIDE}") == []
    assert "Nothing to do." in program.ok("down", "--crds").err


def test_what_others_have_in_our_namespaces_keeps_them_whatever_its_kind(program: Program, shell: Shell) -> None:
    """One namespace holds what is there before, the other what comes while the run is at work."""
    up(program, shell)
    shell.ok("kubectl", "create", "ingress", "shop", "-n", "istio-ingress", "--rule=shop.example.com/*=shop:80")
    shell.ok("kubectl", "create", "role", "shop", "-n", "istio-ingress", "--verb=get", "--resource=pods")
    with writes_held(shell, "security.istio.io", "peerauthentications"), program.started("down", "--yes") as run:
        run.until_it_says("PeerAuthentication/istio-system/default: ")
        shell.ok("kubectl", "create", "poddisruptionbudget", "late", "-n", "istio-system", "--selector=app=shop", "--min-available=1")
        done = run.wait()
    assert done.status == 0, done
    assert "it contains foreign objects: ingresses/shop, roles/shop" in done.err
    assert "✓ namespace/istio-system: done" in done.err
    assert "kept: it contains foreign objects: poddisruptionbudgets/late" in done.err
    assert shell.ok("kubectl", "get", "ingress,role", "-n", "istio-ingress", "-o", "name").split() == [
        "ingress.networking.k8s.io/shop",
        "role.rbac.authorization.k8s.io/shop",
    ]
    shell.ok("kubectl", "delete", "ingress/shop", "role/shop", "-n", "istio-ingress")
    shell.ok("kubectl", "delete", "poddisruptionbudget/late", "-n", "istio-system")
    program.ok("down", "--yes")
    assert _istios(shell, "namespaces") == []


def _istios(shell: Shell, kinds: str) -> list[str]:
    """Everything of these kinds whose name or namespace has to do with Istio or with us."""
    found = shell.ok("kubectl", "get", kinds, "-A", "--no-headers", "-o", "custom-columns=:kind,:metadata.namespace,:metadata.name")
    return [line for line in found.splitlines() if re.search("istio|meshinstall", line)]
