"""Who may call what by the cluster's policies beside what each proxy has: what differs is named with the proxies, and what is not known."""

import json
from pathlib import Path
from typing import Any

import anyio
import jsonschema
import pytest
from hypothesis import given

from meshinstall.cli.output.who_text import who_json, who_text
from meshinstall.engine.mesh.proxy_rules import paths_of
from meshinstall.engine.report.who import Who, who_may_call
from meshinstall.model.istio import ENVOY_ADMIN_PORT
from meshinstall.model.mesh import Dataplane
from tests.fakes import World
from tests.unit.engine.hostile import mutated
from tests.unit.engine.mesh.kube_worlds import APP
from tests.unit.engine.report.test_by_proxies import (
    CLOSING,
    GET,
    GETS,
    at_edge,
    closing,
    dump,
    edge_policy,
    pushed,
    row,
    rules_of,
    server,
    tried,
    with_gateway,
    with_pod,
)
from tests.unit.engine.test_layered import cluster

pytestmark = pytest.mark.anyio
SCHEMA = json.loads((Path(__file__).parents[4] / "docs" / "schemas" / "authz-who.json").read_text())
OWNER = [{"kind": "StatefulSet", "name": "web", "controller": True}]


async def asked(there: World, *namespaces: str) -> Who:
    found = await who_may_call(None, there.kube, None, namespaces, there.pods)
    jsonschema.validate(who_json(found), SCHEMA)
    return found


def with_two(there: World, second: bytes | None = None) -> None:
    with_pod(there, "web-0", ownerReferences=OWNER)
    with_pod(there, "web-1", second, ownerReferences=OWNER)


async def test_proxies_that_have_all_policies_leave_nothing_to_tell() -> None:
    there = pushed()
    with_two(there)
    found = await asked(there)
    assert (found.unpushed, found.gaps) == ((), ())


async def test_a_policy_that_proxies_have_not_is_named_with_the_requests_and_all_of_them() -> None:
    there = pushed()
    with_two(there)
    there.kube.put(closing())
    found = await asked(there)
    told = " ".join(who_text(found).split())
    assert "shop/web: not pushed to shop/web-0, shop/web-1 FROM PORT WHAT shop/cart" in told
    assert "the cluster's policies say deny (AuthorizationPolicy shop/closed), the proxy allow: an ALLOW of the proxy matches" in told
    assert "1 workload, by live: 3 not pushed" in told


async def test_a_policy_that_is_gone_and_that_a_proxy_still_has_is_found_by_the_proxys_own_words() -> None:
    """Nothing in the cluster names who may still call."""
    there = pushed()
    with_two(there, dump().replace(b"ns/shop/sa/cart", b"ns/old/sa/gone"))
    found = await asked(there)
    (one,) = found.unpushed
    assert one.proxies == ("shop/web-1",)
    opened = {cell.of("source")[0].label: [str(verdict.outcome) for verdict in cell.verdicts] for cell in one.cells}
    assert opened == {"old/gone": ["deny", "allow"], "shop/cart": ["allow", "deny"]}


async def test_strict_that_a_proxy_has_not_yet_is_not_pushed() -> None:
    there = pushed()
    with_two(there)
    named = {"name": "default", "namespace": "shop"}
    there.kube.put(
        {"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": named, "spec": {"mtls": {"mode": "STRICT"}}}
    )
    (one,) = (await asked(there)).unpushed
    assert {part.label for cell in one.cells for part in cell.of("source")} == {"no identity"}


async def test_what_cannot_be_told_of_a_proxy_is_told_as_such() -> None:
    there = pushed()
    lua = b'"http_filters":[{"typed_config":{"@type":"type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua"}},'
    with_two(there, dump().replace(b'"http_filters":[', lua))
    with_pod(there, "web-2", b"{}", ownerReferences=OWNER)
    found = await asked(there)
    begin = "whether the proxies of these pods have what the cluster's policies say"
    assert found.gaps == (
        f"{begin}: shop/web-1: what the filter envoy.extensions.filters.http.lua.v3.Lua of the proxy does",
        f"{begin}: shop/web-2: its Envoy has no inbound listener yet",
    )


async def test_a_rule_that_is_not_known_is_told_although_it_decides_nothing_here() -> None:
    there = pushed()
    strange = b'"principals":[{"filter_state":{"key":"a"}}],"permissions"'
    with_two(there, dump().replace(b'"permissions"', strange, 1))
    with_pod(there, "web-2", dump().replace(b'{"url_path"', b'{"destination_port_range"'), ownerReferences=OWNER)
    begin = "whether the proxies of these pods have what the cluster's policies say"
    assert f"{begin}: shop/web-2: a rule of destination_port_range" in (await asked(there)).gaps


async def test_custom_in_the_cluster_alone_is_told() -> None:
    there = pushed()
    with_two(there)
    asking = {**closing(), "spec": {"action": "CUSTOM", "provider": {"name": "opa"}, "rules": [{"to": [{"operation": {"ports": ["1"]}}]}]}}
    there.kube.put(asking)
    (gap,) = (await asked(there)).gaps
    assert gap.endswith(
        "shop/web-0, shop/web-1: what a service outside of the mesh says: only the proxy, or only a policy, asks one (CUSTOM)"
    )


async def test_tokens_whose_keys_istiod_could_not_fetch_are_told_apart_from_none() -> None:
    there = pushed()
    with_pod(there, "off-0", dump("off"), labels={"app": "off"})
    there.kube.put({**closing(), "spec": {"rules": [{}]}, "metadata": {"name": "all", "namespace": "shop"}})
    (one,) = (await asked(there)).unpushed
    reasons = {cell.verdicts[1].reason for cell in one.cells}
    assert "istiod could not fetch the keys of https://other.example" in reasons


async def test_only_pods_of_the_wanted_namespaces_are_asked_and_none_without_a_proxy() -> None:
    there = pushed()
    with_two(there, b"{}")
    with_pod(there, "bare", containers=[APP], inits=[])
    assert (await asked(there, "bank")).gaps == ()
    assert [gap.rpartition(": ")[0].rpartition(": ")[2] for gap in (await asked(there)).gaps] == ["shop/web-1"]


TLS = {"require_client_certificate": False}
MUTUAL = {"require_client_certificate": True}
# Servers of every kind, all with the rules of one policy: whoever reads.
SERVERS = (
    server(8080, rules_of("shop", "edge", permission=GET)),
    server(8443, rules_of("shop", "edge", permission=GET), tls=TLS, sni="shop.example"),
    server(9443, rules_of("shop", "edge", permission=GET), tls=MUTUAL),
    server(10443, {"action": "ALLOW", "policies": {}}, sni="db.example", tcp=True),
)


def edge() -> World:
    there = cluster()
    there.kube.put(edge_policy(rules=GETS))
    return there


async def test_a_gateway_that_has_its_policies_leaves_nothing_to_tell_whatever_servers_it_has() -> None:
    there = edge()
    with_gateway(there, {}, *SERVERS)
    found = await asked(there)
    assert (found.unpushed, found.gaps) == ((), ())


async def test_a_policy_that_a_gateway_has_not_is_named_at_each_of_its_servers() -> None:
    there = edge()
    with_gateway(there, {}, *SERVERS)
    there.kube.put(edge_policy("closed", **CLOSING))
    (one,) = (await asked(there)).unpushed
    assert (one.callee.name, one.proxies) == ("shop/edge", ("shop/edge",))
    assert {part.label for cell in one.cells for part in cell.of("port")} == {"8080", "8443", "9443"}
    assert {tuple(str(verdict.outcome) for verdict in cell.verdicts) for cell in one.cells} == {("deny", "allow")}


async def test_a_policy_that_a_gateway_still_has_is_found_although_nothing_names_it_any_more() -> None:
    there = edge()
    old = {"authenticated": {"principal_name": {"exact": "spiffe://cluster.local/ns/old/sa/gone"}}}
    with_gateway(there, {}, server(9443, rules_of("shop", "edge", old, permission=GET), tls=MUTUAL))
    (one,) = (await asked(there)).unpushed
    # By the policy everybody reads; by the gateway those alone that nobody knows any more.
    assert {tuple(str(verdict.outcome) for verdict in cell.verdicts) for cell in one.cells} == {("allow", "deny")}
    assert any("old/gone" in part.but for cell in one.cells for part in cell.of("source"))


async def test_servers_of_a_gateway_that_do_not_do_alike_are_told() -> None:
    there = edge()
    one, other = (server(8443, rules_of("shop", name, permission=GET), tls=TLS, sni=name) for name in ("edge", "other"))
    one["active_state"]["listener"]["filter_chains"] += other["active_state"]["listener"]["filter_chains"]
    with_gateway(there, {}, one)
    (gap,) = (await asked(there)).gaps
    assert gap.endswith("shop/edge: servers at port 8443 with different rules")


FRONT = {"app": "edge", "gateway.networking.k8s.io/gateway-name": "edge", "gateway.istio.io/managed": "istio.io-gateway-controller"}
TO_EDGE = {"targetRefs": [{"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "edge"}]}


async def test_a_gateway_of_the_gateway_api_is_compared_with_policies_that_have_targetrefs_to_it() -> None:
    there = cluster()
    there.kube.put({**edge_policy(), "spec": {**TO_EDGE, "rules": GETS}})
    with_gateway(there, {}, *SERVERS, labels=FRONT)
    found = await asked(there)
    assert (found.unpushed, found.gaps) == ((), ())
    there.kube.put({**edge_policy("closed"), "spec": {**TO_EDGE, **CLOSING}})
    (one,) = (await asked(there)).unpushed
    assert {str(verdict.outcome) for cell in one.cells for verdict in cell.verdicts[:1]} == {"deny"}


@pytest.mark.parametrize(
    ("managed", "reason"),
    [
        ("istio.io-mesh-controller", "what waypoints and east-west gateways do with policies is not decided here"),
        ("somebody", "it is unknown whether it is a gateway or a waypoint: the files have no Gateway of class istio of this name"),
    ],
)
async def test_waypoints_are_named_as_undecided(managed: str, reason: str) -> None:
    there = edge()
    container = {"name": "istio-proxy", "image": "proxyv2", "args": ["proxy", "waypoint"]}
    with_gateway(there, {}, labels=FRONT | {"gateway.istio.io/managed": managed}, containers=[container])
    found = await asked(there)
    assert found.unpushed == ()
    assert [gap.partition(": shop/edge: ")[2] for gap in found.gaps] == [reason]


async def test_a_waypoint_without_a_label_of_one_is_known_by_its_listeners() -> None:
    there = edge()
    listener = {"name": "main_internal", "active_state": {"listener": {"internal_listener": {}, "address": {}, "filter_chains": []}}}
    with_gateway(there, {}, listener)
    assert [gap.rpartition(": ")[2] for gap in (await asked(there)).gaps] == ["it has listeners of a waypoint, which are not decided here"]


async def test_two_listeners_at_one_port_of_a_gateway_are_not_taken_for_one() -> None:
    there = edge()
    with_gateway(there, {}, *SERVERS[:1], {**SERVERS[0], "name": "127.0.0.1_8080"})
    assert [gap.rpartition(": ")[2] for gap in (await asked(there)).gaps] == ["filter chains that go by more than a request tells"]


@given(mutated({"configs": list(SERVERS)}))
def test_nothing_that_a_gateway_answers_is_an_error(data: Any) -> None:
    there = edge()
    with_gateway(there, {}, *SERVERS)
    there.pods.answers["shop", "edge", ENVOY_ADMIN_PORT, paths_of(Dataplane.GATEWAY)[1]] = json.dumps(data).encode()
    found = anyio.run(asked, there)
    assert len(found.accesses) == 1
    rows = [row(at_edge(port), app="edge") for port in (8080, 8443)]
    assert all(len(one.proxies) == 1 for one in anyio.run(tried, there, *rows))
