"""From one real Istio to another: a mesh of the minor before, with its own proxies, becomes one of this minor while it carries traffic."""

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from testbed import cluster as testbed_cluster
from testbed import pins
from testbed.cluster import Cluster
from testbed.spec import Nodes
from testbed.waiting import until
from tests.cluster.load import load
from tests.cluster.mesh import Shell, namespace, web
from tests.cluster.meshinstall_run import Done, Program, meshinstall
from tests.cluster.situations import istio, space

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def mesh() -> Iterator[Cluster]:
    """A cluster whose node has the images of both."""
    name = f"previous-{os.getpid()}"
    yield testbed_cluster.up(name, Nodes.REAL, print, ("images-previous",))
    testbed_cluster.down(name)


@pytest.fixture(scope="module")
def shell(mesh: Cluster, build_part: Callable[[str], Path]) -> Shell:
    """A person's shell."""
    return Shell(mesh, (build_part("kubectl"),))


@pytest.fixture(scope="module")
def program(mesh: Cluster) -> Program:
    """Meshinstall with the charts of this minor."""
    return meshinstall(mesh)


@pytest.fixture(scope="module")
def installed(program: Program, build_part: Callable[[str], Path]) -> Done:
    """The minor before, whose support may have ended, whatever day it is."""
    return program.up("--istio-version", pins.PREVIOUS, "--charts", str(build_part("charts-previous")), "--allow", "eol")


@pytest.fixture(scope="module")
def ingress(installed: Done, shell: Shell) -> str:
    """Address of the gateway, behind which an application of the mesh answers; a client outside the mesh is there too."""
    found = re.search(r"✓ istio-ingress/istio-ingress: done in [0-9.]+ s, ([0-9.]+)$", installed.err, re.MULTILINE)
    assert found, installed
    hosts = {"hosts": ["*"]}
    server = {"port": {"number": 80, "name": "http", "protocol": "HTTP"}, **hosts}
    route = {"http": [{"route": [{"destination": {"host": "web", "port": {"number": 80}}}]}]}
    shell.apply(
        space("shop"),
        namespace("outside"),
        *web("shop"),
        *web("outside", "client"),
        istio("Gateway", "shop/way", {"selector": {"istio": "ingress"}, "servers": [server]}),
        istio("VirtualService", "shop/web", {**hosts, "gateways": ["way"], **route}),
    )
    for name in ("shop", "outside"):
        shell.ok("kubectl", "wait", "pod", "--all", "-n", name, "--for=condition=Ready", "--timeout=60s")
    until(lambda: answers(found[1]), 30, lambda: f"the gateway at {found[1]} never answered with 200")
    return found[1]


def answers(host: str) -> bool:
    """Whether one request of each kind is answered with 200."""
    with load(host) as found:
        pass
    return not found.failures


def images(shell: Shell, where: str) -> set[str]:
    """Images of Istio that run in a namespace, without their folder; pods that are ending do not count."""
    listed = json.loads(shell.ok("kubectl", "get", "pods", "-n", where, "-o", "json"))["items"]
    specs = [pod["spec"] for pod in listed if "deletionTimestamp" not in pod["metadata"]]
    found = {container["image"] for spec in specs for container in (*spec.get("initContainers", ()), *spec["containers"])}
    return {image.removeprefix(f"{pins.ISTIO_HUB}/") for image in found if image.startswith(pins.ISTIO_HUB)}


def test_the_minor_before_runs_with_its_own_proxies_and_is_strict(ingress: str, shell: Shell, program: Program) -> None:
    assert answers(ingress)
    assert images(shell, "istio-system") == {f"pilot:{pins.PREVIOUS}"}
    assert images(shell, "istio-ingress") == images(shell, "shop") == {f"proxyv2:{pins.PREVIOUS}"}
    assert shell.fetch("outside", "client", "http://web.shop").returncode != 0
    assert shell.fetch("outside", "client", "http://client").stdout == "hello\n"
    program.ok("verify")


def test_no_request_fails_while_it_becomes_this_minor(ingress: str, shell: Shell, program: Program) -> None:
    with load(ingress) as found:
        done = program.up("--istio-version", pins.ISTIO)
    assert found.failures == [], done
    assert min(found.answered.values()) > 1
    assert images(shell, "istio-system") == {f"pilot:{pins.ISTIO}"}
    assert images(shell, "istio-ingress") == {f"proxyv2:{pins.ISTIO}"}
    # Whoever owns a workload restarts it.
    assert images(shell, "shop") == {f"proxyv2:{pins.PREVIOUS}"}
    assert shell.fetch("outside", "client", "http://web.shop").returncode != 0


def test_the_load_sees_a_gateway_that_ends_at_once(ingress: str, shell: Shell) -> None:
    """Else the test above could not fail."""
    with load(ingress) as found:
        shell.ok("kubectl", "delete", "pods", "--all", "-n", "istio-ingress", "--grace-period=0", "--force")
        shell.ok("kubectl", "rollout", "status", "deployment/istio-ingress", "-n", "istio-ingress", "--timeout=60s")
    assert {failure.split()[1] for failure in found.failures} == {"fresh:", "kept:"}
