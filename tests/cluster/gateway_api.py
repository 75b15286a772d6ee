"""A gateway of the Gateway API as layers: its route, the leave to reach another namespace, its policies; and requests through it."""

import http.client
import json
from collections.abc import Iterable
from typing import Any

import yaml

from testbed.waiting import until
from tests.cluster.mesh import Shell

FRONT = "front"
_GROUP = "gateway.networking.k8s.io"
# Seconds for one request, and for the gateway to be there.
_PATIENCE, _STARTING = 5, 60
_DENIED = "RBAC: access denied"


def files(backend: str) -> dict[str, str]:
    """By name; ``backend`` is the namespace of the Service back."""
    listener = {"name": "http", "port": 80, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": "Same"}}}
    rule = {"backendRefs": [{"name": "back", "namespace": backend, "port": 80}]}
    grant = {"from": [{"group": _GROUP, "kind": "HTTPRoute", "namespace": FRONT}], "to": [{"group": "", "kind": "Service", "name": "back"}]}
    target = {"targetRefs": [{"group": _GROUP, "kind": "Gateway", "name": "edge"}]}
    reading = {**target, "rules": [{"to": [{"operation": {"methods": ["GET"]}}]}]}
    closed = {**target, "action": "DENY", "rules": [{"to": [{"operation": {"paths": ["/admin*"]}}]}]}
    found: dict[str, tuple[str, str, str, str, dict[str, Any]]] = {
        "gateway": (f"{_GROUP}/v1", "Gateway", FRONT, "edge", {"gatewayClassName": "istio", "listeners": [listener]}),
        "route": (f"{_GROUP}/v1", "HTTPRoute", FRONT, "back", {"parentRefs": [{"name": "edge"}], "rules": [rule]}),
        "grant": (f"{_GROUP}/v1beta1", "ReferenceGrant", backend, "front", grant),
        "reading": ("security.istio.io/v1", "AuthorizationPolicy", FRONT, "reading", reading),
        "closed": ("security.istio.io/v1", "AuthorizationPolicy", FRONT, "closed", closed),
    }
    return {name: _written(*one) for name, one in (found | _others()).items()}


def _others() -> dict[str, tuple[str, str, str, str, dict[str, Any]]]:
    """One of each other kind, which no request meets."""
    parent, behind = {"parentRefs": [{"name": "edge", "sectionName": "other"}]}, {"backendRefs": [{"name": "other", "port": 80}]}
    targets = [{"group": "", "kind": "Service", "name": "other"}]
    specs: dict[str, dict[str, Any]] = {
        "GRPCRoute": {**parent, "hostnames": ["grpc.example"], "rules": [{"matches": [{"method": {"service": "a.B"}}], **behind}]},
        "TLSRoute": {**parent, "hostnames": ["db.example"], "rules": [behind]},
        "TCPRoute": {**parent, "rules": [behind]},
        "UDPRoute": {**parent, "rules": [behind]},
        "BackendTLSPolicy": {"targetRefs": targets, "validation": {"wellKnownCACertificates": "System", "hostname": "other.example"}},
    }
    return {kind: (f"{_GROUP}/v1", kind, FRONT, "other", spec) for kind, spec in specs.items()}


def _written(version: str, kind: str, namespace: str, name: str, spec: dict[str, Any]) -> str:
    metadata = {"name": name, "namespace": namespace}
    return yaml.safe_dump({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec})


STEPS = frozenset(
    {
        f"Gateway.{_GROUP}/{FRONT}/edge",
        f"HTTPRoute/{FRONT}/back",
        "ReferenceGrant/till/front",
        f"AuthorizationPolicy/{FRONT}/reading",
        f"AuthorizationPolicy/{FRONT}/closed",
        *(f"{kind}/{FRONT}/other" for kind in ("GRPCRoute", "TLSRoute", "TCPRoute", "UDPRoute", "BackendTLSPolicy")),
    }
)
# Requests: a name, a method and a path.
REQUESTS = (("reads", "GET", "/"), ("writes", "POST", "/"), ("is no admin", "GET", "/admin/users"), ("nor nearly", "GET", "/x/../admin"))


def table() -> str:
    """The same as a table, in which all are allowed."""
    to = {"namespace": FRONT, "labels": {f"{_GROUP}/gateway-name": "edge"}, "port": 80}
    cases = [
        {"name": name, "from": {"plaintext": True}, "to": to, "request": {"method": method, "path": path, "host": "x"}, "expect": "allow"}
        for name, method, path in REQUESTS
    ]
    return yaml.safe_dump({"cases": cases})


def address(shell: Shell) -> str:
    """Where the gateway answers, once it is programmed."""

    def look() -> str:
        gateway = json.loads(shell.ok("kubectl", "get", f"gateways.{_GROUP}", "edge", "-n", FRONT, "-o", "json"))
        status = gateway.get("status", {})
        is_there = any(one["type"] == "Programmed" and one["status"] == "True" for one in status.get("conditions", ()))
        return next((one["value"] for one in status.get("addresses", ())), "") if is_there else ""

    return until(look, _STARTING, lambda: shell.run("kubectl", "describe", f"gateways.{_GROUP},pods", "-n", FRONT).stdout)


def on_the_wire(where: str, requests: Iterable[tuple[str, str, str]] = REQUESTS) -> dict[str, str]:
    """What becomes of each request, by its name."""
    return {name: _sent(where, method, path) for name, method, path in requests}


def _sent(where: str, method: str, path: str) -> str:
    connection = http.client.HTTPConnection(where, 80, timeout=_PATIENCE)
    try:
        connection.request(method, path, headers={"Host": "x"})
        answer = connection.getresponse()
        text = answer.read().decode(errors="replace")
    except OSError as error:
        return f"no answer: {error}"
    finally:
        connection.close()
    if answer.status == http.HTTPStatus.FORBIDDEN and text == _DENIED:
        return "deny"
    # Of the application alone; without a route the gateway says 404 itself, with nothing in it.
    is_behind = answer.getheader("x-envoy-upstream-service-time") is not None
    return "allow" if is_behind and answer.status < http.HTTPStatus.INTERNAL_SERVER_ERROR else f"{answer.status} {text}"
