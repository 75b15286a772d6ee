"""A plan says of every object what changes in it, where that comes from, and what it means."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from meshinstall.engine.planning import make_plan
from meshinstall.model.diff import Concern, FieldChange, ObjectChange, Verb
from meshinstall.model.plan import Plan
from meshinstall.model.release import Manifest
from meshinstall.model.values import Layer, LayerKind
from tests.cases import plans
from tests.fakes import World
from tests.unit.engine import stages
from tests.unit.engine.installed import ISTIOD, POLICY_PATH, PUBLIC, gateway, world

pytestmark = pytest.mark.anyio

DESIRED = plans.load("fresh").desired
ORIGIN = "team.yaml:7:1"


def service(values: Mapping[str, Any]) -> tuple[Manifest, ...]:
    """The objects of the gateway public: its Deployment, a Service by value, and a ConfigMap unless a value says otherwise."""
    made = gateway("public")
    made["spec"] = {**made["spec"], "template": {"image": values.get("image", "a")}}
    told = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "public", "namespace": "istio-ingress"}}
    told["spec"] = {"type": values.get("type", "LoadBalancer")}
    notes = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "notes", "namespace": "istio-ingress"}, "data": {"a": "1"}}
    return (made, told, *(() if values.get("bare") else (notes,)))


async def installed() -> World:
    there = world()
    there.helm.renders[PUBLIC] = service
    there.helm.brings[PUBLIC] = service({})
    await stages.up(there, DESIRED, [])
    return there


def having(**values: Any) -> Any:
    """The mesh with values of a file for the gateway public."""
    layer = Layer(LayerKind.ENVIRONMENT, "team.yaml", values, {(name,): (7, 1) for name in values})
    releases = [
        replace(one, values=replace(one.values, layers=(*one.values.layers, layer))) if one.key == PUBLIC else one
        for one in DESIRED.releases
    ]
    return replace(DESIRED, releases=tuple(releases))


async def planned(there: World, desired: Any = DESIRED) -> Plan:
    return await make_plan(desired, there.session())


def by_name(plan: Plan) -> dict[str, ObjectChange]:
    return {str(one.key): one for one in plan.diff}


def meanings(plan: Plan) -> dict[Concern, str]:
    return {one.concern: one.text for one in plan.summary}


async def test_nothing_to_do_has_no_diff() -> None:
    plan = await planned(await installed())
    assert plan.is_empty
    assert (plan.diff, plan.summary) == ((), ())


async def test_a_field_names_the_value_without_which_it_would_not_change() -> None:
    plan = await planned(await installed(), having(type="ClusterIP", image="b"))
    found = by_name(plan)
    origin = {change.path: change.origin for step in plan.pending for change in step.changes}
    assert found["Service istio-ingress/public"].fields == (FieldChange("spec.type", "LoadBalancer", "ClusterIP", origin["type"]),)
    assert found["Deployment istio-ingress/public"].fields == (FieldChange("spec.template.image", "a", "b", origin["image"]),)
    assert set(found) == {"Service istio-ingress/public", "Deployment istio-ingress/public"}
    assert origin["type"].startswith("team.yaml:7")
    assert meanings(plan) == {
        Concern.RESTART: "Deployment istio-ingress/public restarts: its pods",
        Concern.ADDRESS: "Service istio-ingress/public loses its external address (now 192.0.2.7): spec.type LoadBalancer → ClusterIP",
    }


async def test_what_is_no_longer_rendered_is_deleted() -> None:
    plan = await planned(await installed(), having(bare=True))
    assert [(str(one.key), one.verb) for one in plan.diff] == [("ConfigMap istio-ingress/notes", Verb.DELETE)]
    assert meanings(plan) == {Concern.DELETION: "1 object is deleted: ConfigMap istio-ingress/notes"}


async def test_an_edit_that_goes_back_says_so() -> None:
    there = await installed()
    there.kube.objects["/api/v1/namespaces/istio-ingress/services/public"]["spec"]["type"] = "NodePort"
    (found,) = (await planned(there)).diff
    assert found.fields == (FieldChange("spec.type", "NodePort", "LoadBalancer", "edited in the cluster"),)


async def test_of_a_release_that_is_new_the_objects_are_named_and_the_policy_is_told() -> None:
    there = world()
    there.helm.renders[PUBLIC] = service
    plan = await planned(there)
    found = by_name(plan)
    assert found["Service istio-ingress/public"] == ObjectChange(found["Service istio-ingress/public"].key, PUBLIC, Verb.CREATE)
    (mode,) = found["PeerAuthentication istio-system/default"].fields
    assert (mode.path, mode.before, mode.after) == ("spec.mtls.mode", None, "STRICT")
    assert meanings(plan)[Concern.STRONGER] == "mTLS by PeerAuthentication istio-system/default: nothing said → STRICT"
    assert meanings(plan)[Concern.CRD] == "1 CRD is new: gateways.networking.istio.io"


async def test_a_policy_that_somebody_weakened_becomes_stronger_again() -> None:
    there = await installed()
    there.kube.objects[POLICY_PATH]["spec"] = {"mtls": {"mode": "PERMISSIVE"}}
    plan = await planned(there)
    assert meanings(plan) == {Concern.STRONGER: "mTLS by PeerAuthentication istio-system/default: PERMISSIVE → STRICT"}


async def test_what_the_mesh_configuration_changes_is_told_in_words() -> None:
    there = world()

    def rendered(values: Mapping[str, Any]) -> tuple[Manifest, ...]:
        domain = (values.get("meshConfig") or {}).get("trustDomain", "old")
        metadata = {"name": "istio", "namespace": "istio-system"}
        return ({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"mesh": f"trustDomain: {domain}\nx: 1\n"}},)

    there.helm.renders[ISTIOD] = rendered
    there.helm.brings[ISTIOD] = (*there.helm.brings[ISTIOD], *rendered({}))
    await stages.up(there, DESIRED, [])
    layer = Layer(LayerKind.ENVIRONMENT, "team.yaml", {"meshConfig": {"trustDomain": "new"}}, {("meshConfig", "trustDomain"): (3, 5)})
    releases = [
        replace(one, values=replace(one.values, layers=(*one.values.layers, layer))) if one.key == ISTIOD else one
        for one in DESIRED.releases
    ]
    there.helm.renders[ISTIOD] = lambda values: (*there.helm.brings[ISTIOD][:-1], *rendered(values))
    plan = await planned(there, replace(DESIRED, releases=tuple(releases)))
    assert any(one.concern is Concern.ACCESS and "old → new" in one.text for one in plan.summary)


@pytest.mark.parametrize(("kind", "name", "value"), [("labels", "istio.io/rev", "other"), ("annotations", "istio.io/dry-run", "true")])
async def test_a_label_that_voids_a_policy_is_shown_as_it_goes(kind: str, name: str, value: str) -> None:
    there = await installed()
    metadata = there.kube.objects[POLICY_PATH]["metadata"]
    metadata[kind] = {**metadata.get(kind, {}), name: value}
    (change,) = (await planned(there)).diff
    assert change.verb is Verb.CHANGE
    assert [(one.path, one.before, one.after) for one in change.fields] == [(f"metadata.{kind}.{name}", value, None)]
