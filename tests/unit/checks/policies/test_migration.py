"""Ready is only what was counted by the proxies and remembered by a Prometheus; who would be refused is named, and what was not seen."""

from dataclasses import replace
from typing import Any

import pytest

from meshinstall.checks.policies.migration import Seen, migrate
from meshinstall.model.callers import Caller, Callers
from meshinstall.model.mesh import ApiServerClient, History, MeshFacts, Place
from meshinstall.model.migration import Goal, Migration, NamespaceStep, Readiness
from meshinstall.model.policy_kinds import PolicyKey
from meshinstall.model.release import Manifest
from tests.cases import verdicts

GATE = "spiffe://cluster.local/ns/istio-ingress/sa/public"
WEB = "spiffe://cluster.local/ns/shop/sa/web"
CALLERS = Callers(None, 3, identities=(Caller("shop/Deployment web", GATE, 40), Caller("shop/StatefulSet api", WEB, 12)))
SINCE = "proxies count since they started, and no Prometheus tells of the days before"
HISTORY = History(7, "monitoring/prometheus-0", identities=frozenset({(Place("shop", "web"), GATE), (Place("shop", "api"), WEB)}))
HOOK = ApiServerClient("ValidatingWebhookConfiguration", "policy", Place("shop", "web"), 80, fails=True)
BARE = {"workload": "Deployment old", "dataplane": "none"}
OPEN: dict[str, Any] = {"policies": {"istio-system/default": {"mode": "PERMISSIVE"}}, "clients": {}}


def mesh(callers: Callers | None = CALLERS, history: History | None = HISTORY, **differs: Any) -> MeshFacts:
    return replace(verdicts.make({"facts": {**OPEN, **differs}}).facts, callers=callers, history=history)


def found(facts: MeshFacts, *policies: Manifest, unseen: str = "") -> Migration:
    return migrate(Seen(facts, policies, unseen), "prod")


def step(one: Migration, goal: Goal) -> NamespaceStep:
    (found,) = [step for step in one.steps if (step.namespace, step.goal) == ("shop", goal)]
    return found


def both(one: Migration) -> tuple[Readiness, Readiness]:
    return step(one, Goal.STRICT).readiness, step(one, Goal.DENY).readiness


def test_a_namespace_that_was_counted_and_has_no_plaintext_is_ready_for_both_with_its_files() -> None:
    one = found(mesh())
    assert both(one) == (Readiness.READY, Readiness.READY), [step.reasons for step in one.steps]
    assert {step.namespace for step in one.steps} == {"shop"}
    assert one.baseline == ("shop",)
    assert {path: manifest["spec"] for path, manifest in one.files.items()} == {
        "policies/envs/prod/shop/strict.yaml": {"mtls": {"mode": "STRICT"}},
        "policies/envs/prod/shop/deployment-web-callers.yaml": {
            "selector": {"matchLabels": {"app": "web"}},
            "rules": [{"from": [{"source": {"principals": ["cluster.local/ns/istio-ingress/sa/public"]}}]}],
        },
        "policies/envs/prod/shop/statefulset-api-callers.yaml": {
            "selector": {"matchLabels": {"app": "api"}},
            "rules": [{"from": [{"source": {"principals": ["cluster.local/ns/shop/sa/web"]}}]}],
        },
    }
    assert one.counted[1] == "in the last 7 days no workload received plaintext, as counted by monitoring/prometheus-0"


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (
            mesh(replace(CALLERS, found=(Caller("shop/Deployment web", "legacy/cron", 7),))),
            "shop/Deployment web receives plaintext from legacy/cron (about 7)",
        ),
        (
            mesh(replace(CALLERS, found=(Caller("shop/Deployment web", "unknown", 7),))),
            "shop/Deployment web receives plaintext from somebody without a proxy (about 7)",
        ),
        (
            mesh(history=replace(HISTORY, plaintext=((Place("shop", "web"), 12),))),
            "shop/web received plaintext in the last 7 days (about 12)",
        ),
        (mesh(pods={"shop/web-1": {"kubelet": [8080]}}), "probes of the kubelet would fail"),
        (
            replace(
                mesh(), api_clients=(ApiServerClient("ValidatingWebhookConfiguration", "policy", Place("shop", "web"), 80, fails=True),)
            ),
            "ValidatingWebhookConfiguration policy (failurePolicy Fail) makes the API server call port 8080",
        ),
        (
            mesh(pods={"shop/old-1": BARE}),
            "no policy holds for pods without a proxy: Deployment old",
        ),
    ],
)
def test_whoever_would_be_refused_keeps_a_namespace_from_both(facts: MeshFacts, reason: str) -> None:
    one = found(facts)
    assert both(one) == (Readiness.NOT_READY, Readiness.NOT_READY)
    assert any(text.startswith(reason) for text in step(one, Goal.STRICT).reasons), step(one, Goal.STRICT).reasons
    assert (one.files, one.baseline) == ({}, ())


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (mesh(callers=None), "nobody was counted calling Deployment web, StatefulSet api"),
        (mesh(replace(CALLERS, uncounted=("shop/StatefulSet api",), silent=1)), "nobody was counted calling StatefulSet api"),
        (mesh(history=None), SINCE),
        (
            mesh(history=History(7, problem="no running pod")),
            f"{SINCE}: no",
        ),
        (
            mesh(history=replace(HISTORY, problem="x: timeout")),
            f"{SINCE}: x",
        ),
        (
            mesh(history=replace(HISTORY, identities=frozenset({(Place("shop", "web"), GATE)}))),
            "no Prometheus counted anybody calling StatefulSet api in the last 7 days",
        ),
        (mesh(gaps=["Services could not be listed"]), "could not be read: Services could not be listed"),
        (mesh(unread=["Pod"]), "could not be read: Pod"),
        (mesh(clients=None), "it is not known what some clients would send"),
    ],
)
def test_what_was_not_seen_is_not_proven(facts: MeshFacts, reason: str) -> None:
    one = found(facts)
    assert both(one) == (Readiness.NOT_PROVEN, Readiness.NOT_PROVEN), [step.reasons for step in one.steps]
    assert any(text.startswith(reason) for text in step(one, Goal.STRICT).reasons), step(one, Goal.STRICT).reasons
    assert (one.files, one.baseline) == ({}, ())


def test_ambient_is_never_ready() -> None:
    one = found(mesh(pods={"shop/api-0": {"dataplane": "ambient"}}))
    assert Readiness.READY not in both(one)
    assert "what ztunnel counts was not asked: StatefulSet api" in step(one, Goal.STRICT).reasons


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (
            mesh(
                history=replace(HISTORY, identities=HISTORY.identities | {(Place("shop", "web"), "spiffe://cluster.local/ns/pay/sa/night")})
            ),
            "spiffe://cluster.local/ns/pay/sa/night called shop/web in the last 7 days, and no proxy counted it since",
        ),
        (
            mesh(replace(CALLERS, identities=(*CALLERS.identities, Caller("shop/Deployment web", "unknown", 1)))),
            "Deployment web is called by whom its proxies cannot name: unknown",
        ),
        (mesh(pods={"shop/api-0": {"labels": {"app": "web"}}}), "no label app.kubernetes.io/name or app tells Deployment web from others"),
    ],
)
def test_a_caller_that_no_file_could_name_keeps_it_from_deny_by_default_alone(facts: MeshFacts, reason: str) -> None:
    one = found(facts)
    assert both(one) == (Readiness.READY, Readiness.NOT_READY), [step.reasons for step in one.steps]
    assert any(text.startswith(reason) for text in step(one, Goal.DENY).reasons), step(one, Goal.DENY).reasons
    assert list(one.files) == ["policies/envs/prod/shop/strict.yaml"]


@pytest.mark.parametrize(
    "policy",
    [
        {"mode": "PERMISSIVE"},
        {"mode": "PERMISSIVE", "selector": {"app": "web"}},
        {"mode": "STRICT", "selector": {"app": "web"}, "ports": {8080: "DISABLE"}},
        {},
    ],
)
def test_a_policy_that_would_still_decide_keeps_it_from_strict_alone(policy: dict[str, Any]) -> None:
    policies = {**OPEN["policies"], "shop/own": {"created": "2026-01-01T00:00:00Z", **policy}}
    one = found(mesh(policies=policies))
    assert both(one) == (Readiness.NOT_READY, Readiness.READY)
    assert "PeerAuthentication shop/own would still decide: write STRICT into it, or delete it" in step(one, Goal.STRICT).reasons


def test_what_policies_ask_for_already_is_set() -> None:
    nobody: dict[str, Any] = {"metadata": {"name": "x", "namespace": "shop"}, "spec": {}}
    strict = mesh(policies={"istio-system/default": {"mode": "STRICT"}})
    assert both(found(strict, nobody)) == (Readiness.SET, Readiness.SET)
    tried = {**nobody, "metadata": {**nobody["metadata"], "annotations": {"istio.io/dry-run": "true"}}}
    others = ({**nobody, "spec": {"selector": {"matchLabels": {"app": "web"}}}}, {**nobody, "spec": {"rules": [{}]}}, tried)
    assert step(found(strict, *others), Goal.DENY).readiness is Readiness.READY


def test_an_object_that_the_environment_has_is_not_written_anew() -> None:
    own = frozenset({PolicyKey("security.istio.io", "PeerAuthentication", "shop", "default")})
    assert sorted(migrate(Seen(mesh()), "prod", own).files) == [
        "policies/envs/prod/shop/deployment-web-callers.yaml",
        "policies/envs/prod/shop/statefulset-api-callers.yaml",
    ]


@pytest.mark.parametrize("kind", ["MeshConfig", "PeerAuthentication", "Pod"])
def test_what_decides_and_was_not_read_is_not_set(kind: str) -> None:
    strict = mesh(policies={"istio-system/default": {"mode": "STRICT"}}, unread=[kind])
    assert step(found(strict), Goal.STRICT).readiness is Readiness.NOT_PROVEN


def test_policies_that_could_not_be_listed_are_not_proven() -> None:
    assert both(found(mesh(), unseen="forbidden")) == (Readiness.READY, Readiness.NOT_PROVEN)


def test_an_owner_with_a_path_for_a_name_makes_no_file_of_it() -> None:
    name = "Deployment ../../web"
    callers = replace(CALLERS, identities=(Caller(f"shop/{name}", GATE, 1), CALLERS.identities[1]))
    pods = {pod: {"workload": name} for pod in ("shop/web-1", "shop/web-2")}
    one = found(mesh(callers, replace(HISTORY, identities=HISTORY.identities | {(Place("shop", "../../web"), GATE)}), pods=pods))
    assert step(one, Goal.DENY).readiness is Readiness.NOT_READY
    assert not any(".." in path for path in one.files)


def test_a_mesh_without_proxies_has_nothing_to_tell() -> None:
    facts = replace(mesh(), pods=())
    assert found(facts).steps == ()
