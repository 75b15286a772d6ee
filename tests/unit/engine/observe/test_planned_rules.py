"""DestinationRules of a plan, held against a mesh in memory."""

from dataclasses import replace
from typing import Any

import pytest

from meshinstall.engine.observe.planned_rules import planned_rule_findings
from meshinstall.model.desired import Policy
from meshinstall.model.plan import Action, ObjectStep
from meshinstall.model.values import LayerKind, Origin
from tests.cases import plans
from tests.fake_kube import forbidden
from tests.unit.engine.mesh.survey_world import Mesh

pytestmark = pytest.mark.anyio

SUBSETS = [{"name": "v1", "labels": {"app": "web"}}, {"name": "v2", "labels": {"version": "v2"}}]


def rule(mode: str, host: str = "web", **spec: Any) -> dict[str, Any]:
    found = {"host": host, "trafficPolicy": {"tls": {"mode": mode}}, **spec}
    metadata = {"name": "new", "namespace": "shop"}
    return {"apiVersion": "networking.istio.io/v1", "kind": "DestinationRule", "metadata": metadata, "spec": found}


async def found(mesh: Mesh, manifest: dict[str, Any], *more: dict[str, Any], action: Action = Action.APPLY) -> list[tuple[str, str, str]]:
    """Code, origin and detail."""
    where = Origin(LayerKind.PROJECT, "policies/base/web.yaml", 1)
    desired = replace(plans.load("fresh").desired, layered=tuple(Policy(one, where) for one in (manifest, *more)))
    step = ObjectStep(name="DestinationRule/shop/new", action=action, manifest=manifest)
    told = await planned_rule_findings([step], desired, mesh.session())
    return [(one.code, one.origin, one.detail or one.title) for one in told]


async def test_a_rule_that_turns_tls_off_is_told_before_it_is_there() -> None:
    (one,) = await found(Mesh(), rule("DISABLE"))
    assert one[:2] == ("PRE054", "policies/base/web.yaml:1")
    assert one[2].startswith("tls.mode DISABLE: clients send plaintext to port 80 of Service shop/web, from namespace")
    assert await found(Mesh(), rule("ISTIO_MUTUAL")) == []


async def test_subsets_are_held_against_the_pods() -> None:
    title = "DestinationRule shop/new has subsets that no pod of Service shop/web is in: v2"
    assert await found(Mesh(), rule("ISTIO_MUTUAL", subsets=SUBSETS)) == [("PRE055", "policies/base/web.yaml:1", title)]


async def test_hosts_are_held_against_service_entries_of_the_mesh_and_of_the_files() -> None:
    title = "DestinationRule shop/new is for api.example.com, which is neither a Service nor a host of a ServiceEntry"
    assert await found(Mesh(), rule("SIMPLE", "api.example.com")) == [("PRE055", "policies/base/web.yaml:1", title)]
    metadata = {"name": "api", "namespace": "shop"}
    entry = {"apiVersion": "networking.istio.io/v1", "kind": "ServiceEntry", "metadata": metadata, "spec": {"hosts": ["api.example.com"]}}
    assert await found(Mesh(), rule("SIMPLE", "api.example.com"), entry) == []
    mesh = Mesh()
    mesh.kube.put(entry)
    assert await found(mesh, rule("SIMPLE", "api.example.com")) == []


async def test_a_rule_that_goes_and_uncovers_an_older_one_of_plaintext_is_told() -> None:
    mesh = Mesh()
    new, old = rule("ISTIO_MUTUAL"), rule("DISABLE")
    mesh.kube.put({**new, "metadata": {**new["metadata"], "creationTimestamp": "2026-01-01T00:00:00Z"}})
    assert await found(mesh, new, action=Action.DELETE) == []
    mesh.kube.put({**old, "metadata": {"name": "old", "namespace": "shop", "creationTimestamp": "2026-02-01T00:00:00Z"}})
    (one,) = await found(mesh, new, action=Action.DELETE)
    assert one[0] == "PRE054"
    assert one[2].startswith("tls.mode DISABLE: clients send plaintext to port 80 of Service shop/web")


async def test_what_may_not_be_read_is_told() -> None:
    mesh = Mesh()
    mesh.kube.refusals["LIST /api/v1/services"] = forbidden("services")
    assert ("PRE054", "", "some Service objects could not be read") in await found(mesh, rule("DISABLE"))
