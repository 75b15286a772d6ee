"""A gate stops where a row of verify became worse of what a stage changed."""

from dataclasses import replace
from datetime import date

import pytest

from meshinstall.model.acceptance import Acceptance
from meshinstall.model.gate import Moved, WebhookSeen
from meshinstall.model.mesh import Dataplane, SyncState
from meshinstall.model.place import Place
from meshinstall.model.verdict import Evidence, Outcome, Source
from tests.unit.checks.moving.gate_worlds import (
    CONNECTED,
    FAIL,
    GATE,
    IN_PLACE,
    LOANS,
    MOVED_GATE,
    MOVED_WEB,
    MTLS,
    NOON,
    PASS,
    PAY,
    READY,
    START,
    UNPROVEN,
    WEB,
    bad,
    evidence,
    gate,
    in_place,
    moved_to_new,
    moving,
    only,
    outcome,
    plane,
    proxies,
    row,
    start,
    verdict,
    with_rows,
    with_workload,
    without_workload,
    workload,
)


def test_what_was_not_ready_or_was_started_again_at_the_start_is_listed_and_does_not_count() -> None:
    broken = with_workload(START, WEB, ready=0, restarts=40, proxies=())
    after = with_workload(moved_to_new(broken, WEB), WEB, ready=0, restarts=3, proxies=())
    found = gate(broken, after, moving(WEB))[READY]
    assert found.outcome is PASS
    assert found.evidence == ("shop/Deployment web had 0 of 2 pods ready at the start of this run",)


@pytest.mark.parametrize(("places", "expected"), [((WEB,), PASS), ((WEB, PAY), FAIL)])
def test_rows_that_a_new_istiod_feeds_count_where_they_are_of_more_than_one_tenant(places: tuple[Place, ...], expected: object) -> None:
    assert gate(START, with_rows(in_place(), *(bad(place) for place in places)), IN_PLACE)[MTLS].outcome is expected


def test_the_only_tenant_of_a_mesh_counts() -> None:
    alone = without_workload(without_workload(without_workload(START, PAY), LOANS), GATE)
    after = replace(alone, planes=(plane(version="1.31.0"),), webhooks=(WebhookSeen("default", "1.31.0"),))
    assert gate(alone, with_rows(after, bad(WEB)), IN_PLACE)[MTLS].outcome is FAIL


@pytest.mark.parametrize("source", [Source.PROXY, Source.WIRE, Source.POLICY, Source.CERTIFICATE, Source.CLIENT])
@pytest.mark.parametrize(("how", "expected"), [(Outcome.FAIL, FAIL), (Outcome.NOT_PROVEN, UNPROVEN)])
def test_a_moved_row_that_is_worse_does_not_pass(source: Source, how: Outcome, expected: object) -> None:
    found = only(gate(START, with_rows(MOVED_WEB, bad(WEB, how, source)), moving(WEB)), MTLS)
    assert (found.outcome, found.namespaces) == (expected, ("shop",))
    assert found.words == f"shop/Deployment web port 8080: {source} is {how}"
    ours = gate(START, with_rows(MOVED_GATE, bad(GATE, how, source)), moving(gateways=[GATE]))[MTLS]
    assert (ours.outcome, ours.namespaces) == (expected, ())


@pytest.mark.parametrize("then", [Outcome.FAIL, Outcome.NOT_PROVEN])
@pytest.mark.parametrize("now", [Outcome.FAIL, Outcome.NOT_PROVEN])
def test_a_row_that_did_not_pass_at_the_start_is_listed_once(then: Outcome, now: Outcome) -> None:
    before = with_rows(START, bad(WEB, then))
    found = gate(before, with_rows(MOVED_WEB, bad(WEB, now)), moving(WEB))[MTLS]
    assert found.outcome is PASS
    assert found.evidence == (f"shop/Deployment web port 8080 was {then} at the start of this run: proxy is {then}",)
    assert gate(before, with_rows(MOVED_WEB, bad(WEB, now)), moving(WEB), require_pass=True)[MTLS].outcome.value == now.value


def test_a_client_that_was_bad_at_the_start_does_not_hide_a_server_that_became_open() -> None:
    before = with_rows(START, bad(WEB, Outcome.FAIL, Source.CLIENT))
    after = with_rows(MOVED_WEB, row(WEB, evidence(Outcome.FAIL, Source.CLIENT), evidence(Outcome.FAIL)))
    assert gate(before, after, moving(WEB))[MTLS].outcome is FAIL


def test_pods_are_replaced_and_rows_are_not_matched_by_their_names() -> None:
    before = with_rows(START, row(WEB, pods=(Place("shop", "web-1"),)))
    assert gate(before, with_rows(MOVED_WEB, bad(WEB, pods=(Place("shop", "web-2"),))), moving(WEB))[MTLS].outcome is FAIL


def test_of_two_rows_with_one_name_the_worse_counts() -> None:
    after = replace(MOVED_WEB, verdict=verdict(bad(WEB), row(WEB)))
    assert gate(START, after, moving(WEB))[MTLS].outcome is FAIL


@pytest.mark.parametrize("how", [Outcome.FAIL, Outcome.NOT_PROVEN])
def test_a_server_that_was_not_moved_counts_as_what_was_moved_would_call_it(how: Outcome) -> None:
    after = replace(MOVED_WEB, reached=(bad(PAY, how, Source.CLIENT),))
    assert gate(START, after, moving(WEB))[MTLS].outcome.value == how.value
    # What it lets in itself is not what the stage changed.
    assert gate(START, replace(MOVED_WEB, reached=(bad(PAY, how),)), moving(WEB))[MTLS].outcome is PASS
    assert gate(START, with_workload(after, PAY, labelled=frozenset("x")), moving(WEB))[MTLS].outcome is PASS


def test_clients_that_fall_silent_hold_the_stage_when_they_are_of_more_than_one_tenant() -> None:
    one = with_workload(MOVED_WEB, PAY, is_aside=True)
    assert gate(START, one, moving(WEB))[MTLS].outcome is PASS
    assert gate(START, with_workload(one, LOANS, is_aside=True), moving(WEB))[MTLS].outcome is UNPROVEN


@pytest.mark.parametrize("name", ["Pod", "Namespace"])
def test_pods_and_namespaces_that_cannot_be_listed_prove_nothing_then_and_now(name: str) -> None:
    blind = frozenset({name})
    for before, after in ((START, replace(MOVED_WEB, unread=blind)), (replace(START, unread=blind), MOVED_WEB)):
        assert outcome(before, after, moving(WEB)) is UNPROVEN


def test_a_gateway_of_which_a_row_vanishes_is_not_proven_and_one_that_vanishes_fails() -> None:
    assert gate(START, replace(MOVED_GATE, verdict=verdict()), moving(gateways=[GATE]))[MTLS].outcome is UNPROVEN
    assert gate(START, without_workload(MOVED_GATE, GATE), moving(gateways=[GATE]))[READY].outcome is FAIL


def test_a_new_gateway_is_expected_to_be_as_good_as_the_worst_of_those_that_were_moved_with_it() -> None:
    scout = Place("edge", "Deployment scout")
    there = with_workload(moved_to_new(START), scout, dataplane=Dataplane.GATEWAY, proxies=(proxies("1-31", "1.31.0"),))
    assert outcome(START, with_rows(there, row(scout)), moving(gateways=[scout])) is PASS
    assert outcome(START, with_rows(there, bad(scout)), moving(gateways=[scout])) is FAIL
    assert outcome(START, with_workload(there, scout, ready=0, proxies=()), moving(gateways=[scout])) is FAIL
    assert outcome(START, moved_to_new(START), moving(gateways=[scout])) is FAIL
    weak = with_rows(START, bad(GATE, Outcome.NOT_PROVEN))
    both = moving(gateways=[GATE, scout])
    moved = with_workload(there, GATE, proxies=(proxies("1-31", "1.31.0"),))
    assert outcome(weak, with_rows(moved, bad(GATE, Outcome.NOT_PROVEN), bad(scout, Outcome.NOT_PROVEN)), both) is PASS
    assert outcome(weak, with_rows(moved, bad(GATE, Outcome.NOT_PROVEN), bad(scout)), both) is FAIL


def test_evidence_stays_short_in_a_large_mesh() -> None:
    many = [Place("shop", f"Deployment web-{index}") for index in range(500)]
    before = start(verdict=verdict(*map(row, many)), workloads={place: workload() for place in many})
    found = gate(before, replace(before, verdict=verdict(*map(bad, many))), moving(*many))[MTLS]
    assert found.outcome is FAIL
    assert len(found.evidence) == 21
    assert found.evidence[-1] == "and 480 more"
    assert found.words.endswith("and 499 more")
    assert before.at == NOON


def test_the_worst_of_a_tenants_proxies_and_rows_is_what_is_told() -> None:
    after = with_workload(in_place(), WEB, proxies=(proxies(sync=SyncState.STALE),))
    other = Place("shop", "Deployment other")
    before = with_workload(with_rows(START, row(other)), other)
    after = with_workload(with_rows(after, row(other)), other, proxies=(proxies(sync=SyncState.REJECTED),))
    assert (
        gate(before, after, IN_PLACE)[CONNECTED].evidence[0].startswith("shop/Deployment other: 2 proxies (such as pod-1) are not in sync")
    )
    rows = with_rows(with_workload(in_place(), other), bad(other), bad(WEB, Outcome.NOT_PROVEN))
    assert gate(before, rows, IN_PLACE)[MTLS].evidence[0].startswith("shop/Deployment other port 8080: proxy is FAIL")


def test_our_own_target_and_what_has_no_namespace_are_no_rows() -> None:
    own = bad(Place("meshinstall-probe-1", "Pod target"), ours=True)
    unknown = bad(Place("", "Pods that could not be read"), Outcome.NOT_PROVEN)
    after = replace(START, verdict=verdict(*START.verdict.ports, own, unknown))
    assert gate(START, after, Moved(), require_pass=True)[MTLS].outcome is PASS


def test_a_client_without_a_proxy_was_never_heard() -> None:
    bare = with_workload(with_workload(START, PAY, proxies=()), LOANS, proxies=())
    after = with_workload(with_workload(moved_to_new(bare, WEB), PAY, is_aside=True), LOANS, is_aside=True)
    assert gate(bare, after, moving(WEB))[MTLS].outcome is PASS


def test_what_was_moved_and_never_judged_is_not_proven() -> None:
    before = replace(START, verdict=verdict())
    found = gate(before, replace(MOVED_WEB, verdict=verdict()), moving(WEB))[MTLS]
    assert (found.outcome, found.words) == (UNPROVEN, "shop/Deployment web has a proxy, and mTLS of it was not judged")


def test_who_insists_on_everything_does_not_insist_on_what_the_environment_accepts() -> None:
    accepted = Acceptance(date(2026, 12, 24), "", "dev.yaml", "PeerAuthentication shop/plain")
    policy = Evidence(Source.POLICY, Outcome.FAIL, "PERMISSIVE", accepted.policy, "MTL001")
    found = with_rows(MOVED_WEB, row(WEB, policy))
    assert gate(START, found, Moved(), require_pass=True)[MTLS].outcome is FAIL
    holds = replace(found, verdict=replace(found.verdict, acceptance=accepted))
    assert gate(START, holds, Moved(), require_pass=True)[MTLS].outcome is PASS


def test_what_was_sound_at_the_start_is_not_listed() -> None:
    assert [one.evidence for one in gate(START, MOVED_WEB, moving(WEB)).values()] == [()] * 6
