"""What policies of files do to one request; that Envoy agrees is the referees' to say (tests/referees/test_authz.py)."""

from dataclasses import replace
from pathlib import Path

import pytest

from meshinstall.checks.authz.decide import decide, guard, world
from meshinstall.checks.policies.reading import Policies
from meshinstall.config.policy_files import read_objects
from meshinstall.model.authz import Http, Outcome, Request, Token, Verdict, Workload

WEB = Workload("shop", {"app": "web"})
CART = Request(8080, "cluster.local/ns/shop/sa/cart", Http("GET", "/api", "web.shop"))
STRANGER = replace(CART, principal="")
ALLOW = """
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: web, namespace: shop}
spec:
  rules:
    - from: [{source: {principals: [cluster.local/ns/shop/sa/cart]}}]
      to: [{operation: {paths: [/api], ports: ["8080"]}}]
"""
TOKENS = """
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: tokens, namespace: shop}
spec:
  jwtRules:
    - {issuer: https://id.example, audiences: [web], jwksUri: https://id.example/keys}
"""


def policy(name: str, spec: str, namespace: str = "shop", kind: str = "AuthorizationPolicy", extra: str = "") -> str:
    metadata = f"{{name: {name}, namespace: {namespace}{extra}}}"
    return f"\napiVersion: security.istio.io/v1\nkind: {kind}\nmetadata: {metadata}\nspec: {spec}\n"


@pytest.fixture
def ruled(tmp_path: Path) -> "Ruled":
    return Ruled(tmp_path)


class Ruled:
    """Policies of a file."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "policies.yaml"

    def __call__(self, request: Request, *documents: str, workload: Workload = WEB) -> Verdict:
        """Decide by documents; a place is its line."""
        self._file.write_text("---".join(documents))
        objects = read_objects([self._file], [])
        found = decide(guard(world(Policies(objects)), workload), request)
        return replace(found, place=found.place.removeprefix(f"{self._file}:"))


def test_without_policies_everybody_may_call(ruled: Ruled) -> None:
    assert ruled(STRANGER, TOKENS).outcome is Outcome.ALLOW


def test_the_rule_that_decides_is_named_with_its_line(ruled: Ruled) -> None:
    found = ruled(CART, ALLOW)
    assert found == Verdict(Outcome.ALLOW, "an ALLOW matches", "AuthorizationPolicy shop/web", "7")


def test_what_no_allow_lets_through_is_denied_by_the_policy(ruled: Ruled) -> None:
    found = ruled(STRANGER, ALLOW)
    assert found == Verdict(Outcome.DENY, "no rule of this ALLOW matches", "AuthorizationPolicy shop/web", "5")


@pytest.mark.parametrize(
    ("others", "counted"), [(("b",), "nor one of 1 other ALLOW policy"), (("b", "c"), "nor one of 2 other ALLOW policies")]
)
def test_other_allows_are_counted_by_what_they_are(ruled: Ruled, others: tuple[str, ...], counted: str) -> None:
    more = [ALLOW.replace("name: web", f"name: {name}") for name in others]
    assert ruled(STRANGER, ALLOW, *more).reason == f"no rule of this ALLOW matches, {counted}"


def test_a_deny_wins_over_an_allow(ruled: Ruled) -> None:
    found = ruled(CART, ALLOW, policy("nobody", "{action: DENY, rules: [{to: [{operation: {methods: [GET]}}]}]}"))
    assert found.outcome is Outcome.DENY
    assert found.policy == "AuthorizationPolicy shop/nobody"


def test_a_policy_with_a_spec_that_is_empty_denies_everything(ruled: Ruled) -> None:
    assert ruled(CART, policy("nothing", "{}")).outcome is Outcome.DENY


def test_an_empty_rule_lets_everybody_through(ruled: Ruled) -> None:
    assert ruled(STRANGER, policy("all", "{rules: [{}]}")).outcome is Outcome.ALLOW


def test_an_allow_with_a_field_of_http_lets_nothing_through_on_tcp(ruled: Ruled) -> None:
    assert ruled(replace(CART, http=None), ALLOW).outcome is Outcome.DENY


def test_a_deny_with_a_field_of_http_denies_all_tcp_ports(ruled: Ruled) -> None:
    deny = policy("nobody", "{action: DENY, rules: [{to: [{operation: {methods: [POST]}}]}]}")
    assert ruled(CART, deny).outcome is Outcome.ALLOW
    assert ruled(replace(CART, http=None, port=3306), deny).outcome is Outcome.DENY


def test_policies_of_the_root_namespace_are_for_all_and_those_of_others_are_not(ruled: Ruled) -> None:
    assert ruled(CART, policy("nothing", "{}", "istio-system")).outcome is Outcome.DENY
    assert ruled(CART, policy("nothing", "{}", "bank")).outcome is Outcome.ALLOW


def test_a_selector_that_the_workload_does_not_meet_is_not_for_it(ruled: Ruled) -> None:
    assert ruled(CART, policy("nothing", "{selector: {matchLabels: {app: other}}}")).outcome is Outcome.ALLOW


def test_an_audit_and_a_dry_run_decide_nothing(ruled: Ruled) -> None:
    audit = policy("audit", "{action: AUDIT, rules: [{}]}")
    trial = policy("trial", "{}", extra=", annotations: {istio.io/dry-run: 'true'}")
    assert ruled(CART, audit, trial).outcome is Outcome.ALLOW


def test_a_custom_that_matches_is_undecided(ruled: Ruled) -> None:
    custom = policy("ask", "{action: CUSTOM, provider: {name: opa}, rules: [{to: [{operation: {paths: [/api]}}]}]}")
    found = ruled(CART, custom)
    assert found.outcome is Outcome.UNDECIDED
    assert found.policy == "AuthorizationPolicy shop/ask"
    elsewhere = replace(CART, http=Http(path="/other"))
    assert ruled(elsewhere, custom).outcome is Outcome.ALLOW


EDGE = {"gateway.networking.k8s.io/gateway-name": "edge"}
MADE = "gateway.istio.io/managed"
TO_EDGE = "targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: edge}]"


def of_class(name: str) -> str:
    metadata = "{name: edge, namespace: shop}"
    return f"\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {metadata}\nspec: {{gatewayClassName: {name}}}\n"


@pytest.mark.parametrize(
    ("labels", "made", "reason"),
    [
        ({MADE: "istio.io-gateway-controller"}, (), ""),
        ({MADE: "istio.io-mesh-controller"}, (of_class("istio"),), "waypoints and east-west gateways"),
        ({MADE: "istio.io-eastwest-controller"}, (), "waypoints and east-west gateways"),
        ({}, (of_class("istio"),), ""),
        ({}, (of_class("istio-waypoint"),), "waypoints and east-west gateways"),
        ({}, (of_class("other"),), "a gateway or a waypoint"),
        ({}, (), "a gateway or a waypoint"),
    ],
)
def test_a_gateway_of_the_gateway_api_is_decided_where_it_is_known_to_be_no_waypoint(
    ruled: Ruled, labels: dict[str, str], made: tuple[str, ...], reason: str
) -> None:
    closed = policy("closed", f"{{{TO_EDGE}, action: DENY, rules: [{{}}]}}")
    found = ruled(CART, closed, *made, workload=Workload("shop", EDGE | labels))
    assert found.outcome is (Outcome.UNDECIDED if reason else Outcome.DENY)
    assert reason in found.reason


@pytest.mark.parametrize(
    ("spec", "namespace", "is_for"),
    [
        (f"{{{TO_EDGE}}}", "shop", True),
        (f"{{{TO_EDGE}}}", "bank", False),
        (f"{{{TO_EDGE}}}", "istio-system", False),
        ("{targetRef: {group: gateway.networking.k8s.io, kind: Gateway, name: edge}}", "shop", True),
        ("{targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: other}]}", "shop", False),
        ("{targetRefs: [{group: gateway.networking.k8s.io, kind: Gateway, name: edge, namespace: bank}]}", "shop", False),
        ("{targetRefs: [{group: gateway.networking.k8s.io, kind: GatewayClass, name: istio-waypoint}]}", "istio-system", False),
        ('{targetRefs: [{group: "", kind: Service, name: edge}]}', "shop", False),
        ("{targetRefs: [{group: networking.istio.io, kind: Gateway, name: edge}]}", "shop", False),
        ("{}", "shop", True),
        ("{}", "istio-system", True),
        ("{selector: {matchLabels: {gateway.networking.k8s.io/gateway-name: edge}}}", "shop", True),
        ("{selector: {matchLabels: {app: web}}}", "shop", False),
    ],
)
def test_policies_of_a_gateway_of_the_gateway_api_are_those_with_targetrefs_to_it_and_those_that_select_it(
    ruled: Ruled,
    spec: str,
    namespace: str,
    is_for: bool,  # noqa: FBT001 - a column of the table
) -> None:
    """An ALLOW without rules closes what it is for."""
    found = ruled(CART, policy("closed", spec, namespace), of_class("istio"), workload=Workload("shop", EDGE))
    assert found.outcome is (Outcome.DENY if is_for else Outcome.ALLOW)


def test_an_istiod_may_be_told_that_gateways_of_the_gateway_api_go_by_targetrefs_alone(tmp_path: Path) -> None:
    (tmp_path / "policies.yaml").write_text("---".join((policy("closed", "{}"), of_class("istio"))))
    objects = read_objects([tmp_path / "policies.yaml"], [])
    by_env = Policies(objects, istiod={"env": {"ENABLE_SELECTOR_BASED_K8S_GATEWAY_POLICY": False}})
    gateway = Workload("shop", EDGE)
    assert [decide(guard(world(one), gateway), CART).outcome for one in (Policies(objects), by_env)] == [Outcome.DENY, Outcome.ALLOW]


def test_strict_closes_no_gateway_of_the_gateway_api(ruled: Ruled) -> None:
    strict = policy("default", "{mtls: {mode: STRICT}}", "istio-system", "PeerAuthentication")
    assert ruled(STRANGER, strict, of_class("istio"), workload=Workload("shop", EDGE)).outcome is Outcome.ALLOW


def test_what_the_request_does_not_say_is_undecided(ruled: Ruled) -> None:
    found = ruled(CART, policy("near", "{rules: [{from: [{source: {ipBlocks: [10.0.0.0/8]}}]}]}"))
    assert found.outcome is Outcome.UNDECIDED
    assert "source.ip" in found.reason


def test_strict_closes_plaintext_and_is_named(ruled: Ruled) -> None:
    strict = policy("default", "{mtls: {mode: STRICT}}", "istio-system", "PeerAuthentication")
    assert ruled(CART, strict).outcome is Outcome.ALLOW
    found = ruled(STRANGER, strict)
    assert found.outcome is Outcome.DENY
    assert found.policy == "PeerAuthentication istio-system/default"


def test_a_port_that_takes_plaintext_alone_sees_no_identity(ruled: Ruled) -> None:
    ports = "{selector: {matchLabels: {app: web}}, portLevelMtls: {8080: {mode: DISABLE}}}"
    assert ruled(CART, ALLOW, policy("web", ports, kind="PeerAuthentication")).outcome is Outcome.DENY


def test_two_peer_authentications_of_one_scope_are_undecided(ruled: Ruled) -> None:
    both = [policy(name, "{mtls: {mode: STRICT}}", kind="PeerAuthentication") for name in ("one", "two")]
    assert ruled(CART, *both).outcome is Outcome.UNDECIDED


GOOD = Token({"iss": "https://id.example", "sub": "ann", "aud": ["web"]})


def with_token(token: Token | None) -> Request:
    return replace(CART, http=Http("GET", "/api", "web.shop", {}, token))


@pytest.mark.parametrize(
    ("token", "outcome"),
    [
        (replace(GOOD, valid=False), Outcome.UNAUTHENTICATED),
        (replace(GOOD, claims={**GOOD.claims, "iss": "https://other.example"}), Outcome.UNAUTHENTICATED),
        # Envoy answers these with 403.
        (replace(GOOD, claims={**GOOD.claims, "aud": "bank"}), Outcome.DENY),
        (replace(GOOD, claims={"iss": "https://id.example"}), Outcome.DENY),
    ],
    ids=["forged", "foreign issuer", "wrong audience", "no audience"],
)
def test_a_token_that_is_wrong_is_refused_with_the_line_of_its_rule(ruled: Ruled, token: Token, outcome: Outcome) -> None:
    found = ruled(with_token(token), TOKENS)
    assert found.outcome is outcome
    assert found.place == "7"


def test_of_two_rules_that_refuse_a_token_in_two_ways_the_answer_is_undecided(ruled: Ruled) -> None:
    """The real Envoy answered 401 in one mesh, and 403 in another of the same form."""
    issuer = "issuer: https://id.example, jwksUri: https://id.example/keys"
    anybody = policy("anybody", f"{{jwtRules: [{{{issuer}}}]}}", kind="RequestAuthentication")
    bank = policy("for-bank", f"{{jwtRules: [{{{issuer}, audiences: [bank]}}]}}", kind="RequestAuthentication")
    forged = with_token(replace(GOOD, valid=False))
    assert ruled(forged, anybody, bank).outcome is Outcome.UNDECIDED
    assert ruled(forged, anybody).outcome is Outcome.UNAUTHENTICATED
    assert ruled(forged, bank).outcome is Outcome.DENY
    assert ruled(with_token(GOOD), anybody, bank).outcome is Outcome.ALLOW


def test_a_request_without_a_token_passes_unless_a_rule_demands_one(ruled: Ruled) -> None:
    demand = policy("demand", "{rules: [{from: [{source: {requestPrincipals: ['https://id.example/*']}}]}]}")
    assert ruled(with_token(None), TOKENS).outcome is Outcome.ALLOW
    assert ruled(with_token(None), TOKENS, demand).outcome is Outcome.DENY
    assert ruled(with_token(GOOD), TOKENS, demand).outcome is Outcome.ALLOW


def test_a_token_that_no_request_authentication_reads_is_no_identity(ruled: Ruled) -> None:
    demand = policy("demand", "{rules: [{from: [{source: {requestPrincipals: ['*']}}]}]}")
    assert ruled(with_token(GOOD), demand).outcome is Outcome.DENY


def test_the_header_of_an_accepted_token_is_gone_for_the_rules(ruled: Ruled) -> None:
    demand = policy("demand", "{rules: [{when: [{key: 'request.headers[authorization]', values: ['Bearer *']}]}]}")
    assert ruled(with_token(GOOD), TOKENS, demand).outcome is Outcome.DENY
    assert ruled(with_token(GOOD), demand).outcome is Outcome.UNDECIDED


@pytest.mark.parametrize("path", ["/%00", "/a b", "/ä", "relative", "/%zz"])
def test_a_path_that_is_not_read_is_undecided(ruled: Ruled, path: str) -> None:
    assert ruled(replace(CART, http=Http(path=path)), ALLOW).outcome is Outcome.UNDECIDED


@pytest.mark.parametrize("key", ["path", "source.name", ""])
def test_a_rule_with_a_key_that_there_is_not_is_left_out(ruled: Ruled, key: str) -> None:
    deny = policy("nobody", f"{{action: DENY, rules: [{{when: [{{key: '{key}', values: [/api]}}]}}]}}")
    assert ruled(CART, deny).outcome is Outcome.ALLOW


@pytest.mark.parametrize("text", ["/api{*}", "/{**}/api/{*}"])
def test_a_template_that_istiod_refuses_lets_nothing_through(ruled: Ruled, text: str) -> None:
    assert ruled(CART, policy("web", f"{{rules: [{{to: [{{operation: {{paths: ['{text}']}}}}]}}]}}")).outcome is Outcome.DENY


def test_patterns_of_a_hostile_length_are_decided_at_once(ruled: Ruled) -> None:
    """No pattern is searched in more than linear time; a search that tries all ways would not end."""
    stars = "a*" * 2000
    source = f"{{rules: [{{from: [{{source: {{namespaces: ['{stars}'], trustDomains: ['{stars}']}}}}]}}]}}"
    long = replace(CART, principal=f"{'a' * 4000}/ns/{'a' * 4000}/sa/x")
    assert ruled(long, policy("web", source)).outcome is Outcome.DENY


def test_what_is_unknown_counts_only_where_nothing_else_decides(ruled: Ruled) -> None:
    """The first rule goes by an address that the request does not say."""
    near = "{from: [{source: {ipBlocks: [10.0.0.0/8]}}]}"
    allow = policy("near", f"{{rules: [{near}, {{to: [{{operation: {{methods: [GET]}}}}]}}]}}")
    assert ruled(CART, allow).outcome is Outcome.ALLOW
    one_source = "{from: [{source: {ipBlocks: [10.0.0.0/8]}}, {source: {principals: ['*']}}]}"
    assert ruled(CART, policy("near", f"{{rules: [{one_source}]}}")).outcome is Outcome.ALLOW
    elsewhere = "{from: [{source: {ipBlocks: [10.0.0.0/8]}}], when: [{key: source.namespace, values: [bank]}]}"
    assert ruled(CART, policy("near", f"{{action: DENY, rules: [{elsewhere}]}}")).outcome is Outcome.ALLOW


def test_a_deny_that_is_unknown_does_not_matter_where_no_allow_lets_it_in(ruled: Ruled) -> None:
    deny = policy("far", "{action: DENY, rules: [{from: [{source: {notIpBlocks: [10.0.0.0/8]}}]}]}")
    assert ruled(STRANGER, ALLOW, deny).outcome is Outcome.DENY
    assert ruled(CART, ALLOW, deny).outcome is Outcome.UNDECIDED
    assert ruled(CART, deny).outcome is Outcome.UNDECIDED


def test_a_path_that_is_not_read_matters_only_to_rules_that_go_by_paths(ruled: Ruled) -> None:
    odd = replace(CART, http=Http(path="/a b"))
    assert ruled(odd, policy("cart", "{rules: [{from: [{source: {principals: ['*']}}]}]}")).outcome is Outcome.ALLOW
    assert ruled(replace(odd, principal=""), ALLOW).outcome is Outcome.DENY


def test_a_host_that_the_request_does_not_say_is_undecided(ruled: Ruled) -> None:
    deny = policy("host", "{action: DENY, rules: [{to: [{operation: {hosts: [web.shop]}}]}]}")
    unsaid = replace(CART, http=Http("GET", "/api"))
    assert ruled(unsaid, deny).outcome is Outcome.UNDECIDED
    assert ruled(CART, deny).outcome is Outcome.DENY


def test_a_header_that_is_there_and_empty_is_present(ruled: Ruled) -> None:
    demand = policy("demand", "{rules: [{when: [{key: 'request.headers[x-team]', values: ['*']}]}]}")
    assert ruled(replace(CART, http=Http(headers={"x-team": ""})), demand).outcome is Outcome.ALLOW
    assert ruled(replace(CART, http=Http()), demand).outcome is Outcome.DENY


@pytest.mark.parametrize(("scope", "outcome"), [("read write", Outcome.ALLOW), ("  read ", Outcome.ALLOW), ("read\twrite", Outcome.DENY)])
def test_a_scope_is_a_list_of_words_between_spaces(ruled: Ruled, scope: str, outcome: Outcome) -> None:
    demand = policy("demand", "{rules: [{when: [{key: 'request.auth.claims[scope]', values: [read]}]}]}")
    assert ruled(with_token(replace(GOOD, claims={**GOOD.claims, "scope": scope})), TOKENS, demand).outcome is outcome


def test_a_policy_with_target_refs_is_not_for_a_sidecar_and_that_is_said(ruled: Ruled) -> None:
    refs = "{targetRefs: [{group: '', kind: Service, name: web}], action: DENY, rules: [{}]}"
    found = ruled(CART, policy("waypoint", refs))
    assert found.outcome is Outcome.ALLOW
    assert found.reason.endswith("; without AuthorizationPolicy shop/waypoint: a sidecar has no policy with targetRefs")
    assert "targetRefs" not in ruled(CART, policy("waypoint", refs, "bank")).reason


def test_an_authorization_policy_of_another_mesh_decides_nothing(ruled: Ruled) -> None:
    linkerd = policy("nobody", "{}").replace("security.istio.io/v1", "policy.linkerd.io/v1alpha1")
    assert ruled(CART, linkerd).outcome is Outcome.ALLOW


def test_a_port_of_a_hostile_length_is_none(ruled: Ruled) -> None:
    ports = f"{{selector: {{matchLabels: {{app: web}}}}, portLevelMtls: {{? '{'9' * 5000}'\n : {{mode: DISABLE}}}}}}"
    assert ruled(CART, policy("web", ports, kind="PeerAuthentication")).outcome is Outcome.ALLOW


@pytest.mark.parametrize("mode", ["STRICT", "DISABLE"])
def test_peer_authentications_are_not_for_gateways(ruled: Ruled, mode: str) -> None:
    gateway = Workload("shop", {"istio": "ingress"}, is_gateway=True)
    peers = policy("default", f"{{mtls: {{mode: {mode}}}}}", kind="PeerAuthentication")
    assert ruled(STRANGER, peers, workload=gateway).outcome is Outcome.ALLOW
    assert ruled(CART, ALLOW, peers, workload=gateway).outcome is Outcome.ALLOW


@pytest.mark.parametrize(
    ("request_", "outcome"),
    [
        (Http(headers={"authorization": "Bearer x"}), Outcome.UNDECIDED),
        (Http(headers={"authorization": "Basic x"}), Outcome.ALLOW),
        (Http(path="/api?a=1&access_token=x"), Outcome.UNDECIDED),
        (Http(path="/api?a=access_token"), Outcome.ALLOW),
    ],
)
def test_what_is_read_for_a_token_and_is_not_one_of_the_request_is_undecided(ruled: Ruled, request_: Http, outcome: Outcome) -> None:
    """Envoy answers 401 where it finds something there that no issuer signed."""
    assert ruled(replace(CART, http=request_), TOKENS).outcome is outcome
    assert ruled(replace(CART, http=request_)).outcome is Outcome.ALLOW
