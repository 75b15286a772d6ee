"""Rows of a table are decided by what each running proxy of their workload has, and whatever differs from that is told."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import jsonschema
import pytest
import yaml
from hypothesis import given

from meshinstall.checks.authz.decide import World as Policies
from meshinstall.cli.output.authz_text import authz_json, authz_text, status_of
from meshinstall.engine.mesh.proxy_rules import paths_of
from meshinstall.engine.report.by_proxies import try_by_proxies
from meshinstall.engine.report.who import world_of
from meshinstall.model.authz import Expectation, Http, Outcome, Request, Tried, Workload
from meshinstall.model.istio import ENVOY_ADMIN_PORT
from meshinstall.model.mesh import Dataplane
from meshinstall.model.paths import object_path
from meshinstall.model.policy_object import PolicyObject
from tests.fake_kube import forbidden
from tests.fakes import World
from tests.unit.engine.hostile import mutated
from tests.unit.engine.mesh.kube_worlds import APP, init, pod
from tests.unit.engine.test_layered import cluster

pytestmark = pytest.mark.anyio
DUMPS = Path(__file__).parents[1] / "mesh" / "rbac_dumps"
SCHEMA = json.loads((Path(__file__).parents[4] / "docs" / "schemas" / "authz-test.json").read_text())
POLICIES = tuple(one for one in yaml.safe_load_all((DUMPS / "policies.yaml").read_text()))
CART = "cluster.local/ns/shop/sa/cart"
READS = Request(8080, CART, Http("GET", "/api/v1", "web"), server_name="x")
WRITES = replace(READS, http=Http("POST", "/api/v1", "web"))


def dump(name: str = "web") -> bytes:
    return (DUMPS / f"{name}.json").read_bytes()


def row(request: Request = READS, expected: Outcome = Outcome.ALLOW, **labels: str) -> Expectation:
    return Expectation("the cart", "t.yaml:2", Workload("shop", labels or {"app": "web"}), request, expected)


def with_pod(there: World, name: str, data: bytes | None = None, *, node: str = "", **fields: Any) -> None:
    there.kube.objects[object_path("v1", "pods", "shop", name)] = pod(name=name, **({"labels": {"app": "web"}} | fields))
    info = json.dumps({"state": "LIVE", "node": {"id": f"sidecar~10.0.0.8~{node or name}.shop~shop.svc.cluster.local"}}).encode()
    for path, answer in zip(paths_of(Dataplane.SIDECAR), (info, data or dump()), strict=True):
        there.pods.answers["shop", name, ENVOY_ADMIN_PORT, path] = answer


def pushed(*without: str) -> World:
    """A cluster with the policies of which the dumps were made."""
    there = cluster()
    for one in POLICIES:
        if one["metadata"]["name"] not in without:
            there.kube.put(one)
    return there


async def tried(there: World, *rows: Expectation, files: Policies | None = None) -> tuple[Tried, ...]:
    return await try_by_proxies(rows, files, there.session(), None)


async def test_what_istiod_has_pushed_to_all_decides_and_nothing_is_told_beside_it() -> None:
    there = pushed()
    with_pod(there, "web-1")
    with_pod(there, "web-2")
    found = await tried(there, row(), row(WRITES, Outcome.DENY))
    assert [(one.is_met, one.notes) for one in found] == [(True, ()), (True, ())]
    assert authz_text(found).splitlines()[:2] == [
        "PASS      t.yaml:2: the cart: allow by 2 of 2 proxies",
        "          AuthorizationPolicy shop/web: an ALLOW of the proxy matches",
    ]
    jsonschema.validate(authz_json(found), SCHEMA)


async def test_a_policy_that_no_proxy_has_yet_is_not_pushed() -> None:
    there = pushed()
    with_pod(there, "web-1")
    there.kube.put(closing())
    (found,) = await tried(there, row(expected=Outcome.DENY))
    assert not found.is_met
    said = "not pushed, or changed on its way: the cluster's policies say deny (AuthorizationPolicy shop/closed), not allow: shop/web-1"
    assert found.notes == (said,)
    assert status_of([found]) == 4


def closing() -> dict[str, Any]:
    named = {"name": "closed", "namespace": "shop"}
    spec = {"action": "DENY", "rules": [{"from": [{"source": {"principals": [CART]}}]}]}
    return {"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": named, "spec": spec}


async def test_of_two_proxies_that_differ_the_one_that_is_not_as_expected_decides() -> None:
    there = pushed()
    with_pod(there, "web-1")
    with_pod(there, "web-2", dump().replace(b"sa/cart", b"sa/till"))
    for expected in (Outcome.ALLOW, Outcome.DENY):
        (found,) = await tried(there, row(expected=expected))
        assert not found.is_met
        assert found.notes[0] == "the proxies differ: allow by shop/web-1; deny by shop/web-2"
        assert found.notes[1].endswith("the cluster's policies say allow (AuthorizationPolicy shop/web), not deny: shop/web-2")


async def test_files_that_say_otherwise_than_the_cluster_are_told() -> None:
    there = pushed()
    with_pod(there, "web-1")
    files = world_of([PolicyObject("f.yaml", one, {}) for one in (*POLICIES, closing())], None)
    (found,) = await tried(there, row(), files=files)
    assert found.notes == ("not in Git: the files say deny, the cluster's policies allow: shop/web-1",)


async def test_the_labels_of_the_pod_and_not_those_of_the_row_choose_the_clusters_policies() -> None:
    there = pushed()
    with_pod(there, "web-1", labels={"app": "web", "tier": "front"})
    there.kube.put({**closing(), "spec": {**closing()["spec"], "selector": {"matchLabels": {"tier": "front"}}}})
    (found,) = await tried(there, row())
    assert "not pushed" in found.notes[0]


async def test_a_port_that_a_proxy_reads_as_tcp_is_told_and_is_not_taken_for_old_rules() -> None:
    there = pushed("no-admin")
    with_pod(there, "web-1", dump().replace(b'"DENY"', b'"LOG"'))
    (found,) = await tried(there, row(replace(READS, port=3306), Outcome.DENY))
    assert found.is_met
    assert found.verdict.reason == "no rule of the proxy allows it; the proxy does not read this port as HTTP"
    assert found.notes == ()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"node": "other"}, "gives the configuration of another proxy: other.shop"),
        ({"data": b"{}"}, "its Envoy has no inbound listener yet"),
        ({"data": b"<html>"}, "could not be parsed"),
        ({"data": dump().replace(b'"filter_chains"', b'"filter_chain_matcher":{},"filter_chains"')}, "filter_chain_matcher"),
        ({"containers": [APP], "inits": []}, "has no proxy of its own"),
        ({"status": {"phase": "Running", "podIPs": [{"ip": "10.0.0.8"}, {"ip": "fd00::8"}]}}, "go through its proxy"),
        (
            {"inits": [init(exclude="8080"), {"name": "istio-proxy", "args": ["proxy", "sidecar"], "restartPolicy": "Always"}]},
            "go through its proxy",
        ),
        (
            {
                "inits": [
                    init("*", "15021", "istio-init", "-c", "eth1"),
                    {"name": "istio-proxy", "args": ["proxy", "sidecar"], "restartPolicy": "Always"},
                ]
            },
            "go through its proxy",
        ),
    ],
)
async def test_a_pod_of_which_nothing_is_known_is_undecided_whatever_others_do(change: dict[str, Any], reason: str) -> None:
    there = pushed()
    with_pod(there, "web-1")
    with_pod(there, "web-2", **change)
    (found,) = await tried(there, row())
    assert found.verdict.outcome is Outcome.UNDECIDED
    assert reason in found.verdict.reason
    assert status_of([found]) == 5


async def test_a_proxy_that_cannot_be_asked_does_not_hide_one_that_is_wrong() -> None:
    there = pushed()
    with_pod(there, "web-1")
    with_pod(there, "web-2", b"{}")
    assert status_of(await tried(there, row(expected=Outcome.DENY))) == 4


async def test_without_pods_nothing_is_decided() -> None:
    there = pushed()
    with_pod(there, "waits", status={"phase": "Pending"})
    with_pod(there, "other", labels={"app": "db"})
    (found,) = await tried(there, row())
    assert (found.verdict.outcome, found.verdict.reason) == (Outcome.UNDECIDED, "no pod of this workload runs")


async def test_pods_that_may_not_be_listed_leave_a_row_undecided() -> None:
    there = pushed()
    with_pod(there, "web-1")
    there.kube.refusals[f"LIST {object_path('v1', 'pods', 'shop')}"] = forbidden("pods")
    (found,) = await tried(there, row())
    assert found.verdict.outcome is Outcome.UNDECIDED
    assert "could not be listed" in found.verdict.reason


async def test_what_a_proxy_did_not_take_from_istiod_is_told() -> None:
    there = pushed()
    refusing = json.loads(dump())
    refusing["configs"][0]["error_state"] = {"details": "Didn't find a registered\nimplementation"}
    with_pod(there, "web-1", json.dumps(refusing).encode())
    (found,) = await tried(there, row())
    assert found.is_met
    assert found.notes == ("shop/web-1 did not take what istiod sent last: Didn't find a registered implementation",)


@given(mutated(json.loads(dump("strict"))))
def test_nothing_that_a_proxy_answers_is_an_error(data: Any) -> None:
    there = pushed()
    with_pod(there, "web-1", json.dumps(data).encode())
    (found,) = anyio.run(tried, there, row())
    assert len(found.proxies) == 1


_MANAGER = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_FILTERS = "type.googleapis.com/envoy.extensions.filters.http"


# A test of the method, which only GET meets.
GET = {"header": {"name": ":method", "string_match": {"exact": "GET"}}}
ANYBODY = ({"any": True},)


def server(port: int, rules: Any, *, tls: Any = None, sni: str = "", tcp: bool = False) -> dict[str, Any]:
    """A listener of a gateway, with the rules of its RBAC."""
    layer = "network" if tcp else "http"
    rbac = {"typed_config": {"@type": f"type.googleapis.com/envoy.extensions.filters.{layer}.rbac.v3.RBAC", "rules": rules}}
    router = {"typed_config": {"@type": f"{_FILTERS}.router.v3.Router"}}
    manager = {"@type": _MANAGER, "normalize_path": True, "http_filters": [rbac, router], "rds": {"route_config_name": f"http.{port}"}}
    proxy = {"@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy", "cluster": "outbound|443||web"}
    filters = [rbac, {"typed_config": proxy}] if tcp else [{"typed_config": manager}]
    match = {"server_names": [sni], **({} if tls else {"transport_protocol": "tls"})} if sni else {}
    socket = {"transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": tls}} if tls else {}
    address = {"socket_address": {"address": "0.0.0.0", "port_value": port}}  # noqa: S104 - as a dump says it
    chain = {"filters": filters, **({"filter_chain_match": match} if match else {}), **socket}
    return {"name": f"0.0.0.0_{port}", "active_state": {"listener": {"address": address, "filter_chains": [chain]}}}


def rules_of(namespace: str, name: str, *principals: Any, permission: Any = None, action: str = "ALLOW") -> dict[str, Any]:
    """Of an RBAC, as istiod names them."""
    policy = {"permissions": [permission or {"any": True}], "principals": list(principals or ANYBODY)}
    return {"action": action, "policies": {f"ns[{namespace}]-policy[{name}]-rule[0]": policy}}


def with_gateway(there: World, routes: Any, *servers: Any, **fields: Any) -> None:
    """A gateway with these servers; without any it serves plaintext on port 8080 and lets GET through."""
    container = {"name": "istio-proxy", "image": "proxyv2", "args": ["proxy", "router"]}
    path = object_path("v1", "pods", "shop", "edge")
    there.kube.objects[path] = pod(name="edge", inits=[], **({"labels": {"app": "edge"}, "containers": [container]} | fields))
    listeners = servers or (server(8080, rules_of("shop", "edge", permission=GET)),)
    ports = [one["active_state"]["listener"]["address"].get("socket_address", {}).get("port_value") for one in listeners]
    answers = (
        {"state": "LIVE", "node": {"id": "router~10.0.0.8~edge.shop~shop.svc.cluster.local"}},
        {"configs": listeners},
        {"configs": [{"route_config": {"name": f"http.{port}", "virtual_hosts": [routes]}} for port in ports]},
    )
    for path, answer in zip(paths_of(Dataplane.GATEWAY), answers, strict=True):
        there.pods.answers["shop", "edge", ENVOY_ADMIN_PORT, path] = json.dumps(answer).encode()


@pytest.mark.parametrize(
    ("routes", "port", "outcome", "reason"),
    [
        ({}, 8080, Outcome.ALLOW, "an ALLOW of the proxy matches"),
        ({}, 8443, Outcome.UNDECIDED, "the gateway does not listen on port 8443"),
        (
            {"routes": [{"typed_per_filter_config": {"rbac": {"@type": f"{_FILTERS}.rbac.v3.RBACPerRoute"}}}]},
            8080,
            Outcome.UNDECIDED,
            "the settings that a route of the proxy has for its filter rbac",
        ),
    ],
)
async def test_a_gateway_is_decided_by_its_own_listeners_and_routes(routes: Any, port: int, outcome: Outcome, reason: str) -> None:
    there = pushed()
    with_gateway(there, routes)
    (found,) = await tried(there, row(replace(READS, port=port, principal="", server_name=""), app="edge"))
    assert found.verdict.outcome is outcome
    assert found.verdict.reason.endswith(reason)


def edge_policy(name: str = "edge", **spec: Any) -> dict[str, Any]:
    """An AuthorizationPolicy of the gateway."""
    metadata, selector = {"name": name, "namespace": "shop"}, {"matchLabels": {"app": "edge"}}
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": "AuthorizationPolicy",
        "metadata": metadata,
        "spec": {"selector": selector, **spec},
    }


GETS = [{"to": [{"operation": {"methods": ["GET"]}}]}]
CLOSING = {"action": "DENY", "rules": [{"to": [{"operation": {"methods": ["GET"]}}]}]}


def at_edge(port: int = 8080, principal: str = "", **fields: Any) -> Request:
    return replace(READS, port=port, principal=principal, **({"server_name": None} | fields))


@pytest.mark.parametrize("principal", ["", CART])
async def test_a_policy_of_a_gateway_that_it_has_not_is_not_pushed(principal: str) -> None:
    """Also where the row says who calls: a server of plaintext is told of no identity."""
    there = pushed("no-admin")
    with_gateway(there, {})
    there.kube.put(edge_policy(rules=GETS))
    (found,) = await tried(there, row(at_edge(principal=principal), app="edge"))
    assert (found.is_met, found.notes) == (True, ())
    there.kube.put(edge_policy("closed", **CLOSING))
    (found,) = await tried(there, row(at_edge(principal=principal), app="edge"))
    said = "not pushed, or changed on its way: the cluster's policies say deny (AuthorizationPolicy shop/closed), not allow: shop/edge"
    assert found.notes == (said,)


@pytest.mark.parametrize(
    ("server_name", "outcome", "reason"),
    [
        ("", Outcome.UNDECIDED, "the servers of the gateway at port 8443 take TLS alone: say which with serverName"),
        ("shop.example", Outcome.ALLOW, "an ALLOW of the proxy matches"),
    ],
)
async def test_a_server_of_tls_is_called_by_its_name(server_name: str, outcome: Outcome, reason: str) -> None:
    """Else a row would pass as denied because nobody speaks plaintext there, whatever the policies are."""
    there = cluster()
    ended = server(8443, rules_of("shop", "edge", permission=GET), tls={"require_client_certificate": False}, sni="shop.example")
    with_gateway(there, {}, ended)
    there.kube.put(edge_policy(rules=GETS))
    (found,) = await tried(there, row(at_edge(8443, server_name=server_name), app="edge"))
    assert (found.verdict.outcome, found.verdict.reason) == (outcome, reason)
    there.kube.put(edge_policy("closed", **CLOSING))
    (found,) = await tried(there, row(at_edge(8443, server_name=server_name), app="edge"))
    assert [note.partition(",")[0] for note in found.notes] == ["not pushed"]


async def test_who_calls_a_server_of_plaintext_is_no_difference_between_policies_and_the_gateway() -> None:
    there = pushed("no-admin")
    cart = {"authenticated": {"principal_name": {"exact": f"spiffe://{CART}"}}}
    with_gateway(there, {}, server(8080, rules_of("shop", "edge", cart)))
    there.kube.put(edge_policy(rules=[{"from": [{"source": {"principals": [CART]}}]}]))
    (found,) = await tried(there, row(at_edge(principal=CART), Outcome.DENY, app="edge"))
    assert (found.is_met, found.notes) == (True, ())
