"""The listeners of the fake Google: a CONNECT proxy that ends some tunnels itself and leads others to a cluster."""

import select
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

# Linux: bind to an address that is not there yet (ip(7)).
_IP_FREEBIND = 15
_CHUNK = 64 * 1024
# Bytes of a request's head.
_HEAD = 64 * 1024
_FORBIDDEN = b"HTTP/1.1 403 Forbidden\r\nContent-Type: text/html\r\nContent-Length: 9\r\nConnection: close\r\n\r\nForbidden"


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back; ``times`` repeats the body, ``claimed`` is a Content-Length that need not be true, ``hang`` never ends."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    times: int = 1
    claimed: int | None = None
    hang: bool = False


@dataclass(frozen=True, slots=True)
class Door:
    """What a tunnel leads to: TLS that ends here, or a cluster, or both: then IAM stands between. ``authority`` is the cluster's."""

    tls: ssl.SSLContext | None = None
    forward: tuple[str, int] | None = None
    authority: bytes = b""


class Google(Protocol):
    """What the listeners ask."""

    def door(self, host: str) -> Door | None:
        """What a tunnel to ``host`` leads to."""

    def lets_in(self, host: str, authorization: str) -> bool:
        """Whether IAM lets a request through."""

    def respond(self, host: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """The answer to one request."""

    def hold(self) -> None:
        """Say nothing until the end."""


class Server(ThreadingHTTPServer):
    """One listener; with ``tls`` it speaks TLS from the first byte."""

    daemon_threads = True

    def __init__(self, listen: tuple[str, int], google: Google, tls: ssl.SSLContext | None, handler: type["Handler"]) -> None:
        self.google = google
        self.tls = tls
        super().__init__(listen, handler)

    def server_bind(self) -> None:
        """Bind where a cluster's link will be."""
        self.socket.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        super().server_bind()

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Serve one connection."""
        try:
            if self.tls:
                request = self.tls.wrap_socket(request, server_side=True)
            super().finish_request(request, client_address)
        except OSError:
            # The other side went away or trusts nobody here: its test says whether that is right.
            return


class Handler(BaseHTTPRequestHandler):
    """Requests, and tunnels."""

    protocol_version = "HTTP/1.1"
    # Else an answer waits 40 ms for the caller's acknowledgement of what was sent before it; no cloud's does.
    disable_nagle_algorithm = True
    server: Server
    host = ""

    def do_CONNECT(self) -> None:
        """Open a tunnel."""
        host = self.path.rpartition(":")[0]
        door = self.server.google.door(host)
        if door is None:
            self.send_error(HTTPStatus.BAD_GATEWAY)
            return
        self.send_response(HTTPStatus.OK)
        self.end_headers()
        # Clients ask for the tunnel in HTTP/1.0.
        self.close_connection = door.forward is not None
        self.host = host
        if door.tls:
            self.connection = door.tls.wrap_socket(self.connection, server_side=True)
            self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb")
        if door.forward:
            self._forward(door, door.forward)

    def do_GET(self) -> None:
        """Any request."""
        google = self.server.google
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer = google.respond(
            self.host or self.headers.get("Host", ""), self.path, {name.title(): value for name, value in self.headers.items()}, body
        )
        if answer.hang:
            google.hold()
            self.close_connection = True
            return
        self._send(answer)

    do_POST = do_GET  # noqa: N815 - http.server's name

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        length = answer.claimed if answer.claimed is not None else len(answer.body) * answer.times
        for name, value in {"Content-Type": answer.content_type, "Content-Length": str(length), **answer.headers}.items():
            self.send_header(name, value)
        self.close_connection = answer.claimed is not None
        self.end_headers()
        for _ in range(answer.times):
            self.wfile.write(answer.body)
        self.wfile.flush()

    def _forward(self, door: Door, to: tuple[str, int]) -> None:
        """Carry bytes both ways; through a door with TLS only what IAM lets in, judged by the first request."""
        first = b""
        cluster = socket.create_connection(to, timeout=10)
        try:
            cluster.settimeout(None)
            if door.tls:
                first = _head(self.connection)
                if not self.server.google.lets_in(self.host, _authorization(first)):
                    self.connection.sendall(_FORBIDDEN)
                    return
                cluster = ssl.create_default_context(cadata=door.authority.decode()).wrap_socket(cluster, server_hostname=to[0])
            cluster.sendall(first)
            _carry(self.connection, cluster)
        finally:
            cluster.close()

    def finish(self) -> None:
        """Close what TLS was wrapped around too: the server closes only what it accepted."""
        try:
            super().finish()
        finally:
            self.connection.close()

    def log_message(self, *_args: object) -> None:
        """Say nothing; what was asked is written down."""


def _head(connection: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data and len(data) < _HEAD:
        chunk = connection.recv(_CHUNK)
        if not chunk:
            break
        data += chunk
    return data


def _authorization(head: bytes) -> str:
    lines = head.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
    return next((line.partition(":")[2].strip() for line in lines if line.lower().startswith("authorization:")), "")


def _carry(one: socket.socket, other: socket.socket) -> None:
    """Both ways in one thread, for a TLS connection must not be used by two at a time; ends when either side does."""
    across = {one: other, other: one}
    while True:
        # What TLS has read ahead makes no socket readable.
        ahead = [side for side in across if isinstance(side, ssl.SSLSocket) and side.pending()]
        readable = ahead or select.select(list(across), [], [])[0]
        for side in readable:
            # What made it readable may be TLS's own, such as a session ticket: then there is nothing to wait for.
            side.setblocking(False)
            try:
                chunk = side.recv(_CHUNK)
            except (ssl.SSLWantReadError, BlockingIOError):
                continue
            finally:
                side.setblocking(True)
            if not chunk:
                return
            across[side].sendall(chunk)
