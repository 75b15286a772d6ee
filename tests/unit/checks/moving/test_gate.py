"""A gate stops what a stage broke: pods that do not run, and proxies that have not what the right istiod sent."""

from dataclasses import replace

import pytest

from meshinstall.model.gate import Gate, GateCheck, Moved, PlaneSeen, Snapshot, WebhookSeen, workload_place
from meshinstall.model.mesh import Dataplane, SyncState
from meshinstall.model.place import Place
from tests.unit.checks.moving.gate_worlds import (
    CONNECTED,
    FAIL,
    GATE,
    HEALTH,
    IN_PLACE,
    MOVED_GATE,
    MOVED_WEB,
    MTLS,
    PASS,
    PAY,
    PLANE,
    READY,
    ROOTS,
    START,
    TENANTS,
    UNPROVEN,
    WEB,
    WEBHOOKS,
    gate,
    in_place,
    moved_to_new,
    moving,
    only,
    plane,
    proxies,
    start,
    with_workload,
)

SYNC_OF_NACK = proxies("1-31", "1.31.0", SyncState.REJECTED, words="it rejects Listener: bad")


@pytest.mark.parametrize(
    ("after", "moved"),
    [
        (START, Moved()),
        (moved_to_new(START), PLANE),
        (MOVED_WEB, moving(WEB)),
        (MOVED_GATE, moving(gateways=[GATE])),
        (moved_to_new(START), Moved(namespaces=("shop",), revision="1-31")),
    ],
    ids=["crds", "a second istiod", "a workload", "a gateway", "a tag"],
)
def test_a_stage_that_breaks_nothing_passes_every_check(after: Snapshot, moved: Moved) -> None:
    found = gate(START, after, moved, require_pass=True)
    assert {name: one.outcome for name, one in found.items()} == dict.fromkeys((READY, CONNECTED, ROOTS, WEBHOOKS, HEALTH, MTLS), PASS)


@pytest.mark.parametrize(
    ("planes", "expected", "words"),
    [
        ((plane(),), FAIL, "istiod 1-31 does not exist"),
        ((plane(), plane("1-31", "1.31.0", ready=0)), FAIL, "istiod 1-31 has 0 of 1 pods ready"),
        ((plane(), plane("1-31", "1.31.0", wanted=2)), FAIL, "istiod 1-31 has 1 of 2 pods ready"),
        ((plane(), plane("1-31", "1.30.4")), FAIL, "istiod 1-31 has version 1.30.4, expected 1.31.0"),
        ((plane(), plane("1-31", "1.31.0", restarts=1)), FAIL, "containers of istiod 1-31 were started again: 1 times in one pod"),
    ],
)
def test_an_istiod_that_was_installed_is_ready_and_stays_up(planes: tuple[PlaneSeen, ...], expected: object, words: str) -> None:
    found = gate(START, replace(moved_to_new(START), planes=planes), PLANE)[READY]
    assert (found.outcome, found.words, found.namespaces) == (expected, words, ())


def test_an_istiod_that_was_short_of_pods_may_stay_so_and_more_are_not_asked_of_it() -> None:
    short = start(planes=(plane(wanted=2),))
    after = replace(short, planes=(plane(version="1.31.0", wanted=2),), webhooks=(WebhookSeen("default", "1.31.0"),))
    assert gate(short, after, IN_PLACE)[READY].outcome is PASS
    assert gate(short, replace(after, planes=(plane(version="1.31.0", wanted=2, ready=0),)), IN_PLACE)[READY].outcome is FAIL
    grown = replace(after, planes=(plane(version="1.31.0", wanted=5),))
    assert gate(START, grown, IN_PLACE)[READY].outcome is UNPROVEN


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"ready": 1}, FAIL),
        ({"ready": 0, "pods": 0, "proxies": ()}, FAIL),  # no pod can be made
        ({"restarts": 3}, UNPROVEN),
    ],
)
def test_a_workload_that_was_restarted_is_as_ready_as_before(changes: dict[str, object], expected: object) -> None:
    found = gate(START, with_workload(MOVED_WEB, WEB, **changes), moving(WEB))[READY]
    assert found.outcome is expected
    assert found.namespaces == ("shop",)


def test_a_gateway_that_restarts_its_container_fails_and_nobody_else_is_blamed() -> None:
    found = only(gate(START, with_workload(MOVED_GATE, GATE, restarts=1), moving(gateways=[GATE])), READY)
    assert (found.outcome, found.namespaces) == (FAIL, ())


@pytest.mark.parametrize(
    ("some", "expected", "words"),
    [
        (SYNC_OF_NACK, FAIL, "shop/Deployment web: 2 proxies (such as pod-1) are not in sync: it rejects Listener: bad"),
        (
            proxies("default", "1.31.0"),
            FAIL,
            "shop/Deployment web: 2 proxies (such as pod-1) are connected to istiod default, expected 1-31",
        ),
        (proxies("1-31", "1.30.4"), FAIL, "shop/Deployment web: 2 proxies (such as pod-1) are of version 1.30.4, expected 1.31.0"),
        (proxies("1-31", ""), UNPROVEN, "shop/Deployment web: 2 proxies (such as pod-1) are of an unknown version, expected 1.31.0"),
        (
            proxies("", "1.31.0", SyncState.UNKNOWN),
            UNPROVEN,
            "shop/Deployment web: 2 proxies (such as pod-1) are not in sync: unknown",
        ),
    ],
)
def test_a_moved_proxy_has_what_the_right_istiod_sent(some: object, expected: object, words: str) -> None:
    """Proxies reject what the new istiod sends (NACK), or still have the old one."""
    found = only(gate(START, with_workload(MOVED_WEB, WEB, proxies=(some,)), moving(WEB)), CONNECTED)
    assert (found.outcome, found.namespaces) == (expected, ("shop",))
    assert found.words == words


def test_a_proxy_that_cannot_be_asked_is_not_proven_and_one_that_nobody_saw_neither() -> None:
    silent = proxies("1-31", "", problem="it does not answer")
    assert gate(START, with_workload(MOVED_WEB, WEB, proxies=(silent,)), moving(WEB))[CONNECTED].outcome is UNPROVEN
    found = gate(START, with_workload(MOVED_WEB, WEB, proxies=()), moving(WEB))[CONNECTED]
    assert (found.outcome, found.words) == (UNPROVEN, "the proxies of 2 pods of shop/Deployment web were not seen")


def test_a_workload_that_comes_back_without_a_proxy_fails() -> None:
    bare = with_workload(MOVED_WEB, WEB, dataplane=Dataplane.NONE, proxies=())
    assert gate(START, bare, moving(WEB))[CONNECTED].outcome is FAIL


def test_a_proxy_that_rejected_its_configuration_at_the_start_may_do_so() -> None:
    nacked = with_workload(START, WEB, proxies=(proxies(sync=SyncState.REJECTED),))
    after = with_workload(moved_to_new(nacked, WEB), WEB, proxies=(SYNC_OF_NACK,))
    assert gate(nacked, after, moving(WEB))[CONNECTED].outcome is PASS
    assert gate(nacked, after, moving(WEB), require_pass=True)[CONNECTED].outcome is FAIL


@pytest.mark.parametrize(("places", "expected"), [((WEB,), PASS), ((WEB, PAY), FAIL), (TENANTS, FAIL)])
def test_proxies_that_a_new_istiod_feeds_count_where_they_are_of_more_than_one_tenant(places: tuple[Place, ...], expected: object) -> None:
    after = in_place()
    for place in places:
        after = with_workload(after, place, proxies=(proxies(sync=SyncState.REJECTED, words="it rejects Listener"),))
    found = gate(START, after, IN_PLACE)[CONNECTED]
    assert found.outcome is expected
    assert "it rejects Listener" in found.evidence[0]


def test_a_gate_is_as_bad_as_its_worst_check_and_blames_namespaces_only_where_all_blame_is_theirs() -> None:
    good, hold = GateCheck("a", PASS, ""), GateCheck("b", UNPROVEN, "", namespaces=("shop",))
    fail, ours = GateCheck("c", FAIL, "", namespaces=("bank",)), GateCheck("d", FAIL, "")
    assert Gate("tags", (good,), 1.0).outcome is PASS
    assert Gate("tags", (good, hold), 1.0).outcome is UNPROVEN
    assert Gate("tags", (good, hold, fail), 1.0).outcome is FAIL
    assert Gate("tags", (), 1.0).outcome is UNPROVEN
    assert Gate("tags", (good, hold, fail), 1.0).namespaces == ("bank", "shop")
    assert Gate("tags", (hold, ours), 1.0).namespaces == ()
    assert workload_place("Deployment", Place("shop", "web")) == WEB


def test_an_istiod_that_may_only_not_have_been_seen_is_not_proven() -> None:
    blind = replace(START, unread=frozenset({"MutatingWebhookConfiguration"}))
    found = gate(START, blind, PLANE)[READY]
    assert (found.outcome, found.words) == (UNPROVEN, "istiod 1-31 was not found")
