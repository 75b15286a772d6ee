"""What gateways serve as a document of a snapshot, and back; pure."""

from collections.abc import Mapping
from typing import Any

from meshinstall.errors import SnapshotError
from meshinstall.model.foreign_text import plain
from meshinstall.model.gateway_config import Door, GatewayConfig, Listener, Root, Route
from meshinstall.model.secrets import shape

# Elements of one gateway: what is read from an Envoy has no more either.
_MOST = 1_000_000


def serving_document(serving: Mapping[str, GatewayConfig | str]) -> dict[str, Any]:
    """The document of what gateways serve, by ``namespace/name``, or why that is not known."""
    return {"gateways": [_row(name, serving[name]) for name in sorted(serving)]}


def _row(name: str, found: GatewayConfig | str) -> dict[str, Any]:
    if isinstance(found, str):
        return {"gateway": name, "unread": plain(found), "withheld": 0, "config": None}
    # A match of a route may hold a token: the VirtualService that says so is left out by name.
    routes = [one for one in sorted(found.routes) if not any(map(shape, (one.domain, one.match, *one.targets)))]
    config = {
        "listeners": [_listener(one) for one in sorted(found.listeners)],
        "doors": [{"listener": _listener(one.listener), "serverName": one.server_name, "tls": one.tls} for one in sorted(found.doors)],
        "routes": [_route(one) for one in routes],
        "secrets": sorted(found.secrets),
        "roots": [{"secret": one.secret, "fingerprint": one.fingerprint} for one in sorted(found.roots)],
    }
    return {"gateway": name, "unread": None, "withheld": len(found.routes) - len(routes), "config": config}


def _listener(one: Listener) -> dict[str, Any]:
    return {"address": one.address, "port": one.port, "protocol": one.protocol}


def _route(one: Route) -> dict[str, Any]:
    named = {"serverName": one.server_name, "domain": one.domain, "match": one.match, "targets": list(one.targets)}
    return {"listener": _listener(one.listener), **named}


def read_serving(document: Any) -> dict[str, GatewayConfig | str]:
    """What ``serving_document`` made; raises SnapshotError for anything else."""
    try:
        rows = document["gateways"]
        found = {str(row["gateway"]): str(row["unread"]) if row["config"] is None else _config(row["config"]) for row in rows}
        is_once = len(found) == len(rows)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SnapshotError(f"the snapshot's document of what gateways serve is not one: {plain(error)}") from None
    if not is_once:
        raise SnapshotError("the snapshot's document of what gateways serve lists one of them twice")
    return found


def read_withheld(document: Any) -> dict[str, int]:
    """How many routes of each gateway are not in the document, of a document that ``read_serving`` took; raises ValueError."""
    return {str(row["gateway"]): count for row in document["gateways"] if (count := int(row.get("withheld", 0)))}


def _config(row: Any) -> GatewayConfig:
    if sum(len(part) for part in row.values()) > _MOST:
        raise ValueError("a gateway serves too much")
    return GatewayConfig(
        frozenset(map(_read_listener, row["listeners"])),
        frozenset(Door(_read_listener(one["listener"]), str(one["serverName"]), str(one["tls"])) for one in row["doors"]),
        frozenset(map(_read_route, row["routes"])),
        frozenset(map(str, row["secrets"])),
        frozenset(Root(str(one["secret"]), str(one["fingerprint"])) for one in row["roots"]),
    )


def _read_listener(row: Any) -> Listener:
    return Listener(str(row["address"]), int(row["port"]), str(row["protocol"]))


def _read_route(row: Any) -> Route:
    targets = tuple(map(str, row["targets"]))
    return Route(_read_listener(row["listener"]), str(row["serverName"]), str(row["domain"]), str(row["match"]), targets)
