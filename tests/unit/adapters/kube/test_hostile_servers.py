"""What an API server, or who stands in its place, sends is read within bounds, is an error, and shows nobody's login."""

import base64
import hashlib
import struct
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler

import anyio
import pytest

from meshinstall.adapters.kube import portforward
from meshinstall.adapters.kube.client import KubeClient
from meshinstall.adapters.kube.portforward import PodPorts
from meshinstall.errors import ClusterError
from tests.contracts.servers import reply
from tests.unit.adapters.conftest import ApiServer, Reached

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONT, TEXT, BINARY = 0, 1, 2
HTTP = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


def frame(kind: int, data: bytes, *, last: bool = True, size: int = -1) -> bytes:
    """A frame of a websocket that says it has ``size`` bytes."""
    length = len(data) if size < 0 else size
    return bytes([last << 7 | kind, 127]) + struct.pack(">Q", length) + data


def flood(first: bytes, piece: bytes) -> Iterator[bytes]:
    """``first``, and then more than a bound."""
    yield first
    for _ in range(32 * portforward._MAX_FRAME // len(piece)):  # noqa: SLF001 - its own unit
        yield piece


STREAMS: dict[str, Callable[[], Iterator[bytes]]] = {
    "a frame without an end": lambda: flood(frame(BINARY, b"", size=2**62), b"\0" * 65536),
    "parts without an end": lambda: flood(frame(BINARY, b"\0", last=False), frame(CONT, b"x" * 65536, last=False)),
    "text that is none": lambda: iter([frame(TEXT, b"\xff\xfe")]),
    "a frame of another kind": lambda: iter([b"\x85\x00"]),
    "a length beyond 64 bits": lambda: iter([b"\x82\x7f" + b"\xff" * 8]),
}


def streaming(frames: Callable[[], Iterator[bytes]], sent: list[int]) -> Callable[[BaseHTTPRequestHandler], None]:
    """A server that takes a port-forward, and then sends ``frames``; ``sent`` gets the bytes of each that went out."""

    def respond(request: BaseHTTPRequestHandler) -> None:
        digest = hashlib.sha1(request.headers["Sec-WebSocket-Key"].encode() + _MAGIC, usedforsecurity=False).digest()
        head = "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Protocol: v4.channel.k8s.io\r\n"
        request.wfile.write(f"{head}Sec-WebSocket-Accept: {base64.b64encode(digest).decode()}\r\n\r\n".encode())
        for one in frames():
            request.wfile.write(one)
            sent.append(len(one))

    return respond


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_is_read_within_bounds(name: str, api: ApiServer, reached: Reached, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    monkeypatch.setattr(portforward, "_MAX_FRAME", 1024**2, raising=False)
    api.respond = streaming(STREAMS[name], sent)
    with pytest.raises(ClusterError, match="cannot port-forward to pod a/b"):
        anyio.run(PodPorts(reached(), None).get, "a", "b", 15014, "/")
    # What the system's buffers hold was sent, too.
    assert sum(sent) < 3 * portforward._MAX_FRAME + 4 * 1024**2  # noqa: SLF001 - its own unit


@pytest.mark.parametrize("kind", [TEXT, BINARY])
def test_a_stream_may_be_sent_as_text(kind: int, api: ApiServer, reached: Reached) -> None:
    api.respond = streaming(lambda: iter([frame(kind, b"\0\0\0"), frame(kind, b"\0" + HTTP)]), [])
    assert anyio.run(PodPorts(reached(), None).get, "a", "b", 15014, "/") == b"{}"


@pytest.mark.parametrize(
    "target", ["https://ann:hunter2@elsewhere.example/x", "//ann:hunter2@elsewhere.example", "https://hunter2@elsewhere.example?a"]
)
@pytest.mark.parametrize(
    "ask", [lambda config: KubeClient(config, None).get("/version"), lambda config: PodPorts(config, None).get("a", "b", 1, "/")]
)
def test_a_redirect_shows_where_it_leads_and_no_login(
    target: str, ask: Callable[[object], object], api: ApiServer, reached: Reached
) -> None:
    api.respond = lambda request: reply(request, 302, b"", Location=target)
    with pytest.raises(ClusterError) as caught:
        anyio.run(ask, reached())  # type: ignore[arg-type] # a coroutine function
    assert "elsewhere.example" in caught.value.message
    assert "hunter2" not in f"{caught.value.message}{caught.value.hint}"
