"""Whose access a plan makes wider or narrower: named, with the workload and the line that does it."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meshinstall.checks.authz.decide import Guard, decide, guard, world
from meshinstall.engine.objects.mesh_policies import known_mesh
from meshinstall.engine.planning import make_plan
from meshinstall.engine.rehearsal.access_changes import Objects, changed
from meshinstall.model.access import Callee, Openness, openness
from meshinstall.model.authz import Outcome, Workload
from meshinstall.model.desired import Desired
from meshinstall.model.diff import Concern
from meshinstall.model.facts import key_of, policy_key
from meshinstall.model.paths import object_path
from meshinstall.model.policy_object import PolicyObject
from tests.fake_kube import forbidden
from tests.fakes import World
from tests.referees.authz_cases import Case, bare, cases
from tests.unit.engine.test_layered import MESH, RULE, cluster, policy, up, wanting

ADMIN = {
    "from": [{"source": {"principals": ["cluster.local/ns/istio-ingress/sa/gateway"]}}],
    "to": [{"operation": {"methods": ["GET"], "paths": ["/admin*"], "ports": ["8080"]}}],
}
SELECTOR = {"selector": {"matchLabels": {"app": "web"}}}


def pod(name: str, namespace: str = "shop", *, proxied: bool = True, **labels: str) -> dict[str, Any]:
    proxy = [{"name": "istio-proxy", "image": "proxyv2", "args": ["proxy", "sidecar"]}] if proxied else []
    owner = [{"kind": "ReplicaSet", "name": f"{name}-7d9f", "controller": True}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{name}-7d9f-x",
            "namespace": namespace,
            "labels": {"app": name, "pod-template-hash": "7d9f", **labels},
            "ownerReferences": owner,
            "annotations": {"sidecar.istio.io/status": "{}"} if proxied else {},
        },
        "spec": {"containers": [{"name": "app"}, *proxy]},
        "status": {"phase": "Running"},
    }


def put(there: World, *pods: dict[str, Any]) -> None:
    for one in pods:
        there.kube.objects[object_path("v1", "pods", one["metadata"]["namespace"], one["metadata"]["name"])] = one


async def told(there: World, desired: Desired) -> list[tuple[Concern, str]]:
    plan = await make_plan(desired, there.session())
    kinds = (Concern.WIDER, Concern.NARROWER, Concern.ACCESS)
    return [(one.concern, one.text) for one in plan.summary if one.concern in kinds and not one.text.startswith("who may call what")]


@pytest.mark.anyio
async def test_a_rule_more_is_named_with_its_line_and_the_workloads_that_are_there() -> None:
    there = cluster()
    await up(there, wanting(policy(spec={**SELECTOR, "rules": [RULE]})))
    put(there, pod("web"), pod("cart"))
    desired = wanting(policy(spec={**SELECTOR, "rules": [RULE, ADMIN]}))
    assert await told(there, desired) == [
        (Concern.WIDER, "GET /admin* of shop/web port 8080 becomes open to istio-ingress/gateway (policies/base/web.yaml:5)")
    ]


@pytest.mark.anyio
async def test_a_rule_less_is_named_too_by_the_policy_that_lacks_it() -> None:
    there = cluster()
    await up(there, wanting(policy(spec={**SELECTOR, "rules": [RULE, ADMIN]})))
    found = await told(there, wanting(policy(spec={**SELECTOR, "rules": [RULE]})))
    text = "GET /admin* of shop: app=web port 8080 is closed to istio-ingress/gateway (policies/base/web.yaml:1)"
    assert found == [(Concern.NARROWER, text)]


@pytest.mark.anyio
async def test_the_last_allow_that_goes_opens_its_workloads_to_all_that_mtls_lets_in() -> None:
    there, other = cluster(), policy("other", kind="Sidecar", spec={})
    await up(there, wanting(policy(), other))
    put(there, pod("web"), pod("cart"), pod("job", proxied=False))
    assert await told(there, wanting(other)) == [
        (Concern.WIDER, "anything of shop/cart, shop/web becomes open to any identity but shop/* (no policy is for it any more)")
    ]


@pytest.mark.anyio
async def test_an_allow_of_somebody_else_still_closes_what_no_file_closes_any_more() -> None:
    there, other = cluster(), policy("other", kind="Sidecar", spec={})
    await up(there, wanting(policy(), other))
    there.kube.put(policy("foreign"))
    assert await told(there, wanting(other)) == []
    assert await told(there, wanting()) == []


@pytest.mark.anyio
async def test_pods_are_listed_only_where_a_policy_of_access_changes() -> None:
    there = cluster()
    await up(there, wanting(policy()))
    put(there, pod("web"))
    there.kube.calls.clear()
    assert await told(there, wanting(policy(), policy("other", kind="Sidecar", spec={}))) == []
    without = there.kube.calls.count("LIST /api/v1/pods")
    assert await told(there, wanting(policy(), policy("none", spec={}))) == []
    assert there.kube.calls.count("LIST /api/v1/pods") == 2 * without + 1


@pytest.mark.anyio
async def test_pods_that_may_not_be_listed_are_a_gap_and_selectors_stand_in() -> None:
    there = cluster()
    await up(there, wanting(policy(spec={**SELECTOR, "rules": [RULE]})))
    there.kube.refusals["LIST /api/v1/pods"] = forbidden("pods")
    found = await told(there, wanting(policy(spec={**SELECTOR, "rules": [RULE, ADMIN]})))
    assert found[0][1].startswith("GET /admin* of shop: app=web port 8080 becomes open to")
    assert found[1][1].startswith("the workloads are those that policies select, because pods are missing: Pods could not be listed")


@pytest.mark.anyio
async def test_a_policy_for_another_revision_no_longer_closes_anything() -> None:
    there = cluster()
    await up(there, wanting(policy()))
    put(there, pod("web"))
    desired = replace(wanting(policy(labels={"istio.io/rev": "other"})), revision="1-31")
    before, after = ({policy_key(key_of(one)): PolicyObject("", one, {})} for one in (policy(), policy(labels={"istio.io/rev": "other"})))
    assert [one.concern for one in changed(before, after, (), desired)] == [Concern.WIDER]


def test_what_rules_tell_too_much_apart_of_is_never_silent() -> None:
    when = [{"key": f"request.auth.claims[{name}]", "values": ["red"]} for name in "abcdefghij"]
    narrow = policy(spec={"rules": [{"from": [{"source": {"namespaces": ["bank"]}}], "when": when}]})
    before, after = ({policy_key(key_of(one)): PolicyObject("", one, {})} for one in (narrow, policy(spec={"rules": [{}]})))
    tokens = {
        "apiVersion": "security.istio.io/v1",
        "kind": "RequestAuthentication",
        "metadata": {"name": "tokens", "namespace": "shop"},
        "spec": {"jwtRules": [{"issuer": "https://id.example/one", "jwks": "{}"}]},
    }
    both = {policy_key(key_of(tokens)): PolicyObject("", tokens, {})}
    (said,) = changed({**before, **both}, {**after, **both}, (Callee("shop/web", Workload("shop", {"app": "web"})),), MESH)
    assert said.concern is Concern.WIDER
    assert said.text.startswith(
        "anything of shop/web may become open or closed to anybody: the policies of this workload distinguish too many"
    )


def objects(case: Case) -> Objects:
    found = (PolicyObject("", one, {}) for one in case.objects)
    return {policy_key(key_of(one.manifest)): one for one in found}


def guards(*sides: Objects, labels: dict[str, str]) -> list[Guard]:
    worlds = (world(known_mesh(tuple(one.values()), MESH)) for one in sides)
    return [guard(one, Workload("shop", labels)) for one in worlds]


PAIRS = (cases("{}", 12), cases("{}", 12), st.sampled_from(({"app": "web", "tier": "front"}, {"app": "web"}, {})))


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(*PAIRS)
def test_whatever_was_denied_and_is_allowed_then_is_named(first: Case, second: Case, labels: dict[str, str]) -> None:
    """Soundness: no request gets through that did not before, without a line that says so."""
    check_named(first, second, labels)


def check_named(first: Case, second: Case, labels: dict[str, str]) -> None:
    """Also for the soak test."""
    before, after = objects(first), objects(second)
    by = guards(before, after, labels=labels)
    there = (Callee("shop/web", Workload("shop", labels)),)
    named = [one for one in changed(before, after, there, MESH) if one.concern is Concern.WIDER and "of shop/web" in one.text]
    for request, _ in (*first.requests, *second.requests):
        old, new = (decide(one, bare(request, *by)) for one in by)
        if openness(old) is Openness.CLOSED and new.outcome is Outcome.ALLOW:
            assert named, (request, old, new)


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(cases("{}", 1))
def test_nothing_is_named_of_equal_policies(case: Case) -> None:
    same = objects(case)
    assert changed(same, same, (Callee("shop/web", Workload("shop", case.labels)),), MESH) == ()


def test_equal_policies_change_nothing_also_where_access_cannot_be_worked_out() -> None:
    rules = [{"when": [{"key": f"request.auth.claims[c{number}]", "values": ["a", "b"]}]} for number in range(12)]
    issuer = [{"issuer": "https://id.example.com", "jwksUri": "https://id.example.com/keys"}]

    def both(*more: dict[str, Any]) -> Objects:
        specs = (("AuthorizationPolicy", {"rules": [*rules, *more]}), ("RequestAuthentication", {"jwtRules": issuer}))
        about = {"apiVersion": "security.istio.io/v1", "metadata": {"name": "web", "namespace": "shop"}}
        manifests = [{**about, "kind": kind, "spec": spec} for kind, spec in specs]
        return {policy_key(key_of(one)): PolicyObject("", one, {}) for one in manifests}

    there = (Callee("shop/web", Workload("shop", {})),)
    assert changed(both(), both(), there, MESH) == ()
    (told,) = changed(both(), both({}), there, MESH)
    assert "more than 512 kinds of tokens" in told.text
