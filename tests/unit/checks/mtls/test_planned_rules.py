"""What DestinationRules of a plan would make clients do, told before they are there."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from meshinstall.checks.mtls.planned_rules import PlannedRule, rule_findings
from meshinstall.model.clients import ClientFacts, NamedHosts
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.mesh import ClientRule, Dataplane, MeshFacts, Place
from tests.cases import verdicts

LATER = datetime(9999, 12, 31, tzinfo=UTC)
FIRST = datetime(2026, 1, 1, tzinfo=UTC)
WEB = "web.shop.svc.cluster.local"


def mesh(**differs: Any) -> MeshFacts:
    return verdicts.make({"facts": differs}).facts


def rule(mode: str = "", *, host: str = WEB, name: str = "web", created: datetime = LATER, **more: Any) -> ClientRule:
    return ClientRule(Place("shop", name), host, created, mode, has_policy=bool(mode), **more)


def found(facts: MeshFacts, one: ClientRule, *gone: str, **subsets: dict[str, str]) -> list[Finding]:
    return list(rule_findings(facts, [PlannedRule(one, subsets, "policies/base/web.yaml:1")], {Place("shop", name) for name in gone}))


def test_a_rule_that_turns_tls_off_stops_a_plan_and_says_where() -> None:
    (finding,) = found(mesh(), rule("DISABLE"))
    assert (finding.code, finding.severity) == ("PRE054", Severity.ERROR)
    assert finding.title == "DestinationRule shop/web would make clients send something else than mutual TLS of the mesh"
    assert finding.detail.startswith("tls.mode DISABLE: clients send plaintext to port 80 of Service shop/web")
    assert finding.origin == "policies/base/web.yaml:1"


@pytest.mark.parametrize(
    ("planned", "codes"),
    [
        (rule("SIMPLE"), ["PRE054"]),
        (rule(ports={80: "DISABLE"}), ["PRE054"]),
        (rule("DISABLE", host="*.shop.svc.cluster.local"), ["PRE054"]),
        (rule("ISTIO_MUTUAL"), []),
        (rule(), []),
        (rule("DISABLE", host="api.example.com"), []),
    ],
)
def test_what_clients_would_do_is_told_by_the_rules_of_verify(planned: ClientRule, codes: list[str]) -> None:
    assert [one.code for one in found(mesh(), planned)] == codes


def test_an_older_rule_of_somebody_else_that_counts_instead_is_left_to_verify() -> None:
    older = rule("ISTIO_MUTUAL", name="older", created=FIRST)
    facts = replace(mesh(), client_rules=(older,))
    assert found(facts, rule("DISABLE")) == []
    assert [one.code for one in found(facts, rule("DISABLE"), "older")] == ["PRE054"]


@pytest.mark.parametrize("planned", [None, rule("ISTIO_MUTUAL", host="other", name="good", created=FIRST)])
def test_a_rule_that_goes_or_is_for_another_host_now_uncovers_one_that_was_there_before(planned: ClientRule | None) -> None:
    good, bad = rule("ISTIO_MUTUAL", name="good", created=FIRST), rule("DISABLE", name="bad", created=datetime(2026, 2, 1, tzinfo=UTC))
    facts = replace(mesh(), client_rules=(good, bad))
    changed = [PlannedRule(planned, {}, "policies/base/good.yaml:1")] if planned else []
    (finding,) = [one for one in rule_findings(facts, changed, () if planned else {good.place}) if one.code == "PRE054"]
    assert finding.severity is Severity.ERROR
    assert finding.title == (
        "DestinationRule shop/bad would make clients send something else than mutual TLS of the mesh, without DestinationRule shop/good"
    )
    assert "--allow plaintext" in finding.hint


def test_a_rule_that_made_clients_send_plaintext_before_is_no_news_of_a_plan() -> None:
    facts = replace(mesh(), client_rules=(rule("DISABLE", name="bad", created=FIRST),))
    assert found(facts, rule("ISTIO_MUTUAL", host="api.example.com"), "other") == []


def test_a_rule_that_is_changed_keeps_its_age() -> None:
    there = rule("ISTIO_MUTUAL", created=FIRST)
    facts = replace(mesh(), client_rules=(there, rule("ISTIO_MUTUAL", name="a-younger", created=datetime(2026, 2, 1, tzinfo=UTC))))
    assert [one.code for one in found(facts, rule("DISABLE"))] == ["PRE054"]


def test_a_workload_without_a_proxy_is_called_as_it_can_be() -> None:
    facts = mesh()
    bare = replace(facts, pods=tuple(replace(pod, dataplane=Dataplane.NONE) for pod in facts.pods))
    assert found(bare, rule("DISABLE")) == []


def test_a_service_and_a_subset_that_are_not_there_are_named() -> None:
    (finding,) = found(mesh(), rule(host="wbe"))
    assert (finding.code, finding.title) == ("PRE055", "DestinationRule shop/web is for wbe.shop.svc.cluster.local, which is not a Service")
    (finding,) = found(mesh(), rule(), v1={}, v2={"version": "v2"})
    assert finding.title == "DestinationRule shop/web has subsets that no pod of Service shop/web is in: v2"
    assert found(mesh(), rule(), v1={"app": "web"}) == []
    assert found(mesh(), rule(host="*.example.com")) == []


def test_a_short_name_with_a_namespace_is_not_the_name_of_a_service() -> None:
    for host in ("web.shop", "web.shop.svc"):
        (finding,) = found(mesh(), rule(host=host))
        assert (finding.code, finding.title) == ("PRE055", f"DestinationRule shop/web is for {host}, which is not the name of a Service")
        assert finding.hint.startswith(f"write {WEB}")


def test_a_host_that_no_service_entry_has_is_named() -> None:
    seen = ClientFacts(named=(NamedHosts(Place("shop", "apis"), ("api.example.com", "*.example.net")),))
    facts = replace(mesh(), clients=seen)
    (finding,) = found(facts, rule(host="ipa.example.com"))
    assert finding.title == "DestinationRule shop/web is for ipa.example.com, which is neither a Service nor a host of a ServiceEntry"
    for host in ("api.example.com", "a.example.net", "*.example.org"):
        assert found(facts, rule(host=host)) == []
    planned = [PlannedRule(rule(host="ipa.example.com"), {}, "")]
    assert list(rule_findings(facts, planned, (), {"ipa.example.com"})) == []
    assert list(rule_findings(replace(facts, unread=("ServiceEntry",)), planned, ())) == []


def test_what_could_not_be_read_is_told() -> None:
    told = found(replace(mesh(), unread=("Service",)), rule(host="wbe"))
    assert [(one.code, one.severity) for one in told] == [("PRE054", Severity.WARNING)]
    assert told[0].detail == "some Service objects could not be read"


def test_names_of_others_never_reach_a_terminal_as_they_are() -> None:
    (finding,) = found(mesh(), rule(host="wbe\x1b[2J"), **{"v\x1b]0;": {}})
    assert finding.title.isprintable()
