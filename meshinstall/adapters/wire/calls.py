"""A request to a port, as bytes on a connection from inside the cluster, and what comes back."""

import re
from collections.abc import Mapping
from dataclasses import replace
from http import HTTPStatus

from meshinstall.adapters.wire.heads import clean, failure, spiffe, why
from meshinstall.adapters.wire.tunnel import Tunnel, connected
from meshinstall.engine.probe import probe_objects
from meshinstall.model.wire import Call, End, Reply, Way
from meshinstall.ports import Stream

_PATHS: Mapping[Way, str] = {
    Way.PLAIN: probe_objects.PLAIN,
    Way.MESH_HTTP: probe_objects.MESH_HTTP,
    Way.MESH_TCP: probe_objects.MESH_TCP,
}
# Seconds: for an answer to begin, for the rest of a head or for what follows bytes of TCP, and for the rest of what is looked at of a body.
_BEGIN = 4.0
_HEAD = 2.0
_BODY = 0.5
# Bytes: of a head, of the part of a body that is looked at, of one read.
_MOST_HEAD = 64 * 1024
_MOST_BODY = 256
_MOST_TCP = 64 * 1024
_LENGTH = re.compile(r"[0-9]{1,9}")
_READ = 4096
_STATUS = re.compile(r"HTTP/1\.[01] (\d{3})(?: .*)?")
# Answers below it go before the one that counts (RFC 9110 section 15.2).
_FINAL = 200


def speak(stream: Stream, call: Call) -> Reply:
    """Send one request, and look at the beginning of what comes back; raises OSError when the way to the client is broken."""
    ip, port = call.target.ip, call.target.port
    tunnel = connected(stream, _PATHS[call.way], f"[{ip}]:{port}" if ":" in ip else f"{ip}:{port}")
    if tunnel.head.status != HTTPStatus.OK:
        return Reply(End.FAILED, clean(failure(why(tunnel.head))[1]))
    tunnel.send(call.data)
    reply = _read(_Incoming(tunnel), speaks_http=call.speaks_http)
    return replace(reply, identity=spiffe(tunnel.head, probe_objects.OWN))


def _read(incoming: "_Incoming", *, speaks_http: bool) -> Reply:
    try:
        if not incoming.more(_BEGIN):
            return Reply(End.CLOSED, "closed the connection without an answer")
        return _answer(incoming) if speaks_http else _rest(incoming)
    except ConnectionResetError:
        return Reply(End.RESET, "reset the connection without an answer")
    except TimeoutError:
        return Reply(End.HELD, f"kept the connection open without an answer for {_BEGIN:.0f} s")


def _rest(incoming: "_Incoming") -> Reply:
    """What follows the first bytes: a server may have said them before its proxy judged the connection, by the client's first byte."""
    try:
        for _ in range(_MOST_TCP // _READ):
            if not incoming.more(_HEAD):
                return Reply(End.CLOSED, "answered, and then closed the connection")
    except ConnectionResetError:
        return Reply(End.RESET, "answered, and then reset the connection")
    except TimeoutError:
        pass
    return Reply(End.BYTES, "answered")


def _answer(incoming: "_Incoming") -> Reply:
    """The first final answer of HTTP."""
    while True:
        lines = incoming.head()
        status = _STATUS.fullmatch(lines[0]) if lines else None
        if status is None:
            return Reply(End.BYTES, "answered something else than HTTP")
        if (code := int(status[1])) >= _FINAL:
            break
    # The last of each name: Envoy writes over what an application said.
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    length = headers.get("content-length", "")
    most = min(int(length), _MOST_BODY) if _LENGTH.fullmatch(length) else _MOST_BODY
    return Reply(End.HEAD, f"HTTP {code}", code, headers, incoming.body(most).decode("utf-8", "replace"))


class _Incoming:
    """Bytes that come back, as far as they are looked at."""

    def __init__(self, tunnel: Tunnel) -> None:
        self._tunnel = tunnel
        self._buffer = b""

    def more(self, seconds: float) -> bool:
        """Wait for more; False at an end in order. Raises ConnectionResetError and TimeoutError."""
        data = self._tunnel.receive(_READ, seconds)
        self._buffer += data
        return bool(data)

    def head(self) -> list[str]:
        """The lines of a head; none where it does not come, or is too long."""
        while b"\r\n\r\n" not in self._buffer:
            if len(self._buffer) > _MOST_HEAD or not self._grows(_HEAD):
                return []
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        return head.decode("latin-1").split("\r\n")

    def body(self, most: int) -> bytes:
        """As much as comes soon, at most so many bytes."""
        while len(self._buffer) < most and self._grows(_BODY):
            pass
        return self._buffer[:most]

    def _grows(self, seconds: float) -> bool:
        try:
            return self.more(seconds)
        except (ConnectionResetError, TimeoutError):
            return False
