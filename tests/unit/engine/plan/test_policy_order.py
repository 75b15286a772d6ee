"""Between two states of policies nothing is ever wider than both: whatever changes, and wherever runs are killed."""

import json
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meshinstall.engine.plan.layered_steps import layered_steps
from meshinstall.model.desired import Desired, Policy
from meshinstall.model.facts import Facts, ObjectKey, PolicyFacts, key_of
from meshinstall.model.ownership import POLICY, policy_labels
from meshinstall.model.plan import Action, ObjectStep
from meshinstall.model.release import Manifest
from meshinstall.model.values import LayerKind, Origin
from tests.cases import plans

State = Mapping[ObjectKey, Manifest]

MESH = plans.make({}).desired
ORIGIN = Origin(LayerKind.PROJECT, "policies/base/a.yaml", 1)
ROOT = "istio-system"
PORTS = ("1", "2", "3", "4")
WORKLOADS = tuple((space, app) for space in ("shop", "pay") for app in ("x", "y"))


# A model of AuthorizationPolicy: DENY before ALLOW; without ALLOW all is allowed; an ALLOW without rules matches nothing.


def applies(policy: Manifest, space: str, app: str) -> bool:
    wanted = ((policy["spec"].get("selector") or {}).get("matchLabels") or {}).get("app", app)
    return policy["metadata"]["namespace"] in {space, ROOT} and wanted == app


def matches(policy: Manifest, port: str) -> bool:
    return any(not rule or port in rule["to"][0]["operation"]["ports"] for rule in policy["spec"].get("rules") or ())


def is_allowed(state: State, space: str, app: str, port: str) -> bool:
    here = [one for one in state.values() if one["kind"] == "AuthorizationPolicy" and applies(one, space, app)]
    enforced = [one for one in here if (one["metadata"].get("annotations") or {}).get("istio.io/dry-run") != "true"]
    denies = [one for one in enforced if one["spec"].get("action") == "DENY"]
    allows = [one for one in enforced if one["spec"].get("action", "ALLOW") == "ALLOW"]
    if any(matches(one, port) for one in denies):
        return False
    return not allows or any(matches(one, port) for one in allows)


def may_call(state: State) -> frozenset[tuple[str, str, str]]:
    return frozenset((space, app, port) for space, app in WORKLOADS for port in PORTS if is_allowed(state, space, app, port))


# Policies that hypothesis makes.

RULES = st.lists(st.lists(st.sampled_from(PORTS), max_size=2, unique=True).map(lambda ports: rule(*ports) if ports else {}), max_size=2)
SPECS = st.fixed_dictionaries(
    {"action": st.sampled_from(["ALLOW", "DENY", "ALLOW", "DENY", "AUDIT"])},
    optional={"selector": st.sampled_from([{"matchLabels": {"app": "x"}}, {"matchLabels": {"app": "y"}}]), "rules": RULES},
)
# Few names, so that most of them are changed and few only come or go.
SLOTS = (("shop", "a"), ("shop", "b"), ("shop", "c"), ("pay", "a"), (ROOT, "a"))


def rule(*ports: str) -> dict[str, Any]:
    return {"to": [{"operation": {"ports": list(ports)}}]}


def policy(name: str, spec: Mapping[str, Any], space: str = "shop", **metadata: Any) -> dict[str, Any]:
    named = {"name": name, "namespace": space, **metadata}
    return {"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": named, "spec": dict(spec)}


@st.composite
def files(draw: st.DrawFn) -> tuple[Manifest, ...]:
    found = []
    for space, name in SLOTS:
        if draw(st.integers(0, 3 if space == "shop" else 1)):
            dry: dict[str, Any] = {"annotations": {"istio.io/dry-run": "true"}} if draw(st.integers(0, 15)) == 15 else {}
            found.append(policy(name, draw(SPECS), space, **dry))
    return tuple(found)


# Runs, as far as the order of steps decides what they do.


def wanting(manifests: tuple[Manifest, ...]) -> Desired:
    return replace(MESH, layered=tuple(Policy(one, ORIGIN) for one in manifests))


def steps(desired: Desired, state: State) -> tuple[ObjectStep, ...]:
    wanted = {key_of(one.manifest) for one in desired.layered or ()}
    policies = {**dict.fromkeys(wanted), **{key: one for key, one in state.items() if key in wanted}}
    left = {key: one for key, one in state.items() if key not in wanted}
    return layered_steps(desired, Facts("1.35.0", policies=policies, layered=PolicyFacts(left=left)), ("istio-system/istiod",))


def states(desired: Desired, state: State, stop: int | None = None) -> Iterator[State]:
    """The state after each step of a run, which is killed after ``stop`` of them."""
    for count, step in enumerate(one for one in steps(desired, state) if one.is_pending):
        if count == stop:
            return
        key = key_of(step.manifest)
        put = {} if step.action is Action.DELETE else {key: step.manifest}
        state = {**{name: one for name, one in state.items() if name != key}, **put}
        yield state


def installed(manifests: tuple[Manifest, ...]) -> State:
    return [{}, *states(wanting(manifests), {})][-1]


def told(state: State) -> State:
    """Without what says nothing, and the order of lists: no run changes either."""
    return {key: {**one, "spec": {name: sorted_deep(value) for name, value in one["spec"].items() if value}} for key, one in state.items()}


def sorted_deep(value: Any) -> Any:
    """The same with every list in one order."""
    if isinstance(value, dict):
        return {name: sorted_deep(one) for name, one in value.items()}
    return sorted(map(sorted_deep, value), key=json.dumps) if isinstance(value, list) else value


@settings(max_examples=200, deadline=None)
@given(files(), files(), st.lists(st.integers(0, 8), max_size=3))
def test_nothing_is_ever_wider_than_both_wherever_runs_are_killed(
    before: tuple[Manifest, ...], after: tuple[Manifest, ...], kills: list[int]
) -> None:
    start, desired = installed(before), wanting(after)
    either = may_call(start) | may_call(installed(after))
    state = start
    for stop in (*kills, None):
        passed = [state, *states(desired, state, stop)]
        assert all(may_call(one) <= either for one in passed)
        state = passed[-1]
    assert told(state) == told(installed(after))
    assert [step.name for step in steps(desired, state) if step.is_pending] == []


@settings(max_examples=50, deadline=None)
@given(files(), files())
def test_each_step_comes_after_the_one_before_it_and_no_two_have_one_name(
    before: tuple[Manifest, ...], after: tuple[Manifest, ...]
) -> None:
    found = steps(wanting(after), installed(before))
    names = [step.name for step in found]
    assert len(set(names)) == len(names)
    pending = [step for step in found if step.is_pending]
    assert all(first.name in second.needs for first, second in pairwise(pending))
    assert all("istio-system/istiod" in step.needs for step in found)


def names(before: Sequence[Manifest], after: Sequence[Manifest]) -> list[str]:
    state = {key_of(one): {**one, "metadata": {**one["metadata"], "labels": policy_labels(MESH)}} for one in deepcopy(before)}
    return [f"{step.action} {step.name}" for step in steps(wanting(tuple(after)), state) if step.is_pending]


DENY_1, DENY_2 = {"action": "DENY", "rules": [rule("1")]}, {"action": "DENY", "rules": [rule("2")]}
ALLOW_1, ALLOW_2 = {"rules": [rule("1")]}, {"rules": [rule("2")]}


def test_denials_come_first_and_go_last_and_an_allow_comes_before_another_goes() -> None:
    before, after = [policy("z-deny", DENY_1), policy("y-allow", ALLOW_1)], [policy("z-new", DENY_2), policy("z-allow", ALLOW_2)]
    assert names(before, after) == [
        "apply AuthorizationPolicy/shop/z-new",
        "apply AuthorizationPolicy/shop/z-allow",
        "delete AuthorizationPolicy/shop/y-allow",
        "delete AuthorizationPolicy/shop/z-deny",
    ]


def test_a_denial_that_changes_alone_changes_in_place() -> None:
    assert names([policy("a", DENY_1)], [policy("a", DENY_2)]) == ["apply AuthorizationPolicy/shop/a"]


def test_a_denial_that_only_drops_rules_does_so_last_and_one_that_only_adds_does_so_first() -> None:
    both = {"action": "DENY", "rules": [rule("1"), rule("2")]}
    beside = ["apply AuthorizationPolicy/shop/b", "apply AuthorizationPolicy/shop/a"]
    assert names([policy("a", both)], [policy("a", DENY_1), policy("b", ALLOW_1)]) == beside
    assert names([policy("a", DENY_1)], [policy("a", both), policy("b", ALLOW_1)]) == beside[::-1]


def test_what_a_killed_run_left_for_a_change_is_used_again() -> None:
    helper = policy("a-meshinstall-meanwhile", DENY_2)
    again = names([policy("a", DENY_1), helper], [policy("a", DENY_2), policy("b", ALLOW_1)])
    assert again == names([policy("a", DENY_1)], [policy("a", DENY_2), policy("b", ALLOW_1)])
    newer = {**helper, "apiVersion": "security.istio.io/v1beta1"}
    assert names([policy("a", DENY_1), newer], [policy("a", DENY_2), policy("b", ALLOW_1)]) == again


def test_a_policy_that_turns_from_allowing_to_denying_denies_before_and_allows_until_others_do() -> None:
    helper = "AuthorizationPolicy/shop/a-meshinstall-meanwhile"
    assert names([policy("a", ALLOW_1)], [policy("a", DENY_2), policy("b", ALLOW_2)]) == [
        f"apply {helper}",
        "apply AuthorizationPolicy/shop/b",
        "apply AuthorizationPolicy/shop/a",
        f"delete {helper} (removed)",
    ]


def test_a_policy_that_turns_from_denying_to_allowing_denies_until_the_end() -> None:
    helper = "AuthorizationPolicy/shop/a-meshinstall-meanwhile"
    assert names([policy("a", DENY_1), policy("b", ALLOW_2)], [policy("a", ALLOW_2)]) == [
        f"apply {helper}",
        "delete AuthorizationPolicy/shop/b",
        "apply AuthorizationPolicy/shop/a",
        f"delete {helper} (removed)",
    ]


def test_a_denial_that_gives_and_takes_beside_another_change_is_there_twice_meanwhile() -> None:
    helper = "AuthorizationPolicy/shop/a-meshinstall-meanwhile"
    assert names([policy("a", DENY_1)], [policy("a", DENY_2), policy("b", ALLOW_1)]) == [
        f"apply {helper}",
        "apply AuthorizationPolicy/shop/b",
        "apply AuthorizationPolicy/shop/a",
        f"delete {helper} (removed)",
    ]


def test_what_changes_in_another_namespace_is_none_of_it_but_the_root_is() -> None:
    before, after = [policy("a", DENY_1)], [policy("a", DENY_2)]
    assert len(names(before, [*after, policy("b", ALLOW_1, "pay")])) == 2
    assert len(names(before, [*after, policy("b", ALLOW_1, ROOT)])) == 4


def test_objects_of_very_long_names_never_share_a_helper() -> None:
    first, second = ("a" * 240 + end for end in "xy")
    found = names([policy(first, DENY_1), policy(second, DENY_1)], [policy(first, DENY_2), policy(second, DENY_2)])
    assert len(set(found)) == len(found) == 6


def other(kind: str, name: str, group: str = "networking.istio.io/v1") -> dict[str, Any]:
    return {"apiVersion": group, "kind": kind, "metadata": {"name": name, "namespace": "shop"}, "spec": {"hosts": [name]}}


def peers(name: str, mode: str) -> dict[str, Any]:
    return {
        **other("PeerAuthentication", name, "security.istio.io/v1"),
        "spec": {"selector": {"matchLabels": {"app": "x"}}, "mtls": {"mode": mode}},
    }


def test_routes_come_after_what_they_lead_to_and_go_before_it() -> None:
    made = [other("VirtualService", "a"), other("Gateway", "b"), other("DestinationRule", "c")]
    order = ["DestinationRule/shop/c", "Gateway/shop/b", "VirtualService/shop/a"]
    assert names([], made) == [f"apply {name}" for name in order]
    assert names(made, []) == [f"delete {name}" for name in reversed(order)]


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        ([], [peers("p", "STRICT"), policy("a", ALLOW_1)], ["apply PeerAuthentication/shop/p", "apply AuthorizationPolicy/shop/a"]),
        ([], [peers("p", "PERMISSIVE"), policy("a", ALLOW_1)], ["apply AuthorizationPolicy/shop/a", "apply PeerAuthentication/shop/p"]),
        ([peers("p", "STRICT"), policy("a", ALLOW_1)], [], ["delete AuthorizationPolicy/shop/a", "delete PeerAuthentication/shop/p"]),
        ([peers("p", "DISABLE"), policy("a", ALLOW_1)], [], ["delete PeerAuthentication/shop/p", "delete AuthorizationPolicy/shop/a"]),
    ],
)
def test_strict_comes_first_and_goes_last(before: list[Manifest], after: list[Manifest], wanted: list[str]) -> None:
    assert names(before, after) == wanted


def test_the_helper_carries_our_labels_and_is_deleted_by_a_run_that_no_longer_needs_it() -> None:
    left = policy("a-meshinstall-meanwhile", DENY_2, labels=policy_labels(MESH))
    assert left["metadata"]["labels"][POLICY] == "layers"
    assert names([policy("a", DENY_2), left], [policy("a", DENY_2)]) == ["delete AuthorizationPolicy/shop/a-meshinstall-meanwhile"]
