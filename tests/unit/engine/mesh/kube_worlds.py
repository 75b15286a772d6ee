"""Objects as the API server gives them."""

from typing import Any

from meshinstall.engine.mesh import pods
from meshinstall.engine.mesh.kube_objects import Service
from meshinstall.model.mesh import (
    Pod,
)

PLANES = frozenset({"istio-system"})

REDIRECT = ["istio-iptables", "-p", "15001", "-z", "15006", "-u", "1337", "-m", "REDIRECT", "-i", "*", "-x", ""]

PROXY = {
    "name": "istio-proxy",
    "image": "docker.io/istio/proxyv2:1.31.0",
    "args": ["proxy", "sidecar", "--domain", "shop.svc.cluster.local"],
    "ports": [{"containerPort": 15090, "name": "http-envoy-prom", "protocol": "TCP"}],
}

APP = {"name": "app", "image": "app", "ports": [{"containerPort": 8080, "name": "http"}, {"containerPort": 5353, "protocol": "UDP"}]}


def metadata(name: str = "web", namespace: str = "shop", **more: Any) -> dict[str, Any]:
    return {"name": name, "namespace": namespace, "creationTimestamp": "2026-11-21T11:07:27Z", **more}


def init(include: str = "*", exclude: str = "15090,15021,15020", name: str = "istio-init", *more: str) -> dict[str, Any]:
    """What redirects inbound traffic."""
    own = ["--run-validation"] if name == "istio-validation" else []
    return {
        "name": name,
        "image": PROXY["image"],
        "args": [*REDIRECT, "-b", include, "-d", exclude, *more, *own, "--log_output_level=default:info"],
    }


def pod(*, containers: Any = None, inits: Any = None, spec: Any = None, status: Any = None, **meta: Any) -> dict[str, Any]:
    """A pod with a sidecar, unless it is told otherwise."""
    native = {**PROXY, "restartPolicy": "Always"}
    whole = {
        "initContainers": [init(), native] if inits is None else inits,
        "containers": containers or [APP],
        "serviceAccountName": "web",
        **(spec or {}),
    }
    return {"metadata": metadata(**meta), "spec": whole, "status": status or {"phase": "Running", "podIP": "10.0.0.8"}}


SERVICE = {
    "metadata": metadata("web"),
    "spec": {
        "type": "NodePort",
        "selector": {"app": "web"},
        "ports": [{"port": 80, "targetPort": "http"}, {"port": 9090}, {"port": 53, "targetPort": 5353, "protocol": "UDP"}],
    },
}

DAEMON = [{"kind": "DaemonSet", "name": "x", "controller": True}]

REDIRECTED = {"ambient.istio.io/redirection": "enabled"}


POLICY = {
    "metadata": metadata("holes"),
    "spec": {
        "selector": {"matchLabels": {"app": "holes"}},
        "mtls": {"mode": "STRICT"},
        "portLevelMtls": {"9090": {"mode": "DISABLE"}, "8080": {}},
    },
}


RULE = {
    "metadata": metadata("web"),
    "spec": {
        "host": "web.shop.svc.cluster.local",
        "exportTo": ["."],
        "workloadSelector": {"matchLabels": {"app": "client"}},
        "trafficPolicy": {
            "tls": {"mode": "ISTIO_MUTUAL"},
            "portLevelSettings": [
                {"port": {"number": 80}, "tls": {"mode": "DISABLE"}},
                {"port": {"number": 80}, "tls": {"mode": "SIMPLE"}},
                {"port": {"number": 90}},
                {"port": {"number": 91}, "tls": {}},
            ],
        },
        "subsets": [{"name": "v1", "trafficPolicy": {"tls": {"mode": "SIMPLE"}}}, {"name": "v2"}],
    },
}


ENTRY = {
    "metadata": metadata("pay"),
    "spec": {
        "hosts": ["pay.example", "*.pay.example"],
        "ports": [{"number": 443, "name": "tls", "protocol": "TLS"}, {"number": 80}],
        "resolution": "DNS",
    },
}


ISTIOD = {
    "metadata": metadata("istiod-canary", "istio-system", labels={"istio.io/rev": "canary", "app.kubernetes.io/version": "1.30.0"}),
    "spec": {
        "template": {
            "metadata": {"labels": {"app": "istiod", "istio.io/rev": "canary"}},
            "spec": {
                "containers": [
                    {
                        "name": "discovery",
                        "image": "reg:5000/pilot:1.31.0-distroless@sha256:0",
                        "args": ["discovery", "--domain", "mesh.corp"],
                    }
                ]
            },
        }
    },
}


def seen(*services: Service, **given: Any) -> Pod:
    """The facts of a pod to which ``services`` send."""
    one = pods.pod(pod(**given), PLANES)
    assert one
    (found,), _ = pods.joined([one], services)
    return found


def proxy(role: str, name: str = "istio-proxy") -> dict[str, Any]:
    return {**PROXY, "name": name, "args": ["proxy", role]}
