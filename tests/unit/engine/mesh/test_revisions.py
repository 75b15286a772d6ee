"""What an istiod takes of the objects that are there: those of its revision, and two mesh configurations."""

from typing import Any

import pytest

from tests.unit.engine.mesh.kube_worlds import ENTRY, POLICY, RULE, metadata
from tests.unit.engine.mesh.survey_world import Mesh

pytestmark = pytest.mark.anyio


async def test_objects_with_a_revision_of_their_own_are_seen_with_it() -> None:
    mesh = Mesh()
    tag: dict[str, Any] = {"labels": {"istio.io/rev": "stable"}}
    internal = {"metadata": metadata("vm", **tag), "spec": {"hosts": ["vm.shop"], "location": "MESH_INTERNAL"}}
    mesh.serves("networking.istio.io/v1", destinationrules={**RULE, "metadata": metadata("web", **tag)}, serviceentries=internal)
    mesh.serves(
        "networking.istio.io/v1",
        destinationrules=RULE | {"metadata": metadata("own")},
        serviceentries=ENTRY,
        sidecars={"metadata": metadata("own")},
    )
    mesh.add("networking.istio.io/v1", "sidecars", {"metadata": metadata("tagged", labels={"istio.io/rev": ""})})
    mesh.add("security.istio.io/v1", "peerauthentications", {**POLICY, "metadata": metadata("tagged", **tag)})
    facts = await mesh.look("shop")
    assert set(facts.labelled) == {
        ("DestinationRule", ("shop", "web"), "stable"),
        ("ServiceEntry", ("shop", "vm"), "stable"),
        ("Sidecar", ("shop", "tagged"), ""),
    }
    assert {one.place.name: one.revision for one in facts.policies} == {"holes": None, "tagged": "stable"}
    assert {one.place.name: one.revision for one in facts.client_rules} == {"own": None, "web": "stable"}


def sharing(mesh: Mesh, document: str | None) -> None:
    """Let istiod take a second mesh configuration."""
    (where,) = (path for path in mesh.kube.objects if path.endswith("/deployments/istiod-canary"))
    (container,) = mesh.kube.objects[where]["spec"]["template"]["spec"]["containers"]
    template = mesh.kube.objects[where]["spec"]["template"]
    containers = [container | {"env": [{"name": "SHARED_MESH_CONFIG", "value": "common"}]}]
    spec = {**mesh.kube.objects[where]["spec"], "template": {**template, "spec": {**template["spec"], "containers": containers}}}
    mesh.kube.objects[where] = {**mesh.kube.objects[where], "spec": spec}
    if document is not None:
        mesh.add("v1", "configmaps", {"metadata": metadata("common", "istio-system"), "data": {"mesh": document}})


@pytest.mark.parametrize(
    ("shared", "domain", "automatic", "gap"),
    [
        ("trustDomain: shared\nenableAutoMtls: false", "corp", False, ""),
        ("enableAutoMtls: true", "corp", True, ""),
        (None, "corp", True, "ConfigMap istio-system/common does not exist"),
        ("a: {", "corp", True, "ConfigMap istio-system/common could not be read: not YAML"),
    ],
)
async def test_a_shared_mesh_configuration_counts_where_the_own_is_silent(
    shared: str | None,
    domain: str,
    automatic: bool,  # noqa: FBT001 - a column
    gap: str,
) -> None:
    mesh = Mesh()
    sharing(mesh, shared)
    facts = await mesh.look()
    (plane,) = facts.control_planes
    assert (plane.trust_domain, plane.auto_mtls) == (domain, automatic)
    assert [one.startswith(gap) for one in facts.gaps] == ([True] if gap else [])
    assert facts.unread == (("MeshConfig",) if gap else ())


async def test_workload_entries_are_seen_with_both_kinds_of_labels() -> None:
    mesh = Mesh()
    entry = {"metadata": metadata("vm", labels={"app": "own", "made": "by istiod"}), "spec": {"labels": {"app": "vm", "team": "a"}}}
    mesh.add("networking.istio.io/v1", "workloadentries", entry)
    (machine,) = (one for one in (await mesh.look()).machines if one.place.name == "vm")
    assert machine == (("shop", "vm"), {"app": "own", "made": "by istiod", "team": "a"})
