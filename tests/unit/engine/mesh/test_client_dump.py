"""What a client's Envoy would send where, recorded from one on a mesh with plaintext and other TLS in it."""

import json
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshinstall.engine.mesh.client_dump import ordered, read_clusters, read_names, read_passing_on
from meshinstall.errors import ClusterError
from meshinstall.model.clients import Endpoint, OutboundCluster, Outlook, Tls
from tests.unit.engine.hostile import mutated

RECORDED: dict[str, Any] = json.loads((Path(__file__).parent / "client_dump.json").read_text())
PARTS = ("clusters", "endpoints", "listener")
WEB = "outbound|80||web.case-02.svc.cluster.local"
RAW = {"name": "envoy.transport_sockets.raw_buffer"}
MATCH = "envoy.transport_socket_match"


def read_outlook(clusters: bytes, endpoints: bytes, listener: bytes) -> Outlook:
    """An outlook of the answers to the whole."""
    return Outlook(ordered(read_clusters(clusters, endpoints or b"{}", whole=True)), read_passing_on(listener))


def read(dump: dict[str, Any]) -> Outlook:
    """An outlook of the three answers."""
    return read_outlook(*(json.dumps(dump[part]).encode() for part in PARTS))


def changed(change: Callable[[dict[str, Any]], object]) -> Outlook:
    """What the recorded answers say after a change."""
    dump = deepcopy(RECORDED)
    change(dump)
    return read(dump)


def cluster(dump: dict[str, Any], name: str = WEB) -> dict[str, Any]:
    found: dict[str, Any] = next(one["cluster"] for one in dump["clusters"]["configs"] if one["cluster"]["name"] == name)
    return found


def endpoint(dump: dict[str, Any], name: str = WEB) -> dict[str, Any]:
    told = next(one["endpoint_config"] for one in dump["endpoints"]["configs"] if one["endpoint_config"]["cluster_name"] == name)
    found: dict[str, Any] = told["endpoints"][0]["lb_endpoints"][0]
    return found


def web(outlook: Outlook) -> OutboundCluster:
    return next(one for one in outlook.clusters if one.name == WEB)


def tls(outlook: Outlook) -> Tls:
    return web(outlook).endpoints[0].tls


def test_each_way_out_of_a_pod_is_told_with_its_tls() -> None:
    found = read(RECORDED)
    assert found.passes_on
    assert [(one.host, one.port, one.subset, one.anywhere, one.endpoints) for one in found.clusters] == [
        ("db.case-03.svc.cluster.local", 5432, "", Tls.PLAINTEXT, ()),
        ("web.case-19-subset.svc.cluster.local", 80, "v1", None, (Endpoint("10.202.0.90", 8080, Tls.PLAINTEXT),)),
        ("vm.case-04.internal", 80, "", None, (Endpoint("legacy.case-04-out.svc.cluster.local", 80, Tls.PLAINTEXT),)),
        ("web.case-02.svc.cluster.local", 80, "", None, (Endpoint("10.202.0.59", 8080, Tls.MESH),)),
        ("web.case-20.svc.cluster.local", 80, "", None, (Endpoint("10.202.0.88", 8080, Tls.OTHER),)),
    ]


def test_the_names_of_clusters_are_those_of_ways_out() -> None:
    assert read_names(json.dumps(RECORDED["clusters"]).encode()) == {one.name for one in read(RECORDED).clusters}
    alone = {"configs": [{"cluster": {"name": "BlackHoleCluster", "type": "STATIC"}}]}
    assert read_names(json.dumps(alone).encode()) == set()
    assert read_outlook(json.dumps(alone).encode(), b"", b"{}") == Outlook()


@pytest.mark.parametrize("answer", [b"{}", b"", b"[", b'{"configs": [{"cluster": {"name": 7}}]}', b'{"configs": 7}'])
def test_names_that_no_envoy_says_are_an_error_with_words(answer: bytes) -> None:
    with pytest.raises(ClusterError, match="its Envoy"):
        read_names(answer)


def test_a_piece_may_be_empty_where_the_whole_may_not() -> None:
    assert read_clusters(b"{}", b"{}") == ()


def test_a_gateway_has_no_listener_for_what_it_does_not_know() -> None:
    assert not changed(lambda dump: dump.update(listener={})).passes_on


def test_a_mesh_that_lets_nothing_out_passes_nothing_on() -> None:
    text = json.dumps(RECORDED["listener"]).replace("PassthroughCluster", "BlackHoleCluster")
    assert not changed(lambda dump: dump.update(listener=json.loads(text))).passes_on


def test_what_is_passed_on_by_weight_or_by_the_default_chain_is_seen() -> None:
    def listener(dump: dict[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = dump["listener"]["configs"][0]["active_state"]["listener"]
        return found

    def by_weight(dump: dict[str, Any]) -> None:
        config = listener(dump)["filter_chains"][1]["filters"][0]["typed_config"]
        config["weighted_clusters"] = {"clusters": [{"name": config.pop("cluster"), "weight": 1}]}

    def by_default(dump: dict[str, Any]) -> None:
        listener(dump)["default_filter_chain"] = listener(dump)["filter_chains"].pop()

    assert changed(by_weight).passes_on
    assert changed(by_default).passes_on


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda one: one["transport_socket_matches"].pop(0), Tls.PLAINTEXT),
        (lambda one: one["transport_socket_matches"].insert(0, {"match": {"tlsMode": "istio", "x": "y"}, **RAW}), Tls.MESH),
        (lambda one: one["transport_socket_matches"][0].update(transport_socket={"name": "envoy.alts"}), Tls.UNKNOWN),
        (lambda one: one.update(transport_socket_matches=[], transport_socket=RAW), Tls.PLAINTEXT),
        (lambda one: one.pop("transport_socket_matches"), Tls.PLAINTEXT),
        (lambda one: context(one)["tls_certificate_sds_secret_configs"][0].update(name="file-cert:/x"), Tls.OTHER),
        (lambda one: context(one).pop("tls_certificate_sds_secret_configs"), Tls.OTHER),
        (lambda one: context(one).pop("combined_validation_context"), Tls.OTHER),
        (lambda one: wrap(one, "envoy.transport_sockets.upstream_proxy_protocol"), Tls.MESH),
        (lambda one: wrap(one, "envoy.transport_sockets.http_11_proxy"), Tls.UNKNOWN),
        (lambda one: one["transport_socket_matches"][0].update(transport_socket={"name": INTERNAL}), Tls.TUNNEL),
    ],
)
def test_a_socket_is_the_meshs_only_with_the_meshs_certificate_and_roots(change: Callable[[dict[str, Any]], object], expected: Tls) -> None:
    assert tls(changed(lambda dump: change(cluster(dump)))) is expected


INTERNAL = "envoy.transport_sockets.internal_upstream"


def context(one: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = one["transport_socket_matches"][0]["transport_socket"]["typed_config"]["common_tls_context"]
    return found


def wrap(one: dict[str, Any], name: str) -> None:
    match = one["transport_socket_matches"][0]
    match["transport_socket"] = {"name": name, "typed_config": {"transport_socket": match["transport_socket"]}}


def test_an_endpoint_without_the_mark_gets_plaintext() -> None:
    assert tls(changed(lambda dump: endpoint(dump)["metadata"]["filter_metadata"].pop(MATCH))) is Tls.PLAINTEXT
    assert tls(changed(lambda dump: endpoint(dump)["metadata"]["filter_metadata"].update({MATCH: {"tlsMode": "off"}}))) is Tls.PLAINTEXT


def test_an_endpoint_of_two_families_has_both_addresses() -> None:
    second = {"address": {"socket_address": {"address": "fd00::59", "port_value": 8080}}}
    found = changed(lambda dump: endpoint(dump)["endpoint"].update(additional_addresses=[second]))
    assert web(found).endpoints == (Endpoint("10.202.0.59", 8080, Tls.MESH), Endpoint("fd00::59", 8080, Tls.MESH))


def test_a_tunnel_names_where_it_ends() -> None:
    inside = {"envoy_internal_address": {"server_listener_name": "connect_originate", "endpoint_id": "[fd00::1]:8080"}}
    found = changed(lambda dump: endpoint(dump)["endpoint"].update(address=inside))
    assert web(found).endpoints[0][:2] == ("fd00::1", 8080)


def test_names_are_compared_as_dns_compares_them() -> None:
    where = {"socket_address": {"address": "Web.Shop.svc.cluster.local.", "port_value": 80}}
    assert web(changed(lambda dump: endpoint(dump)["endpoint"].update(address=where))).endpoints[0].address == "web.shop.svc.cluster.local"


def test_a_cluster_whose_endpoints_the_proxy_does_not_tell_is_not_understood() -> None:
    def without(dump: dict[str, Any]) -> None:
        dump["endpoints"]["configs"] = [one for one in dump["endpoints"]["configs"] if one["endpoint_config"]["cluster_name"] != WEB]

    found = web(changed(without))
    assert found.anywhere is Tls.UNKNOWN
    assert found.endpoints == ()


def test_clusters_of_one_name_are_both_kept() -> None:
    other = {"name": WEB, "type": "ORIGINAL_DST"}
    found = changed(lambda dump: dump["clusters"]["configs"].append({"cluster": other}))
    assert {one.anywhere for one in found.clusters if one.name == WEB} == {None, Tls.PLAINTEXT}


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ((b"<html>", b"", b"{}"), "could not be parsed"),
        ((b"", b"", b""), "could not be parsed"),
        ((b"{}", b"", b"{}"), "has no clusters yet"),
        ((b'{"configs": []}', b"", b"{}"), "has no clusters yet"),
        ((b"[" * 200_000, b"", b"{}"), "could not be parsed"),
        ((b"[" + b"[]," * 1_000 + b"[]]", b"", b"{}"), "dict expected, found list"),
        ((b'{"configs": [' + b"{}," * 1_000_000 + b"{}]}", b"", b"{"), "more than 250000 values"),
        ((b" " * (8 * 1024**2 + 1), b"", b"{}"), "larger than 8 MiB"),
        ((b'{"configs": [{"cluster": {"name": 7}}]}', b"", b"{}"), "str expected, found int"),
        ((b'{"configs": [{"cluster": {"type": []}}]}', b"", b"{}"), "str expected, found list"),
        ((b'{"configs": [{"cluster": {}}]}', b'{"configs": [{"endpoint_config": {"cluster_name": {}}}]}', b"{}"), "str expected"),
        ((b'{"configs": [{"cluster": {}}]}', b"", b'{"configs": [{"active_state": []}]}'), "dict expected"),
    ],
    ids=["HTML", "nothing", "{}", "no clusters", "deep", "lists", "a million", "too big", "name", "type", "endpoints", "listener"],
)
def test_what_no_envoy_says_is_an_error_with_words(answers: tuple[bytes, bytes, bytes], words: str) -> None:
    with pytest.raises(ClusterError, match=words):
        read_outlook(*answers)


@pytest.mark.parametrize("part", PARTS)
def test_half_an_answer_is_none(part: str) -> None:
    dump = {name: json.dumps(RECORDED[name]).encode() for name in PARTS}
    dump[part] = dump[part][: len(dump[part]) // 2]
    with pytest.raises(ClusterError, match="could not be parsed"):
        read_outlook(*dump.values())


@pytest.mark.parametrize("port", [10**30, -1, 65536])
def test_ports_that_there_are_not_are_read_and_lead_nowhere(port: int) -> None:
    where = {"socket_address": {"address": "10.0.0.1", "port_value": port}}
    assert web(changed(lambda dump: endpoint(dump)["endpoint"].update(address=where))).endpoints[0].port == port
    name = f"outbound|{port}||web.shop.svc.cluster.local"
    (found,) = read_outlook(json.dumps({"configs": [{"cluster": {"name": name}}]}).encode(), b"", b"{}").clusters
    assert (found.port, found.host) == ((port, "web.shop.svc.cluster.local") if 0 <= port < 10**5 else (0, name))


@given(st.data())
def test_any_answer_is_read_or_refused_with_words(data: st.DataObject) -> None:
    dump = {part: data.draw(mutated(RECORDED[part])) for part in PARTS}
    with suppress(ClusterError):
        assert isinstance(read(dump), Outlook)
