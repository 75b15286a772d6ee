"""What of a plan its digest covers, and which values count as changed."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from meshinstall.engine.plan.planner import value_changes
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.plan import Action, Change, ObjectStep, Plan, ReleaseStep, Target
from meshinstall.model.stack import ValuesStack
from meshinstall.model.values import Layer, LayerKind
from tests.cases import plans

some_values = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.sampled_from(["", "a", "b"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
some_maps = st.dictionaries(st.sampled_from("abc"), some_values, max_size=3)


def stack(*layers: dict[str, Any]) -> ValuesStack:
    return ValuesStack(tuple(Layer(LayerKind.FILE, f"{index}.yaml", values) for index, values in enumerate(layers)))


def digest(differs: dict[str, Any]) -> str:
    return plans.make(differs).plan().digest


def test_the_digest_is_that_of_the_same_facts() -> None:
    assert digest({}) == digest({})
    assert digest({}).startswith("sha256:")


@pytest.mark.parametrize(
    "differs",
    [
        {"desired": {"profile": "production"}},
        {"desired": {"releases": {"istio-ingress/public": None}}},
        {"desired": {"namespaces": {"istio-ingress": {"more": "labels"}}}},
        {"facts": {"charts": {"istiod": "1.31.0 f"}}},
        {"facts": {"releases": {"istio-system/istiod": {"revision": 4}}}},
        {"facts": {"releases": {"istio-system/istiod": {"status": "pending-upgrade"}}}},
        {"facts": {"releases": {"istio-system/istiod": {"values": {"pilot": {"autoscaleMin": 9}}}}}},
    ],
)
def test_the_digest_changes_with_what_would_be_done(differs: dict[str, Any]) -> None:
    assert digest(differs) != digest({})


HERE = Target("eks", "prod", {"region": "eu-west-1"}, "https://one.example", "0b1c")


@pytest.mark.parametrize(
    "other",
    [
        None,
        replace(HERE, cloud="aks"),
        replace(HERE, cluster="dev"),
        replace(HERE, place={"region": "us-east-1"}),
        replace(HERE, server="https://two.example"),
        replace(HERE, uid="another"),
    ],
)
def test_the_digest_is_that_of_one_cluster(other: Target | None) -> None:
    plan = plans.load("fresh").plan()
    assert replace(plan, target=HERE).digest != replace(plan, target=other).digest


def test_the_digest_leaves_out_wording_and_findings() -> None:
    plan = plans.load("live-edited").plan()
    reworded = tuple(replace(step, reasons=("for another reason",)) for step in plan.steps)
    assert replace(plan, steps=reworded, findings=(Finding("X", Severity.INFO, "news"),)).digest == plan.digest


def test_steps_stand_in_an_order_that_can_be_run() -> None:
    plan = plans.load("fresh").plan()
    assert all(seen(plan, step.needs) < position for position, step in enumerate(plan.steps))


def seen(plan: Plan, names: tuple[str, ...]) -> int:
    return max((position for position, step in enumerate(plan.steps) if step.name in names), default=-1)


def test_the_step_carries_what_helm_is_sent() -> None:
    step = next(step for step in plans.load("value-changed").plan().steps if step.name == "istio-system/istiod")
    assert isinstance(step, ReleaseStep)
    assert step.values == {"pilot": {"autoscaleMin": 3, "traceSampling": 0.5}}
    assert step.revision == 3


def test_a_pending_release_is_repaired() -> None:
    steps = plans.load("release-pending").plan().steps
    assert [step.name for step in steps if isinstance(step, ReleaseStep) and step.repair] == ["istio-ingress/public"]


@pytest.mark.parametrize(("installed", "changes"), [("1.31.0+0123456789ab", False), ("1.31.0+solo", True), ("1.30.9+0123456789ab", True)])
def test_the_digest_that_flux_appends_is_no_other_version(installed: str, changes: bool) -> None:  # noqa: FBT001 - a column
    plan = plans.make({"facts": {"releases": {"istio-system/istiod": {"version": installed}}}}).plan()
    assert [step.name for step in plan.pending] == (["istio-system/istiod"] if changes else [])
    assert "PRE006" not in {finding.code for finding in plan.findings if not changes}


@given(some_maps)
def test_values_that_were_sent_before_are_no_change(values: dict[str, Any]) -> None:
    assert value_changes(values, stack(values)) == ()


@given(some_maps, st.sampled_from("abc"), st.integers(10, 19))
def test_each_new_value_is_a_change_with_its_layer(before: dict[str, Any], key: str, value: int) -> None:
    assume(not isinstance(before.get(key), dict))
    changes = value_changes(before, stack(before, {key: value}))
    assert (key, value, "1.yaml") in [(change.path, change.after, change.origin) for change in changes]


def test_a_new_null_is_a_change() -> None:
    assert value_changes({}, stack({"pilot": {"env": None}})) == (Change("pilot.env", None, None, "0.yaml"),)


def test_a_value_that_no_layer_sets_any_more_is_a_change_without_origin() -> None:
    assert value_changes({"pilot": {"env": 1}}, stack({})) == (Change("pilot.env", 1, None),)


def test_a_value_in_place_of_an_empty_map_is_a_change() -> None:
    assert value_changes({"pilot": {}}, stack({"pilot": 1})) == (Change("pilot", {}, 1, "0.yaml"),)


@pytest.mark.parametrize(("mode", "action"), [("STRICT", Action.KEEP), ("PERMISSIVE", Action.APPLY)])
def test_a_policy_that_somebody_else_made_is_never_labelled_as_ours(mode: str, action: Action) -> None:
    plan = plans.make({"facts": {"policies": {"strict": {"metadata": {"labels": None}, "spec": {"mtls": {"mode": mode}}}}}}).plan()
    [step] = [step for step in plan.steps if isinstance(step, ObjectStep) and step.manifest["kind"] == "PeerAuthentication"]
    assert step.action == action
    assert step.manifest["metadata"].get("labels") is None


def test_each_value_is_compared_with_the_last_revision_whatever_came_before_it() -> None:
    before = {"a": 1, "meshConfig": {"outboundTrafficPolicy": {"mode": "REGISTRY_ONLY"}}, "z": 1}
    after = ValuesStack((Layer(LayerKind.ENVIRONMENT, "dev.yaml", {"a": 2, "b": 3}),))
    changes = {one.path: (one.before, one.after) for one in value_changes(before, after)}
    assert changes == {
        "a": (1, 2),
        "b": (None, 3),
        "meshConfig.outboundTrafficPolicy.mode": ("REGISTRY_ONLY", None),
        "z": (1, None),
    }
