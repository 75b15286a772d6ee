"""Every mode of mesh, namespace, workload and port on a real proxy: it lets in whom our reading of the policies says."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle, product
from pathlib import Path

import pytest

from meshinstall.checks.mtls.inbound import entry
from meshinstall.checks.mtls.peer_authentication import Policies
from meshinstall.model.mesh import MeshFacts, Mode, Place
from testbed.cluster import Cluster
from tests.cluster.mesh import Shell, namespace
from tests.cluster.meshinstall_run import meshinstall
from tests.cluster.test_survey import Mesh, found_pod, pod, policy

WEB = Place("shop", "web")
# A port of nobody: its mode tells that the proxy has the policies of this test and no older ones.
MARKER = 7070


@dataclass(frozen=True, slots=True)
class Marked:
    """A mesh with one application, and the modes that tell one push from the next."""

    mesh: Mesh
    markers: Iterator[Mode]

    def facts(self, modes: tuple[Mode, ...], until_true: Callable[[Callable[[], bool]], None]) -> MeshFacts:
        """What a survey finds when the proxy has these modes of mesh, namespace, workload and port 8080."""
        marker = next(self.markers)
        mesh_wide, in_namespace, workload, port = ({"mode": str(mode)} for mode in modes)
        ports = {"8080": port, str(MARKER): {"mode": str(marker)}}
        # The last one comes to istiod last.
        self.mesh.shell.apply(
            policy(Place("istio-system", "default"), {"mtls": mesh_wide}),
            policy(Place("shop", "default"), {"mtls": in_namespace}),
            policy(WEB, {"selector": {"matchLabels": {"app": "web"}}, "mtls": workload, "portLevelMtls": ports}),
        )
        found: list[MeshFacts] = []

        def has_them() -> bool:
            found[:] = [self.mesh.facts("shop")]
            return entry(found[0].proxies[WEB].inbound, MARKER).plaintext == (marker is Mode.DISABLE)

        until_true(has_them)
        return found[0]


@pytest.fixture(scope="module")
def marked(own_module_cluster: Cluster, build_part: Callable[[str], Path]) -> Marked:
    """All of it, for as many tests as a worker gets."""
    shell = Shell(own_module_cluster, tuple(build_part(name) for name in ("helm4", "kubectl")))
    meshinstall(own_module_cluster).up("--profile", "minimal", "--no-verify")
    shell.apply(namespace("shop", **{"istio-injection": "enabled"}))
    shell.apply(*pod("shop", "web"))
    shell.ok("kubectl", "wait", "-n", "shop", "--for=condition=Ready", "pod/web", "--timeout=80s")
    return Marked(Mesh(shell), cycle([Mode.DISABLE, Mode.STRICT]))


@pytest.mark.parametrize("modes", list(product(Mode, repeat=4)), ids="-".join)
def test_a_proxy_lets_in_whom_the_policies_let_in(
    marked: Marked, until_true: Callable[[Callable[[], bool]], None], modes: tuple[Mode, ...]
) -> None:
    facts = marked.facts(modes, until_true)
    merged = Policies.of(facts.policies, "istio-system").merged(found_pod(facts, "shop", "web"))
    mesh_wide, in_namespace, workload, port_level = modes
    for port, nearest in ((8080, (port_level, workload, in_namespace, mesh_wide)), (9090, (workload, in_namespace, mesh_wide))):
        expected = next((mode for mode in nearest if mode is not Mode.UNSET), Mode.PERMISSIVE)
        assert merged.at(port).mode is expected, port
        chains = facts.proxies[WEB].inbound
        assert entry(chains, port).plaintext == (expected is not Mode.STRICT), port
        pool = [chain for chain in chains if chain.port == port] or [chain for chain in chains if chain.port is None]
        assert any(chain.client_certificate for chain in pool) == (expected is not Mode.DISABLE), port
