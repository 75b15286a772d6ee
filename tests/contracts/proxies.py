"""Proxies on loopback that lead everything to one port, and keep what they were asked for."""

import base64
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

Asked = tuple[str, str]


@dataclass(slots=True)
class Proxy:
    """A running proxy; ``asked`` holds target (host:port) and login (user:password, or nothing) of each connection."""

    address: str = ""
    asked: list[Asked] = field(default_factory=list)


@contextmanager
def connect_proxy(target: int, context: ssl.SSLContext | None = None) -> Iterator[Proxy]:
    """A proxy that knows CONNECT, over TLS with ``context``."""

    def accept(client: socket.socket) -> Asked:
        head = b""
        while b"\r\n\r\n" not in head:
            head += client.recv(4096)
        lines = head.decode().split("\r\n")
        login = next((line.split()[2] for line in lines if line.lower().startswith("proxy-authorization: basic ")), "")
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        return lines[0].split()[1], base64.b64decode(login).decode()

    with _proxy(target, accept, context) as found:
        yield found


@contextmanager
def socks_proxy(target: int) -> Iterator[Proxy]:
    """A SOCKS5 proxy (RFC 1928, RFC 1929) that takes any login, and takes it wherever it is offered."""

    def accept(client: socket.socket) -> Asked:
        methods = _exactly(client, _exactly(client, 2)[1])
        login = ""
        client.sendall(b"\x05\x02" if 2 in methods else b"\x05\x00")
        if 2 in methods:
            user = _exactly(client, _exactly(client, 2)[1])
            login = f"{user.decode()}:{_exactly(client, _exactly(client, 1)[0]).decode()}"
            client.sendall(b"\x01\x00")
        kind = _exactly(client, 4)[3]
        host = _exactly(client, _exactly(client, 1)[0]).decode() if kind == 3 else socket.inet_ntoa(_exactly(client, 4))
        port = int.from_bytes(_exactly(client, 2), "big")
        client.sendall(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00")
        return f"{host}:{port}", login

    with _proxy(target, accept, None) as found:
        yield found


@contextmanager
def _proxy(target: int, accept: Callable[[socket.socket], Asked], context: ssl.SSLContext | None) -> Iterator[Proxy]:
    found = Proxy()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError, IndexError):
                client = context.wrap_socket(self.request, server_side=True) if context else self.request
                with client, socket.create_connection(("127.0.0.1", target)) as server:
                    found.asked.append(accept(client))
                    back = threading.Thread(target=_pump, args=(server, client))
                    back.start()
                    _pump(client, server)
                    back.join()

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A client that leaves is no news."""

    with Server(("127.0.0.1", 0), Handler) as server:
        found.address = f"127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield found
        server.shutdown()
        thread.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            sink.sendall(piece)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def _exactly(client: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        piece = client.recv(size - len(found))
        if not piece:
            raise ConnectionError("the client left")
        found += piece
    return found
