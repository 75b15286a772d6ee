"""Connections made from inside the cluster, by the Envoy of the probes' client (engine/probe/probe_objects.py).

A port-forward tells the end of a connection seconds late or never, and a reset
like an end. So each tunnel runs inside another one that leads to the same
Envoy: the outer one tells at once, in its own bytes, that the inner one ended,
and the inner one tells whether that was in order.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from meshinstall.engine.probe import probe_objects
from meshinstall.ports import Stream

# Bytes: of the head of an answer, and of one read.
_MOST_HEAD = 16 * 1024
_READ = 64 * 1024
# Seconds for an answer to begin; Envoy itself gives up connecting after two.
_CONNECT = 3.5


@dataclass(frozen=True, slots=True)
class Head:
    """The answer that opened a tunnel: 200 when it is connected; header names are lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)


class Tunnel:
    """Implements ports.Stream over a stream to Envoy: one chunked POST (RFC 9112) whose answer is chunked too.

    ``receive`` is empty when the other side ended in order and raises ConnectionResetError when it did not.
    """

    def __init__(self, stream: Stream, path: str, address: str) -> None:
        self._stream = stream
        self._buffer = b""
        self._left = 0
        self._ended = False
        request = f"POST {path} HTTP/1.1\r\nHost: probe\r\n{probe_objects.ADDRESS}: {address}\r\nTransfer-Encoding: chunked\r\n\r\n"
        self._stream.send(request.encode())
        self.head = self._read_head()

    def send(self, data: bytes) -> None:
        """Send all of ``data``; raises OSError."""
        self._stream.send(b"%x\r\n%s\r\n" % (len(data), data))

    def end(self) -> None:
        """Tell the other side that no more data follows."""
        self._stream.send(b"0\r\n\r\n")

    def receive(self, size: int, seconds: float | None = None) -> bytes:
        """At most ``size`` bytes, at least one; empty at an end in order."""
        while not self._left and not self._ended:
            # What ends a chunk is an empty line.
            if line := self._line(seconds):
                self._left = _number(line)
                self._ended = not self._left
        if self._ended:
            return b""
        if not self._buffer:
            self._more(seconds)
        given = self._buffer[: min(size, self._left)]
        self._buffer = self._buffer[len(given) :]
        self._left -= len(given)
        return given

    def _line(self, seconds: float | None) -> bytes:
        while b"\r\n" not in self._buffer:
            if len(self._buffer) > _MOST_HEAD:
                raise OSError("the probe client's Envoy sent a line that is too long")
            self._more(seconds)
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line

    def _more(self, seconds: float | None) -> None:
        data = self._stream.receive(_READ, seconds)
        if not data:
            raise ConnectionResetError("reset by the other side")
        self._buffer += data

    def _read_head(self) -> Head:
        words = self._line(_CONNECT).split(b" ", 2)
        headers: dict[str, str] = {}
        while line := self._line(_CONNECT):
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        return Head(_number(words[1], 10) if len(words) > 1 else 0, headers)


def connected(stream: Stream, path: str, address: str) -> Tunnel:
    """A tunnel to ``address`` (IP:port) inside one to Envoy itself; its head says whether it is open. Raises OSError."""
    outer = Tunnel(_Lasting(stream), probe_objects.PLAIN, f"127.0.0.1:{probe_objects.LISTENER}")
    if outer.head.status != HTTPStatus.OK:
        raise OSError(f"the probe client cannot connect to itself: HTTP {outer.head.status}")
    return Tunnel(outer, path, address)


class _Lasting:
    """A port-forward: its close or reset is a failure on our side, never an answer of the other side."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def send(self, data: bytes) -> None:
        try:
            self._stream.send(data)
        except ConnectionError as error:
            raise _broken() from error

    def receive(self, size: int, seconds: float | None = None) -> bytes:
        try:
            data = self._stream.receive(size, seconds)
        except ConnectionError as error:
            raise _broken() from error
        if not data:
            raise _broken()
        return data


def _broken() -> ConnectionAbortedError:
    return ConnectionAbortedError("the port-forward to the probe client closed")


def _number(text: bytes, base: int = 16) -> int:
    try:
        return int(text, base)
    except ValueError:
        raise OSError("the probe client's Envoy did not answer in HTTP") from None
