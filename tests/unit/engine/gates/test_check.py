"""How the objects of a cluster become facts that the health checks judge."""

from datetime import UTC, datetime, timedelta

import pytest

from meshinstall.engine.gates.check import skew
from meshinstall.engine.mesh.dashboards import by_http_route, by_virtual_service, inside
from meshinstall.engine.mesh.webhooks import crd, memory, webhooks
from meshinstall.errors import ClusterError
from meshinstall.model.health import WebhookKind
from meshinstall.model.mesh import CertificateFacts, Place

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def seconds(count: float) -> timedelta:
    return timedelta(seconds=count)


@pytest.mark.parametrize(
    ("made", "after", "expected"),
    [
        (0, 0.4, 0),  # the same second
        (-1, 0.4, 0),  # it may be 0.999 s into the second before
        (0.0, 2.4, 0),  # the answer took its time
        (300, 0.4, 299.6),
        (-300, 0.4, -299),
    ],
)
def test_a_clock_is_wrong_only_by_what_cannot_be_the_way_of_the_answer(made: float, after: float, expected: float) -> None:
    assert skew(NOON, NOON + seconds(made), NOON + seconds(after)) == seconds(expected)


def roots(pem: bytes) -> tuple[CertificateFacts, ...]:
    if pem != b"root":
        raise ClusterError("not a certificate")
    return (CertificateFacts("abc", "CN=root", NOON, NOON),)


def configuration(bundle: str) -> dict[str, object]:
    selector = {
        "matchExpressions": [
            {"key": "istio.io/rev", "operator": "In", "values": ["prod"]},
            {"key": "istio-injection", "operator": "DoesNotExist"},
        ]
    }
    client = {"caBundle": bundle, "service": {"namespace": "istio-system", "name": "istiod"}}
    ours = {
        "name": "rev.namespace.sidecar-injector.istio.io",
        "clientConfig": client,
        "namespaceSelector": selector,
        "failurePolicy": "Fail",
    }
    default = {"name": "namespace.sidecar-injector.istio.io", "namespaceSelector": {"matchLabels": {"istio-injection": "enabled"}}}
    labels = {"istio.io/rev": "1-31-0", "istio.io/tag": "prod"}
    return {"metadata": {"name": "tag", "labels": labels}, "webhooks": [ours, default, {"name": "somebody.else"}]}


def test_a_webhook_says_whom_it_serves_and_whom_it_trusts() -> None:
    first, second = webhooks(configuration("cm9vdA=="), WebhookKind.MUTATING, roots)
    assert first.revision == "1-31-0"
    assert first.tag == "prod"
    assert first.revisions == ("prod",)
    assert first.default is False
    assert first.roots == ("abc",)
    assert first.service == Place("istio-system", "istiod")
    assert first.failure_policy == "Fail"
    assert second.default is True
    assert second.service is None
    assert second.roots == ()


@pytest.mark.parametrize("bundle", ["", "not base64!", "bm8="])
def test_a_bundle_that_nobody_can_use_trusts_nobody(bundle: str) -> None:
    assert webhooks(configuration(bundle), WebhookKind.MUTATING, roots)[0].roots == ()


def test_what_is_not_as_the_api_says_is_an_error_and_no_traceback() -> None:
    with pytest.raises(ValueError, match="dict expected"):
        webhooks({"webhooks": [{"name": "a.istio.io", "clientConfig": "x"}]}, WebhookKind.MUTATING, roots)


def test_a_crd_tells_what_it_serves_and_stores() -> None:
    versions = [{"name": "v1", "served": True}, {"name": "v1beta1", "served": False}]
    found = crd({"metadata": {"name": "a.istio.io"}, "spec": {"versions": versions}, "status": {"storedVersions": ["v1beta1", "v1"]}})
    assert found.served == ("v1",)
    assert found.stored == ("v1beta1", "v1")


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [
        ("2Gi", 2 * 1024**3),
        ("512Mi", 512 * 1024**2),
        ("1G", 10**9),
        ("1048576", 1024**2),
        ("", None),
        ("128974848000m", 128974848),
        ("1e3", 1000),
        ("what is this", None),
    ],
)
def test_memory_is_counted_in_bytes(quantity: str, expected: int | None) -> None:
    containers = [{"name": "proxy"}, {"name": "discovery", "resources": {"requests": {"memory": quantity} if quantity else {}}}]
    assert memory({"spec": {"containers": containers}}) == (expected, None)


def service(labels: dict[str, str], kind: str, port: int = 80) -> dict[str, object]:
    return {
        "metadata": {"namespace": "a", "name": "b", "labels": labels},
        "spec": {"type": kind, "ports": [{"port": port, "targetPort": "web"}]},
    }


def test_dashboards_and_debug_ports_are_known_and_their_doors_named() -> None:
    kiali = inside(service({"app.kubernetes.io/name": "kiali"}, "LoadBalancer"))
    assert kiali is not None
    assert kiali.what == "Kiali"
    assert kiali.how == "Service of type LoadBalancer"
    closed = inside(service({"app": "grafana"}, "ClusterIP"))
    assert closed is not None
    assert closed.how == ""
    debug = inside(service({}, "NodePort", 15014))
    assert debug is not None
    assert "debug" in debug.what
    assert inside(service({"app": "shop"}, "LoadBalancer")) is None


def test_a_route_at_a_gateway_is_a_door() -> None:
    known = {Place("istio-system", "kiali"): "Kiali"}
    http = [{"route": [{"destination": {"host": "kiali.istio-system.svc.cluster.local"}}]}]
    item = {"metadata": {"namespace": "web", "name": "all"}, "spec": {"gateways": ["mesh", "public"], "http": http}}
    assert [one.object for one in by_virtual_service(item, known)] == ["VirtualService web/all"]
    inner = {**item, "spec": {"gateways": ["mesh"], "http": http}}
    assert by_virtual_service(inner, known) == ()
    rules = [{"backendRefs": [{"name": "kiali"}]}]
    route = {"metadata": {"namespace": "istio-system", "name": "r"}, "spec": {"parentRefs": [{"name": "public"}], "rules": rules}}
    assert [one.what for one in by_http_route(route, known)] == ["Kiali"]
    mesh = {**route, "spec": {"parentRefs": [{"kind": "Service", "name": "x"}], "rules": rules}}
    assert by_http_route(mesh, known) == ()
