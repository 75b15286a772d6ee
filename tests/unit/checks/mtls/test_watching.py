"""What is in a namespace that istiod does not watch counts for nothing, and is named; whether it watches one is never guessed."""

from dataclasses import replace
from typing import Any

import pytest

from meshinstall.checks.mtls.idle_policies import idle_objects, idle_policies
from meshinstall.model.finding import Severity
from meshinstall.model.mesh import MeshFacts
from meshinstall.model.verdict import Outcome, Verdict
from tests.cases import verdicts
from tests.unit.checks.mtls.client_worlds import finding, judged, mesh, row, short, told, verdict

CREATED = {"created": "2026-02-01T00:00:00Z"}
MESHED = [["mesh", "In", ["yes"]]]
NOT_TEAM = [["team", "DoesNotExist", []]]
WATCHED = {"labels": {"mesh": "yes"}}
HOST = "web.shop.svc.cluster.local"
HIDDEN = {"asked": {"crm/batch-1": {"hidden": ["shop/web"]}}}


def planes(discovery: Any = (MESHED,)) -> dict[str, Any]:
    return {"istio-system/istiod": {"discovery": discovery}}


def spaces(*watched: str) -> dict[str, Any]:
    return dict.fromkeys(watched, WATCHED)


def blind(facts: MeshFacts) -> MeshFacts:
    """The same where the selectors could not be read."""
    return replace(facts, control_planes=tuple(replace(plane, discovery=None) for plane in facts.control_planes))


def policies(found: Verdict) -> list[tuple[str, str, str]]:
    return short([one for one in row(found).evidence if one.source == "policy"])


@pytest.mark.parametrize(
    ("discovery", "watched", "mode"),
    [
        ((), (), "PERMISSIVE"),
        ((MESHED,), ("istio-system", "shop"), "PERMISSIVE"),
        ((MESHED, NOT_TEAM), (), "PERMISSIVE"),
        (([],), (), "PERMISSIVE"),
        ((MESHED,), ("istio-system",), "STRICT"),
        ((MESHED,), ("shop",), "PERMISSIVE"),
    ],
    ids=["no selectors", "both", "one suffices", "an empty one", "not its own", "not the root"],
)
def test_a_policy_counts_where_istiod_watches_its_namespace(discovery: Any, watched: tuple[str, ...], mode: str) -> None:
    own = {"shop/own": {**CREATED, "mode": "PERMISSIVE"}}
    found = verdict(control_planes=planes(discovery), namespaces=spaces(*watched), policies=own)
    assert row(found).mode == mode


def test_the_root_namespace_is_watched_like_any_other() -> None:
    found = verdict(control_planes=planes(), namespaces=spaces("shop"))
    assert policies(found) == [("FAIL", "MTL001", "Istio's default")]
    assert finding(found, "MTL005").object == "PeerAuthentication istio-system/default"


def test_selectors_that_could_not_be_read_leave_the_policy_unknown() -> None:
    found = judged(blind(mesh(clients=HIDDEN)))
    assert ("NOT PROVEN", "MTL006", "") in short(row(found).evidence)
    assert row(found).mode == ""
    (one,) = (one for one in told(found) if one.outcome is Outcome.FAIL)
    assert (one.code, one.object) == ("MTL016", "Service shop/web")
    assert one.text.endswith("know (exportTo, discoverySelectors)")
    assert not [each for each in found.findings if each.code in {"MTL005", "MTL008"}]


def test_a_namespace_that_is_not_known_may_have_any_label() -> None:
    pods = {"gone/web-9": {"workload": "Deployment web9", "dataplane": "sidecar", "ip": "10.0.9.9", "ports": [{"number": 8080}]}}
    own = {"gone/x": {**CREATED, "mode": "STRICT"}}
    there = spaces("istio-system")
    found = verdict(control_planes=planes(), pods=pods, proxies={"gone/web-9": {}}, policies=own, namespaces=there, unread=["Namespace"])
    assert ("NOT PROVEN", "MTL006", "") in short(row(found, "Deployment web9").evidence)
    assert not [each for each in found.findings if each.code == "MTL005"]


def test_a_policy_that_istiod_does_not_see_is_named_with_the_reason_and_a_command() -> None:
    facts = verdicts.make(
        {
            "facts": {
                "control_planes": planes(),
                "namespaces": spaces("istio-system"),
                "policies": {"shop/own": {**CREATED, "mode": "PERMISSIVE"}},
            }
        }
    ).facts
    (one,) = idle_policies(facts)
    assert str(one.policy.place) == "shop/own"
    assert one.why == "the discoverySelectors of Deployment istio-system/istiod do not select namespace shop, so istiod does not see it"
    assert one.severity is Severity.ERROR
    assert "kubectl label namespace shop --overwrite mesh=yes" in one.fix


def test_where_no_label_would_do_the_selectors_are_to_be_changed() -> None:
    given = {"control_planes": planes([NOT_TEAM]), "namespaces": {"shop": {"labels": {"team": "a"}}}}
    facts = verdicts.make({"facts": {**given, "policies": {"shop/own": {**CREATED, "mode": "STRICT"}}}}).facts
    (one,) = idle_policies(facts)
    assert "kubectl edit configmap istio -n istio-system" in one.fix


def test_a_policy_that_one_of_two_istiods_sees_has_an_effect() -> None:
    two = {**planes(), "istio-system/canary": {"revision": "canary", "version": "1.31.0", "root_namespace": "istio-system"}}
    two["istio-system/canary"]["trust_domain"] = "cluster.local"
    own = {"shop/own": {**CREATED, "mode": "STRICT"}}
    facts = verdicts.make({"facts": {"control_planes": two, "namespaces": spaces("istio-system"), "policies": own}}).facts
    assert idle_policies(facts) == ()
    own["shop/own"]["revision"] = "default"
    facts = verdicts.make({"facts": {"control_planes": two, "namespaces": spaces("istio-system"), "policies": own}}).facts
    assert [str(one.policy.place) for one in idle_policies(facts)] == ["shop/own"]


def test_objects_that_istiod_does_not_see_are_named_once_for_their_namespace() -> None:
    rule = {**CREATED, "host": HOST, "mode": "DISABLE"}
    rules = {"crm/a": rule, "crm/b": rule, "shop/c": rule}
    clients: dict[str, Any] = {"sidecars": {"crm/default": {"selector": {}}}}
    facts = verdicts.make(
        {"facts": {"control_planes": planes(), "namespaces": {**spaces("istio-system", "shop"), "crm": {}}, "client_rules": rules}}
    ).facts
    (one,) = idle_objects(facts)
    assert (one.code, one.severity, one.object) == ("MTL008", Severity.WARNING, "Namespace crm")
    assert one.title == "istiod ignores 2 objects in namespace crm, which it does not watch"
    assert one.detail.endswith("DestinationRule a, DestinationRule b")
    found = verdict(control_planes=planes(), namespaces=spaces("istio-system", "shop"), clients=clients)
    assert finding(found, "MTL008").detail.endswith("Sidecar default")


def test_a_rule_explains_nothing_where_istiod_does_not_see_it() -> None:
    rules = {"crm/web": {**CREATED, "host": HOST, "mode": "DISABLE"}}
    plain = {"asked": {"crm/batch-1": {"sends": {"shop/web": "plaintext"}}}}
    there = verdict(control_planes=planes(), namespaces=spaces("istio-system", "shop", "crm"), client_rules=rules, clients=plain)
    away = verdict(control_planes=planes(), namespaces=spaces("istio-system", "shop"), client_rules=rules, clients=plain)
    assert ("FAIL", "MTL010", "DestinationRule crm/web") in short(told(there))
    assert short(told(away)) == [("FAIL", "MTL019", "")]


@pytest.mark.parametrize(
    ("facts", "where", "words"),
    [
        ({}, "Service shop/web", "know (exportTo)"),
        ({"control_planes": planes(), "namespaces": spaces("istio-system", "shop")}, "Service shop/web", "know (exportTo)"),
        (
            {"control_planes": planes(), "namespaces": spaces("istio-system")},
            "MeshConfig",
            "discoverySelectors do not select namespace shop",
        ),
    ],
    ids=["all", "watched", "not watched"],
)
def test_discovery_selectors_are_the_cause_of_a_hidden_service_only_where_they_are(facts: dict[str, Any], where: str, words: str) -> None:
    found = verdict(**facts, clients=HIDDEN)
    (one,) = (one for one in told(found) if one.outcome is Outcome.FAIL)
    assert (one.code, one.object) == ("MTL016", where)
    assert one.text.endswith(words)


def test_a_sidecar_does_not_hide_what_istiod_does_not_know() -> None:
    clients = {**HIDDEN, "sidecars": {"crm/default": {"selector": {}}}}
    found = verdict(control_planes=planes(), namespaces=spaces("istio-system", "crm"), clients=clients)
    one = finding(found, "MTL016")
    assert one.object == "MeshConfig"
    assert one.hint.startswith("kubectl label namespace shop --overwrite mesh=yes")
