"""What certificates are worth: identity, chain, time and trust."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from meshinstall.checks.mtls.certificates import Trust, certificate_evidence, certificate_findings, identities, shown
from meshinstall.model.mesh import (
    CertificateFacts,
    ControlPlane,
    Dataplane,
    InboundChain,
    MeshFacts,
    NamespaceFacts,
    Place,
    Pod,
    Proxy,
)
from meshinstall.model.verdict import Outcome

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
DAY = timedelta(days=1)
NAME = "spiffe://cluster.local/ns/shop/sa/web"
PLANE = ControlPlane(Place("istio-system", "istiod"), "default", "1.31.0", "istio-system", "cluster.local", ("old.local",))
POD = Pod(Place("shop", "web-0"), "Deployment web", Dataplane.SIDECAR, "web")


def authority(name: str, root: str | None = None, days: float = 3000) -> CertificateFacts:
    return CertificateFacts(name, f"CN={name}", NOW - 300 * DAY, NOW + days * DAY, is_authority=True, root=name if root is None else root)


ROOT, OTHER = authority("root"), authority("other")
LEAF = CertificateFacts("leaf", "", NOW - DAY / 2, NOW + DAY / 2, (NAME,), root="root")
PROXY = Proxy(certificates=(LEAF,), roots=(ROOT,))
FACTS = MeshFacts(
    NOW,
    (PLANE,),
    {"istio-system": NamespaceFacts("istio-system", roots=("root",)), "shop": NamespaceFacts("shop", roots=("root",))},
    (POD,),
    proxies={POD.place: PROXY},
    authorities=(ROOT,),
)


def judged(
    proxy: Proxy | None = PROXY, facts: MeshFacts = FACTS, plane: ControlPlane | None = PLANE, now: datetime = NOW
) -> list[tuple[Outcome, str]]:
    trust = Trust.of(facts if proxy is None else replace(facts, proxies={POD.place: proxy}), {"shop"})
    return [(found.outcome, found.code) for found in certificate_evidence(POD, proxy, plane, trust, now)]


def leaf(**differs: Any) -> Proxy:
    return replace(PROXY, certificates=(replace(LEAF, **differs), *PROXY.certificates[1:]))


def fails(code: str) -> list[tuple[Outcome, str]]:
    return [(Outcome.FAIL, code)]


def unproven(code: str) -> list[tuple[Outcome, str]]:
    return [(Outcome.NOT_PROVEN, code)]


def test_a_certificate_that_is_right() -> None:
    assert judged() == [(Outcome.PASS, "")]


def test_a_pod_may_have_a_name_of_each_trust_domain() -> None:
    assert identities(POD, PLANE) == {NAME, "spiffe://old.local/ns/shop/sa/web"}


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (LEAF.not_before, [(Outcome.PASS, "")]),
        (LEAF.not_before - timedelta(seconds=1), fails("MTL040")),
        (LEAF.not_after - timedelta(seconds=1), [(Outcome.PASS, "")]),
        (LEAF.not_after, fails("MTL040")),
    ],
)
def test_a_certificate_has_its_time(now: datetime, expected: list[tuple[Outcome, str]]) -> None:
    assert judged(now=now) == expected


@pytest.mark.parametrize(
    "uris",
    [
        (),
        ("spiffe://cluster.local/ns/shop/sa/api",),
        ("spiffe://cluster.local/ns/crm/sa/web",),
        ("spiffe://elsewhere/ns/shop/sa/web",),
        (NAME, "spiffe://cluster.local/ns/shop/sa/api"),
    ],
)
def test_an_identity_that_is_not_the_pods(uris: tuple[str, ...]) -> None:
    assert judged(leaf(uris=uris)) == fails("MTL042")


@pytest.mark.parametrize("root", ["", "other"])
def test_a_chain_that_ends_elsewhere(root: str) -> None:
    assert judged(leaf(root=root)) == fails("MTL043")


@pytest.mark.parametrize(
    "proxy",
    [
        replace(PROXY, roots=(ROOT, OTHER)),
        replace(PROXY, inbound=(InboundChain(8080, "tls", tls=True, client_certificate=True, roots=("root", "other")),)),
    ],
)
def test_a_root_that_is_not_the_meshs(proxy: Proxy) -> None:
    assert judged(proxy) == fails("MTL044")


@pytest.mark.parametrize("chain", [(authority("middle", "root", days=-1),), (authority("middle", "root", days=0),)])
def test_an_authority_between_that_has_ended(chain: tuple[CertificateFacts, ...]) -> None:
    assert judged(replace(PROXY, certificates=(LEAF, *chain))) == fails("MTL049")


def test_a_root_that_has_ended() -> None:
    ended = replace(ROOT, not_after=NOW)
    assert judged(replace(PROXY, roots=(ended,)), replace(FACTS, authorities=(ended,))) == fails("MTL049")


def namespaces(**roots: tuple[str, ...]) -> MeshFacts:
    return replace(FACTS, namespaces={name.replace("_", "-"): NamespaceFacts(name, roots=given) for name, given in roots.items()})


def test_a_namespace_that_does_not_know_the_root() -> None:
    assert judged(facts=namespaces(istio_system=("root",), shop=("new",))) == fails("MTL047")
    assert judged(facts=namespaces(istio_system=("root",), shop=())) == unproven("MTL047")


def test_namespaces_of_another_control_plane_know_its_root() -> None:
    second = replace(PLANE, place=Place("istio-second", "istiod"))
    both = replace(FACTS, control_planes=(PLANE, second))

    def codes(**roots: tuple[str, ...]) -> list[str]:
        facts = replace(both, namespaces=namespaces(**roots).namespaces)
        trust = Trust.of(facts, facts.namespaces)
        return [one.code for one in certificate_evidence(POD, PROXY, PLANE, trust, NOW)]

    assert codes(istio_system=("root",), istio_second=("second",), shop=("root",), other=("second",)) == [""]
    assert codes(istio_system=("root",), istio_second=("second",), shop=("second",)) == ["MTL047"]
    assert codes(istio_system=("new",), istio_second=("second",), shop=("second",)) == ["MTL047"]


@pytest.mark.parametrize("roots", [(), ("other",)], ids=["nothing", "another root"])
def test_what_another_namespace_holds_says_nothing_about_a_pod(roots: tuple[str, ...]) -> None:
    """Whoever may write in a namespace, or make one, must not change the verdict of other namespaces."""
    facts = with_namespace(FACTS, NamespaceFacts("aaa", roots=roots))
    trust = Trust.of(facts, {"istio-system", "shop", "aaa"})
    assert trust.namespaces["aaa"] == roots
    assert [one.code for one in certificate_evidence(POD, PROXY, PLANE, trust, NOW)] == [""]


def test_a_namespace_that_is_being_deleted_needs_no_root() -> None:
    for ending, code in ((True, ""), (False, "MTL047")):
        facts = with_namespace(FACTS, NamespaceFacts("shop", ending=ending))
        trust = Trust.of(facts, {"istio-system", "shop"})
        assert [one.code for one in certificate_evidence(POD, PROXY, PLANE, trust, NOW)] == [code]


def with_namespace(facts: MeshFacts, one: NamespaceFacts) -> MeshFacts:
    return replace(facts, namespaces={**facts.namespaces, one.name: one})


def test_what_namespaces_outside_the_mesh_trust_does_not_matter() -> None:
    assert judged(facts=namespaces(istio_system=("root",), shop=("root",), legacy=("other",))) == [(Outcome.PASS, "")]


def test_a_root_that_only_a_namespace_of_the_mesh_has_is_not_the_meshs() -> None:
    facts = replace(namespaces(istio_system=("root",), shop=("root", "other")), authorities=())
    assert judged(leaf(root="other"), facts) == fails("MTL043")


@pytest.mark.parametrize(
    ("proxy", "facts", "plane", "code"),
    [
        (None, FACTS, PLANE, ""),
        (Proxy(problem="silent"), FACTS, PLANE, ""),
        (replace(PROXY, certificates=()), FACTS, PLANE, "MTL048"),
        (PROXY, FACTS, None, "MTL048"),
        (PROXY, replace(FACTS, unread=("ConfigMap",)), PLANE, "MTL048"),
        (PROXY, replace(FACTS, authorities=(), namespaces={}), PLANE, "MTL048"),
    ],
)
def test_what_was_not_seen_is_not_proven(proxy: Proxy | None, facts: MeshFacts, plane: ControlPlane | None, code: str) -> None:
    assert judged(proxy, facts, plane) == unproven(code)


def test_an_ended_certificate_is_told_even_when_nothing_else_is_known() -> None:
    assert judged(plane=None, now=LEAF.not_after) == [*fails("MTL040"), *unproven("MTL048")]


def warned(facts: MeshFacts) -> list[tuple[str, str]]:
    return [(found.code, found.object) for found in certificate_findings(facts, Trust.of(facts, {"shop"}))]


@pytest.mark.parametrize(("hours", "expected"), [(6, []), (5.9, [("MTL041", "")]), (0, [])])
def test_a_certificate_that_was_not_renewed(hours: float, expected: list[tuple[str, str]]) -> None:
    late = replace(LEAF, not_before=NOW - timedelta(hours=24 - hours), not_after=NOW + timedelta(hours=hours))
    assert warned(replace(FACTS, proxies={POD.place: replace(PROXY, certificates=(late,))})) == expected


@pytest.mark.parametrize(("days", "expected"), [(60, []), (59.9, [("MTL045", "CN=soon")]), (0, [])])
def test_an_authority_that_ends_soon(days: float, expected: list[tuple[str, str]]) -> None:
    assert warned(replace(FACTS, authorities=(ROOT, authority("soon", "root", days)))) == expected


def test_two_roots_are_told() -> None:
    facts = replace(namespaces(istio_system=("root", "other"), shop=("root", "other")), authorities=(ROOT, OTHER))
    assert warned(facts) == [("MTL046", "")]


def test_what_is_shown_is_every_authority_and_of_each_workload_what_ends_first() -> None:
    late = replace(POD, place=Place("shop", "web-1"))
    first = replace(LEAF, fingerprint="first", not_after=NOW + DAY / 4)
    middle = authority("middle", "root", days=10)
    proxies = {POD.place: replace(PROXY, roots=(ROOT, OTHER)), late.place: replace(PROXY, certificates=(first, middle))}
    found = shown(replace(FACTS, proxies=proxies), Trust.of(FACTS, {"shop"}), [POD, late])
    assert [(holder, certificate.fingerprint) for holder, certificate in found] == [
        ("shop/web-1", "first"),
        ("intermediate", "middle"),
        ("root", "root"),
        ("root that is not the mesh's", "other"),
    ]
