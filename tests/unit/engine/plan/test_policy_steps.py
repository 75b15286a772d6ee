"""Security objects that meshinstall keeps are compared exactly, both ways."""

from typing import Any

import pytest

from meshinstall.engine.objects.field_paths import dotted
from meshinstall.engine.plan.compare import exact
from meshinstall.model.plan import Action, Change, ObjectStep
from tests.cases import plans

STRICT: dict[str, Any] = {"mtls": {"mode": "STRICT"}}
WHEN = "2026-11-21T12:00:00Z"


def step(**policy: Any) -> ObjectStep:
    """What is planned for the mesh-wide policy when it differs so from what meshinstall wrote."""
    planned = plans.make({"facts": {"policies": {"strict": policy}}}).plan()
    [found] = [step for step in planned.steps if isinstance(step, ObjectStep) and step.manifest["kind"] == "PeerAuthentication"]
    return found


def by(manager: str, fields: dict[str, Any]) -> dict[str, Any]:
    return {"managedFields": [{"manager": manager, "operation": "Update", "time": WHEN, "fieldsV1": {"f:spec": fields}}]}


def test_a_selector_that_somebody_added_voids_the_policy_and_goes() -> None:
    selector = {"matchLabels": {"app": "nothing"}}
    owned: dict[str, Any] = {"f:selector": {"f:matchLabels": {"f:app": {}}}}
    found = step(spec={"selector": selector}, metadata={"resourceVersion": "7", **by("kubectl-patch", owned)})
    assert found.action is Action.APPLY
    assert found.reasons == (f"was edited by kubectl-patch (Update, {WHEN}): spec.selector",)
    assert found.changes == (Change("spec.selector", selector, None),)
    assert found.patch == {"metadata": {"resourceVersion": "7"}, "spec": {"selector": None}}


def test_ports_that_somebody_opened_go_with_what_else_was_changed() -> None:
    ports = {"8080": {"mode": "DISABLE"}}
    found = step(spec={"portLevelMtls": ports, "mtls": {"mode": "PERMISSIVE"}}, metadata={"resourceVersion": "7"})
    assert found.reasons == ("differs in spec.mtls.mode, spec.portLevelMtls",)
    assert found.patch["spec"] == {"portLevelMtls": None, "mtls": {"mode": "STRICT"}}


@pytest.mark.parametrize(("kind", "name", "value"), [("labels", "istio.io/rev", "other"), ("annotations", "istio.io/dry-run", "true")])
def test_a_label_by_which_istiod_ignores_the_policy_goes(kind: str, name: str, value: str) -> None:
    found = step(metadata={"resourceVersion": "7", kind: {name: value}})
    assert found.reasons == (f"differs in metadata.{kind}.{name}",)
    assert found.patch == {"metadata": {"resourceVersion": "7", kind: {name: None}}}


def test_other_labels_and_annotations_are_their_owners() -> None:
    assert step(metadata={"labels": {"team": "a"}, "annotations": {"note": "b"}}).action is Action.KEEP


def test_what_applying_puts_back_needs_no_patch() -> None:
    assert step(spec={"mtls": {"mode": "PERMISSIVE"}}).patch == {}


def test_the_digest_covers_what_is_taken_away_and_is_the_old_one_without() -> None:
    selector = {"matchLabels": {"app": "nothing"}}
    first, second = (
        plans.make({"facts": {"policies": {"strict": {"spec": {"selector": selector}, "metadata": {"resourceVersion": at}}}}})
        for at in "78"
    )
    assert first.plan().digest != second.plan().digest
    assert plans.make({}).plan().digest == "sha256:3ab7f93b6ab43cf72ef71e0d59404b450887ffde43e0e79e01d1dc2fa294627f"


RULE = {"from": [{"source": {"principals": ["a", "b"]}}], "to": [{"operation": {"methods": ["GET"]}}]}
SWAPPED = {**RULE, "from": [{"source": {"principals": ["b", "a"]}}]}
OTHER = {"from": [{"source": {"principals": ["c", "d"]}}]}
REVERSED = {"from": [{"source": {"principals": ["d", "c"]}}]}


@pytest.mark.parametrize(
    ("wanted", "live"),
    [
        pytest.param({"rules": [RULE]}, {"rules": [SWAPPED]}, id="principals are a set"),
        pytest.param({"rules": [RULE, OTHER]}, {"rules": [REVERSED, SWAPPED]}, id="nor has a set in one of several rules an order"),
        pytest.param({"rules": [RULE, {}]}, {"rules": [{}, RULE]}, id="one rule that allows is enough"),
        pytest.param(STRICT, {**STRICT, "selector": {"matchLabels": {}}}, id="a selector without labels selects all"),
        pytest.param(STRICT, {**STRICT, "portLevelMtls": None}, id="null is nothing"),
        pytest.param({"rules": []}, {}, id="no rule is no rule"),
    ],
)
def test_what_says_the_same_is_no_difference(wanted: Any, live: Any) -> None:
    assert list(exact(wanted, live)) == []


@pytest.mark.parametrize(
    ("wanted", "live", "paths"),
    [
        pytest.param({"rules": []}, {"rules": [{}]}, ["rules"], id="a rule that allows everything"),
        pytest.param({"rules": [RULE]}, {"rules": [RULE, {}]}, ["rules"], id="one rule more"),
        pytest.param({"rules": [RULE]}, {"rules": [{**RULE, "when": [{"key": "x"}]}]}, ["rules[0].when"], id="a condition"),
        pytest.param({"rules": [{}, RULE]}, {"rules": [{**RULE, "to": []}, {}]}, ["rules[0].to"], id="methods that were taken away"),
        pytest.param(
            {"rules": [RULE]},
            {"rules": [{**RULE, "from": [{"source": {"principals": ["a", "*"]}}]}]},
            ["rules[0].from[0].source.principals"],
            id="a principal",
        ),
        pytest.param({"action": "DENY"}, {}, ["action"], id="the action"),
        pytest.param({}, {"action": "ALLOW"}, ["action"], id="an action that was set"),
        pytest.param(STRICT, {}, ["mtls.mode"], id="all of it"),
        pytest.param({"a": True}, {"a": 1}, ["a"], id="1 is not true"),
    ],
)
def test_what_says_something_else_is_named_by_its_path(wanted: Any, live: Any, paths: list[str]) -> None:
    assert [dotted(one.path) for one in exact(wanted, live)] == paths
