"""Where a field comes from when a chart's version and values change together: nothing is said where that is not known."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from meshinstall.engine.planning import make_plan
from meshinstall.errors import HelmError
from meshinstall.model.release import Manifest
from meshinstall.model.values import Layer, LayerKind
from tests.cases import plans
from tests.unit.engine import stages
from tests.unit.engine.installed import PUBLIC, gateway, world

pytestmark = pytest.mark.anyio

DESIRED = plans.load("fresh").desired
CHART = "chart gateway 1.30.0 → 1.31.0"


def rendered(chart: str) -> Any:
    """A chart that writes its own name and every value into a ConfigMap."""

    def render(values: Mapping[str, Any]) -> tuple[Manifest, ...]:
        data = {"chart": chart, **{name: str(value) for name, value in values.items()}}
        metadata = {"name": "notes", "namespace": "istio-ingress"}
        return (gateway("public"), {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data})

    return render


async def origins(before: Mapping[str, Any], after: Mapping[str, Any], new: Any = None, *, upgraded: bool = True) -> dict[str, str]:
    """The origin of each field of the ConfigMap, when the chart's version changes too."""
    there = world()
    there.helm.renders[PUBLIC] = rendered("old")
    there.helm.brings[PUBLIC] = rendered("old")(before)
    await stages.up(there, having(before), [])
    if upgraded:
        there.releases.records[PUBLIC] = replace(there.releases.records[PUBLIC], version="1.30.0", app_version="1.30.0")
    there.helm.renders[PUBLIC] = new or rendered("new")
    plan = await make_plan(having(after), there.session())
    found = next(one for one in plan.diff if one.key.kind == "ConfigMap")
    return {one.path: one.origin for one in found.fields}


def having(values: Mapping[str, Any]) -> Any:
    layer = Layer(LayerKind.ENVIRONMENT, "team.yaml", dict(values), {(name,): (7, 1) for name in values})
    releases = [
        replace(one, values=replace(one.values, layers=(*one.values.layers, layer))) if one.key == PUBLIC else one
        for one in DESIRED.releases
    ]
    return replace(DESIRED, releases=tuple(releases))


async def test_a_value_that_is_no_longer_set_is_not_the_charts_doing() -> None:
    assert await origins({"a": 1}, {}) == {"data.chart": CHART, "data.a": ""}


async def test_a_value_beyond_those_that_are_tried_is_not_the_charts_doing() -> None:
    after = {f"value{number:02}": number for number in range(1, 14)}
    found = await origins({}, after)
    assert found.pop("data.chart") == CHART
    assert sum(origin == "" for origin in found.values()) == 1
    assert sum("team.yaml:7" in origin for origin in found.values()) == 12


async def test_without_changed_values_the_chart_alone_does_it() -> None:
    assert await origins({"a": 1}, {"a": 1}) == {"data.chart": CHART}


async def test_where_the_new_chart_does_not_take_the_old_values_nothing_is_told() -> None:
    def render(values: Mapping[str, Any]) -> tuple[Manifest, ...]:
        if "a" in values:
            raise HelmError("a is not a value")
        return tuple(rendered("new")(values))

    assert await origins({"a": 1}, {}, render) == {"data.chart": "", "data.a": ""}


async def test_a_value_that_is_no_longer_set_is_no_edit() -> None:
    assert await origins({"a": 1}, {}, rendered("old"), upgraded=False) == {"data.a": ""}
