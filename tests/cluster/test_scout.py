"""The scout of a gateway on a real mesh: what a second istiod would serve is seen before any request gets there, and nothing stays.

The second istiod is the first one's charts under another revision.
"""

import json
import os
from base64 import b64encode
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import anyio
import pytest
import trustme

from meshinstall.cli.target import open_environment
from meshinstall.engine.gates.scout import scout
from meshinstall.engine.mesh.gateway_config import ask_gateway_config
from meshinstall.engine.mesh.gateway_pods import read_ready_pod
from meshinstall.engine.mesh.large_answers import Beside
from meshinstall.engine.session import Session
from meshinstall.engine.tasks import task_group
from meshinstall.model.cluster import Cloud
from meshinstall.model.desired import Release
from meshinstall.model.gate import GateCheck, GateOutcome
from meshinstall.model.gateway_config import GatewayConfig
from meshinstall.model.release import ChartRef, Component
from meshinstall.model.request import Request
from testbed import cluster as testbed_cluster
from testbed import pins
from testbed.shell import ISTIOD_VALUES
from testbed.spec import Nodes
from testbed.waiting import until
from tests.cluster.mesh import Shell, namespace, web
from tests.cluster.meshinstall_run import Program, meshinstall

pytestmark = pytest.mark.cluster

_Answer = TypeVar("_Answer")
_SPACE = "istio-ingress"
_SCOUT = "meshinstall.dev/scout"
_HOST = "shop.example.com"


@dataclass(frozen=True, slots=True)
class Seen:
    """What was looked at while a scout was there: its addresses, and those behind the gateway's Service."""

    scouts: set[str] = field(default_factory=set)
    behind: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Mesh:
    """A mesh with a gateway and two istiods; ``charts`` are those of both."""

    program: Program
    shell: Shell
    charts: Path

    def scouted(self, seconds: float = 120, seen: Seen | None = None, ends: str = "") -> GateCheck | None:
        """The check, within this process; None when it was ended, as soon as it told what begins with ``ends``."""

        async def run(session: Session, gateway: Release) -> GateCheck | None:
            with anyio.move_on_after(seconds) as limit:

                def tell(words: str) -> None:
                    if ends and words.startswith(ends):
                        limit.deadline = anyio.current_time() + 1

                chart = await session.charts.resolve(ChartRef("gateway", pins.ISTIO, str(self.charts)))
                async with task_group() as group:
                    if seen is not None:
                        group.start_soon(_watch, session, seen)
                    found = await scout(session, gateway, chart, "canary", tell)
                    group.cancel_scope.cancel()
                return found
            return None

        return self._with_session(run)

    def serves(self) -> GatewayConfig:
        """What the live gateway serves now."""

        async def run(session: Session, _: Release) -> GatewayConfig:
            items = [item async for item in session.kube.list(f"/api/v1/namespaces/{_SPACE}/pods", labels="app=istio-ingress")]
            (pod,) = [pod for item in items if (pod := read_ready_pod(item))]
            return await ask_gateway_config(pod, session.pods, session.certificates, Beside())

        return self._with_session(run)

    def left(self) -> str:
        """Objects of scouts that are there."""
        return self.shell.ok("kubectl", "get", "deployments,replicasets,pods", "-A", "-l", _SCOUT, "-o", "name")

    def _with_session(self, run: Callable[[Session, Release], Awaitable[_Answer]]) -> _Answer:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.program.env.items():
                patch.setenv(name, value)
            request = Request(environment="dev", cloud=Cloud.LOCAL, config=Path(self.program.env["MESHINSTALL_CONFIG"]))
            desired, session = open_environment(request)
            (gateway,) = [release for release in desired.releases if release.component is Component.GATEWAY]
            return anyio.run(run, session, gateway)


async def _watch(session: Session, seen: Seen) -> None:
    """Look without a pause at who the scout is, and at who gets the gateway's traffic."""
    slices = f"/apis/discovery.k8s.io/v1/namespaces/{_SPACE}/endpointslices"
    while True:
        async for item in session.kube.list(f"/api/v1/namespaces/{_SPACE}/pods", labels=_SCOUT):
            seen.scouts.update(filter(None, [item.get("status", {}).get("podIP")]))
        async for item in session.kube.list(slices):
            seen.behind.update(address for one in item.get("endpoints") or () for address in one["addresses"])
        await anyio.sleep(0.05)


@pytest.fixture(scope="module")
def mesh(build_part: Callable[[str], Path]) -> Iterator[Mesh]:
    """A shop behind a gateway with HTTP and HTTPS, and a canary that nothing uses."""
    name = f"scout-{os.getpid()}"
    cluster = testbed_cluster.up(name, Nodes.REAL, print)
    try:
        yield _with_canary(
            Mesh(meshinstall(cluster), Shell(cluster, tuple(build_part(part) for part in ("helm4", "kubectl"))), build_part("charts"))
        )
    finally:
        testbed_cluster.down(name)


def _with_canary(found: Mesh) -> Mesh:
    """The same once all of it is there."""
    shell = found.shell
    found.program.up("--no-verify")
    values = shell.cluster.state / "canary.yaml"
    requests = {"resources": {"requests": {"memory": "128Mi"}}}
    values.write_text(json.dumps({**ISTIOD_VALUES, **requests, "revision": "canary"}))
    archive = found.charts / f"istiod-{pins.ISTIO}.tgz"
    shell.ok("helm", "install", "istiod-canary", str(archive), "-n", "istio-system", "--wait", "-f", str(values), seconds=120)
    shell.apply(namespace("shop"), *web("shop"), _secret(), _gateway("shop", _http(80), _https()), _virtual_service("shop/shop"))
    assert until(lambda: len(found.serves().listeners) == 2, 60, lambda: str(found.serves()))
    return found


def test_a_canary_that_serves_the_same_passes_and_gets_no_traffic(mesh: Mesh) -> None:
    seen = Seen()
    found = mesh.scouted(seen=seen)
    assert found is not None
    assert found.outcome is GateOutcome.PASS, found
    assert "2 listeners, 2 filter chains, 2 routes, 3 secrets, 1 trusted root" in found.words
    assert found.evidence[-1] == f"the scout was injected by revision canary with proxy {pins.ISTIO}"
    assert seen.scouts
    assert seen.behind
    assert seen.scouts.isdisjoint(seen.behind)
    assert mesh.left() == ""


def test_what_the_live_gateway_serves_is_what_the_objects_say(mesh: Mesh) -> None:
    found = mesh.serves()
    assert {str(one) for one in found.doors} == {"0.0.0.0:80", f"0.0.0.0:443, server name {_HOST}, terminates TLS"}
    cluster = "outbound|80||web.shop.svc.cluster.local"
    assert {str(one) for one in found.routes} == {
        f"0.0.0.0:80, host {_HOST}, path prefix / → {cluster}",
        f"0.0.0.0:443, host {_HOST}, path prefix / → {cluster}",
    }
    assert found.secrets == {"default", "ROOTCA", "kubernetes://shop-tls"}


def test_a_gateway_of_the_old_revision_is_missing_in_the_new(mesh: Mesh) -> None:
    """Listeners vanish with the new version."""
    old = _gateway("old", _http(8080), **{"istio.io/rev": "default"})
    mesh.shell.apply(old, _virtual_service("shop/old", "old"))
    try:
        assert until(lambda: len(mesh.serves().listeners) == 3, 60, lambda: str(mesh.serves()))
        found = mesh.scouted()
    finally:
        mesh.shell.ok("kubectl", "delete", "gateways.networking.istio.io/old", "virtualservice/old", "-n", "shop")
    assert found is not None
    assert found.outcome is GateOutcome.FAIL, found
    assert found.words == "the scout lacks listener 0.0.0.0:8080"
    assert until(lambda: len(mesh.serves().listeners) == 2, 60, lambda: str(mesh.serves()))


def test_a_route_of_the_old_revision_is_missing_in_the_new(mesh: Mesh) -> None:
    """Routes vanish with the new version."""
    mesh.shell.apply(_virtual_service("shop/shop", "old", host="old.example.com", **{"istio.io/rev": "default"}))
    mesh.shell.apply(_gateway("shop", _http(80, _HOST, "old.example.com"), _https()))
    try:
        assert until(lambda: any(one.domain == "old.example.com" for one in mesh.serves().routes), 60, lambda: str(mesh.serves()))
        found = mesh.scouted()
    finally:
        mesh.shell.ok("kubectl", "delete", "virtualservice/old", "-n", "shop")
        mesh.shell.apply(_gateway("shop", _http(80), _https()))
    assert found is not None
    assert found.outcome is GateOutcome.FAIL, found
    assert "host old.example.com" in found.words


def test_gateways_that_select_by_app_swap_the_roles_and_by_both_prove_nothing(mesh: Mesh) -> None:
    before = _gateway("shop", _http(80), _https())
    both = {"app": "istio-ingress", "istio": "ingress"}
    try:
        mesh.shell.apply({**before, "spec": {**before["spec"], "selector": {"app": "istio-ingress"}}})
        swapped = mesh.scouted()
        mesh.shell.apply({**before, "spec": {**before["spec"], "selector": both}})
        proven = mesh.scouted()
    finally:
        mesh.shell.apply(before)
    assert swapped is not None
    assert swapped.outcome is GateOutcome.PASS, swapped
    assert "2 listeners" in swapped.words
    assert proven is not None
    assert proven.outcome is GateOutcome.NOT_PROVEN, proven
    assert "Gateway shop/shop selects by the label istio" in proven.words


@pytest.mark.parametrize("after", ["starting ", "Deployment istio-ingress/istio-ingress-scout"])
def test_a_run_that_is_ended_half_way_leaves_nothing(mesh: Mesh, after: str) -> None:
    assert mesh.scouted(ends=after) is None
    assert until(lambda: mesh.left() == "", 30, mesh.left) is not None


def test_down_takes_the_scout_of_a_killed_run_with_it(mesh: Mesh) -> None:
    mesh.shell.ok("helm", "uninstall", "istiod-canary", "-n", "istio-system", "--wait")
    live = json.loads(mesh.shell.ok("kubectl", "get", "deployment", "istio-ingress", "-n", _SPACE, "-o", "json"))
    labels = {**live["spec"]["template"]["metadata"]["labels"], "app": "istio-ingress-scout", _SCOUT: "istio-ingress"}
    live["spec"]["template"]["metadata"]["labels"] = live["spec"]["selector"]["matchLabels"] = labels
    marks = {_SCOUT: "istio-ingress", "app.kubernetes.io/managed-by": "meshinstall"}
    metadata = {"name": "istio-ingress-scout", "namespace": _SPACE, "labels": marks, "annotations": {"meshinstall.dev/holder": "dead"}}
    mesh.shell.apply({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": live["spec"]})
    position = json.loads(mesh.program.run("upgrade plan", "--to", pins.RESTAMP, "-o", "json").out)
    assert "istio-ingress-scout" not in json.dumps(position)
    mesh.shell.ok("kubectl", "delete", "namespace", "shop", "--wait")
    mesh.shell.ok("kubectl", "delete", "secret", "shop-tls", "-n", _SPACE)
    done = mesh.program.ok("down", "--yes")
    assert "istio-ingress-scout" in f"{done.out}{done.err}"
    assert mesh.left() == ""
    assert mesh.shell.run("kubectl", "get", "namespace", _SPACE).returncode != 0


def _http(port: int, *hosts: str) -> dict[str, Any]:
    return {"port": {"number": port, "name": f"http-{port}", "protocol": "HTTP"}, "hosts": [*(hosts or [_HOST])]}


def _https() -> dict[str, Any]:
    tls = {"mode": "SIMPLE", "credentialName": "shop-tls"}
    return {"port": {"number": 443, "name": "https", "protocol": "HTTPS"}, "hosts": [_HOST], "tls": tls}


def _gateway(name: str, *servers: dict[str, Any], **labels: str) -> dict[str, Any]:
    spec = {"selector": {"istio": "ingress"}, "servers": [*servers]}
    metadata = {"name": name, "namespace": "shop", "labels": labels}
    return {"apiVersion": "networking.istio.io/v1", "kind": "Gateway", "metadata": metadata, "spec": spec}


def _virtual_service(gateway: str, name: str = "shop", host: str = _HOST, **labels: str) -> dict[str, Any]:
    route = {"route": [{"destination": {"host": "web.shop.svc.cluster.local", "port": {"number": 80}}}]}
    spec = {"hosts": [host], "gateways": [gateway], "http": [route]}
    metadata = {"name": name, "namespace": "shop", "labels": labels}
    return {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": metadata, "spec": spec}


def _secret() -> dict[str, Any]:
    """A certificate of the shop's own, which only the gateway's ServiceAccount may read."""
    made = trustme.CA().issue_cert(_HOST)
    data = {
        "tls.crt": b64encode(b"".join(one.bytes() for one in made.cert_chain_pems)).decode(),
        "tls.key": b64encode(made.private_key_pem.bytes()).decode(),
    }
    metadata = {"name": "shop-tls", "namespace": _SPACE}
    return {"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": metadata, "data": data}
