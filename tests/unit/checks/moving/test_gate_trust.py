"""A gate stops where roots, webhooks or the health of the control plane became worse."""

from dataclasses import replace

import pytest

from meshinstall.model.gate import Moved, NamespaceSeen, Snapshot, WebhookSeen
from meshinstall.model.health import CheckResult
from meshinstall.model.verdict import Outcome
from tests.unit.checks.moving.gate_worlds import (
    FAIL,
    HEALTH,
    IN_PLACE,
    MOVED_WEB,
    OTHER_ROOT,
    PASS,
    PLANE,
    ROOT,
    ROOTS,
    START,
    UNPROVEN,
    WEB,
    WEBHOOKS,
    check,
    error,
    gate,
    moving,
    plane,
    start,
    with_space,
)


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (replace(MOVED_WEB, planes=(plane(), plane("1-31", "1.31.0", roots=(OTHER_ROOT,)))), FAIL),
        (replace(MOVED_WEB, planes=(plane(), plane("1-31", "1.31.0", roots=()))), UNPROVEN),
        (replace(MOVED_WEB, planes=()), UNPROVEN),
        (replace(MOVED_WEB, planes=(plane(), plane("1-31", "1.31.0", trust_domain="evil"))), FAIL),
        (replace(MOVED_WEB, planes=(plane(), plane("1-31", "1.31.0", trust_domain="new", aliases=("corp",)))), FAIL),
        (replace(MOVED_WEB, planes=(plane(), plane("1-31", "1.31.0", trust_domain=""))), UNPROVEN),
        (replace(MOVED_WEB, planes=(plane(trust_domain="evil"), plane("1-31", "1.31.0", trust_domain="evil"))), FAIL),
        (with_space(MOVED_WEB, "istio-system", roots=(OTHER_ROOT,)), FAIL),
        (with_space(MOVED_WEB, "istio-system", roots=(ROOT, OTHER_ROOT)), FAIL),
        (replace(MOVED_WEB, namespaces={name: NamespaceSeen("default", (ROOT, OTHER_ROOT)) for name in START.namespaces}), UNPROVEN),
        (with_space(MOVED_WEB, "istio-system", roots=()), UNPROVEN),
        (with_space(MOVED_WEB, "shop", roots=(OTHER_ROOT,)), FAIL),
        (with_space(MOVED_WEB, "shop", roots=()), UNPROVEN),
        (with_space(with_space(MOVED_WEB, "bank", roots=(OTHER_ROOT,)), "loan", roots=(OTHER_ROOT,)), FAIL),
        (with_space(with_space(MOVED_WEB, "bank", roots=()), "loan", roots=()), UNPROVEN),
        (replace(MOVED_WEB, unread=frozenset({"ConfigMap"})), UNPROVEN),
        (replace(MOVED_WEB, unread=frozenset({"MeshConfig"})), UNPROVEN),
        (with_space(with_space(MOVED_WEB, "bank", roots=(OTHER_ROOT,)), "loan", roots=()), FAIL),
        # One tenant writes into his own namespace, or makes one.
        (with_space(MOVED_WEB, "bank", roots=(OTHER_ROOT,)), PASS),
        (with_space(MOVED_WEB, "bank", roots=()), PASS),
        (with_space(with_space(MOVED_WEB, "new1", roots=(OTHER_ROOT,)), "new2", roots=(OTHER_ROOT,)), PASS),
        (with_space(MOVED_WEB, "kube-system", roots=()), PASS),
    ],
)
def test_all_istiods_and_namespaces_agree_on_the_root_and_the_trust_domain(after: Snapshot, expected: object) -> None:
    """The new version signs by another root, or for another trust domain."""
    assert gate(START, after, moving(WEB))[ROOTS].outcome is expected


def test_roots_that_differed_at_the_start_are_listed_and_what_is_alias_of_one_another_is_one_domain() -> None:
    two = (plane(trust_domain="a", aliases=("b",)), plane("1-31", "1.31.0", trust_domain="b", aliases=("a",)))
    assert gate(START, replace(MOVED_WEB, planes=two), moving(WEB))[ROOTS].outcome is FAIL  # the first was another
    odd = replace(MOVED_WEB, planes=(plane(roots=(OTHER_ROOT,)), plane("1-31", "1.31.0")))
    assert gate(odd, odd, moving(WEB))[ROOTS].outcome is PASS
    assert gate(odd, odd, moving(WEB), require_pass=True)[ROOTS].outcome is FAIL
    both = replace(MOVED_WEB, planes=two)
    assert gate(both, both, moving(WEB))[ROOTS].outcome is PASS


def hooks(*some: WebhookSeen) -> Snapshot:
    return replace(MOVED_WEB, webhooks=(WebhookSeen("default", "1.30.4"), *some))


@pytest.mark.parametrize(
    ("after", "moved", "expected"),
    [
        (hooks(), PLANE, UNPROVEN),
        (hooks(), moving(WEB), UNPROVEN),
        (hooks(WebhookSeen("1-31", "1.31.0", "the pod gets the proxy of revision default")), PLANE, FAIL),
        (hooks(WebhookSeen("1-31", "1.30.4")), PLANE, FAIL),
        (hooks(WebhookSeen("1-31", "1.31.0", "not permitted", asked=False)), PLANE, UNPROVEN),
        (replace(MOVED_WEB, webhooks=(WebhookSeen("default", "1.30.4", "down"), WebhookSeen("1-31", "1.31.0"))), PLANE, FAIL),
        (replace(MOVED_WEB, webhooks=(WebhookSeen("1-31", "1.31.0"),)), replace(PLANE, gone=("default",)), PASS),
        (replace(MOVED_WEB, webhooks=(WebhookSeen("1-31", "1.31.0"),)), PLANE, UNPROVEN),
    ],
)
def test_the_webhooks_of_each_revision_answer_as_its_version(after: Snapshot, moved: Moved, expected: object) -> None:
    """The new istiod is ready, and its webhook is not reached."""
    assert gate(START, after, moved)[WEBHOOKS].outcome is expected


def test_webhooks_that_did_not_work_at_the_start_may_not_work() -> None:
    down = start(webhooks=(WebhookSeen("default", "1.30.4", "a firewall"),))
    assert gate(down, down, Moved())[WEBHOOKS].outcome is PASS
    assert gate(down, down, Moved(), require_pass=True)[WEBHOOKS].outcome is FAIL
    forbidden = start(webhooks=(WebhookSeen("default", "1.30.4", "not permitted", asked=False),))
    assert gate(forbidden, forbidden, Moved())[WEBHOOKS].outcome is PASS
    assert gate(forbidden, forbidden, IN_PLACE)[WEBHOOKS].outcome is UNPROVEN


NO_REVISION = error("CHK013", "namespace bank asks for revision 1-30, which does not exist", "namespace bank")


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ((check("CHK001", Outcome.FAIL, error("CHK001")), check("CHK013")), FAIL),
        ((check("CHK001", Outcome.NOT_PROVEN, reason="unread"), check("CHK013")), UNPROVEN),
        ((check("CHK001"), check("CHK013"), check("CHK005", Outcome.FAIL, error("CHK005"))), FAIL),
        ((check("CHK001"),), UNPROVEN),
        ((), UNPROVEN),
        ((check("CHK001"), check("CHK013", Outcome.FAIL, NO_REVISION)), FAIL),
        # What any tenant can bring about.
        ((check("CHK001"), check("CHK013"), check("CHK006", Outcome.FAIL, error("CHK006"))), PASS),
        ((check("CHK001"), check("CHK013"), check("CHK014", Outcome.NOT_PROVEN, reason="a policy")), PASS),
    ],
)
def test_a_check_that_became_worse_stops_the_stage(now: tuple[CheckResult, ...], expected: object) -> None:
    assert gate(START, replace(START, checks=now), Moved())[HEALTH].outcome is expected


def test_a_finding_of_the_start_is_listed_whatever_it_counts_and_a_second_one_counts() -> None:
    def failing(*titles: str) -> Snapshot:
        return start(checks=(check("CHK008", Outcome.FAIL, *(error("CHK008", title) for title in titles)),))

    found = gate(failing("it uses 900 MiB"), failing("it uses 1000 MiB"), Moved())[HEALTH]
    assert (found.outcome, found.evidence) == (PASS, ("CHK008 it uses 1000 MiB; it was so at the start of this run",))
    assert gate(failing("it uses 900 MiB"), failing("it uses 900 MiB", "it is down"), Moved())[HEALTH].outcome is FAIL


@pytest.mark.parametrize("before", [None, NamespaceSeen("1-31", (ROOT,))])
def test_a_namespace_that_asks_for_a_revision_that_never_was_stops_nothing(before: NamespaceSeen | None) -> None:
    spaces = {name: space for name, space in START.namespaces.items() if name != "bank"} | ({"bank": before} if before else {})
    after = with_space(replace(START, checks=(check(), check("CHK013", Outcome.FAIL, NO_REVISION))), "bank", selector="1-30")
    assert gate(start(namespaces=spaces), after, Moved())[HEALTH].outcome is PASS


def test_injection_by_default_that_nobody_serves_any_more_stops_the_stage() -> None:
    lost = check("CHK013", Outcome.FAIL, error("CHK013", "namespaces ask for injection, but no revision is the default"))
    after = replace(START, checks=(check(), lost))
    assert gate(START, after, Moved())[HEALTH].outcome is FAIL
    plain = start(namespaces={name: replace(space, selector="") for name, space in START.namespaces.items()})
    assert gate(plain, with_space(replace(plain, checks=(check(), lost)), "bank", selector="default"), Moved())[HEALTH].outcome is PASS


def test_a_namespace_whose_root_differed_at_the_start_may_have_it_and_stops_nothing() -> None:
    before = with_space(with_space(START, "shop", roots=(OTHER_ROOT,)), "bank", roots=(OTHER_ROOT,))
    after = with_space(with_space(MOVED_WEB, "shop", roots=(OTHER_ROOT,)), "bank", roots=(OTHER_ROOT,))
    found = gate(before, after, moving(WEB))[ROOTS]
    assert found.outcome is PASS
    mesh = f"and the mesh {ROOT[:12]}; it differed at the start of this run"
    assert found.evidence[1] == f"istio-ca-root-cert of namespace shop has root {OTHER_ROOT[:12]}, {mesh}"
    assert gate(before, after, moving(WEB), require_pass=True)[ROOTS].outcome is FAIL


def test_a_root_that_was_unknown_at_the_start_excuses_nobody() -> None:
    before = with_space(START, "istio-system", roots=())
    assert gate(before, with_space(MOVED_WEB, "shop", roots=(OTHER_ROOT,)), moving(WEB))[ROOTS].outcome is FAIL
