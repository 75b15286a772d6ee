"""Reads from a pod which of its ports the kubelet and Prometheus call without a certificate of the mesh; pure."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from meshinstall.engine.objects.json_fields import at, number, rows, text
from meshinstall.model.istio import PROXY_CONTAINER
from meshinstall.model.mesh import Dataplane

# "false" leaves the probes as they are (istio: pkg/kube/inject/app_probe.go, which otherwise rewrites those by HTTP, TCP and gRPC).
_REWRITE = "sidecar.istio.io/rewriteAppHTTPProbers"
# Where the proxy's agent answers for the application (istio: pilot/cmd/pilot-agent/status/server.go).
_AGENT = "/app-health/"
_MERGE = "prometheus.istio.io/merge-metrics"
_MERGED_METRICS = 15020
_PROBES = ("readinessProbe", "livenessProbe", "startupProbe")
_HOOKS = ("preStop", "postStart")


def kubelet_ports(spec: Mapping[str, Any], annotations: Mapping[str, str], kind: Dataplane) -> tuple[int, ...]:
    """Ports that the kubelet calls by HTTP or gRPC past the proxy's agent.

    A pod with a sidecar shows what the injector made of it; another pod's probes will be rewritten unless it says otherwise.
    A probe by TCP only connects, which a proxy allows to everybody.
    """
    if kind is not Dataplane.SIDECAR and not (kind is Dataplane.NONE and annotations.get(_REWRITE) == "false"):
        return ()
    containers = [*rows(spec.get("initContainers")), *rows(spec.get("containers"))]
    found = (port for one in containers if at(one, "name") != PROXY_CONTAINER for port in _called(one))
    return tuple(sorted(set(found)))


def _called(container: Any) -> Iterator[int]:
    names = {text(at(port, "name")): number(at(port, "containerPort")) for port in rows(at(container, "ports"))}
    actions = [at(container, probe) for probe in _PROBES] + [at(container, "lifecycle", hook) for hook in _HOOKS]
    for action in actions:
        http = at(action, "httpGet")
        if http and not at(http, "host") and not text(at(http, "path")).startswith(_AGENT):
            yield from _number(at(http, "port"), names)
        yield from _number(at(action, "grpc", "port"), {})


def _number(port: Any, names: Mapping[str, int]) -> Iterable[int]:
    found = names.get(port, 0) if isinstance(port, str) else number(port)
    return [found] if found else []


def scraped_ports(annotations: Mapping[str, str], kind: Dataplane) -> tuple[int, ...]:
    """The port that Prometheus scrapes by the annotations, where that is not the one of the proxy's agent, which is not captured."""
    port = annotations.get("prometheus.io/port", "")
    if annotations.get("prometheus.io/scrape") != "true" or not port.isdecimal() or int(port) == _MERGED_METRICS:
        return ()
    # The injector leads Prometheus of a new pod to the agent, unless it is told not to.
    will_stay = kind is Dataplane.SIDECAR or (kind is Dataplane.NONE and annotations.get(_MERGE) == "false")
    return (int(port),) if will_stay else ()
