"""Reads from Azure's answer the settings that preflight checks; every type is checked, names are ARM's own."""

import contextlib
import socket
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from meshinstall.adapters.aks.words import clean
from meshinstall.adapters.net.proxies import find_proxy

_HTTPS = 443
# Seconds to wait for a connection to the API server.
_PATIENCE = 5.0
_MAX_POOLS = 200
_AWAY = frozenset({"Creating", "Deleting", "Starting", "Stopping"})


def read_details(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a ManagedCluster (as JSON) that preflight checks; missing values and values of another type are empty."""
    properties = _map(answer.get("properties"))
    access, network = _map(properties.get("apiServerAccessProfile")), _map(properties.get("networkProfile"))
    addons, routing = _map(properties.get("addonProfiles")), _map(_map(properties.get("ingressProfile")).get("webAppRouting"))
    return {
        "skuName": _text(_map(answer.get("sku")).get("name")),
        "provisioningState": _text(properties.get("provisioningState")),
        "powerState": _text(_map(properties.get("powerState")).get("code")),
        "currentKubernetesVersion": _text(properties.get("currentKubernetesVersion") or properties.get("kubernetesVersion")),
        "supportPlan": _text(properties.get("supportPlan")),
        "disableLocalAccounts": properties.get("disableLocalAccounts") is True,
        "enableAzureRBAC": _map(properties.get("aadProfile")).get("enableAzureRBAC") is True,
        "tenantID": _text(_map(properties.get("aadProfile")).get("tenantID")),
        "enablePrivateCluster": access.get("enablePrivateCluster") is True,
        "enablePrivateClusterPublicFQDN": access.get("enablePrivateClusterPublicFQDN") is True,
        "fqdn": _text(properties.get("fqdn")),
        "privateFQDN": _text(properties.get("privateFQDN")),
        "disableRunCommand": access.get("disableRunCommand") is True,
        "authorizedIPRanges": [_text(one) for one in _list(access.get("authorizedIPRanges"))],
        "serviceMeshMode": _text(_map(properties.get("serviceMeshProfile")).get("mode")),
        "appRoutingIstio": _text(_map(_map(routing.get("gatewayAPIImplementations")).get("appRoutingIstio")).get("mode")),
        "virtualNodes": any(name.lower().startswith("aciconnector") and _map(one).get("enabled") is True for name, one in addons.items()),
        "networkDataplane": _text(network.get("networkDataplane")),
        "agentPoolProfiles": [_pool(_map(one)) for one in _list(properties.get("agentPoolProfiles"))[:_MAX_POOLS]],
    }


def status_of(details: Mapping[str, Any]) -> str:
    """The status in one word: the power state while the cluster is off, else the state of its last change."""
    power = str(details["powerState"])
    return power if power not in {"", "Running"} else str(details["provisioningState"] or "unknown")


def answers(details: Mapping[str, Any]) -> bool:
    """Whether its API server runs: not while the cluster is created, stopped or deleted."""
    return details["powerState"] in {"", "Running"} and details["provisioningState"] not in _AWAY


def _pool(pool: Mapping[str, Any]) -> dict[str, str]:
    version = _text(pool.get("currentOrchestratorVersion") or pool.get("orchestratorVersion"))
    return {
        "name": _text(pool.get("name")),
        "osType": _text(pool.get("osType")),
        "provisioningState": _text(pool.get("provisioningState")),
        "powerState": _text(_map(pool.get("powerState")).get("code")),
        "currentOrchestratorVersion": version,
        "orchestratorVersion": _text(pool.get("orchestratorVersion")) or version,
    }


def read_versions(answer: Mapping[str, Any]) -> dict[str, list[str]]:
    """The minor versions that AKS supports in a region, with their support plans (KubernetesVersionListResult as JSON)."""
    found = {}
    for one in map(_map, _list(answer.get("values"))):
        if minor := _text(one.get("version")):
            found[minor] = [_text(plan) for plan in _list(_map(one.get("capabilities")).get("supportPlan"))]
    return found


def reachable(server: str) -> str:
    """Whether this machine can connect to ``server``: ``yes``, ``no address``, ``no answer``; through a proxy ``proxied``, untested."""
    if find_proxy(server):
        return "proxied"
    parts = urlsplit(server)
    try:
        with contextlib.closing(socket.create_connection((parts.hostname or "", parts.port or _HTTPS), _PATIENCE)):
            return "yes"
    except socket.gaierror:
        return "no address"
    except OSError:
        return "no answer"


def _map(node: object) -> Mapping[str, Any]:
    return node if isinstance(node, Mapping) else {}


def _list(node: object) -> list[Any]:
    return node if isinstance(node, list) else []


def _text(node: object) -> str:
    return clean(node) if isinstance(node, str) else ""
