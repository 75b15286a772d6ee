"""The inbound filter chains of a proxy, from its listeners (envoy: api/envoy/config/listener/v3)."""

from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from types import MappingProxyType
from typing import Any

from meshinstall.checks.authz.chains import Chain
from meshinstall.checks.authz.enforced import Way
from meshinstall.engine.mesh.rbac.filters import Known, read_way
from meshinstall.engine.objects.json_fields import MalformedError, at, flag, number, rows, table, text

_TLS = "envoy.transport_sockets.tls"
_RAW = ("", "envoy.transport_sockets.raw_buffer")
# What chooses a chain otherwise, in waypoints and by an EnvoyFilter.
_STRANGE = ("default_filter_chain", "filter_chain_matcher")
_KNOWN = frozenset({"destination_port", "transport_protocol", "application_protocols", "server_names"})


def read_chains(
    listener: Any, port: int | None = None, tables: Mapping[str, Any] = MappingProxyType({}), known: Known | None = None
) -> Iterator[Chain]:
    """Those of a listener; ``port`` is its own where its chains name none, ``tables`` are routes by name. Raises MalformedError.

    ``known`` is what was read of the same proxy's other listeners.
    What a chain does is read when it is asked for: most are never.
    """
    if strange := next((name for name in _STRANGE if at(listener, name) is not None), ""):
        raise MalformedError(f"an inbound listener has a {strange}")
    known = known or Known()
    for one in rows(at(listener, "filter_chains")):
        yield _chain(one, port, partial(read_way, at(one, "filters"), tables, known))


def _chain(found: Any, port: int | None, read: Callable[[], Way]) -> Chain:
    match = table(at(found, "filter_chain_match"))
    own = match.get("destination_port")
    tls, certificate = _tls(table(at(found, "transport_socket")))
    return Chain(
        port=port if own is None else number(own),
        read=cache(read),
        transport=text(match.get("transport_protocol")),
        protocols=tuple(text(one) for one in rows(match.get("application_protocols"))),
        server_names=tuple(text(one).lower() for one in rows(match.get("server_names"))),
        asks_more=bool(match.keys() - _KNOWN),
        tls=tls,
        certificate=certificate,
    )


def _tls(socket: Mapping[str, Any]) -> tuple[bool, bool]:
    name = text(socket.get("name"))
    if name in _RAW:
        return False, False
    if name != _TLS:
        raise MalformedError(f"an inbound chain uses the unknown transport socket {name}")
    return True, flag(at(socket, "typed_config", "require_client_certificate"))
