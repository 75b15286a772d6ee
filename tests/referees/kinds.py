"""Objects as people and the injector write them, as plain JSON."""

from collections.abc import Mapping, Sequence
from typing import Any

from testbed.api import Json

MESH_TLS = {"security.istio.io/tlsMode": "istio"}
_READY: Json = {"conditions": {"ready": True}}


def istio(kind: str, place: str, spec: Mapping[str, Any]) -> Json:
    """One of Istio's objects; ``place`` is namespace/name."""
    group = "security" if kind == "PeerAuthentication" else "networking"
    return {"apiVersion": f"{group}.istio.io/v1", "kind": kind, "metadata": _metadata(place), "spec": dict(spec)}


def pod(place: str, address: str, labels: Mapping[str, str] | None = None, *, ports: Sequence[Json] = (), account: str = "default") -> Json:
    """A pod that runs and is ready; one with a sidecar has MESH_TLS among its labels."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": _metadata(place, labels),
        "spec": {"serviceAccountName": account, "containers": [{"name": "app", "image": "app", "ports": list(ports)}]},
        "status": {
            "phase": "Running",
            "podIP": address,
            "podIPs": [{"ip": address}],
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def service(place: str, ports: Sequence[Json], selector: Mapping[str, str] | None = None, **spec: Any) -> Json:
    """A Service; other fields of its spec by name."""
    chosen = {"selector": dict(selector)} if selector else {}
    return {"apiVersion": "v1", "kind": "Service", "metadata": _metadata(place), "spec": {**chosen, "ports": list(ports), **spec}}


def port(number: int, target: int | str | None = None, name: str = "tcp") -> Json:
    """A port of a Service."""
    return {"name": name, "port": number, "targetPort": number if target is None else target, "protocol": "TCP"}


def endpoints(of: Json, pods: Sequence[Json], ports: Mapping[str, int], addresses: Sequence[str] = (), part: str = "") -> Json:
    """The EndpointSlice of a Service with these pods, as its controller writes it, and with addresses that are no pod's.

    Pods in which a port has another number are another ``part``.
    """
    namespace, name = of["metadata"]["namespace"], of["metadata"]["name"]
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": _metadata(f"{namespace}/{name}{part}", {"kubernetes.io/service-name": name}),
        "addressType": "IPv4",
        "endpoints": [*(_endpoint(found) for found in pods), *(_READY | {"addresses": [found]} for found in addresses)],
        "ports": [{"name": name, "port": number, "protocol": "TCP"} for name, number in ports.items()],
    }


def _endpoint(found: Json) -> Json:
    target = {"kind": "Pod", "name": found["metadata"]["name"], "namespace": found["metadata"]["namespace"]}
    return _READY | {"addresses": [found["status"]["podIP"]], "targetRef": target}


def _metadata(place: str, labels: Mapping[str, str] | None = None) -> Json:
    namespace, name = place.split("/")
    return {"namespace": namespace, "name": name, **({"labels": dict(labels)} if labels else {})}
