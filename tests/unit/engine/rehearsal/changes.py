"""A mesh in memory whose istiod release has one object more, and the plan that changes it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import yaml

from meshinstall.engine.planning import make_plan
from meshinstall.model.diff import Concern
from meshinstall.model.release import Manifest
from meshinstall.model.values import Layer, LayerKind
from tests.cases import plans
from tests.unit.engine import stages
from tests.unit.engine.installed import ISTIOD, world

DESIRED = plans.load("fresh").desired


async def meant(before: Manifest, after: Manifest) -> list[tuple[Concern, str]]:
    """What a plan means that makes ``after`` of an object."""
    there = world()
    others = there.helm.brings[ISTIOD]
    there.helm.brings[ISTIOD] = (*others, before)
    await stages.up(there, DESIRED, [])
    there.helm.renders[ISTIOD] = lambda _: (*others, after)
    layer = Layer(LayerKind.ENVIRONMENT, "team.yaml", {"global": {"other": True}}, {("global", "other"): (3, 5)})
    releases = [
        replace(one, values=replace(one.values, layers=(*one.values.layers, layer))) if one.key == ISTIOD else one
        for one in DESIRED.releases
    ]
    plan = await make_plan(replace(DESIRED, releases=tuple(releases)), there.session())
    assert plan.diff or before == after
    return [(one.concern, one.text) for one in plan.summary]


def mesh(**fields: Any) -> dict[str, Any]:
    """The mesh configuration."""
    return config_map("istio", {"mesh": yaml.safe_dump({"accessLogFile": "/dev/stdout", **fields})})


def config_map(name: str, data: Mapping[str, str]) -> dict[str, Any]:
    """A ConfigMap of istiod's."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "istio-system"}, "data": dict(data)}


def service(notes: Mapping[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    """A Service with a load balancer."""
    metadata = {"name": "east", "namespace": "istio-system", "annotations": {"a": "1", **(notes or {})}}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"type": "LoadBalancer", **spec}}
