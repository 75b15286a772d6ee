"""What is read of a gateway's Envoy, and what no Envoy of it says."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshinstall.engine.mesh.gateway_config import PATHS, ask_gateway_config, read_gateway_config
from meshinstall.engine.mesh.gateway_pods import GatewayPod, read_ready_pod
from meshinstall.engine.mesh.large_answers import Beside
from meshinstall.engine.mesh.route_words import match_words, target_words
from meshinstall.errors import ClusterError
from meshinstall.model.gateway_config import Door, Listener, Root, Route
from meshinstall.model.mesh import Place
from tests.fakes import FakeCertificates, FakePods
from tests.unit.engine.hostile import mutated
from tests.unit.engine.mesh.gateway_dumps import POD, Dump, chains, dumps, http, listener, read_roots, route, secret, shop, tcp

WEB = "outbound|80||web.shop.svc.cluster.local"
ANY = "0.0.0.0"  # noqa: S104 - nothing is bound here
HTTPS = Listener(ANY, 443)


def test_what_a_gateway_serves() -> None:
    found = shop().config()
    assert found.listeners == {Listener(ANY, 80), HTTPS, Listener(ANY, 9000)}
    assert {one for one in found.doors if one.listener == HTTPS} == {
        Door(HTTPS, "shop.example.com", "terminates TLS"),
        Door(HTTPS, "api.example.com", "terminates TLS"),
    }
    assert found.secrets == {"default", "ROOTCA", "kubernetes://shop-tls"}
    assert found.roots == {Root("ROOTCA", "root-1")}
    assert Route(HTTPS, "shop.example.com", "shop.example.com", "path prefix /", (WEB,)) in found.routes
    assert Route(HTTPS, "api.example.com", "shop.example.com", "path prefix /", (WEB,)) not in found.routes
    assert Route(Listener(ANY, 9000), "", "", "connections", ("outbound|9000||db.shop.svc.cluster.local",)) in found.routes


def test_what_does_not_take_connections_yet_is_not_served() -> None:
    dump = shop()
    dump.listeners[1]["warming_state"] = dump.listeners[1].pop("active_state")
    assert HTTPS not in dump.config().listeners


def test_listeners_of_sidecars_and_of_the_envoy_itself_are_left_out() -> None:
    dump = Dump(shop().info, [listener(15006), listener(15001)], [], [])
    dump.listeners[0]["name"] = "virtualInbound"
    dump.listeners[1]["active_state"]["listener"]["address"] = {"envoy_internal_address": {"server_listener_name": "connect_originate"}}
    assert dump.config().listeners == frozenset()


def test_every_address_of_a_listener_counts_and_the_pods_own_is_no_name() -> None:
    dump = Dump(shop().info, [tcp(80, WEB)], [], [])
    inside = dump.listeners[0]["active_state"]["listener"]
    inside["address"]["socket_address"]["address"] = POD.ip
    inside["additional_addresses"] = [{"address": {"socket_address": {"address": "::", "port_value": 80}}}]
    assert dump.config().listeners == {Listener("the pod's address", 80), Listener("::", 80)}
    assert str(Listener("::", 80, "UDP")) == "[::]:80/UDP"


@pytest.mark.parametrize(
    ("chain", "tls"),
    [
        ({}, ""),
        ({"filter_chain_match": {"transport_protocol": "tls"}}, "passes TLS through"),
        ({"transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": {}}}, "terminates TLS"),
        (
            {"transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": {"require_client_certificate": True}}},
            "asks for client certificates",
        ),
        (
            {
                "transport_socket": {
                    "name": "envoy.transport_sockets.quic",
                    "typed_config": {"downstream_tls_context": {"require_client_certificate": True}},
                }
            },
            "asks for client certificates",
        ),
        ({"transport_socket": {"name": "starttls"}}, "transport starttls"),
    ],
)
def test_what_a_chain_does_with_tls(chain: dict[str, Any], tls: str) -> None:
    (door,) = Dump(shop().info, [listener(1, {"filters": [], **chain})], [], []).config().doors
    assert door.tls == tls


def test_a_host_with_its_port_is_the_host() -> None:
    made, table = http(80, {"shop.example.com": [route("/", WEB)]})
    table["route_config"]["virtual_hosts"][0]["domains"] = ["Shop.example.com", "shop.example.com:80", "[::1]:80", "[::1]"]
    domains = {one.domain for one in Dump(shop().info, [made], [table], []).config().routes}
    assert domains == {"shop.example.com", "[::1]"}


def test_a_host_that_only_redirects_to_https_is_served() -> None:
    made, table = http(80, {"shop.example.com": []})
    table["route_config"]["virtual_hosts"][0]["require_tls"] = "ALL"
    (found,) = Dump(shop().info, [made], [table], []).config().routes
    assert str(found) == "0.0.0.0:80, host shop.example.com, requests without TLS → a redirect to https"


def test_a_wildcard_server_name_leads_to_the_hosts_below_it() -> None:
    hosts = {"a.example.com": [route("/", WEB)], "*.example.com": [route("/", WEB)], "*": [route("/", WEB)]}
    made, table = http(443, hosts, names=["*.example.com"])
    found = Dump(shop().info, [made], [table], []).config().routes
    assert {one.domain for one in found if one.server_name == "*.example.com"} == {"a.example.com", "*.example.com", "*"}


def test_routes_inside_the_listener_are_read_too() -> None:
    dump = shop()
    config = chains(dump)[0]["filters"][0]["typed_config"]
    del config["rds"]
    config["route_config"] = dump.tables.pop(0)["route_config"]
    assert dump.config() == shop().config()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda dump: dump.tables.clear(), "still waits for the route configuration http.80"),
        (lambda dump: dump.info.update(state="INITIALIZING"), "is INITIALIZING"),
        (lambda dump: dump.info.clear(), "of another proxy: one without a name"),
        (lambda dump: dump.info.update(node={"id": "router~10.0.0.9~other.shop~x"}), "of another proxy: other.shop"),
        (lambda dump: dump.listeners.append({"active_state": {"listener": 1}}), "could not be parsed"),
    ],
)
def test_what_is_not_all_there_or_not_the_pods_is_refused(change: Any, words: str) -> None:
    dump = shop()
    change(dump)
    with pytest.raises(ClusterError, match=words):
        dump.config()


def test_too_much_is_refused_before_it_is_parsed() -> None:
    answers = shop().answers()
    with pytest.raises(ClusterError, match="larger than 16 MiB"):
        read_gateway_config([*answers[:3], b" " * (16 * 1024**2 + 1)], POD, read_roots)
    with pytest.raises(ClusterError, match="more than 1000000 values"):
        read_gateway_config([*answers[:3], b"[" * 1_000_001], POD, read_roots)


def test_server_names_times_hosts_are_bounded() -> None:
    hosts = {f"*.{number}": [route("/", WEB)] for number in range(500)}
    made, table = http(443, {"*": [route(f"/{number}", WEB) for number in range(500)], **hosts}, names=[f"{n}.com" for n in range(500)])
    with pytest.raises(ClusterError, match="more than 200000 routes"):
        Dump(shop().info, [made], [table], []).config()


@given(mutated(json.loads(json.dumps([shop().info, shop().listeners, shop().tables, shop().secrets]))))
def test_a_hostile_envoy_is_refused_or_read(document: Any) -> None:
    parts = document if isinstance(document, list) and len(document) == 4 else [document] * 4
    answers = [json.dumps(parts[0]).encode(), *(json.dumps({"configs": one}).encode() for one in parts[1:])]
    try:
        found = read_gateway_config(answers, POD, read_roots)
    except ClusterError:
        return
    assert found == read_gateway_config(answers, POD, read_roots)


@given(st.binary(max_size=30))
def test_bytes_of_anybody_are_refused(data: bytes) -> None:
    with pytest.raises(ClusterError):
        read_gateway_config([data] * 4, POD, read_roots)


@given(dumps())
def test_the_same_dump_is_always_the_same(dump: Dump) -> None:
    assert dump.config() == dump.copy().config()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"name": "x", "exact_match": "a"}, {"name": "x", "string_match": {"exact": "a"}}),
        (
            {"name": "x", "safe_regex_match": {"regex": "a", "google_re2": {}}},
            {"name": "x", "string_match": {"safe_regex": {"regex": "a"}}},
        ),
        ({"name": "x"}, {"name": "x", "present_match": True}),
        ({"name": "x"}, {"name": "x", "treat_missing_header_as_empty": True}),
        ({"name": "x", "prefix_match": "a", "treat_missing_header_as_empty": True}, {"name": "x", "string_match": {"prefix": "a"}}),
    ],
)
def test_headers_that_mean_the_same_are_the_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert match_words({"prefix": "/", "headers": [one]}) == match_words({"prefix": "/", "headers": [other]})


def test_matches_that_differ_have_other_words() -> None:
    matches: list[dict[str, Any]] = [
        {"prefix": "/"},
        {"prefix": "/a"},
        {"path": "/a"},
        {"path_separated_prefix": "/a"},
        {"safe_regex": {"regex": "/a"}},
        {"prefix": "/a", "case_sensitive": False},
        *({"prefix": "/", "headers": [{"name": "x", **one}]} for one in ({}, {"invert_match": True}, {"present_match": False})),
        {"prefix": "/", "headers": [{"name": "x", "string_match": {"exact": "a"}}]},
        {"prefix": "/", "headers": [{"name": "x", "string_match": {"exact": "a", "ignore_case": True}}]},
        {"prefix": "/", "headers": [{"name": "x", "range_match": {"start": "1"}}]},
        {"prefix": "/", "query_parameters": [{"name": "x", "string_match": {"exact": "a"}}]},
        {"prefix": "/", "dynamic_metadata": [{"filter": "jwt"}]},
    ]
    assert len({match_words(one) for one in matches}) == len(matches)


@pytest.mark.parametrize(
    ("one", "words"),
    [
        ({"redirect": {"https_redirect": True, "path_redirect": "/x"}}, ('a redirect {"https_redirect": true, "path_redirect": "/x"}',)),
        ({"direct_response": {"status": 403, "body": {}}}, ("the answer 403",)),
        ({"route": {"cluster_header": "x-to"}}, ("the cluster that header x-to names",)),
        ({"route": {"weighted_clusters": {"clusters": [{"name": "b", "weight": 9}, {"name": "a"}]}}}, ("a", "b")),
        ({"route": {"inline_cluster_specifier_plugin": {"extension": {}}}}, ("the cluster that its plugin names",)),
        ({}, ()),
    ],
)
def test_where_a_route_leads(one: dict[str, Any], words: tuple[str, ...]) -> None:
    assert target_words(one) == words


@pytest.mark.anyio
async def test_one_stream_asks_for_all() -> None:
    pods, dump = FakePods(), shop()
    dump.secrets = [secret("default")]
    pods.answers = {("istio-ingress", "istio-ingress-1", 15000, path): one for path, one in zip(PATHS, dump.answers(), strict=True)}
    found = await ask_gateway_config(POD, pods, FakeCertificates(), Beside())
    assert found == dump.config()


def _pod(**status: Any) -> dict[str, Any]:
    proxy = {
        "name": "istio-proxy",
        "image": "docker.io/istio/proxyv2:1.31.0",
        "env": [{"name": "PROXY_CONFIG", "value": '{"proxyAdminPort": 15009}'}],
    }
    metadata = {"name": "g-1", "namespace": "istio-ingress", "labels": {"app": "g", "istio.io/rev": "1-31"}}
    return {
        "metadata": metadata,
        "spec": {"serviceAccountName": "g", "containers": [proxy]},
        "status": {"podIP": "10.0.0.9", "conditions": [{"type": "Ready", "status": "True"}], **status},
    }


def test_a_ready_pod_of_a_gateway() -> None:
    expected = GatewayPod(Place("istio-ingress", "g-1"), "10.0.0.9", 15009, "g", "1-31", "1.31.0", {"app": "g", "istio.io/rev": "1-31"})
    assert read_ready_pod(_pod()) == expected
    assert read_ready_pod(_pod(conditions=[{"type": "Ready", "status": "False"}])) is None
    ending = _pod()
    ending["metadata"]["deletionTimestamp"] = "2026-11-21T12:00:00Z"
    assert read_ready_pod(ending) is None
    bare = _pod()
    bare["spec"]["containers"] = [{"name": "app"}]
    assert read_ready_pod(bare) is None
