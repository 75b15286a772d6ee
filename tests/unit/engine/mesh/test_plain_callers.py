"""Which ports of a pod the kubelet and Prometheus call without a certificate of the mesh."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshinstall.engine.mesh.plain_callers import kubelet_ports, scraped_ports
from meshinstall.model.mesh import Dataplane
from tests.unit.engine.hostile import mutated
from tests.unit.engine.mesh.kube_worlds import pod, seen

LEFT = {"sidecar.istio.io/rewriteAppHTTPProbers": "false"}
REWRITTEN = {"path": "/app-health/app/livez", "port": 15020}


def container(**probes: Any) -> dict[str, Any]:
    return {"name": "app", "ports": [{"containerPort": 8080, "name": "http"}], **probes}


@pytest.mark.parametrize(
    ("probes", "ports"),
    [
        ({"livenessProbe": {"httpGet": {"path": "/live", "port": 8080}}}, (8080,)),
        ({"readinessProbe": {"httpGet": {"port": "http"}}, "startupProbe": {"grpc": {"port": 9000}}}, (8080, 9000)),
        ({"lifecycle": {"preStop": {"httpGet": {"port": 8081}}}}, (8081,)),
        ({"livenessProbe": {"httpGet": REWRITTEN}}, ()),
        # A proxy lets everybody connect, and a command is run inside.
        ({"livenessProbe": {"tcpSocket": {"port": 8080}}, "readinessProbe": {"exec": {"command": ["true"]}}}, ()),
        # Somebody else is asked.
        ({"livenessProbe": {"httpGet": {"host": "example.com", "port": 443}}}, ()),
        ({"livenessProbe": {"httpGet": {"port": "unknown"}}}, ()),
    ],
)
def test_a_probe_that_the_injector_left_calls_the_application_itself(probes: Any, ports: tuple[int, ...]) -> None:
    assert kubelet_ports({"containers": [container(**probes)]}, LEFT, Dataplane.SIDECAR) == ports


def test_the_proxys_own_probes_do_not_count_and_those_of_init_containers_do() -> None:
    probe = {"startupProbe": {"httpGet": {"port": 15021}}}
    spec = {
        "initContainers": [{"name": "istio-proxy", **probe}, {"name": "cache", **probe}],
        "containers": [{"name": "istio-proxy", **probe}],
    }
    assert kubelet_ports(spec, {}, Dataplane.SIDECAR) == (15021,)
    assert kubelet_ports({"initContainers": spec["initContainers"][:1]}, {}, Dataplane.SIDECAR) == ()


@pytest.mark.parametrize(
    ("kind", "annotations", "ports"),
    [(Dataplane.NONE, LEFT, (8080,)), (Dataplane.NONE, {}, ()), (Dataplane.AMBIENT, LEFT, ()), (Dataplane.SIDECAR, {}, (8080,))],
)
def test_where_the_injector_will_rewrite_a_probe_it_is_not_cut_off(kind: Dataplane, annotations: dict[str, str], ports: Any) -> None:
    spec = {"containers": [container(livenessProbe={"httpGet": {"port": 8080}})]}
    assert kubelet_ports(spec, annotations, kind) == ports


SCRAPED = {"prometheus.io/scrape": "true", "prometheus.io/port": "9102"}


@pytest.mark.parametrize(
    ("annotations", "kind", "ports"),
    [
        (SCRAPED, Dataplane.SIDECAR, (9102,)),
        (SCRAPED | {"prometheus.io/port": "15020"}, Dataplane.SIDECAR, ()),
        (SCRAPED | {"prometheus.io/scrape": "false"}, Dataplane.SIDECAR, ()),
        (SCRAPED | {"prometheus.io/port": "web"}, Dataplane.SIDECAR, ()),
        (SCRAPED, Dataplane.NONE, ()),
        (SCRAPED | {"prometheus.istio.io/merge-metrics": "false"}, Dataplane.NONE, (9102,)),
    ],
)
def test_a_port_that_prometheus_scrapes(annotations: dict[str, str], kind: Dataplane, ports: tuple[int, ...]) -> None:
    assert scraped_ports(annotations, kind) == ports


def test_a_pod_is_seen_with_both() -> None:
    found = seen(containers=[container(livenessProbe={"httpGet": {"port": "http"}})], annotations=SCRAPED)
    assert (found.kubelet, found.scraped) == ((8080,), (9102,))


WHOLE = pod(containers=[container(livenessProbe={"httpGet": {"port": 1}}, lifecycle={"postStart": {"httpGet": {"port": "http"}}})])["spec"]


@given(st.data())
def test_whatever_a_pod_holds_is_read_or_refused(data: st.DataObject) -> None:
    try:
        found = kubelet_ports(data.draw(mutated(WHOLE)), {}, Dataplane.SIDECAR)
    except ValueError:
        return
    assert all(isinstance(port, int) for port in found)
