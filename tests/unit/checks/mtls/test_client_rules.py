"""Which DestinationRule tells a client how to reach a Service."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshinstall.checks.mtls.client_rules import ClientRules, future_evidence
from meshinstall.model.mesh import ClientRule, Place, ServiceFacts
from meshinstall.model.verdict import Outcome

START = datetime(2026, 1, 1, tzinfo=UTC)
WEB = ServiceFacts(Place("shop", "web"), {"app": "web"}, {80: 8080})
CLIENTS = {"shop": [{"app": "web"}], "crm": [{"app": "crm"}, {"app": "batch"}], "istio-system": [{"app": "gateway"}]}


def rule(place: str, host: str, mode: str = "", *, age: int = 0, **more: Any) -> ClientRule:
    """One that is ``age`` days old on the tenth day."""
    return ClientRule(Place(*place.split("/")), host, START + timedelta(days=10 - age), mode, **more)


def against(*rules: ClientRule, port: int = 80, automatic: bool = True, domain: str = "cluster.local") -> list[str]:
    """``mode rule subset: namespaces`` of everything that is not the mesh's TLS."""
    found = ClientRules.of(rules, CLIENTS, "istio-system", domain=domain, automatic=automatic).against(WEB, port)
    return sorted(
        " ".join(filter(None, [told.mode or "-", str(told.rule.place) if told.rule else "", told.subset]))
        + ": "
        + " ".join(told.namespaces)
        for told in found
    )


ALL = "crm istio-system shop"


@pytest.mark.parametrize(
    "host",
    ["web.shop.svc.cluster.local", "*.shop.svc.cluster.local", "*.cluster.local", "*.local", "*", "web"],
)
def test_hosts_that_cover_a_service(host: str) -> None:
    assert against(rule("shop/web", host, "DISABLE")) == [f"DISABLE shop/web: {ALL}"]


@pytest.mark.parametrize("host", ["web.shop", "web.shop.svc", "api", "*.crm.svc.cluster.local", "web.shop.svc.cluster.locals", ""])
def test_hosts_that_do_not(host: str) -> None:
    assert against(rule("shop/web", host, "DISABLE")) == []


def test_a_short_name_means_the_namespace_of_the_rule() -> None:
    assert against(rule("crm/web", "web", "DISABLE")) == []


def test_the_most_specific_host_wins_whatever_its_age() -> None:
    older = rule("shop/all", "*.shop.svc.cluster.local", "DISABLE", age=5)
    assert against(older, rule("shop/web", "web", "ISTIO_MUTUAL")) == []
    assert against(older, rule("shop/more", "*.local", "ISTIO_MUTUAL", age=9)) == [f"DISABLE shop/all: {ALL}"]


def test_a_clients_namespace_comes_before_the_services_and_that_before_the_root() -> None:
    host = "web.shop.svc.cluster.local"
    root, service, client = rule("istio-system/x", host, "DISABLE"), rule("shop/x", host, "SIMPLE"), rule("crm/x", host, "MUTUAL")
    assert against(root) == [f"DISABLE istio-system/x: {ALL}"]
    assert against(root, service) == [f"SIMPLE shop/x: {ALL}"]
    assert against(root, service, client) == ["MUTUAL crm/x: crm", "SIMPLE shop/x: istio-system shop"]


def test_a_rule_of_a_third_namespace_is_for_its_own_clients_alone() -> None:
    assert against(rule("crm/x", "web.shop.svc.cluster.local", "DISABLE")) == ["DISABLE crm/x: crm"]


@pytest.mark.parametrize(
    ("export_to", "expected"),
    [
        ((), [f"DISABLE shop/x: {ALL}"]),
        (("*",), [f"DISABLE shop/x: {ALL}"]),
        ((".",), ["DISABLE shop/x: shop"]),
        (("shop",), ["DISABLE shop/x: shop"]),
        (("crm",), ["DISABLE shop/x: crm"]),
        ((".", "crm"), ["DISABLE shop/x: crm shop"]),
        (("~",), []),
    ],
)
def test_a_rule_is_for_those_that_it_is_exported_to(export_to: tuple[str, ...], expected: list[str]) -> None:
    assert against(rule("shop/x", "web", "DISABLE", export_to=export_to)) == expected


def test_a_private_rule_of_the_root_namespace_is_for_its_own_clients() -> None:
    found = against(rule("istio-system/x", "*.local", "DISABLE", export_to=(".",)))
    assert found == ["DISABLE istio-system/x: istio-system"]


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        ({"mode": "ISTIO_MUTUAL"}, {"mode": "DISABLE"}, []),
        ({"mode": "DISABLE"}, {"mode": "ISTIO_MUTUAL"}, [f"DISABLE shop/first: {ALL}"]),
        # A trafficPolicy without tls keeps the next one out; a rule without a trafficPolicy does not.
        ({"has_policy": True}, {"mode": "DISABLE"}, []),
        ({}, {"mode": "DISABLE"}, [f"DISABLE shop/second: {ALL}"]),
        ({"ports": {9: "ISTIO_MUTUAL"}}, {"mode": "DISABLE"}, []),
        ({"mode": "ISTIO_MUTUAL"}, {"subsets": {"v1": ("DISABLE", {})}}, [f"DISABLE shop/first v1: {ALL}"]),
        ({"subsets": {"v1": ("ISTIO_MUTUAL", {})}}, {"subsets": {"v1": ("DISABLE", {})}}, []),
    ],
)
def test_of_two_rules_for_one_host_the_oldest_comes_first(first: Any, second: Any, expected: list[str]) -> None:
    assert against(rule("shop/second", "web", age=1, **second), rule("shop/first", "web", age=2, **first)) == expected


def test_rules_for_different_clients_stay_apart() -> None:
    rules = [rule("shop/all", "web", "ISTIO_MUTUAL", age=2), rule("shop/crm", "web", "DISABLE", age=1, export_to=("crm",))]
    assert against(*rules) == ["DISABLE shop/crm: crm"]


def test_a_wider_rule_joins_a_narrower_one() -> None:
    rules = [rule("shop/crm", "web", "ISTIO_MUTUAL", age=2, export_to=("crm",)), rule("shop/all", "web", "DISABLE", export_to=("crm", "*"))]
    assert against(*rules) == ["DISABLE shop/all: shop"]


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"mode": "DISABLE", "ports": {80: "ISTIO_MUTUAL"}}, []),
        ({"mode": "ISTIO_MUTUAL", "ports": {80: "DISABLE"}}, [f"DISABLE shop/x: {ALL}"]),
        ({"mode": "ISTIO_MUTUAL", "ports": {8080: "DISABLE"}}, []),
        # Settings of a port without tls bring automatic mTLS back for the cluster, not for its endpoints: plaintext is sent.
        ({"mode": "DISABLE", "ports": {80: ""}}, [f"DISABLE shop/x: {ALL}"]),
        ({"mode": "SIMPLE", "ports": {80: ""}}, [f"DISABLE shop/x: {ALL}"]),
        ({"mode": "ISTIO_MUTUAL", "ports": {80: ""}}, []),
        ({"mode": "ISTIO_MUTUAL", "subsets": {"v2": ("SIMPLE", {})}}, [f"SIMPLE shop/x v2: {ALL}"]),
        ({"mode": "ISTIO_MUTUAL", "subsets": {"v2": ("ISTIO_MUTUAL", {80: "DISABLE"})}}, [f"DISABLE shop/x v2: {ALL}"]),
        ({"mode": "DISABLE", "subsets": {"v2": ("", {}), "v3": ("ISTIO_MUTUAL", {})}}, [f"DISABLE shop/x: {ALL}"]),
        ({"subsets": {"v2": ("DISABLE", {80: ""})}}, [f"DISABLE shop/x v2: {ALL}"]),
        ({"mode": "DISABLE", "ports": {80: ""}, "subsets": {"v2": ("ISTIO_MUTUAL", {})}}, [f"DISABLE shop/x: {ALL}"]),
    ],
)
def test_ports_and_subsets_of_a_rule(told: Any, expected: list[str]) -> None:
    assert against(rule("shop/x", "web", **told)) == expected


def test_a_rule_with_a_selector_is_for_those_clients_of_its_namespace_alone() -> None:
    host = "web.shop.svc.cluster.local"
    batch = rule("crm/batch", host, "DISABLE", selector={"app": "batch"}, export_to=("*",))
    assert against(batch) == ["DISABLE crm/batch: crm"]
    assert against(batch, rule("crm/all", host, "SIMPLE", age=9)) == ["DISABLE crm/batch: crm", "SIMPLE crm/all: crm"]
    assert against(rule("crm/none", host, "DISABLE", selector={"app": "absent"})) == []


def test_a_private_rule_without_a_selector_is_lost_beside_one_with_it() -> None:
    host = "web.shop.svc.cluster.local"
    batch = rule("crm/batch", host, "ISTIO_MUTUAL", selector={"app": "batch"})
    assert against(batch, rule("crm/all", host, "DISABLE", age=9, export_to=(".",))) == []


def test_selectors_that_differ_stay_apart() -> None:
    host = "web.shop.svc.cluster.local"
    rules = [rule(f"crm/{app}", host, mode, selector={"app": app}) for app, mode in (("batch", "ISTIO_MUTUAL"), ("crm", "DISABLE"))]
    assert against(*rules) == ["DISABLE crm/crm: crm"]


def test_without_automatic_mtls_clients_need_a_rule() -> None:
    assert against(automatic=False) == [f"-: {ALL}"]
    assert against(rule("shop/x", "web", has_policy=True), automatic=False) == [f"-: {ALL}"]
    assert against(rule("shop/x", "web", "ISTIO_MUTUAL"), automatic=False) == []
    assert against(rule("shop/x", "web", "ISTIO_MUTUAL", subsets={"v2": ("", {})}), automatic=False) == []
    assert against(rule("crm/x", "web.shop.svc.cluster.local", "ISTIO_MUTUAL"), automatic=False) == ["-: istio-system shop"]


def test_clusters_have_a_domain_of_their_own() -> None:
    assert against(rule("shop/x", "web.shop.svc.corp.example", "DISABLE"), domain="corp.example") == [f"DISABLE shop/x: {ALL}"]
    assert against(rule("shop/x", "web.shop.svc.cluster.local", "DISABLE"), domain="corp.example") == []
    assert against(rule("shop/x", "web", "DISABLE"), domain="corp.example") == [f"DISABLE shop/x: {ALL}"]


def test_the_evidence_names_the_rule_and_its_clients() -> None:
    rules = ClientRules.of([rule("shop/x", "web", "DISABLE")], CLIENTS, "istio-system", domain="cluster.local", automatic=True)
    (found,) = future_evidence(rules, [(WEB, 80)])
    assert found.outcome == Outcome.FAIL
    assert found.code == "MTL010"
    assert found.object == "DestinationRule shop/x"
    assert found.text == "tls.mode DISABLE: clients send plaintext to port 80 of Service shop/web, from namespace crm, istio-system, shop"


@pytest.mark.parametrize(
    ("rules", "automatic", "outcome", "code"),
    [
        ([], True, Outcome.PASS, ""),
        ([rule("shop/x", "web", "SIMPLE")], True, Outcome.FAIL, "MTL011"),
        ([], False, Outcome.FAIL, "MTL012"),
        ([rule("shop/x", "web", "ISTIO_MUTUAL")], False, Outcome.PASS, ""),
    ],
)
def test_what_each_way_is_called(rules: list[ClientRule], automatic: bool, outcome: Outcome, code: str) -> None:  # noqa: FBT001
    index = ClientRules.of(rules, CLIENTS, "istio-system", domain="cluster.local", automatic=automatic)
    assert [(found.outcome, found.code) for found in future_evidence(index, [(WEB, 80)])] == [(outcome, code)]


def test_many_namespaces_are_counted() -> None:
    clients = {f"team-{number}": [{"app": "x"}] for number in range(9)}
    index = ClientRules.of([], clients, "istio-system", domain="cluster.local", automatic=False)
    assert future_evidence(index, [(WEB, 80)])[0].text.endswith("from namespace team-0, team-1, team-2, team-3, team-4 and 4 more")


some_rules = st.lists(
    st.builds(
        ClientRule,
        st.builds(Place, st.sampled_from(["shop", "crm", "istio-system"]), st.sampled_from("abc")),
        st.sampled_from(["web", "*", "*.local", "web.shop.svc.cluster.local"]),
        st.integers(0, 2).map(lambda day: START + timedelta(days=day)),
        st.sampled_from(["", "DISABLE", "ISTIO_MUTUAL"]),
        export_to=st.sampled_from([(), (".",), ("crm",)]),
    ),
    max_size=5,
    unique_by=lambda found: found.place,
)


@given(some_rules, st.permutations(range(5)))
def test_the_order_of_a_list_decides_nothing(rules: list[ClientRule], order: list[int]) -> None:
    assert against(*[rules[index] for index in order if index < len(rules)]) == against(*rules)


@given(some_rules)
def test_every_answer_is_a_rule_that_says_so(rules: list[ClientRule]) -> None:
    said = {f"DISABLE {found.place}" for found in rules if found.mode == "DISABLE"}
    assert {line.split(":")[0] for line in against(*rules)} <= said
