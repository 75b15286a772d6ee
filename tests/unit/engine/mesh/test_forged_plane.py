"""A tenant's Deployment that looks like istiod's, in a whole cluster: it is judged, and trusted in nothing."""

import json

import pytest

from meshinstall.checks.mtls.judge import judge
from meshinstall.model.mesh import Dataplane, MeshFacts
from meshinstall.model.verdict import Outcome, PortVerdict
from meshinstall.model.wire import Probing
from tests.unit.engine.mesh.kube_worlds import ISTIOD, metadata, pod
from tests.unit.engine.mesh.survey_world import FOREIGN, Mesh

pytestmark = pytest.mark.anyio


def forged(mesh: Mesh) -> None:
    """A tenant's Deployment like istiod's, with its own mesh configuration, a Service, and pods like istiod's and the CNI's."""
    labels = {"app": "istiod", "istio.io/rev": "canary"}
    plane = {"metadata": metadata("istiod", "aaa", labels=labels), "spec": {**ISTIOD["spec"], "replicas": 0}}
    mesh.add("apps/v1", "deployments", plane)
    mesh.add("v1", "services", {"metadata": metadata("istiod", "aaa"), "spec": {"selector": {"app": "istiod"}}})
    settings = f"trustDomain: evil\nrootNamespace: aaa\nenableAutoMtls: false\ncaCertificates: [{{pem: {json.dumps(FOREIGN)}}}]"
    mesh.add("v1", "configmaps", {"metadata": metadata("istio-canary", "aaa"), "data": {"mesh": settings}})
    mesh.trust("aaa", FOREIGN)
    daemon = [{"kind": "DaemonSet", "name": "x", "controller": True}]
    mesh.add("v1", "pods", pod(inits=[], containers=[{"name": "discovery"}], name="istiod-1", namespace="aaa", labels=labels))
    cni = pod(inits=[], containers=[{"name": "install-cni"}], name="cni", namespace="aaa", labels=labels, ownerReferences=daemon)
    mesh.add("v1", "pods", cni)
    mesh.add("v1", "namespaces", {"metadata": {"name": "aaa", "labels": {"istio-injection": "enabled"}}})


async def test_a_forged_control_plane_is_a_workload_like_any_and_trusted_in_nothing() -> None:
    honest, mesh = await Mesh().look(), Mesh()
    forged(mesh)
    facts = await mesh.look()
    assert facts.control_planes == honest.control_planes
    assert facts.authorities == honest.authorities
    assert facts.proxies == honest.proxies
    assert facts.gaps == honest.gaps
    assert {one.dataplane for one in facts.pods if one.place.namespace == "aaa"} == {Dataplane.NONE}
    assert not any(place.namespace == "aaa" for place, _ in mesh.asked.asked)

    def verdicts(of: MeshFacts) -> list[PortVerdict]:
        return [port for port in judge(of, Probing(skipped="x"), "dev").ports if port.namespace != "aaa"]

    assert verdicts(facts) == verdicts(honest)
    assert {port.outcome for port in judge(facts, Probing(skipped="x"), "dev").ports if port.namespace == "aaa"} == {Outcome.FAIL}
