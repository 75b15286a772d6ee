"""Reads what a proxy is told of itself: the ProxyConfig that the injector writes into its container, and the mesh's default; pure."""

import json
from typing import Any

from meshinstall.engine.mesh.redirection import variables
from meshinstall.engine.objects.json_fields import MalformedError, at, number, table
from meshinstall.model.istio import ENVOY_ADMIN_PORT

_CONFIG = "PROXY_CONFIG"
_LOWEST, _HIGHEST = 1, 65535


def admin_port(container: Any) -> int | None:
    """Where its Envoy answers, None when it is told nothing; the injector leaves out what is Istio's default.

    Raises MalformedError (istio: pkg/kube/inject/template.go, pilot/cmd/pilot-agent/config/config.go).
    """
    config = variables(container).get(_CONFIG)
    if config is None:
        return None
    try:
        return port(table(json.loads(config or "{}"))) or ENVOY_ADMIN_PORT
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"{_CONFIG} of its proxy could not be parsed: {error}") from error


def port(config: Any) -> int | None:
    """The admin port of a ProxyConfig, None when it names none; raises MalformedError."""
    found = number(at(config, "proxyAdminPort") or at(config, "proxy_admin_port"))
    if found and not _LOWEST <= found <= _HIGHEST:
        raise MalformedError("its proxyAdminPort is not a port")
    return found or None
