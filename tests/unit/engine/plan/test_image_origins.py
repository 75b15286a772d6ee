"""Where what decides the images of a release was written."""

from dataclasses import replace

from meshinstall.engine.plan.image_origins import image_origins
from meshinstall.model.desired import Release
from meshinstall.model.plan import ReleaseStep
from meshinstall.model.release import ChartRef, Component, ReleaseKey
from meshinstall.model.stack import ValuesStack
from meshinstall.model.values import KeyPath, Layer, LayerKind, Values
from tests.cases import plans

CHART = ChartRef("x", "1.31.0", "oci://charts")


def release(component: Component, values: Values) -> Release:
    positions: dict[KeyPath, tuple[int, int]] = {("global", "hub"): (4, 3), ("pilot", "tag"): (7, 3)}
    stack = ValuesStack((Layer(LayerKind.PROJECT, "meshinstall.yaml", values, positions),))
    return Release(ReleaseKey("istio-system", component.value), component, CHART, stack)


def test_values_that_decide_an_image_are_told_with_their_lines_and_a_gateways_are_those_of_the_injector() -> None:
    istiod = release(Component.ISTIOD, {"global": {"hub": "r.example", "logAsJson": True, "tag": None}, "pilot": {"tag": "x"}})
    gateway, cni = release(Component.GATEWAY, {"replicaCount": 2}), release(Component.CNI, {"image": ""})
    found = image_origins((istiod, gateway, cni))
    assert found[istiod.key] == ("global.hub (meshinstall.yaml:4)", "pilot.tag (meshinstall.yaml:7)")
    assert found[gateway.key] == ("global.hub (meshinstall.yaml:4)",)
    assert found[cni.key] == ()


def test_the_digest_of_a_plan_does_not_change_with_where_an_image_was_written() -> None:
    plan = plans.load("fresh").plan()
    told = replace(plan, steps=tuple(replace(step, images=("x",)) if isinstance(step, ReleaseStep) else step for step in plan.steps))
    assert told.digest == plan.digest
    assert told != plan
