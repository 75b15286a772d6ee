"""A survey of a real mesh: what it reads of the proxies is what istioctl reads, and what it says of pods is what was asked for."""

import base64
import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest

from meshinstall import wiring
from meshinstall.adapters.certificates import read_chain, read_roots
from meshinstall.config.project import load_project
from meshinstall.engine.mesh.survey import survey
from meshinstall.model.cluster import Cloud, ClusterRef
from meshinstall.model.mesh import Dataplane, InboundChain, MeshFacts, Mode, Place, Pod, Proxy, SyncState
from testbed.cluster import Cluster
from tests.cluster.mesh import Shell, namespace, web
from tests.cluster.meshinstall_run import meshinstall

pytestmark = pytest.mark.cluster

ISTIO = ("istio", "istio-peer-exchange", "istio-http/1.0", "istio-http/1.1", "istio-h2")
INCLUDE, EXCLUDE = "traffic.sidecar.istio.io/includeInboundPorts", "traffic.sidecar.istio.io/excludeInboundPorts"


def policy(place: Place, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": place.name, "namespace": place.namespace}
    return {"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": metadata, "spec": spec}


def pod(namespace_name: str, name: str, **annotations: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A pod with ports 8080 and 9090, and its Service; underscores of annotations are what a keyword cannot be."""
    one, service = deepcopy(web(namespace_name, name))
    one["metadata"] = {**one["metadata"], "annotations": annotations}
    one["spec"]["containers"][0]["ports"] = [{"containerPort": 8080, "name": "http-web"}, {"containerPort": 9090}]
    service["spec"]["ports"][0]["targetPort"] = "http-web"
    return one, service


@dataclass(frozen=True, slots=True)
class Mesh:
    """A cluster and somebody who looks at it."""

    shell: Shell

    def facts(self, *namespaces: str) -> MeshFacts:
        """One survey."""
        session = wiring.open_session(
            ClusterRef(Cloud.LOCAL, kubeconfig=self.shell.cluster.kubeconfig), load_project(None, {}, Path("/")), print, print
        )
        return anyio.run(survey, session, namespaces or None)

    def chains(self, place: Place) -> list[InboundChain]:
        """The inbound chains as istioctl tells them, without roots."""
        found = self._istioctl("listener", place, "--port", "15006")
        return [_chain(chain) for listener in found for chain in listener["filterChains"]]

    def secrets(self, place: Place) -> Mapping[str, bytes]:
        """The certificates of the proxy in PEM as istioctl tells them, by the name of the secret."""
        found = {one["name"]: one["secret"] for one in self._istioctl("secret", place)["dynamicActiveSecrets"]}
        sources = {
            "default": found["default"]["tlsCertificate"]["certificateChain"],
            "ROOTCA": found["ROOTCA"]["validationContext"]["trustedCa"],
        }
        return {name: base64.b64decode(source["inlineBytes"]) for name, source in sources.items()}

    def _istioctl(self, what: str, place: Place, *flags: str) -> Any:
        return json.loads(self.shell.ok("istioctl", "proxy-config", what, f"{place.name}.{place.namespace}", *flags, "-o", "json"))


def _chain(chain: dict[str, Any]) -> InboundChain:
    match = chain.get("filterChainMatch", {})
    context = chain.get("transportSocket", {}).get("typedConfig", {})
    return InboundChain(
        match.get("destinationPort"),
        match.get("transportProtocol", ""),
        tuple(match.get("applicationProtocols", ())),
        tls="DownstreamTlsContext" in context.get("@type", ""),
        client_certificate=context.get("requireClientCertificate", False),
    )


@pytest.fixture(scope="module")
def mesh(own_module_cluster: Cluster, build_part: Callable[[str], Path]) -> Mesh:
    """A STRICT mesh with exceptions, and a namespace that never joined."""
    shell = Shell(own_module_cluster, tuple(build_part(name) for name in ("helm4", "kubectl", "istioctl")))
    meshinstall(own_module_cluster).up("--no-verify")
    shell.apply(
        namespace("shop", **{"istio-injection": "enabled"}), namespace("lax", **{"istio-injection": "enabled"}), namespace("legacy")
    )
    holes = {"selector": {"matchLabels": {"app": "holes"}}, "portLevelMtls": {"8080": {"mode": "PERMISSIVE"}, "9090": {"mode": "DISABLE"}}}
    shell.apply(policy(Place("lax", "default"), {"mtls": {"mode": "PERMISSIVE"}}), policy(Place("shop", "holes"), holes))
    shell.apply(
        *(one for name in ("shop", "lax", "legacy") for one in pod(name, "web")),
        *pod("shop", "holes"),
        *pod("shop", "past", **{EXCLUDE: "9090"}),
        *pod("shop", "only", **{INCLUDE: "8080"}),
        *pod("shop", "loose", **{"sidecar.istio.io/interceptionMode": "NONE"}),
    )
    shell.ok("kubectl", "wait", "--for=condition=Ready", "pod", "--all", "-A", "--timeout=80s")
    return Mesh(shell)


@pytest.fixture(scope="module")
def facts(mesh: Mesh) -> MeshFacts:
    """All that is there."""
    return mesh.facts()


def found_pod(facts: MeshFacts, namespace_name: str, name: str) -> Pod:
    (one,) = (one for one in facts.pods if one.place == Place(namespace_name, name))
    return one


def test_nothing_stays_unanswered(facts: MeshFacts) -> None:
    assert facts.gaps == ()
    assert facts.unread == ()
    assert {place: proxy.problem for place, proxy in facts.proxies.items() if proxy.problem} == {}
    (plane,) = facts.control_planes
    assert plane.revision == "default"
    assert plane.version == "1.31.0"
    assert plane.root_namespace == "istio-system"
    assert plane.trust_domain == "cluster.local"
    assert plane.auto_mtls is True
    assert plane.domain == "cluster.local"


@pytest.mark.parametrize("place", [Place("shop", "web"), Place("lax", "web"), Place("shop", "holes")], ids=str)
def test_the_inbound_chains_are_those_that_istioctl_tells(mesh: Mesh, facts: MeshFacts, place: Place) -> None:
    roots = tuple(root.fingerprint for root in facts.proxies[place].roots)
    told = mesh.chains(place)
    assert len(told) >= 4
    found = facts.proxies[place].inbound
    assert sorted(map(str, found)) == sorted(
        str(InboundChain(one.port, one.transport, one.alpn, one.tls, one.client_certificate, roots if one.tls else ())) for one in told
    )


def test_modes_show_in_the_chains_of_a_port(facts: MeshFacts) -> None:
    def port(place: Place, number: int) -> set[tuple[str, tuple[str, ...], bool]]:
        chains = facts.proxies[place].inbound
        return {(chain.transport, chain.alpn, chain.client_certificate) for chain in chains if chain.port == number}

    assert port(Place("shop", "web"), 8080) == {("tls", (), True)}
    assert port(Place("shop", "holes"), 8080) == {("tls", ISTIO, True), ("raw_buffer", (), False)}
    assert {one[0] for one in port(Place("shop", "holes"), 9090)} == {"raw_buffer"}
    assert ("raw_buffer", (), False) in port(Place("lax", "web"), 8080)


def test_the_certificates_are_those_that_istioctl_tells(mesh: Mesh, facts: MeshFacts) -> None:
    place = Place("shop", "web")
    told, proxy = mesh.secrets(place), facts.proxies[place]
    assert proxy.certificates == read_chain(told["default"], told["ROOTCA"])
    assert proxy.roots == read_roots(told["ROOTCA"]) == facts.authorities
    leaf = proxy.certificates[0]
    assert leaf.uris == ("spiffe://cluster.local/ns/shop/sa/default",)
    assert leaf.root == facts.authorities[0].fingerprint
    assert leaf.not_before < facts.now < leaf.not_after


def test_every_namespace_has_the_root_of_the_mesh(facts: MeshFacts) -> None:
    (root,) = facts.authorities
    assert root.is_authority
    assert {
        name: space.roots for name, space in facts.namespaces.items() if name in {"shop", "lax", "legacy", "istio-system"}
    } == dict.fromkeys(("shop", "lax", "legacy", "istio-system"), (root.fingerprint,))


def test_pods_are_what_they_are(facts: MeshFacts) -> None:
    kinds = {(one.place.namespace, one.workload): one.dataplane for one in facts.pods}
    assert kinds[("istio-system", "Deployment istiod")] is Dataplane.CONTROL
    assert kinds[("istio-ingress", "Deployment istio-ingress")] is Dataplane.GATEWAY
    assert kinds[("legacy", "Pod web")] is Dataplane.NONE
    assert {kind for (space, _), kind in kinds.items() if space in {"shop", "lax"}} == {Dataplane.SIDECAR}
    assert {
        (one.captured, one.bypassed, one.others_bypassed, one.revision) for one in facts.pods if one.place.name in {"web", "holes"}
    } == {
        (True, (), False, "default"),
        (True, (), False, ""),
    }
    past, only, loose = (found_pod(facts, "shop", name) for name in ("past", "only", "loose"))
    assert past.captured is True
    assert past.bypassed == (9090,)
    assert past.others_bypassed is False
    assert only.captured is True
    assert only.bypassed == (9090,)
    assert only.others_bypassed is True
    assert not loose.captured
    assert [(port.number, port.name) for port in past.ports] == [(8080, "http-web"), (9090, "")]
    assert [one.ports for one in facts.services if one.place == Place("shop", "web")] == [{80: 8080}]


def test_policies_are_read_with_their_ports(facts: MeshFacts) -> None:
    found = {one.place: one for one in facts.policies}
    assert {place: one.mode for place, one in found.items()} == {
        Place("istio-system", "default"): Mode.STRICT,
        Place("lax", "default"): Mode.PERMISSIVE,
        Place("shop", "holes"): Mode.UNSET,
    }
    assert found[Place("shop", "holes")].ports == {8080: Mode.PERMISSIVE, 9090: Mode.DISABLE}


def test_istiod_says_that_its_proxies_are_in_sync(mesh: Mesh, until_true: Callable[[Callable[[], bool]], None]) -> None:
    istiod = mesh.shell.ok("kubectl", "get", "pod", "-n", "istio-system", "-l", "app=istiod", "-o", "jsonpath={.items[0].metadata.name}")

    def seen() -> set[tuple[SyncState, str, str]]:
        return {(proxy.sync, proxy.istiod, proxy.version) for proxy in mesh.facts().proxies.values()}

    until_true(lambda: seen() == {(SyncState.SYNCED, f"istio-system/{istiod}", "1.31.0")})


def test_a_proxy_that_does_not_run_has_a_problem(mesh: Mesh, until_true: Callable[[Callable[[], bool]], None]) -> None:
    """A container of Envoy's that cannot start leaves a pod that is there and says nothing."""
    one, _ = pod("lax", "stuck", **{"sidecar.istio.io/proxyImage": "localhost:1/none:1"})
    mesh.shell.apply(one)
    place = Place("lax", "stuck")
    until_true(lambda: mesh.facts("lax").proxies.get(place) == Proxy(problem="its pod does not run"))
    # Pods of other namespaces are looked at as clients; their own proxies' inbound side is not read.
    facts = mesh.facts("lax")
    assert {one.place.namespace for one in facts.pods} >= {"lax", "istio-system"}
    assert {where.namespace for where in facts.proxies} == {"lax"}
    mesh.shell.ok("kubectl", "delete", "pod", "-n", "lax", "stuck", "--grace-period=0", "--force")
