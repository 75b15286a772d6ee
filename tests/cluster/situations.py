"""Situations that made people believe in mTLS that was not there, as manifests; each has namespaces of its own.

They are rebuilt from public reports on Istio: the number of the report stands beside each.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from testbed import pins
from tests.cluster.mesh import namespace

Manifest = dict[str, Any]
_SERVE = "mkdir -p /tmp/www && echo hello > /tmp/www/index.html && echo card_numbers_total 42 > /tmp/www/metrics"
TRAFFIC = "traffic.sidecar.istio.io"
CONFIG = "proxy.istio.io/config"


@dataclass(frozen=True, slots=True)
class Right:
    """What must be said of a port: the verdicts of server and clients, and the findings, each a code and an object."""

    workload: str
    port: int | None
    server: str
    clients: str | None
    findings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Situation:
    """Manifests, what is right to say of them, and what is right once the finding's own advice was followed, or ``mend`` was applied.

    ``advice`` are the findings whose command is run as it stands.
    """

    name: str
    objects: tuple[Manifest, ...]
    right: tuple[Right, ...]
    mended: tuple[Right, ...]
    advice: tuple[tuple[str, str], ...] = ()
    mend: tuple[Manifest, ...] = ()
    #: Findings that no port has: a policy without effect.
    findings: tuple[tuple[str, str], ...] = field(default=())


def space(name: str) -> Manifest:
    """A namespace of the mesh."""
    return namespace(name, **{"istio-injection": "enabled"})


def istio(kind: str, place: str, spec: Mapping[str, Any], api: str = "networking.istio.io/v1", **labels: str) -> Manifest:
    """One of Istio's objects, ``place`` is namespace/name."""
    where, _, name = place.partition("/")
    return {"apiVersion": api, "kind": kind, "metadata": {"name": name, "namespace": where, "labels": labels}, "spec": dict(spec)}


def peer(place: str, mode: str, ports: Mapping[str, str] | None = None, app: str = "", revision: str = "") -> Manifest:
    """A PeerAuthentication."""
    spec: Manifest = {"mtls": {"mode": mode}}
    spec |= {"selector": {"matchLabels": {"app": app}}} if app else {}
    spec |= {"portLevelMtls": {port: {"mode": one} for port, one in ports.items()}} if ports else {}
    labels = {"istio.io/rev": revision} if revision else {}
    return istio("PeerAuthentication", place, spec, "security.istio.io/v1", **labels)


def server(place: str, port: int = 8080, *, kind: str = "Deployment", labels: Mapping[str, str] | None = None, **pod: Any) -> Manifest:
    """A workload that answers ``hello`` on a port; ``pod`` is ``annotations`` and ``inject``."""
    command = ["/bin/sh", "-c", f"{_SERVE} && exec httpd -f -p {port} -h /tmp/www"]
    return _workload(place, kind, {"command": command, "ports": [{"containerPort": port}]}, labels or {}, **pod)


def client(place: str, *, user: int | None = None, **pod: Any) -> Manifest:
    """A workload that only calls others."""
    container: Manifest = {"command": ["/bin/sh", "-c", "sleep 1000000"]}
    container |= {"securityContext": {"runAsUser": user}} if user else {}
    return _workload(place, "Deployment", container, {}, **pod)


def _workload(place: str, kind: str, container: Manifest, labels: Mapping[str, str], **told: Any) -> Manifest:
    where, _, name = place.partition("/")
    template_labels = {"app": name, **labels, **({"sidecar.istio.io/inject": told["inject"]} if "inject" in told else {})}
    app = {"name": "app", "image": pins.APP_IMAGE, "imagePullPolicy": "Never", **container}
    pod = {"terminationGracePeriodSeconds": 1, "containers": [app]}
    template = {"metadata": {"labels": template_labels, "annotations": told.get("annotations", {})}, "spec": pod}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": template}
    spec |= {"serviceName": name} if kind == "StatefulSet" else {}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": name, "namespace": where}, "spec": spec}


def service(place: str, target: int = 8080, port: int = 80, *, headless: bool = False, **selector: str) -> Manifest:
    """A Service of the workload of its name."""
    where, _, name = place.partition("/")
    spec: Manifest = {"selector": selector or {"app": name}, "ports": [{"name": "http", "port": port, "targetPort": target}]}
    spec |= {"clusterIP": "None"} if headless else {}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": where}, "spec": spec}


def web(where: str, target: int = 8080, **pod: Any) -> tuple[Manifest, ...]:
    """A server ``web`` with its namespace and Service."""
    return space(where), server(f"{where}/web", target, **pod), service(f"{where}/web", target)
