"""Services that lead to pods which they do not select: whoever writes their EndpointSlices decides."""

from typing import Any

import pytest

from meshinstall.engine.mesh.kube_objects import Service, ServicePort, Slice, endpoint_slice
from meshinstall.engine.mesh.pods import joined
from meshinstall.engine.mesh.pods import pod as read_pod
from meshinstall.model.mesh import Place, Port

ALIAS = Place("other", "alias")


def item(service: str | None = "alias", **more: Any) -> dict[str, Any]:
    labels = {"kubernetes.io/service-name": service} if service else {}
    return {
        "metadata": {"name": "alias-1", "namespace": "other", "labels": labels},
        "endpoints": [{"addresses": ["10.0.0.1"]}, {"addresses": ["10.0.0.2"]}],
        "ports": [{"name": "http", "port": 9000}, {"name": "dns", "port": 53, "protocol": "UDP"}],
        **more,
    }


def test_a_slice_has_addresses_and_ports_for_tcp_by_name() -> None:
    assert endpoint_slice(item()) == Slice(ALIAS, ("10.0.0.1", "10.0.0.2"), {"http": 9000})
    assert endpoint_slice(item(service=None)) is None
    assert endpoint_slice(item(endpoints=None, ports=None)) == Slice(ALIAS, (), {})


@pytest.mark.parametrize(
    ("port", "ends", "ports"),
    [
        (ServicePort(80, 80, name="http"), (("10.0.0.1", 80, 9000),), (Port(9000),)),
        (ServicePort(80, 80, name="other"), (), ()),
        (ServicePort(80, 80, "UDP", "http"), (), ()),
    ],
)
def test_a_service_leads_where_its_slices_say(port: ServicePort, ends: Any, ports: Any) -> None:
    spec = {"initContainers": [], "containers": [{"name": "istio-proxy", "args": ["proxy", "sidecar"]}]}
    status = {"phase": "Running", "podIP": "10.0.0.1"}
    seen = read_pod({"metadata": {"name": "web", "namespace": "shop"}, "spec": spec, "status": status}, frozenset())
    assert seen is not None
    (pod,), (service,) = joined([seen], [Service(ALIAS, ports=(port,))], [Slice(ALIAS, ("10.0.0.1",), {"http": 9000})])
    assert (service.ends, pod.ports) == (ends, ports)
