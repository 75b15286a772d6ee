"""A port-forward to a pod that answers as it likes: it costs its own time, and neither a thread nor the process is kept."""

import base64
import hashlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import anyio
import pytest

from meshinstall.adapters.kube import portforward
from meshinstall.adapters.kube.kubeconfig import Kubeconfig
from meshinstall.adapters.kube.portforward import PodPorts
from meshinstall.errors import ClusterError

pytestmark = pytest.mark.anyio

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
# Seconds that a test waits for an exchange, and for a thread to let go.
SHORT = 0.5
SOON = 3.0

Send = Callable[[bytes], None]


class Server:
    """An API server whose pod answers as ``behave`` does; ``ended`` is set when nobody reads any more."""

    def __init__(self, behave: Callable[[Send], None]) -> None:
        self.ended = threading.Event()
        self._behave = behave
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            self._talk_to(self._listener.accept()[0])
        self.ended.set()

    def _talk_to(self, connection: socket.socket) -> None:
        with connection:
            request = b""
            while b"\r\n\r\n" not in request:
                request += connection.recv(4096)
            key = next(line.split(b": ")[1] for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
            accept = base64.b64encode(hashlib.sha1(key + _MAGIC, usedforsecurity=False).digest())
            head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            connection.sendall(head + b"Sec-WebSocket-Protocol: v4.channel.k8s.io\r\nSec-WebSocket-Accept: " + accept + b"\r\n\r\n")
            for channel in (0, 1):
                connection.sendall(frame(bytes([channel]) + (15000).to_bytes(2, "little")))
            self._behave(lambda data: connection.sendall(frame(b"\x00" + data)))

    def close(self) -> None:
        """Take no more connections."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(2 * SOON)
        self._listener.close()


def frame(payload: bytes) -> bytes:
    """A binary frame of a server."""
    length = bytes([len(payload)]) if len(payload) < 126 else b"\x7e" + len(payload).to_bytes(2, "big")
    return b"\x82" + length + payload


def for_ever(data: bytes, pause: float, begin: bytes = b"") -> Callable[[Send], None]:
    """Send ``begin``, and then ``data`` again and again."""

    def behave(send: Send) -> None:
        send(begin or data)
        while True:
            time.sleep(pause)
            send(data)

    return behave


OK = b"HTTP/1.1 200 OK\r\n"
BEHAVIOURS = {
    "100 Continue for ever": for_ever(b"HTTP/1.1 100 Continue\r\n\r\n", 0.05),
    "100 Continue as fast as it can": for_ever(b"HTTP/1.1 100 Continue\r\n\r\n" * 50, 0),
    "a byte now and then": for_ever(b"H", 0.1),
    "a header for ever": for_ever(b"x", 0.05, OK + b"X-Long: "),
    "a body for ever": for_ever(b"x", 0.05, OK + b"\r\n"),
    "a chunked body for ever": for_ever(b"1\r\nx\r\n", 0.05, OK + b"Transfer-Encoding: chunked\r\n\r\n"),
    "trailers for ever": for_ever(b"X: y\r\n", 0.05, OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n"),
    "silence": lambda _: time.sleep(SOON),
}


@contextmanager
def serving(name: str) -> Iterator[Server]:
    """A server that behaves so."""
    server = Server(BEHAVIOURS[name])
    try:
        yield server
    finally:
        server.close()


async def ask(server: Server) -> bytes:
    return await PodPorts(Kubeconfig("", "dev", server.address, None), None).get("shop", "web", 15000, "/config_dump")


@pytest.mark.parametrize("name", BEHAVIOURS)
async def test_a_pod_costs_its_own_time_at_most(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portforward, "_TOTAL", SHORT)
    with serving(name) as server:
        started = anyio.current_time()
        with pytest.raises(ClusterError, match="pod shop/web did not answer on port 15000 within"):
            await ask(server)
        assert anyio.current_time() - started < SHORT + 1
        assert await anyio.to_thread.run_sync(server.ended.wait, SOON + 1)


@pytest.mark.parametrize("name", sorted(set(BEHAVIOURS) - {"silence"}))
async def test_whoever_gives_up_takes_the_line_with_him(name: str) -> None:
    with serving(name) as server:
        with anyio.move_on_after(SHORT) as scope:
            await ask(server)
        assert scope.cancelled_caught
        assert await anyio.to_thread.run_sync(server.ended.wait, SOON)


async def test_headers_have_a_limit() -> None:
    def behave(send: Send) -> None:
        send(OK + b"".join(b"X-%d: y\r\n" % number for number in range(3_000)) + b"\r\n")
        time.sleep(SHORT)

    server = Server(behave)
    with pytest.raises(ClusterError, match="cannot port-forward to pod shop/web: got more than 100 headers"):
        await ask(server)
    server.close()


async def test_a_body_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(portforward, "_MAX_ANSWER", 1024**2)
    server = Server(for_ever(b"x" * 60_000, 0, OK + b"\r\n"))
    with pytest.raises(ClusterError, match="pod shop/web sent more than 1 MiB"):
        await ask(server)
    assert await anyio.to_thread.run_sync(server.ended.wait, SOON)
    server.close()


PROGRAM = """
import sys, anyio
from meshinstall.adapters.kube.kubeconfig import Kubeconfig
from meshinstall.adapters.kube.portforward import PodPorts
async def main():
    with anyio.move_on_after(0.5):
        await PodPorts(Kubeconfig("", "dev", sys.argv[1], None), None).get("shop", "web", 15000, "/config_dump")
anyio.run(main)
"""


def test_the_process_ends_when_the_command_does() -> None:
    with serving("100 Continue for ever") as server:
        command = [sys.executable, "-c", PROGRAM, server.address]
        done = subprocess.run(command, check=False, timeout=20, cwd=Path(__file__).parents[2])
    assert done.returncode == 0
