"""Finds dashboards and debug ports that can be reached from outside; pure but for the lists of routes."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from meshinstall.engine.mesh.kube_objects import place
from meshinstall.engine.objects.json_fields import at, number, rows, table, text, texts
from meshinstall.model.health import Exposure
from meshinstall.model.mesh import Place
from meshinstall.model.release import Manifest

# By the labels app and app.kubernetes.io/name that their charts and Istio's samples set.
_DASHBOARDS = {
    "kiali": "Kiali",
    "grafana": "Grafana",
    "prometheus": "Prometheus",
    "jaeger": "Jaeger",
    "tracing": "Jaeger",
    "zipkin": "Zipkin",
}
# Ports of istiod and of every proxy that answer to anybody (istio.io: Application requirements, ports used by Istio).
_DEBUG = {15000: "Envoy's admin port", 15010: "istiod's port without TLS", 15014: "istiod's debug and metrics port", 15004: "a debug port"}
_OPEN = {"LoadBalancer", "NodePort"}
_NAMES = ("app", "app.kubernetes.io/name")


@dataclass(frozen=True, slots=True)
class Inside:
    """A Service that shows the inside of the mesh; ``how`` is empty when it is no door by itself."""

    place: Place
    what: str
    how: str


def inside(service: Manifest) -> Inside | None:
    """What a Service shows, when that is a dashboard or a debug port."""
    labels = texts(at(service, "metadata", "labels"))
    what = next((_DASHBOARDS[labels[name]] for name in _NAMES if labels.get(name) in _DASHBOARDS), "") or _debug(service)
    kind = text(at(service, "spec", "type"))
    return Inside(place(service), what, f"Service of type {kind}" if kind in _OPEN else "") if what else None


def _debug(service: Manifest) -> str:
    for port in rows(at(service, "spec", "ports")):
        target = at(port, "targetPort")
        found = number(at(port, "port")), target if isinstance(target, int) else 0
        if what := next((_DEBUG[one] for one in found if one in _DEBUG), ""):
            return what
    return ""


def by_virtual_service(item: Manifest, known: Mapping[Place, str]) -> tuple[Exposure, ...]:
    """What a VirtualService of a gateway leads to."""
    gateways = [text(one) for one in rows(at(item, "spec", "gateways"))]
    if not any(gateway != "mesh" for gateway in gateways):
        return ()
    here = place(item)
    hosts = dict.fromkeys(text(at(route, "destination", "host")) for kind in ("http", "tls", "tcp") for route in _routes(item, kind))
    places = dict.fromkeys(_named(host, here.namespace) for host in hosts)
    return tuple(Exposure(f"VirtualService {here}", known[one], f"Service {one} by a gateway") for one in places if one in known)


def _routes(item: Manifest, kind: str) -> Iterator[Any]:
    for rule in rows(at(item, "spec", kind)):
        yield from rows(at(rule, "route"))


def _named(host: str, namespace: str) -> Place:
    name, _, rest = host.partition(".")
    return Place(rest.partition(".")[0] or namespace, name)


def by_http_route(item: Manifest, known: Mapping[Place, str]) -> tuple[Exposure, ...]:
    """What an HTTPRoute of a Gateway leads to."""
    parents = [table(parent) for parent in rows(at(item, "spec", "parentRefs"))]
    if not any(text(parent.get("kind")) in {"", "Gateway"} for parent in parents):
        return ()
    here = place(item)
    backends = [table(backend) for rule in rows(at(item, "spec", "rules")) for backend in rows(at(rule, "backendRefs"))]
    places = dict.fromkeys(Place(text(backend.get("namespace")) or here.namespace, text(backend.get("name"))) for backend in backends)
    return tuple(Exposure(f"HTTPRoute {here}", known[one], f"Service {one} by a gateway") for one in places if one in known)
