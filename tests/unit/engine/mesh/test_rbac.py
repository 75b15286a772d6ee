"""What a proxy enforces, read from dumps of real Envoys that a real istiod configured."""

import copy
import json
import time
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from meshinstall.checks.authz import conditions
from meshinstall.checks.authz.chains import Chain, decide_by
from meshinstall.checks.authz.decide import decide, guard, world
from meshinstall.checks.authz.enforced import Rules, Way, is_read_as_tcp
from meshinstall.checks.policies.reading import Policies
from meshinstall.engine.mesh.rbac.chains import read_chains
from meshinstall.engine.mesh.rbac.identities import identity_words
from meshinstall.engine.objects.json_fields import MalformedError
from meshinstall.model.authz import Http, Outcome, Request, Token, Verdict, Workload
from meshinstall.model.policy_object import PolicyObject

DUMPS = Path(__file__).parent / "rbac_dumps"
CART, JOBS = "cluster.local/ns/shop/sa/cart", "cluster.local/ns/jobs/sa/worker"
STAFF = Token({"iss": "https://id.example", "sub": "ann", "group": "staff"})
WORKLOADS = ("web", "strict", "off")
POLICIES = Policies(tuple(PolicyObject("policies.yaml", one, {}) for one in yaml.safe_load_all((DUMPS / "policies.yaml").read_text())))
FILTERS = "type.googleapis.com/envoy.extensions.filters."
DUMP = {name: json.loads((DUMPS / f"{name}.json").read_text()) for name in WORKLOADS}


def listener(name: str) -> Any:
    return copy.deepcopy(DUMP[name]["configs"][0]["active_state"]["listener"])


def decided(found: Any, request: Request) -> Verdict:
    return decide_by(read_chains(found), request)


def plain(port: int, principal: str, http: Http | None) -> Request:
    return Request(port, principal, http, "10.0.0.1", "10.0.0.1", server_name="")


def requests() -> list[Request]:
    told = (
        Http("GET", "/api/v1", "web"),
        Http("POST", "/api/v1", "web"),
        Http("GET", "/x/../admin", "web"),
        Http("GET", "/", "web", token=STAFF),
        Http("GET", "/", "web", token=Token({"iss": "https://id.example", "sub": "ann"}, valid=False)),
        Http("GET", "/", "web", token=Token({"iss": "https://foreign.example"})),
    )
    return [plain(port, name, http) for port, name, http in product((8080, 9090, 7777), (CART, JOBS, ""), told)]


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_proxy_does_what_its_policies_say(name: str) -> None:
    by = guard(world(POLICIES), Workload("shop", {"app": name}))
    connections = [plain(port, who, None) for port, who in product((3306, 9090, 7777), (CART, JOBS, ""))]
    for request in (*requests(), *connections):
        assert decided(listener(name), request).outcome == decide(by, request).outcome, request


def test_a_verdict_names_the_policy_that_istiod_made_a_rule_of() -> None:
    found = decided(listener("web"), Request(8080, CART, Http("GET", "/api/v1", "web")))
    assert (found.outcome, found.policy) == (Outcome.ALLOW, "AuthorizationPolicy shop/web")
    found = decided(listener("web"), Request(8080, CART, Http("GET", "/admin", "web")))
    assert (found.outcome, found.policy) == (Outcome.DENY, "AuthorizationPolicy shop/no-admin")


def test_a_port_that_the_proxy_reads_as_tcp_is_decided_as_such_and_says_so() -> None:
    found = decided(listener("web"), Request(3306, JOBS, Http("GET", "/", "web")))
    # A DENY with paths denies all of TCP.
    assert (found.outcome, is_read_as_tcp(found)) == (Outcome.DENY, True)
    assert not is_read_as_tcp(decided(listener("web"), Request(3306, JOBS)))
    assert decided(listener("web"), Request(8080, JOBS)).outcome is Outcome.UNDECIDED


def test_a_token_whose_keys_istiod_could_not_fetch_is_refused_however_good_it_is() -> None:
    token = Token({"iss": "https://other.example", "sub": "ann"})
    found = decided(listener("off"), Request(8080, "", Http("GET", "/", "web", token=token), server_name=""))
    assert (found.outcome, found.reason) == (Outcome.UNAUTHENTICATED, "istiod could not fetch the keys of https://other.example")


def test_a_port_without_a_chain_for_the_connection_is_closed() -> None:
    found = decided(listener("strict"), Request(8080, "", Http("GET", "/api/v1", "web"), server_name=""))
    assert found.outcome is Outcome.DENY
    assert "no filter chain of the proxy takes a connection to port 8080" in found.reason
    assert decided(listener("web"), Request(15006, CART)).outcome is Outcome.DENY


# Each finds the place of what it changes in the filters of one request: CART's GET, which is allowed.
def _managers(found: Any) -> list[Any]:
    return [
        one["typed_config"]
        for chain in found["filter_chains"]
        for one in chain["filters"]
        if one["typed_config"]["@type"].endswith("HttpConnectionManager")
    ]


def _rules(found: Any) -> list[Any]:
    """The policies of all ALLOWs of HTTP."""
    filters = (one["typed_config"] for manager in _managers(found) for one in manager["http_filters"])
    return [one["rules"] for one in filters if one["@type"].endswith("http.rbac.v3.RBAC") and "action" not in one["rules"]]


def _with_filter(kind: str) -> Callable[[Any], None]:
    def change(found: Any) -> None:
        for manager in _managers(found):
            manager["http_filters"].insert(0, {"name": "any", "typed_config": {"@type": kind}})

    return change


def _with_field(**fields: Any) -> Callable[[Any], None]:
    def change(found: Any) -> None:
        for manager in _managers(found):
            manager.update(fields)

    return change


def _with_leaf(field: str, leaf: Any) -> Callable[[Any], None]:
    """All policies of the ALLOWs have this rule alone."""

    def change(found: Any) -> None:
        for rules in _rules(found):
            for policy in rules["policies"].values():
                policy[field] = [leaf]

    return change


_ROUTES = {"virtual_hosts": [{"routes": [{"typed_per_filter_config": {"rbac": {"@type": f"{FILTERS}http.rbac.v3.RBACPerRoute"}}}]}]}
_DISCOVERED: dict[str, Any] = {"name": "any", "config_discovery": {}}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_with_filter(f"{FILTERS}http.lua.v3.Lua"), "lua.v3.Lua"),
        (_with_filter(f"{FILTERS}http.ext_authz.v3.ExtAuthz"), "CUSTOM"),
        (_with_filter("type.googleapis.com/udpa.type.v1.TypedStruct"), "TypedStruct"),
        (_with_field(http_filters=[_DISCOVERED]), "without a type"),
        (_with_field(normalize_path=None), "normalises paths"),
        (_with_field(path_with_escaped_slashes_action="UNESCAPE_AND_REDIRECT"), "normalises paths"),
        (_with_field(strip_any_host_port=True), "changes hosts"),
        (_with_field(route_config=_ROUTES), "a route of the proxy"),
        (_with_leaf("principals", {"filter_state": {"key": "io.istio.peer_principal"}}), "filter_state"),
        (_with_leaf("principals", {"metadata": {"filter": "envoy.filters.http.ext_proc", "path": [{"key": "a"}]}}), "ext_proc"),
        (_with_leaf("permissions", {"matcher": {}}), "matcher"),
        (_with_leaf("permissions", {"header": {"name": "x", "range_match": {}}}), "range_match"),
        (_with_leaf("permissions", {"header": {"name": "x", "present_match": True, "invert_match": True}}), "invert_match"),
        (_with_leaf("permissions", {"url_path": {"path": {"safe_regex": {"regex": "(a+)+"}}}}), "regular expression"),
        (_with_leaf("permissions", {"any": True, "header": {"name": "x"}}), "any and header"),
        (_with_leaf("permissions", {}), "nothing in it"),
        (_with_leaf("principals", {"remote_ip": {"address_prefix": "ten", "prefix_len": 8}}), "block of addresses"),
        (_with_leaf("principals", {"remote_ip": {"address_prefix": "10.0.0.0", "prefix_len": 8}}), "remote.ip"),
        (_with_leaf("principals", {"authenticated": {}}), "whoever has a certificate"),
        (_with_leaf("permissions", {"any": "yes"}), "could not be parsed"),
        (_with_field(http_filters={}), "could not be parsed"),
        (_with_field(normalize_path=[]), "could not be parsed"),
        (_with_leaf("principals", {"sourced_metadata": {"metadata_source": {}, "metadata_matcher": {}}}), "what a route says"),
        (_with_field(common_http_protocol_options={"headers_with_underscores_action": "DROP_HEADER"}), "names of headers"),
    ],
)
def test_what_is_not_known_is_undecided_with_its_reason(change: Callable[[Any], None], reason: str) -> None:
    found = listener("web")
    change(found)
    verdict = decided(found, Request(8080, CART, Http("GET", "/api/v1", "web")))
    assert verdict.outcome is Outcome.UNDECIDED
    assert reason in verdict.reason


def test_what_a_deny_refuses_is_denied_whatever_an_allow_does_not_tell() -> None:
    found = listener("web")
    _with_leaf("principals", {"filter_state": {}})(found)
    assert decided(found, Request(8080, CART, Http("GET", "/admin", "web"))).outcome is Outcome.DENY


def test_rules_that_only_count_decide_nothing() -> None:
    found = listener("web")
    for manager in _managers(found):
        for one in manager["http_filters"]:
            if one["typed_config"]["@type"].endswith("http.rbac.v3.RBAC"):
                one["typed_config"]["shadow_rules"] = one["typed_config"].pop("rules")
    assert decided(found, Request(8080, JOBS, Http("DELETE", "/admin", "web"))).outcome is Outcome.ALLOW


def test_a_service_that_is_asked_decides_only_what_it_is_asked() -> None:
    found = listener("web")
    rules = {"permissions": [{"url_path": {"path": {"exact": "/api/v1"}}}], "principals": [{"any": True}]}
    name = "istio-ext-authz-opa-ns[shop]-policy[ask]-rule[0]"
    shadow = {"shadow_rules": {"action": "DENY", "policies": {name: rules}}, "shadow_rules_stat_prefix": "istio_ext_authz_"}
    enabled = {"filter": "rbac", "value": {"string_match": {"prefix": "istio-ext-authz-opa"}}}
    for manager in _managers(found):
        manager["http_filters"][:0] = [
            {"name": "rbac", "typed_config": {"@type": f"{FILTERS}http.rbac.v3.RBAC", **shadow}},
            {"name": "ask", "typed_config": {"@type": f"{FILTERS}http.ext_authz.v3.ExtAuthz", "filter_enabled_metadata": enabled}},
        ]
    asked = decided(found, Request(8080, CART, Http("GET", "/api/v1", "web")))
    assert (asked.outcome, "AuthorizationPolicy shop/ask" in asked.reason) == (Outcome.UNDECIDED, True)
    assert decided(found, Request(8080, CART, Http("GET", "/api/v2", "web"))).outcome is Outcome.ALLOW


def test_chains_that_go_by_more_than_a_request_tells_decide_only_together() -> None:
    found = listener("web")
    for chain in found["filter_chains"]:
        if chain.get("filter_chain_match", {}).get("destination_port") == 8080:
            chain["filter_chain_match"]["source_prefix_ranges"] = [{"address_prefix": "10.0.0.0", "prefix_len": 8}]
    verdict = decided(found, Request(8080, CART, Http("GET", "/api/v1", "web")))
    assert (verdict.outcome, "filter chains" in verdict.reason) == (Outcome.UNDECIDED, True)


DENYING, OPEN = (Way(filters) for filters in ((Rules((), is_deny=False),), ()))
MESH: dict[str, Any] = {"tls": True, "certificate": True}


@pytest.mark.parametrize(
    ("first", "second", "request_"),
    [
        (
            Chain(None, lambda: DENYING, transport="tls", **MESH),
            Chain(None, lambda: OPEN, protocols=("istio",), **MESH),
            Request(3306, CART),
        ),
        (Chain(None, lambda: DENYING, transport="raw_buffer"), Chain(None, lambda: OPEN), Request(3306, server_name="")),
        (
            Chain(None, lambda: DENYING, transport="raw_buffer"),
            Chain(None, lambda: OPEN, protocols=("http/1.1",)),
            Request(80, "", Http(), server_name=""),
        ),
        # TLS that is passed on: plaintext names no server.
        (
            Chain(None, lambda: DENYING, transport="tls"),
            Chain(None, lambda: OPEN, server_names=("web.example",)),
            Request(443, server_name=""),
        ),
    ],
)
def test_a_chain_that_names_its_transport_comes_before_one_that_does_not(first: Chain, second: Chain, request_: Request) -> None:
    """Envoy looks for the transport before it looks at protocols, and at the server's name before both."""
    assert decide_by([first, second], request_).outcome is Outcome.DENY
    assert decide_by([second, first], request_).outcome is Outcome.DENY


def test_where_the_name_of_the_server_is_not_known_all_chains_may_take_it() -> None:
    chains = (Chain(None, lambda: DENYING, transport="tls", **MESH), Chain(None, lambda: OPEN, server_names=("web.example",), **MESH))
    assert decide_by(chains, Request(443, CART)).outcome is Outcome.UNDECIDED


@pytest.mark.parametrize("part", ["/(.+/|)sa/", "[^/]*/.*"])
def test_a_long_expression_of_an_identity_takes_no_time(part: str) -> None:
    """Any tenant writes them into a proxy of his own: half a million characters would take hours."""
    started = time.monotonic()
    assert identity_words({"safe_regex": {"regex": f"spiffe://.+/ns/{part * 50_000}x"}}) == (conditions.OTHER, None)
    assert time.monotonic() - started < 1


@pytest.mark.parametrize("template", ["/*" * 500_000, "/" + "a" * 1_000_000 + "/*", "/**" + "/a" * 500_000])
def test_a_long_template_of_a_path_takes_no_time_and_is_unknown(template: str) -> None:
    kind = "type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig"
    long = {"uri_template": {"typed_config": {"@type": kind, "path_template": template}}}
    found = listener("web")
    for rules in _rules(found):
        rules["policies"] = {"a": {"permissions": [long], "principals": [{"any": True}]}}
    started = time.monotonic()
    assert decided(found, Request(8080, CART, Http("GET", "/a/b", "web"))).outcome is Outcome.UNDECIDED
    assert time.monotonic() - started < 2


def test_a_long_name_of_a_rule_takes_no_time() -> None:
    found = listener("web")
    for rules in _rules(found):
        rules["policies"] = {"istio-ext-authz-" + "-ns[" * 100_000: {"permissions": [{"any": True}], "principals": [{"any": True}]}}
    started = time.monotonic()
    assert decided(found, Request(8080, CART, Http("GET", "/api/v1", "web"))).outcome is Outcome.ALLOW
    assert time.monotonic() - started < 2


def test_a_default_chain_and_a_strange_socket_are_not_read() -> None:
    changes: tuple[dict[str, Any], ...] = (
        {"default_filter_chain": {"filters": []}},
        {"filter_chains": [{"transport_socket": {"name": "any"}}]},
    )
    for change in changes:
        with pytest.raises(MalformedError):
            list(read_chains(listener("web") | change))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=2), max_leaves=3
)


def _places(found: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ()
    return [path, *(place for key, value in inner for place in _places(value, (*path, key)))]


_PLACES = _places(DUMP["web"]["configs"][0]["active_state"]["listener"])[1:]


@given(st.sampled_from(_PLACES), _JSON)
def test_nothing_that_a_proxy_may_say_is_an_error(place: tuple[Any, ...], value: Any) -> None:
    found = listener("web")
    holder = found
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = value
    for request in (Request(8080, CART, Http("GET", "/api/v1", "web", token=STAFF), server_name=None), Request(3306, JOBS)):
        try:
            assert decided(found, request).outcome in Outcome
        except MalformedError:
            continue
