"""Reads from a proxy's own listeners who answers at a port, and by which keys tokens are checked (Envoy's ``/config_dump``)."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from meshinstall.engine.mesh.large_answers import parsed
from meshinstall.engine.objects.json_fields import at, flag, number, rows, table, text
from meshinstall.errors import ClusterError
from meshinstall.model.answering import FROM_BEHIND, Answering
from meshinstall.model.wire import Call, Way

# Bytes of the listeners of one port, and of all routes of a gateway.
_MAX_DUMP = 4 * 1024**2
# istiod's name for the listener that takes all inbound traffic (istio: pilot/pkg/model/context.go).
_INBOUND = "virtualInbound"
_MANAGER = "envoy.filters.network.http_connection_manager"
# Filters that may write answers anew, and their marks: what they do is not in the configuration.
_PROGRAMS = re.compile(r"extensions\.filters\.http\.(lua|wasm|ext_proc|golang|dynamic_modules|header_mutation)\.")
_ASKING = "extensions.filters.http.ext_authz."
# Filters for which a connection may wait longer than an answer is waited for.
_WAITING = re.compile(r"extensions\.filters\.network\.(ext_authz|wasm|ext_proc|golang|dynamic_modules)\.")
# How bodies begin by which a refusal is known (checks/authz/answers.py).
_REFUSALS = ("RBAC: ", "Audiences in Jwt ", "Jwt ", "Jwks ")
_RAW, _TLS = "raw_buffer", "tls"
# The transport, and what a proxy takes a connection for that comes so: by what its inspector finds in it, or by what our client names.
_SEEN_AS: Mapping[tuple[Way, bool], tuple[str, str]] = {
    (Way.PLAIN, True): (_RAW, "http/1.1"),
    (Way.PLAIN, False): (_RAW, ""),
    (Way.MESH_HTTP, True): (_TLS, "istio-http/1.1"),
    (Way.MESH_TCP, False): (_TLS, "istio"),
}
# How the key begins whose private part nobody has (istio: pilot/pkg/model/jwks_resolver.go, PublicOnlyJwks).
_NOBODYS_KEY = "0xObjM0UvS_oaazjpEYlAbwctEJ4L8pH3OuTb7qth7gUwqet"

ROUTES = "/config_dump?resource=dynamic_route_configs"


def listeners_path(port: int) -> str:
    """What to ask a proxy for: the listener of a sidecar for all ports, and listeners on one port."""
    return f"/config_dump?resource=dynamic_listeners&name_regex={quote(f'^({_INBOUND}|.*_{port})$', safe='')}"


def read_answering(listeners: bytes, call: Call, routes: bytes | None = None) -> Answering:
    """Who answers a call to a sidecar, or, with its ``routes``, to a gateway.

    Raises ClusterError for what Envoy would not say, and where nothing listens.
    """
    port, is_gateway = call.target.port, routes is not None
    transport, protocol = _SEEN_AS[call.way, call.speaks_http]
    try:
        listener = _listener(listeners, port, is_gateway=is_gateway)
        found = [*_within(listener), *(_within(parsed(routes, _MAX_DUMP)) if routes else ())]
        rewritten, hidden, asked, marked, waits = (next(filter(None, map(why, found)), "") for why in _WHY)
        reached, *any_way = (_reached(listener, port, one, is_gateway=is_gateway) for one in (transport, _RAW, _TLS))
        spoken = [one for one in reached if protocol and protocol in _protocols(one)] or [one for one in reached if not _protocols(one)]
        return Answering(
            is_http=bool(spoken) and all(map(_is_http, spoken)),
            takes_anybody=not all(_asks_for_certificate(one) for chains in any_way for one in chains),
            hides=rewritten or hidden or asked,
            forges=rewritten or marked,
            waits=waits,
            unkeyed=tuple(sorted(set(_unkeyed(found)))),
        )
    except ValueError as error:
        raise ClusterError(f"its Envoy's answer could not be parsed: {error}") from error


def _listener(data: bytes, port: int, *, is_gateway: bool) -> Any:
    found = [(text(at(one, "name")), at(one, "active_state", "listener")) for one in rows(at(parsed(data, _MAX_DUMP), "configs"))]
    if is_gateway:
        mine = [one for name, one in found if one and name != _INBOUND and _port(one) == port]
    else:
        mine = [one for name, one in found if one and name == _INBOUND]
    if len(mine) != 1:
        raise ClusterError(f"its proxy has {len(mine)} listeners for port {port}, and one is expected")
    return mine[0]


def _port(listener: Any) -> int:
    return number(at(listener, "address", "socket_address", "port_value"))


def _reached(listener: Any, port: int, transport: str, *, is_gateway: bool) -> list[Any]:
    """The chains that may get a connection, as Envoy chooses: by port, then by transport; none where it closes all of them."""
    chains: Sequence[Any] = rows(at(listener, "filter_chains"))
    default = at(listener, "default_filter_chain")
    if not is_gateway:
        named = [one for one in chains if number(_match(one, "destination_port")) == port]
        chains = named or [one for one in chains if not number(_match(one, "destination_port"))]
    found = [one for one in chains if text(_match(one, "transport_protocol")) == transport]
    found = found or [one for one in chains if not text(_match(one, "transport_protocol"))]
    return [*found, default] if default else found


def _match(chain: Any, field: str) -> Any:
    return at(chain, "filter_chain_match", field)


def _protocols(chain: Any) -> Sequence[Any]:
    return rows(_match(chain, "application_protocols"))


def _is_http(chain: Any) -> bool:
    filters = rows(at(chain, "filters"))
    return bool(filters) and text(at(filters[-1], "name")) == _MANAGER


def _asks_for_certificate(chain: Any) -> bool:
    return flag(at(chain, "transport_socket", "typed_config", "require_client_certificate"))


def _types(one: Mapping[str, Any]) -> str:
    """The types that a configuration names: its own, that inside a TypedStruct, those of what is fetched from elsewhere."""
    return " ".join(map(str, (one.get("@type"), one.get("type_url"), *rows(at(one, "config_discovery", "type_urls")))))


def _rewrites(one: Mapping[str, Any]) -> str:
    """Why answers and marks may be written by others than Envoy's router; Envoy also writes headers of routes into its own answers."""
    if one.get("local_reply_config"):
        return "its proxy writes its own answers in other words (local_reply_config)"
    added = (text(at(entry, "header", "key")) for entry in rows(one.get("response_headers_to_add")))
    if FROM_BEHIND in {name.lower() for name in (*added, *map(text, rows(one.get("response_headers_to_remove"))))}:
        return f"a route of its proxy names the header {FROM_BEHIND}"
    if found := _PROGRAMS.search(_types(one)):
        return f"its proxy has a filter that may write any answer ({found[1]})"
    return ""


def _asks(one: Mapping[str, Any]) -> str:
    """Why a refusal may be in the words of policies: the service that is asked writes its own."""
    return "a service outside of the mesh (CUSTOM) may have written the answer" if _ASKING in _types(one) else ""


def _marks(one: Mapping[str, Any]) -> str:
    """Why a refusal may have the mark: it is in what the service answered that was asked."""
    return "" if _keeps_marks(one) else _asks(one)


def _keeps_marks(one: Mapping[str, Any]) -> bool:
    """Whether no header of the service that is asked can be the mark; by default its refusal has all of them (envoy: ext_authz.proto)."""
    answers = table(at(one, "http_service", "authorization_response"))
    refused, passed = (rows(at(answers, name, "patterns")) for name in ("allowed_client_headers", "allowed_client_headers_on_success"))
    names = [text(at(each, "exact")).lower() for each in (*refused, *passed)]
    return bool(refused) and all(name and name != FROM_BEHIND for name in names)


def _hides(one: Mapping[str, Any]) -> str:
    """Why an answer of the application may have no mark, or one of a route may have the words of a policy."""
    if flag(one.get("suppress_envoy_headers")):
        return "its proxy leaves Envoy's own headers out (proxyHeaders)"
    body = table(at(one, "direct_response", "body")) if isinstance(one.get("direct_response"), dict) else {}
    if body and (body.keys() != {"inline_string"} or text(body["inline_string"]).startswith(_REFUSALS)):
        return "a route of its proxy answers itself, and perhaps in the words of policies (directResponse)"
    return ""


def _waits(one: Mapping[str, Any]) -> str:
    found = _WAITING.search(_types(one))
    return f"its proxy has a filter that may hold connections up ({found[1]})" if found else ""


def _unkeyed(found: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for one in found:
        if _NOBODYS_KEY in str(at(one, "local_jwks", "inline_string") if isinstance(one.get("local_jwks"), dict) else ""):
            yield text(one.get("issuer"))


_WHY = (_rewrites, _hides, _asks, _marks, _waits)


def _within(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in a value."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            yield one
            left += one.values()
        elif isinstance(one, list):
            left += one
