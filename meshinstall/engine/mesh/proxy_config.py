"""Reads what a proxy is told of itself: the ProxyConfig that the injector writes into its container, and the mesh's default; pure."""

from typing import Any

from meshinstall.engine.mesh.redirection import variables
from meshinstall.engine.objects.json_fields import MalformedError, at, number, table
from meshinstall.model import json_text
from meshinstall.model.istio import AGENT_PORT, ENVOY_ADMIN_PORT

_CONFIG = "PROXY_CONFIG"
# What the injector made of the annotations prometheus.io/..., which it then points to the agent (istio: pkg/kube/inject/webhook.go).
_SCRAPED = "ISTIO_PROMETHEUS_ANNOTATIONS"
_FROM_LOOPBACK = "METRICS_LOCALHOST_ACCESS_ONLY"
# As Go reads a boolean.
_TRUE = frozenset({"1", "t", "T", "true", "TRUE", "True"})
_LOWEST, _HIGHEST = 1, 65535


def admin_port(container: Any) -> int | None:
    """Where its Envoy answers, None when it is told nothing; the injector leaves out what is Istio's default.

    Raises MalformedError (istio: pkg/kube/inject/template.go, pilot/cmd/pilot-agent/config/config.go).
    """
    config = _config(container)
    return None if config is None else port(config) or ENVOY_ADMIN_PORT


def metrics_port(container: Any) -> int:
    """Where its agent hands out the application's metrics to everybody, 0 when it does not.

    What cannot be parsed is not served, for the agent does not start (istio: pilot/cmd/pilot-agent/status/server.go).
    """
    environment = variables(container)
    try:
        scraped = _SCRAPED in environment and at(json_text.load(environment[_SCRAPED]), "scrape") != "false"
        agent = number(at(_config(container), "statusPort")) or AGENT_PORT
    except ValueError:
        return 0
    return agent if scraped and environment.get(_FROM_LOOPBACK) not in _TRUE else 0


def _config(container: Any) -> Any:
    """Its ProxyConfig, None when there is none; raises MalformedError."""
    config = variables(container).get(_CONFIG)
    try:
        return None if config is None else table(json_text.load(config or "{}"))
    except ValueError as error:
        raise MalformedError(f"{_CONFIG} of its proxy could not be parsed: {error}") from error


def port(config: Any) -> int | None:
    """The admin port of a ProxyConfig, None when it names none; raises MalformedError."""
    found = number(at(config, "proxyAdminPort") or at(config, "proxy_admin_port"))
    if found and not _LOWEST <= found <= _HIGHEST:
        raise MalformedError("its proxyAdminPort is not a port")
    return found or None
