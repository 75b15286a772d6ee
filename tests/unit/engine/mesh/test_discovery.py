"""The namespaces that an istiod watches: its discoverySelectors are read as Kubernetes reads selectors, and never guessed."""

from typing import Any

import pytest

from meshinstall.engine.mesh.kube_objects import mesh_settings
from meshinstall.model.selectors import LabelRule, LabelSelector, selects
from tests.unit.engine.mesh.kube_worlds import ISTIOD
from tests.unit.engine.mesh.survey_world import Mesh

MESHED = (LabelRule("mesh", "In", ("yes",)),)


def read(mesh: str) -> tuple[LabelSelector, ...] | None:
    return mesh_settings({"data": {"mesh": mesh}}).discovery


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("", ()),
        ("discoverySelectors: []", ()),
        ("discoverySelectors:", ()),
        ("discoverySelectors: [{matchLabels: {mesh: 'yes'}}]", (MESHED,)),
        ("discovery_selectors: [{match_labels: {mesh: 'yes'}}]", (MESHED,)),
        ("discoverySelectors: [{}, {matchLabels: {mesh: 'yes'}}]", ((), MESHED)),
        (
            "discoverySelectors: [{matchLabels: {mesh: 'yes'}, matchExpressions: [{key: a.b/team, operator: NotIn, values: [x, '']}]}]",
            ((*MESHED, LabelRule("a.b/team", "NotIn", ("x", ""))),),
        ),
        ("discoverySelectors: [{match_expressions: [{key: team, operator: Exists}]}]", ((LabelRule("team", "Exists"),),)),
    ],
)
def test_selectors_are_read_in_both_spellings(given: str, found: tuple[LabelSelector, ...]) -> None:
    assert read(given) == found


@pytest.mark.parametrize(
    "given",
    [
        "{}",
        "[null]",
        "[x]",
        "[{matchLabel: {mesh: 'yes'}}]",
        "[{matchLabels: {mesh: true}}]",
        "[{matchLabels: {mesh: 'not valid'}}]",
        "[{matchLabels: {'not valid': x}}]",
        "[{matchLabels: {/x: x}}]",
        "[{matchExpressions: [{key: team, operator: in, values: [x]}]}]",
        "[{matchExpressions: [{key: team, operator: In}]}]",
        "[{matchExpressions: [{key: team, operator: Exists, values: [x]}]}]",
        "[{matchExpressions: [{operator: Exists}]}]",
        "[{matchLabels: {mesh: 'yes'}}, {matchExpressions: [{key: team, operator: Gt, values: ['1']}]}]",
    ],
)
def test_what_istiod_would_refuse_is_unknown_and_the_rest_of_its_settings_is_not(given: str) -> None:
    found = mesh_settings({"data": {"mesh": f"trustDomain: corp\ndiscoverySelectors: {given}"}})
    assert found.discovery is None
    assert found.problem
    assert found.trust_domain == "corp"


@pytest.mark.parametrize(
    ("rule", "with_it", "other", "without"),
    [
        (LabelRule("a", "In", ("x", "z")), True, False, False),
        (LabelRule("a", "NotIn", ("x",)), False, True, True),
        (LabelRule("a", "Exists"), True, True, False),
        (LabelRule("a", "DoesNotExist"), False, False, True),
    ],
)
def test_a_requirement_is_met_as_in_kubernetes(rule: LabelRule, *, with_it: bool, other: bool, without: bool) -> None:
    assert [selects((rule,), labels) for labels in ({"a": "x"}, {"a": "y"}, {"b": "x"})] == [with_it, other, without]


def test_all_requirements_of_a_selector_must_be_met() -> None:
    both = (*MESHED, LabelRule("team", "Exists"))
    assert [selects(both, labels) for labels in ({"mesh": "yes"}, {"team": ""}, {"mesh": "yes", "team": ""})] == [False, False, True]
    assert selects((), {})


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("image", "env", "mesh", "gap"),
    [
        ("pilot:1.31.0", {}, "discoverySelectors: [{matchLabels: {mesh: 'yes'}}]", ""),
        ("pilot:1.22.0", {}, "discoverySelectors: [{matchLabels: {mesh: 'yes'}}]", ""),
        ("pilot:1.21.9", {}, "discoverySelectors: [{matchLabels: {mesh: 'yes'}}]", "since Istio 1.22"),
        ("pilot:1.21.9", {}, "trustDomain: corp", ""),
        (
            "pilot:1.23.0",
            {"ENABLE_ENHANCED_RESOURCE_SCOPING": "false"},
            "discoverySelectors: [{matchLabels: {mesh: 'yes'}}]",
            "since Istio 1.22",
        ),
        ("pilot:1.31.0", {}, "discoverySelectors: [{matchLabels: 3}]", "dict expected"),
    ],
)
async def test_selectors_that_may_not_count_are_a_gap(image: str, env: dict[str, str], mesh: str, gap: str) -> None:
    found = Mesh()
    found.configure(mesh)
    container: dict[str, Any] = {"name": "discovery", "image": image, "env": [{"name": key, "value": value} for key, value in env.items()]}
    template = {**ISTIOD["spec"]["template"], "spec": {"containers": [container]}}
    (where,) = (path for path in found.kube.objects if path.endswith("/deployments/istiod-canary"))
    found.kube.objects[where] = {**found.kube.objects[where], "spec": {"template": template}}
    facts = await found.look()
    (plane,) = facts.control_planes
    if not gap:
        assert plane.discovery == ((MESHED,) if "discovery" in mesh else ())
        assert facts.gaps == ()
        return
    assert plane.discovery is None
    assert facts.unread == ("MeshConfig",)
    (said,) = facts.gaps
    assert said.startswith("cannot tell which namespaces Deployment istio-system/istiod-canary watches: ")
    assert gap in said
