"""A verdict under an acceptance: the outcome stays what was seen, and only what the acceptance covers does not count."""

from dataclasses import replace
from datetime import date

import pytest

from meshinstall.checks.mtls.acceptance import accepting
from meshinstall.model.acceptance import Acceptance
from meshinstall.model.finding import Severity
from meshinstall.model.mesh import Dataplane
from meshinstall.model.verdict import Evidence, FailOn, Observation, Outcome, PortVerdict, Source, Verdict
from tests.cases import verdicts
from tests.unit.cli.verdicts import NOON

POLICY = "PeerAuthentication istio-system/default"
ACCEPTED = Acceptance(date(2027, 1, 31), "the shop moves", "meshinstall.yaml:6", POLICY)
FINE = Evidence(Source.CERTIFICATE, Outcome.PASS, "it leads to a root of the mesh")
MUTUAL = {"transport": "tls", "tls": True, "client_certificate": True, "roots": ["root"]}
OPEN = Evidence(Source.POLICY, Outcome.FAIL, "PERMISSIVE accepts plaintext", POLICY, "MTL001")
SO_IT_DOES = Evidence(Source.PROXY, Outcome.FAIL, "its proxy accepts plaintext, as the policy says", "Pod shop/web-0", by=POLICY)


def port(*evidence: Evidence, workload: str = "Deployment web") -> PortVerdict:
    ranks = [Outcome.FAIL, Outcome.NOT_PROVEN, Outcome.PASS]
    outcome = min((one.outcome for one in evidence), key=ranks.index)
    return PortVerdict("shop", workload, 8080, Dataplane.SIDECAR, outcome, evidence)


def verdict(*ports: PortVerdict) -> Verdict:
    return Verdict(NOON, "kind-dev", ports, acceptance=ACCEPTED)


def test_plaintext_by_the_accepted_policy_fails_and_does_not_count() -> None:
    found = verdict(port(FINE, OPEN, SO_IT_DOES))
    assert (found.outcome, found.counted, len(found.accepted)) == (Outcome.FAIL, Outcome.PASS, 1)


def test_without_an_acceptance_it_counts() -> None:
    found = replace(verdict(port(FINE, OPEN, SO_IT_DOES)), acceptance=None)
    assert (found.counted, found.accepted) == (Outcome.FAIL, ())


@pytest.mark.parametrize(
    ("beside", "counted"),
    [
        (Evidence(Source.POLICY, Outcome.FAIL, "PERMISSIVE", "PeerAuthentication shop/default", "MTL001"), Outcome.FAIL),
        (Evidence(Source.POLICY, Outcome.FAIL, "PERMISSIVE for this port", POLICY, "MTL003"), Outcome.FAIL),
        (Evidence(Source.POLICY, Outcome.FAIL, "DISABLE", POLICY, "MTL002"), Outcome.FAIL),
        (Evidence(Source.PROXY, Outcome.FAIL, "against the policy", "Pod shop/web-0", "MTL030"), Outcome.FAIL),
        (Evidence(Source.PROXY, Outcome.FAIL, "accepts plaintext, and no mutual TLS", "Pod shop/web-0"), Outcome.FAIL),
        (Evidence(Source.COVERAGE, Outcome.FAIL, "no proxy", "Pod shop/web-0", "MTL020"), Outcome.FAIL),
        (Evidence(Source.CLIENT, Outcome.FAIL, "sends plaintext", "DestinationRule shop/x", "MTL010"), Outcome.FAIL),
        (Evidence(Source.CERTIFICATE, Outcome.NOT_PROVEN, "not judged", "Pod shop/web-0", "MTL048"), Outcome.NOT_PROVEN),
    ],
)
def test_whatever_else_is_wrong_counts_beside_it_and_alone(beside: Evidence, counted: Outcome) -> None:
    assert verdict(port(FINE, OPEN, SO_IT_DOES, beside)).counted is counted
    assert verdict(port(FINE, OPEN, SO_IT_DOES), port(FINE, beside, workload="Deployment api")).counted is counted
    assert verdict(port(FINE, OPEN, SO_IT_DOES, beside)).accepted == ()


def test_clients_count_where_only_they_do() -> None:
    sends = Evidence(Source.CLIENT, Outcome.FAIL, "sends plaintext", "DestinationRule shop/x", "MTL010")
    found = verdict(port(FINE, OPEN, SO_IT_DOES), port(FINE, OPEN, sends, workload="Deployment api"))
    assert replace(found, fail_on=FailOn.CLIENTS).counted is Outcome.FAIL
    assert replace(found, fail_on=FailOn.SERVER).counted is Outcome.PASS


def test_where_nothing_was_tried_on_the_wire_nothing_is_proven() -> None:
    found = replace(verdict(port(FINE, OPEN, SO_IT_DOES)), seen=Observation(unprobed="not asked for (--read-only)"))
    assert (found.counted, len(found.accepted)) == (Outcome.NOT_PROVEN, 1)


@pytest.mark.parametrize(
    "chains",
    [
        pytest.param([{"transport": "raw_buffer"}], id="no-mutual-tls"),
        pytest.param([MUTUAL, {"transport": "raw_buffer"}, {**MUTUAL, "client_certificate": False}], id="without-a-certificate"),
        pytest.param([{**MUTUAL, "roots": []}, {"transport": "raw_buffer"}], id="of-anybody"),
    ],
)
def test_a_proxy_that_is_worse_than_permissive_counts(chains: list[dict[str, object]]) -> None:
    facts = {"policies": {"istio-system/default": {"mode": "PERMISSIVE"}}, "proxies": {"shop/web-1": {"inbound": chains}}}
    found = replace(verdicts.make({"facts": facts}).verdict(), acceptance=ACCEPTED)
    assert found.counted is Outcome.FAIL


def test_the_advice_is_to_change_the_environment_not_the_policy() -> None:
    seen = verdicts.make({"facts": {"policies": {"istio-system/default": {"mode": "PERMISSIVE"}}}}).verdict()
    (told,) = [one for one in accepting(seen, ACCEPTED, "dev").findings if one.code == "MTL001"]
    assert told.severity is Severity.WARNING
    assert told.detail.startswith("accepted until 2027-01-31 (meshinstall.yaml:6): the shop moves; ")
    assert told.hint.splitlines()[-1] == "meshinstall up --env dev --allow strict"


def test_nothing_seen_is_no_pass_because_something_is_accepted_elsewhere() -> None:
    assert verdict().counted is Outcome.NOT_PROVEN


def test_a_mesh_of_a_permissive_environment_ends_well_as_it_is_judged() -> None:
    found = verdicts.make({"facts": {"policies": {"istio-system/default": {"mode": "PERMISSIVE"}}}}).verdict()
    assert found.outcome is Outcome.FAIL
    assert found.counted is Outcome.FAIL
    accepted = replace(found, acceptance=ACCEPTED)
    assert accepted.outcome is Outcome.FAIL
    assert accepted.counted is Outcome.PASS
    assert {one.workload for one in accepted.accepted} == {"Deployment web", "StatefulSet api"}
