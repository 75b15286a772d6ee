"""Some random meshes before the real istiod; the soak called truth takes thousands."""

from collections.abc import Callable

import pytest

from testbed.referee.plane import Plane
from tests.referees import court, judges, kinds
from tests.referees.court import Heard
from tests.referees.strategies import A, generated

pytestmark = pytest.mark.tools

MESHES = 50


@pytest.mark.parametrize("judge", [judges.server_side, judges.rule_side])
def test_istiod_does_what_is_read_from_objects(mesh: Plane, judge: Callable[[Heard], list[str]]) -> None:
    meshes = generated(MESHES, 0)
    heard = list(court.hear(mesh, meshes))
    wrong = [court.case(one, (), said, 0) for one, found in zip(meshes, heard, strict=True) if (said := judge(found))]
    assert not wrong, "\n".join(wrong)
    assert sum(len(one.sent) for one in heard) >= 2 * MESHES


def test_a_disagreement_is_made_small(mesh: Plane) -> None:
    """Somebody who holds that clients always use the mesh's TLS is refuted by one Service, its endpoints, a pod and a rule."""
    web = kinds.pod(f"{A}/web", "10.NET.20", {"app": "web", **kinds.MESH_TLS})
    service = kinds.service(f"{A}/web", [kinds.port(80, 8080, "http"), kinds.port(9000)], {"app": "web"})
    rule = kinds.istio("DestinationRule", f"{A}/web", {"host": "web", "exportTo": ["*"], "trafficPolicy": {"tls": {"mode": "DISABLE"}}})
    client = kinds.pod(f"{A}/client", "10.NET.1", {"app": "client", **kinds.MESH_TLS})
    other = kinds.istio("Sidecar", f"{A}/default", {"egress": [{"hosts": ["./*", "istio-system/*"]}]})
    objects = (client, web, service, kinds.endpoints(service, [web], {"http": 8080}), rule, other)

    def judge(heard: Heard) -> list[str]:
        found = [cluster for _, sent in heard.sent for cluster in court.clusters(sent)]
        return [cluster.name for cluster in found if any(one.tls == "plaintext" for one in cluster.endpoints)]

    small, said = court.shrunk(mesh, objects, (), judge)
    assert said == ["outbound|80||web.m000-a.svc.cluster.local"]
    assert sorted(found["kind"] for found in small) == ["DestinationRule", "EndpointSlice", "Pod", "Service"]
    assert next(found["spec"] for found in small if found["kind"] == "DestinationRule") == {
        "host": "web",
        "trafficPolicy": {"tls": {"mode": "DISABLE"}},
    }
