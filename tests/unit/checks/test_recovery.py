"""A mesh against its snapshot: whatever differs is told, and nothing that differs is called PASS."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from meshinstall.checks.recovery import compared
from meshinstall.checks.restoration import restoration
from meshinstall.engine.recovery.restore import ACCEPTED
from meshinstall.engine.recovery.terms import Result
from meshinstall.model.desired import Desired
from meshinstall.model.facts import key_of, policy_key
from meshinstall.model.finding import Severity
from meshinstall.model.gate import GateCheck, GateOutcome
from meshinstall.model.gateway_config import GatewayConfig, Listener
from meshinstall.model.mesh import Dataplane
from meshinstall.model.plan import Plan
from meshinstall.model.release import Manifest
from meshinstall.model.restoring import KeptObject, KeptPort, Rebuilt, Restoration, RestorationFacts, SnapshotContent
from meshinstall.model.values import LayerKind, Origin
from meshinstall.model.verdict import Evidence, Outcome, PortVerdict, Source, Verdict
from tests.cases import plans

PASS, FAIL, NOT_PROVEN = GateOutcome.PASS, GateOutcome.FAIL, GateOutcome.NOT_PROVEN
OLD, NEW = "ab" * 32, "cd" * 32
DESIRED = plans.load("fresh").desired
SERVED = GatewayConfig(frozenset({Listener("192.0.2.7", 80, "TCP")}), frozenset(), frozenset(), frozenset(), frozenset())


def policy(name: str, **spec: Any) -> Manifest:
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": "AuthorizationPolicy",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": spec,
    }


def kept_object(manifest: Manifest, keeper: str = "") -> KeptObject:
    return KeptObject(manifest, keeper, Origin(LayerKind.FILE, "snapshot"))


DENY, ARGOS = policy("deny", action="DENY"), policy("argos")
CONTENT = SnapshotContent(
    digest=OLD,
    which="",
    environment="dev",
    cloud="local",
    cluster="",
    profile="default",
    istio_version="1.31.0",
    mesh_namespace="istio-system",
    trust_domain="cluster.local",
    roots=(OLD,),
    objects=(kept_object(DENY),),
    namespaces={"shop": {"istio-injection": "enabled"}},
    serving={"istio-ingress/public": SERVED},
    verdict="PASS",
    ports=(KeptPort("shop", "Deployment web", 80, "PASS"),),
)
NOW = Rebuilt(
    objects={policy_key(key_of(DENY)): DENY},
    serving={"istio-ingress/public": SERVED},
    roots=(OLD,),
    trust_domain="cluster.local",
    labels={"shop": {"istio-injection": "enabled"}, "default": {}},
)
PORT = PortVerdict("shop", "Deployment web", 80, Dataplane.SIDECAR, Outcome.PASS, (Evidence(Source.WIRE, Outcome.PASS, ""),))
VERDICT = Verdict(datetime(2026, 11, 30, tzinfo=UTC), "kind", (PORT,))


def wanted(content: SnapshotContent) -> Desired:
    made = tuple(one for one in content.objects if not one.keeper)
    gone = tuple(one for one in content.objects if one.keeper)
    return replace(DESIRED, restored=Restoration(mark="x", objects=made, kept=gone, namespaces=content.namespaces))


def checks(content: SnapshotContent = CONTENT, now: Rebuilt = NOW, verdict: Verdict | None = VERDICT) -> dict[str, GateCheck]:
    return {one.name: one for one in compared(content, now, wanted(content), (), verdict)}


def result(found: dict[str, GateCheck], *allowed: str) -> GateOutcome:
    accepted = frozenset(name for word in allowed for name in ACCEPTED[word])
    plan = Plan("dev", "", "", "", "", ())
    return Result(plan, CONTENT, tuple(found.values()), (), (), accepted=accepted).outcome


def bad(found: dict[str, GateCheck]) -> dict[str, GateOutcome]:
    return {name: one.outcome for name, one in found.items() if one.outcome is not PASS}


def test_a_mesh_that_is_as_it_was_passes() -> None:
    assert bad(checks()) == {}


def test_a_policy_that_is_missing_fails() -> None:
    assert bad(checks(now=replace(NOW, objects={}))) == {"objects": FAIL}


@pytest.mark.parametrize("roots", [(OLD, NEW), (NEW,)])
def test_another_root_is_no_trust_that_came_along(roots: tuple[str, ...]) -> None:
    """Whoever has a certificate of another CA gets in, too."""
    found = checks(now=replace(NOW, roots=roots))
    assert bad(found) == {"trust": FAIL}
    assert result(found, "new-root") is PASS


def test_another_trust_domain_is_not_accepted_with_another_root() -> None:
    found = checks(now=replace(NOW, trust_domain="other.local"))
    assert FAIL in bad(found).values()
    assert result(found, "new-root") is FAIL


@pytest.mark.parametrize(
    ("live", "said"),
    [
        ({}, "namespace shop is not there"),
        ({"shop": {}}, "namespace shop lacks istio-injection=enabled"),
        ({"shop": {"istio-injection": "disabled"}}, "namespace shop lacks istio-injection=enabled"),
        ({"shop": {"istio-injection": "enabled", "istio.io/rev": "x"}}, "namespace shop has istio.io/rev=x, and had not"),
    ],
)
def test_labels_of_namespaces_are_compared(live: dict[str, dict[str, str]], said: str) -> None:
    found = checks(now=replace(NOW, labels=live))
    assert bad(found) == {"labels of namespaces": FAIL}
    assert any(said in line for line in found["labels of namespaces"].evidence)


@pytest.mark.parametrize(
    ("revision", "tags", "is_served"), [("", (), False), ("1-30", (), True), ("1-31", ("1-30",), True), ("1-31", (), False)]
)
def test_a_revision_that_is_not_here_is_no_pass(revision: str, tags: tuple[str, ...], *, is_served: bool) -> None:
    """No istiod injects such a namespace, and none reads such a policy: all is equal, and nothing works."""
    labels = {"istio.io/rev": "1-30"}
    pinned = {**DENY, "metadata": {**DENY["metadata"], "labels": labels}}
    content = replace(CONTENT, namespaces={"shop": labels}, objects=(kept_object(pinned),))
    now = replace(NOW, labels={"shop": labels}, objects={policy_key(key_of(DENY)): pinned})
    desired = replace(wanted(content), revision=revision, tags=tags)
    found = {one.name: one for one in compared(content, now, desired, (), VERDICT)}
    assert bad(found) == ({} if is_served else {"objects": FAIL, "labels of namespaces": FAIL})
    told = list(restoration(desired, replace(plans.load("fresh").facts, restored=RestorationFacts(ca=(OLD,)))))
    assert [one.code for one in told] == ([] if is_served else ["PRE063"])
    assert {one.severity for one in told} <= {Severity.WARNING}


def test_a_namespace_whose_pods_get_the_default_needs_no_revision() -> None:
    labels = {"istio.io/rev": "1-30", "istio-injection": "enabled"}
    assert bad(checks(replace(CONTENT, namespaces={"shop": labels}), replace(NOW, labels={"shop": labels}))) == {}


def test_an_object_that_the_snapshot_has_not_is_no_pass() -> None:
    """Such as a policy that lets more in."""
    more = policy("more", rules=[{}])
    found = checks(now=replace(NOW, objects={**NOW.objects, policy_key(key_of(more)): more}))
    assert bad(found) == {"other objects": NOT_PROVEN}
    assert result(found, "occupied") is PASS


def test_what_is_accepted_of_others_excuses_nothing_of_ours() -> None:
    content = replace(CONTENT, objects=(*CONTENT.objects, kept_object(ARGOS, "Argo CD Application shop")))
    found = checks(content)
    assert bad(found) == {"objects that others keep": NOT_PROVEN}
    assert result(found, "kept-policies") is PASS
    found = checks(content, replace(NOW, objects={}))
    assert result(found, "kept-policies") is FAIL


def test_routes_that_are_not_in_the_snapshot_are_not_called_served() -> None:
    assert bad(checks(replace(CONTENT, withheld={"istio-ingress/public": 2}))) == {"gateway istio-ingress/public": NOT_PROVEN}


def test_a_verdict_that_is_worse_is_no_pass_whatever_port_it_is_of() -> None:
    other = replace(PORT, workload="Deployment other", outcome=Outcome.FAIL)
    assert bad(checks(verdict=replace(VERDICT, ports=(PORT, other)))) == {"mTLS": FAIL}
    unseen = replace(other, outcome=Outcome.NOT_PROVEN)
    assert bad(checks(verdict=replace(VERDICT, ports=(PORT, unseen)))) == {"mTLS": NOT_PROVEN}


@pytest.mark.parametrize("outcomes", [(Outcome.FAIL, Outcome.PASS), (Outcome.PASS, Outcome.FAIL)])
def test_of_a_port_that_was_tried_twice_the_worst_counts(outcomes: tuple[Outcome, Outcome]) -> None:
    ports = tuple(replace(PORT, outcome=one) for one in outcomes)
    assert bad(checks(replace(CONTENT, verdict="FAIL"), verdict=replace(VERDICT, ports=ports))) == {"mTLS": FAIL}


def test_what_failed_then_and_fails_now_is_no_pass() -> None:
    content = replace(CONTENT, verdict="FAIL", ports=tuple(replace(one, verdict="FAIL") for one in CONTENT.ports))
    assert bad(checks(content, verdict=replace(VERDICT, ports=(replace(PORT, outcome=Outcome.FAIL),)))) == {"mTLS": FAIL}
