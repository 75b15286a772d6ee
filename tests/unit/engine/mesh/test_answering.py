"""Who answers at a port, as a real Envoy's listeners say it."""

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from meshinstall.engine.mesh.answering import listeners_path, read_answering
from meshinstall.errors import ClusterError
from meshinstall.model.answering import FROM_BEHIND, Answering
from meshinstall.model.place import Place
from meshinstall.model.wire import Call, Way, WireTarget

DUMP = json.loads((Path(__file__).parent / "envoy_dump.json").read_text())
NOBODYS = '{"keys": [{"kty": "RSA", "n": "0xObjM0UvS_oaazjpEYlAbwctEJ4L8pH3OuTb7qth7gUwqet-EzQB4d"}]}'
TCP_PROXY = {"name": "envoy.filters.network.tcp_proxy"}
MANAGER = {"name": "envoy.filters.network.http_connection_manager"}
TLS = {"transport_socket": {"name": "envoy.transport_sockets.tls"}}
FILTERS = "type.googleapis.com/envoy.extensions.filters."


def listener() -> dict[str, Any]:
    """The one that takes all inbound traffic; port 9090 is PERMISSIVE and told apart by its protocol, 8080 is named as HTTP."""
    part = next(one for one in DUMP["configs"] if "dynamic_listeners" in one)
    found = next(one for one in part["dynamic_listeners"] if one["name"] == "virtualInbound")
    return deepcopy(dict(found["active_state"]["listener"]))


def dumped(*listeners: dict[str, Any], name: str = "virtualInbound") -> bytes:
    return json.dumps({"configs": [{"name": name, "active_state": {"listener": one}} for one in listeners]}).encode()


def call(port: int, way: Way) -> Call:
    return Call(WireTarget(Place("shop", "web-1"), "10.0.0.7", port), way, b"", speaks_http=way is not Way.MESH_TCP)


PLAIN_TCP = Call(WireTarget(Place("shop", "web-1"), "10.0.0.7", 9090), Way.PLAIN, b"", speaks_http=False)


@pytest.mark.parametrize(
    ("asked", "is_http", "takes_anybody"),
    [
        (call(8080, Way.MESH_HTTP), True, True),
        (call(8080, Way.PLAIN), True, True),
        (call(9090, Way.PLAIN), True, True),
        (PLAIN_TCP, False, True),
        # Nothing names it: what a client says decides, and TLS is asked for.
        (call(5000, Way.MESH_HTTP), True, False),
        (call(5000, Way.MESH_TCP), False, False),
        (call(5000, Way.PLAIN), False, False),
        (call(8080, Way.MESH_TCP), True, True),
    ],
)
def test_a_port_is_read_as_its_chains_say(asked: Call, is_http: bool, takes_anybody: bool) -> None:  # noqa: FBT001 - parametrized
    assert read_answering(dumped(listener()), asked) == Answering(is_http=is_http, takes_anybody=takes_anybody)


def test_a_default_chain_takes_what_no_other_does() -> None:
    found = listener() | {"default_filter_chain": {"filters": [TCP_PROXY]}}
    assert read_answering(dumped(found), call(5000, Way.PLAIN)).takes_anybody


@pytest.mark.parametrize(
    ("more", "said", "is_marked"),
    [
        ({"suppress_envoy_headers": True}, "proxyHeaders", True),
        ({"local_reply_config": {"mappers": []}}, "local_reply_config", False),
        ({"x": [{"@type": "type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua"}]}, "(lua)", False),
        ({"x": {"@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm"}}, "(wasm)", False),
        ({"x": {"@type": "x/udpa.type.v1.TypedStruct", "type_url": f"{FILTERS}http.wasm.v3.Wasm"}}, "(wasm)", False),
        # That of a WasmPlugin.
        ({"x": [{"config_discovery": {"type_urls": [f"{FILTERS}http.wasm.v3.Wasm", "x"]}}]}, "(wasm)", False),
        (
            {"x": {"@type": "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"}},
            "(header_mutation)",
            False,
        ),
        ({"routes": [{"response_headers_to_remove": ["X-Envoy-Upstream-Service-Time"]}]}, "names the header", False),
        ({"routes": [{"response_headers_to_add": [{"header": {"key": FROM_BEHIND, "value": "1"}}]}]}, "names the header", False),
    ],
)
def test_what_keeps_answers_from_being_told_apart_is_named(more: dict[str, Any], said: str, is_marked: bool) -> None:  # noqa: FBT001
    found = listener()
    found["filter_chains"][-1]["filters"][-1]["typed_config"] = more
    answering = read_answering(dumped(found), call(8080, Way.MESH_HTTP))
    assert said in answering.hides
    assert (not answering.forges) is is_marked


@pytest.mark.parametrize(
    ("how", "is_marked"),
    [
        # A service that is asked by HTTP is answered for by Envoy's own router, whose mark then stands in its refusal.
        ({"http_service": {}}, False),
        ({"grpc_service": {}}, False),
        ({"http_service": {"authorization_response": {"allowed_client_headers": {"patterns": [{"prefix": "x-"}]}}}}, False),
        ({"http_service": {"authorization_response": {"allowed_client_headers": {"patterns": [{"exact": "X-Other"}]}}}}, True),
        (
            {
                "http_service": {
                    "authorization_response": {
                        "allowed_client_headers": {"patterns": [{"exact": "x-other"}]},
                        "allowed_client_headers_on_success": {"patterns": [{"contains": "time"}]},
                    }
                }
            },
            False,
        ),
    ],
)
def test_a_service_that_decides_may_write_the_mark_and_is_no_application(how: dict[str, Any], is_marked: bool) -> None:  # noqa: FBT001
    found = listener()
    found["filter_chains"][-1]["filters"][-1]["typed_config"] = {"x": [{"@type": f"{FILTERS}http.ext_authz.v3.ExtAuthz", **how}]}
    answering = read_answering(dumped(found), call(8080, Way.MESH_HTTP))
    assert (not answering.forges) is is_marked
    # It may refuse in the words of the filters behind it.
    assert answering.hides == "a service outside of the mesh (CUSTOM) may have written the answer"


def test_a_connection_that_a_service_is_asked_about_is_not_taken_because_it_is_held() -> None:
    found = listener()
    for one in found["filter_chains"]:
        one["filters"].insert(0, {"typed_config": {"@type": f"{FILTERS}network.ext_authz.v3.ExtAuthz"}})
    assert read_answering(dumped(found), PLAIN_TCP).waits
    assert not read_answering(dumped(listener()), PLAIN_TCP).waits


@pytest.mark.parametrize(
    ("body", "hides"),
    [
        ({"inline_string": "RBAC: access denied"}, True),
        ({"inline_string": "Jwt is expired"}, True),
        ({"inline_bytes": "UkJBQzogYWNjZXNzIGRlbmllZA=="}, True),
        ({"inline_string": "closed at night"}, False),
    ],
)
def test_a_route_that_answers_in_the_words_of_policies_hides_them(body: dict[str, str], hides: bool) -> None:  # noqa: FBT001
    routes = json.dumps({"routes": [{"direct_response": {"status": 403, "body": body}}]})
    found = read_answering(dumped(gateway(), name="0.0.0.0_80"), call(80, Way.PLAIN), routes.encode())
    assert bool(found.hides) is hides
    assert not found.forges


@pytest.mark.parametrize(
    "chains",
    [
        [{"filters": [MANAGER], **TLS}],
        # Passed on as it is: whoever is behind it ends TLS.
        [{"filters": [TCP_PROXY], "filter_chain_match": {"transport_protocol": "tls"}}],
    ],
)
def test_a_server_that_takes_tls_from_anybody_closes_no_client_without_a_certificate_out(chains: list[dict[str, Any]]) -> None:
    found = gateway(443) | {"filter_chains": chains}
    assert read_answering(dumped(found, name="0.0.0.0_443"), call(443, Way.PLAIN), b"{}").takes_anybody
    secured = {**TLS["transport_socket"], "typed_config": {"require_client_certificate": True}}
    found = gateway(443) | {"filter_chains": [{"filters": [MANAGER], "transport_socket": secured}]}
    assert not read_answering(dumped(found, name="0.0.0.0_443"), call(443, Way.PLAIN), b"{}").takes_anybody


def test_the_worst_that_is_found_counts() -> None:
    found = listener()
    found["filter_chains"][0]["filters"][-1]["typed_config"] = {"suppress_envoy_headers": True}
    found["filter_chains"][-1]["filters"][-1]["typed_config"] = {"local_reply_config": {"mappers": []}}
    assert read_answering(dumped(found), call(8080, Way.MESH_HTTP)).forges


def test_what_is_logged_of_an_answer_changes_none() -> None:
    found = listener()
    found["filter_chains"][-1]["filters"][-1]["typed_config"] = {"access_log": [{"format": "%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%"}]}
    assert read_answering(dumped(found), call(8080, Way.MESH_HTTP)).hides == ""


def test_a_key_that_nobody_has_names_its_issuer() -> None:
    providers = {"origins-0": {"issuer": "https://gone.example", "local_jwks": {"inline_string": NOBODYS}}}
    providers["origins-1"] = {"issuer": "https://here.example", "local_jwks": {"inline_string": '{"keys": []}'}}
    found = listener() | {"x": {"providers": providers}}
    assert read_answering(dumped(found), call(8080, Way.MESH_HTTP)).unkeyed == ("https://gone.example",)


def gateway(port: int = 80, **chain: Any) -> dict[str, Any]:
    chains = [{"filters": [MANAGER], **chain}]
    return {"address": {"socket_address": {"address": "0.0.0.0", "port_value": port}}, "filter_chains": chains}  # noqa: S104 - as Envoy says it


def test_a_gateway_has_a_listener_of_its_own() -> None:
    dump = dumped(gateway(), gateway(8443), name="0.0.0.0_80")
    assert read_answering(dump, call(80, Way.PLAIN), b"{}") == Answering(is_http=True, takes_anybody=True)
    # A server with TLS: what is sent in plaintext is not read, and whoever speaks TLS comes in.
    secured = dumped(gateway(443, filter_chain_match={"transport_protocol": "tls"}, **TLS), name="0.0.0.0_443")
    assert read_answering(secured, call(443, Way.PLAIN), b"{}") == Answering(is_http=False, takes_anybody=True)


def test_a_route_that_takes_the_mark_away_is_named() -> None:
    routes = b'{"response_headers_to_remove": ["X-Envoy-Upstream-Service-Time"]}'
    found = read_answering(dumped(gateway(), name="0.0.0.0_80"), call(80, Way.PLAIN), routes)
    assert "route" in found.hides
    assert found.forges


@pytest.mark.parametrize("data", [b"", b"[]", b'{"configs": 1}', b'{"configs": []}', dumped({"filter_chains": 3}), dumped({}, {})])
def test_what_envoy_would_not_say_is_an_error(data: bytes) -> None:
    with pytest.raises(ClusterError):
        read_answering(data, call(8080, Way.PLAIN))


def test_one_request_asks_for_the_listeners_of_a_port() -> None:
    assert listeners_path(80) == "/config_dump?resource=dynamic_listeners&name_regex=%5E%28virtualInbound%7C.%2A_80%29%24"
