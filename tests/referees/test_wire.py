"""What the referees say of meshes whose answer everybody knows: their own contract."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from testbed.api import Json
from testbed.errors import TestbedError
from testbed.referee.booth import Seen
from testbed.referee.plane import Plane
from testbed.referee.proxy import Proxy
from tests.referees import kinds

pytestmark = pytest.mark.tools

CLIENT = "10.202.1.1"
WEB = "10.202.1.2"
# Nobody has it: a client asks for it by itself.
FOREIGN = "203.0.113.9"


@dataclass(frozen=True, slots=True)
class Shop:
    """A client with a sidecar, and a Service with one pod behind it."""

    plane: Plane
    client: Json
    service: Json
    pod: Json

    def ask(self, proxy: Proxy) -> tuple[Seen, ...]:
        """What goes out when the client asks the Service."""
        return proxy.send(self.service["spec"]["clusterIP"], 80, "web.shop.svc.cluster.local")


@pytest.fixture
def shop(mesh: Plane) -> Iterator[Shop]:
    web = kinds.service("shop/web", [kinds.port(80, 8080, "http")], {"app": "web"})
    pod = kinds.pod("shop/web", WEB, {"app": "web", **kinds.MESH_TLS})
    client = kinds.pod("shop/client", CLIENT, {"app": "client", **kinds.MESH_TLS})
    stored = mesh.apply(client, pod, web, kinds.endpoints(web, [pod], {"http": 8080}))
    yield Shop(mesh, stored[0], stored[2], pod)
    mesh.remove(*stored)


@pytest.fixture
def proxy(shop: Shop) -> Iterator[Proxy]:
    with Proxy(shop.plane, shop.client) as found:
        yield found


@pytest.fixture
def written(mesh: Plane) -> Iterator[list[Json]]:
    """Objects that a test adds; removed after it."""
    found: list[Json] = []
    yield found
    mesh.remove(*found)


def test_a_pod_with_a_sidecar_is_reached_by_the_meshs_tls(shop: Shop, proxy: Proxy) -> None:
    seen = shop.ask(proxy)
    # Envoy tries again: nobody finishes the handshake.
    assert set(seen) == {Seen(WEB, 8080, tls=True, server_name="outbound_.80_._.web.shop.svc.cluster.local", protocols=("istio",))}


def test_a_pod_without_a_sidecar_is_reached_in_plaintext(shop: Shop, proxy: Proxy) -> None:
    bare = kinds.pod("shop/bare", "10.202.1.3", {"app": "bare"})
    service = kinds.service("shop/bare", [kinds.port(80, 8080, "http")], {"app": "bare"})
    stored = shop.plane.apply(bare, service, kinds.endpoints(service, [bare], {"http": 8080}))
    seen = proxy.send(stored[1]["spec"]["clusterIP"], 80, "bare.shop.svc.cluster.local")
    shop.plane.remove(*stored)
    assert [(one.address, one.port, one.tls) for one in seen] == [("10.202.1.3", 8080, False)]


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        ("DestinationRule", {"host": "web", "trafficPolicy": {"tls": {"mode": "DISABLE"}}}),
        ("PeerAuthentication", {"mtls": {"mode": "DISABLE"}}),
    ],
)
def test_objects_of_a_namespace_make_its_client_send_plaintext(
    shop: Shop, proxy: Proxy, written: list[Json], kind: str, spec: Mapping[str, object]
) -> None:
    assert all(seen.tls for seen in shop.ask(proxy))
    written += shop.plane.apply(kinds.istio(kind, "shop/default", spec))
    seen = shop.ask(proxy)
    assert [(one.address, one.port, one.tls) for one in seen] == [(WEB, 8080, False)]
    assert seen[0].text.startswith("GET / HTTP/1.1\r\n")


def test_what_a_sidecar_object_hides_is_passed_through_in_plaintext(shop: Shop, proxy: Proxy, written: list[Json]) -> None:
    written += shop.plane.apply(kinds.istio("Sidecar", "shop/default", {"egress": [{"hosts": ["istio-system/*"]}]}))
    seen = shop.ask(proxy)
    assert [(one.address, one.port, one.tls) for one in seen] == [(shop.service["spec"]["clusterIP"], 80, False)]


# A TCP Service has a listener at its own address; HTTP Services share one, which a network's TCP port comes into.
@pytest.mark.parametrize(("protocols", "tls"), [("TCP http", False), ("TCP tcp", True), ("HTTP http", True), ("HTTP tcp", True)])
def test_a_network_that_holds_a_services_address_is_passed_through(
    shop: Shop, proxy: Proxy, written: list[Json], protocols: str, *, tls: bool
) -> None:
    protocol, name = protocols.split()
    service = kinds.service("shop/other", [kinds.port(80, 8080, name)], {"app": "web"})
    written += shop.plane.apply(service)
    address = written[0]["spec"]["clusterIP"]
    port = {"number": 80, "name": "any", "protocol": protocol}
    spec = {"hosts": ["own.test"], "addresses": [f"{address.rpartition('.')[0]}.0/24"], "ports": [port], "resolution": "NONE"}
    slice_of = kinds.endpoints(service, [shop.pod], {name: 8080})
    written += shop.plane.apply(slice_of, kinds.istio("ServiceEntry", "shop/own", spec))
    seen = proxy.send(address, 80, "other.shop.svc.cluster.local")
    assert {(one.address, one.tls) for one in seen} == {(WEB, True) if tls else (address, False)}


def test_names_outside_the_mesh_have_an_address(shop: Shop, proxy: Proxy, written: list[Json]) -> None:
    spec = {"hosts": ["api.example.com"], "ports": [{"number": 80, "name": "http", "protocol": "HTTP"}], "resolution": "DNS"}
    written += shop.plane.apply(kinds.istio("ServiceEntry", "shop/api", spec))
    seen = proxy.send(FOREIGN, 80, "api.example.com")
    assert [(one.host, one.port, one.tls) for one in seen] == [("api.example.com", 80, False)]


def test_a_server_lets_strangers_in_until_it_is_strict(shop: Shop, proxy: Proxy, written: list[Json]) -> None:
    assert [(seen.address, seen.port) for seen in proxy.receive(CLIENT, 7070)] == [(CLIENT, 7070)]
    written += shop.plane.apply(kinds.istio("PeerAuthentication", "shop/default", {"mtls": {"mode": "STRICT"}}))
    assert proxy.receive(CLIENT, 7070) == ()


def test_istiod_tells_without_a_proxy_what_a_proxy_has(shop: Shop, proxy: Proxy) -> None:
    (sent,) = shop.plane.ask(shop.client)
    assert _names(sent.active_clusters()) == _names(proxy.get("/config_dump?resource=dynamic_active_clusters"))


def _names(dump: bytes) -> set[str]:
    return {found["cluster"]["name"] for found in json.loads(dump)["configs"]}


def test_a_refused_question_is_no_answer(proxy: Proxy) -> None:
    with pytest.raises(TestbedError, match="400"):
        proxy.get("/config_dump?resource=dynamic_active_clusters&mask=cluster.nothing")


def test_nothing_of_a_proxy_outlives_it(shop: Shop) -> None:
    with Proxy(shop.plane, shop.client):
        running = _networks()
        assert list(shop.plane.cluster.state.glob("envoy-*"))
    assert not list(shop.plane.cluster.state.glob("envoy-*"))
    assert len(_networks()) == len(running) - 1


def _networks() -> set[str]:
    """The networks of this user's Envoys."""
    found = set()
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                if b"testbed.referee.booth" in (process / "cmdline").read_bytes():
                    found.add(str((process / "ns/net").readlink()))
            except OSError:
                continue
    return found
