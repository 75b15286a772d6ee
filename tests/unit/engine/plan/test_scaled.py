"""What is scaled to nothing goes back to the autoscaler's minimum, or to what the values ask for, without helm."""

from copy import deepcopy
from typing import Any

import pytest

from meshinstall.engine.plan.drift import drift
from meshinstall.model.facts import Facts, ObjectKey
from meshinstall.model.plan import Action, ReleaseStep, Undo
from tests.cases import plans
from tests.unit.engine.installed import ISTIOD

KEY = ObjectKey("apps/v1", "Deployment", "istio-system", "istiod")


def deployment(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "istiod", "namespace": "istio-system"}, "spec": spec}


def scaler(minimum: int) -> dict[str, Any]:
    spec = {"scaleTargetRef": {"kind": "Deployment", "name": "istiod"}, "minReplicas": minimum}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "istiod", "namespace": "istio-system"},
        "spec": spec,
    }


def undo(*wanted: dict[str, Any], pods: int | None) -> list[Undo]:
    """What is put back of a Deployment that has so many pods."""
    first, *others = wanted
    live = {KEY: {**deepcopy(first), "spec": {} if pods is None else {"replicas": pods}}}
    live |= {KEY._replace(api_version="autoscaling/v2", kind="HorizontalPodAutoscaler"): one for one in others}
    edits = drift(Facts("1.35.0", owned={ISTIOD: wanted}, live=live), ISTIOD)
    assert not any(edit.needs_helm for edit in edits)
    return [one for edit in edits for one in edit.undo(edits=True)]


@pytest.mark.parametrize(
    ("wanted", "pods"),
    [
        ((deployment(), scaler(2)), 2),
        ((deployment(), scaler(1)), 1),
        ((deployment(replicas=3),), 3),
        ((deployment(),), 1),
    ],
)
def test_it_goes_back_to_the_least_that_is_wanted(wanted: tuple[dict[str, Any], ...], pods: int) -> None:
    assert undo(*wanted, pods=0) == [Undo(KEY, ("spec", "replicas"), 0, pods, scales=True)]


@pytest.mark.parametrize(
    ("wanted", "pods"),
    [
        ((deployment(replicas=0),), 0),
        ((deployment(), scaler(0)), 0),
        ((deployment(), scaler(2)), 1),
        ((deployment(), scaler(2)), None),
    ],
)
def test_nothing_goes_back_where_none_are_wanted_or_some_are_there(wanted: tuple[dict[str, Any], ...], pods: int | None) -> None:
    assert undo(*wanted, pods=pods) == []


def test_a_release_that_is_edited_besides_has_both() -> None:
    live = {"deployment": {"spec": {"replicas": 0, "template": {"spec": {"containers": [{"name": "discovery", "image": "other"}]}}}}}
    [step] = [step for step in plans.make({"facts": {"live": live}}).plan().steps if step.name == "istio-system/istiod"]
    assert isinstance(step, ReleaseStep)
    assert step.action is Action.UPGRADE
    assert [one.path for one in step.undo] == [("spec", "replicas")]
    assert [reason.partition(":")[0] for reason in step.reasons] == [
        "Deployment istio-system/istiod was scaled to 0 pods",
        "Deployment istio-system/istiod was edited",
    ]


def test_the_digest_covers_what_is_put_back() -> None:
    assert plans.load("scaled-to-nothing").plan().digest != plans.make({}).plan().digest
