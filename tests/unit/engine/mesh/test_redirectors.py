"""A pod whose redirection its spec does not show is not known to redirect anything."""

from typing import Any

import pytest

from meshinstall.engine.mesh.pods import pod as read_pod
from meshinstall.model.mesh import Outbound

IMAGE = "registry.example/istio/proxyv2:1.31.0"
ARGS = [
    "istio-iptables",
    "-p",
    "15001",
    "-z",
    "15006",
    "-u",
    "1337",
    "-m",
    "REDIRECT",
    "-i",
    "*",
    "-x",
    "",
    "-b",
    "*",
    "-d",
    "15090,15021,15020",
]
CHECK = "istio-validation"
EXCLUDED = "traffic.sidecar.istio.io/excludeInboundPorts"
OUTBOUND = "traffic.sidecar.istio.io/excludeOutboundPorts"


def outbound(annotations: dict[str, str] | None = None, **init: Any) -> Outbound:
    """Of a pod whose first container differs from what the injector writes."""
    more = ["--run-validation", "--skip-rule-apply"] if init.get("name") == CHECK else []
    first = {"name": "istio-init", "image": IMAGE, "args": [*ARGS, *more], **init}
    proxy = {"name": "istio-proxy", "image": IMAGE, "args": ["proxy", "sidecar"], "securityContext": {"runAsUser": 1337}}
    spec = {"initContainers": [first], "containers": [{"name": "app"}, proxy]}
    meta = {"name": "web", "namespace": "shop", "annotations": annotations or {}}
    found = read_pod({"metadata": meta, "spec": spec, "status": {"phase": "Running"}}, frozenset())
    assert found
    return found.pod.outbound


@pytest.mark.parametrize(
    ("annotations", "init"),
    [
        ({}, {}),
        ({}, {"env": [{"name": "ISTIO_META_NETWORK", "value": "a"}]}),
        # What people write on a pod after its start changes nothing.
        ({OUTBOUND: "8080"}, {}),
        ({}, {"name": CHECK}),
        ({EXCLUDED: "15020", "sidecar.istio.io/interceptionMode": "REDIRECT"}, {"name": CHECK}),
    ],
)
def test_what_the_injector_writes_is_read(annotations: dict[str, str], init: dict[str, Any]) -> None:
    assert outbound(annotations, **init).unread == ""


@pytest.mark.parametrize(
    ("init", "why"),
    [
        ({"image": "busybox"}, "another image"),
        ({"image": f"{IMAGE}-debug"}, "another image"),
        ({"env": [{"name": "DRY_RUN", "valueFrom": {"configMapKeyRef": {"name": "own", "key": "dry"}}}]}, "elsewhere"),
        ({"envFrom": [{"configMapRef": {"name": "own"}}]}, "elsewhere"),
        ({"args": [*ARGS, "-o", "$(PORTS)"], "env": [{"name": "PORTS", "value": "8080"}]}, "put together"),
        ({"env": [{"name": "DRY_RUN", "value": "$(OTHER)"}]}, "put together"),
        ({"name": CHECK, "image": "busybox"}, "another image"),
        ({"name": CHECK, "args": ARGS}, "does not check"),
        ({"name": CHECK, "args": ["true"]}, "does not check"),
        ({"name": CHECK, "command": ["/bin/true"]}, "does not check"),
    ],
)
def test_what_somebody_else_wrote_is_not(init: dict[str, Any], why: str) -> None:
    assert why in outbound(**init).unread or not outbound(**init).captured


@pytest.mark.parametrize("annotations", [{OUTBOUND: "8080"}, {EXCLUDED: "8080"}, {"sidecar.istio.io/interceptionMode": "TPROXY"}])
def test_the_cni_plugin_goes_by_annotations(annotations: dict[str, str]) -> None:
    assert f"annotation {next(iter(annotations))}" in outbound(annotations, name=CHECK).unread
