"""Whatever a snapshot holds, wherever its restore is killed: nothing is reachable before its policies, and nothing is lost."""

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from meshinstall.engine.plan.layered_steps import layered_findings, layered_steps
from meshinstall.engine.plan.restored_steps import restored_namespaces
from meshinstall.model.desired import Desired
from meshinstall.model.facts import Facts, key_of, policy_key
from meshinstall.model.ownership import RESTORED
from meshinstall.model.plan import ObjectStep
from meshinstall.model.restoring import KeptObject, Restoration
from meshinstall.model.snapshot_objects import SNAPSHOT_KINDS
from meshinstall.model.values import LayerKind, Origin
from tests.cases import plans

FRESH = plans.load("fresh")
GUARDS = {"AuthorizationPolicy", "RequestAuthentication"}
ROUTES = {"VirtualService", "HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute"}
SPACES = ("shop", "stock", "istio-ingress")

_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.sampled_from(["STRICT", "DENY", "", "x"]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["mode", "rules", "action", "from", "x"]), inner, max_size=2)
    ),
    max_leaves=4,
)
_FIELDS = ["action", "rules", "mtls", "portLevelMtls", "selector", "targetRefs", "servers", "hosts", "gatewayClassName", "http"]
_SPECS = (
    st.none()
    | st.dictionaries(st.sampled_from(_FIELDS), _JSON, max_size=3)
    | st.sampled_from(
        [{"action": "DENY"}, {"action": "ALLOW", "rules": [{}]}, {"mtls": {"mode": "STRICT"}}, {"gatewayClassName": "istio-waypoint"}]
    )
)


@st.composite
def objects(draw: st.DrawFn) -> tuple[KeptObject, ...]:
    """Each with a name of its own in its kind, with any spec."""
    made: dict[Any, KeptObject] = {}
    for _ in range(draw(st.integers(1, 8))):
        group, kind = draw(st.sampled_from(sorted(SNAPSHOT_KINDS)))
        metadata = {"name": draw(st.sampled_from("ab")), "namespace": draw(st.sampled_from(SPACES))}
        version = draw(st.sampled_from(SNAPSHOT_KINDS[group, kind].versions))
        spec = draw(_SPECS)
        manifest = {"apiVersion": f"{group}/{version}", "kind": kind, "metadata": metadata, **({} if spec is None else {"spec": spec})}
        made[policy_key(key_of(manifest))] = KeptObject(manifest, "", Origin(LayerKind.FILE, "snapshot"))
    return tuple(made.values())


_LABELS = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from([{"istio-injection": "enabled"}, {"istio.io/dataplane-mode": "ambient"}]) for name in SPACES}
)


def steps(desired: Desired, facts: Facts) -> list[ObjectStep]:
    return [step for step in (*restored_namespaces(desired, facts), *layered_steps(desired, facts, ())) if step.is_pending]


def applied(facts: Facts, step: ObjectStep) -> Facts:
    """What is there when a step is done."""
    if (key := key_of(step.manifest)).kind != "Namespace":
        group, kind = key.api_version.rpartition("/")[0], key.kind
        # The API server lists it in another version than it was written in.
        listed = {**step.manifest, "apiVersion": f"{group}/{SNAPSHOT_KINDS[group, kind].versions[0]}"}
        return replace(facts, policies={**facts.policies, key: listed})
    name = step.manifest["metadata"]["name"]
    there = facts.namespaces.get(name) or {"metadata": {"name": name, "labels": {}}}
    labels = {**there["metadata"]["labels"], **step.manifest["metadata"]["labels"]}
    return replace(facts, namespaces={**facts.namespaces, name: {"metadata": {"name": name, "labels": labels}}})


def is_opening(step: ObjectStep) -> bool:
    """A route, or a label by which pods join the mesh."""
    manifest = step.manifest
    if manifest["kind"] == "Namespace":
        return bool(manifest["metadata"]["labels"].keys() - {RESTORED})
    return manifest["kind"] in ROUTES


@settings(max_examples=300, deadline=None)
@given(objects(), _LABELS, st.integers(0, 12))
def test_guards_come_before_what_they_guard_from_wherever_it_was_killed(
    kept: tuple[KeptObject, ...], labels: dict[str, dict[str, str]], killed: int
) -> None:
    desired = replace(FRESH.desired, restored=Restoration(mark="x", objects=kept, namespaces=labels))
    facts = FRESH.facts
    guards = {key_of(one.manifest) for one in kept if one.manifest["kind"] in GUARDS}
    waypoints = {key_of(one.manifest) for one in kept if (one.manifest.get("spec") or {}).get("gatewayClassName") == "istio-waypoint"}
    waypoints = {key for key in waypoints if key.kind == "Gateway" and "k8s" in key.api_version}
    for count in (killed, None):
        for step in steps(desired, facts)[:count]:
            if is_opening(step):
                there = {key for key, live in facts.policies.items() if live}
                assert guards <= there
                assert waypoints <= there
            facts = applied(facts, step)
    assert {key_of(one.manifest) for one in kept} <= {key for key, live in facts.policies.items() if live}
    worn = {name: live["metadata"]["labels"] for name, live in facts.namespaces.items() if live}
    assert all(worn[name].items() >= wanted.items() for name, wanted in labels.items() if name in worn)
    assert steps(desired, facts) == []
    assert list(layered_findings(desired, facts)) == []


def test_a_waypoint_comes_before_the_labels_that_lead_to_it() -> None:
    """Its policies of the seventh layer are enforced by it alone."""
    spec = {"gatewayClassName": "istio-waypoint"}
    made = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway", "metadata": {"name": "w", "namespace": "shop"}, "spec": spec}
    kept = (KeptObject(made, "", Origin(LayerKind.FILE, "snapshot")),)
    labels = {"shop": {"istio.io/dataplane-mode": "ambient", "istio.io/use-waypoint": "w"}}
    desired = replace(FRESH.desired, restored=Restoration(mark="x", objects=kept, namespaces=labels))
    names = [step.name for step in steps(desired, FRESH.facts)]
    assert names == ["namespace/shop", "Gateway.gateway.networking.k8s.io/shop/w", "labels/shop"]
