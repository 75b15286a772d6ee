"""What the chart of a gateway makes, as helm 4.3.1 rendered it of Istio 1.31.0."""

from typing import Any


def workload(name: str = "istio-ingress", kind: str = "Deployment", **spec: Any) -> dict[str, Any]:
    """The gateway's workload; ``spec`` is more of the pod's."""
    selector = {"app": name, "istio": name.removeprefix("istio-")}
    names = {"app.kubernetes.io/name": name, "app.kubernetes.io/managed-by": "Helm", "app.kubernetes.io/instance": name}
    chart = {"app.kubernetes.io/part-of": "istio", "app.kubernetes.io/version": "1.31.0", "helm.sh/chart": "gateway-1.31.0"}
    container = {
        "name": "istio-proxy",
        "image": "auto",
        "env": None,
        "ports": [{"containerPort": 15090, "protocol": "TCP", "name": "http-envoy-prom"}],
        "lifecycle": {"preStop": {"sleep": {"seconds": 10}}},
    }
    pod = {
        "serviceAccountName": name,
        "securityContext": {"sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "0"}]},
        "containers": [container],
        "terminationGracePeriodSeconds": 30,
        **spec,
    }
    labels = {"sidecar.istio.io/inject": "true", "istio.io/rev": "1-31", **selector, **names, **chart}
    annotations = {"inject.istio.io/templates": "gateway", "sidecar.istio.io/inject": "true"}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "istio-ingress", "labels": {**names, **chart, **selector}, "annotations": {}},
        "spec": {
            "minReadySeconds": 20,
            "selector": {"matchLabels": selector},
            "template": {"metadata": {"annotations": annotations, "labels": labels}, "spec": pod},
        },
    }
