"""An API server at the other end of a network that a test can cut: connections stay open, and nothing comes through any more."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from meshinstall.adapters.kube.kubeconfig import Kubeconfig


@dataclass(frozen=True, slots=True)
class FarServer:
    """How to reach it, and whether it is cut off."""

    config: Kubeconfig
    cut: threading.Event


@contextmanager
def far_server(config: Kubeconfig) -> Iterator[FarServer]:
    """The server of ``config`` behind a relay on the loopback; ends with its sockets."""
    found = urlsplit(config.server)
    address, cut, held = (found.hostname or "", found.port or 443), threading.Event(), list[socket.socket]()
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_accept, args=(server, address, cut, held), daemon=True).start()
        host, port = server.getsockname()
        yield FarServer(replace(config, server=f"https://{host}:{port}", server_name=config.server_name or address[0]), cut)
    for one in held:
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)
        one.close()


def _accept(server: socket.socket, address: tuple[str, int], cut: threading.Event, held: list[socket.socket]) -> None:
    with suppress(OSError):
        while True:
            near, _ = server.accept()
            far = socket.create_connection(address)
            held += [near, far]
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=_carry, args=(one, other, cut), daemon=True).start()


def _carry(one: socket.socket, other: socket.socket, cut: threading.Event) -> None:
    with suppress(OSError):
        while data := one.recv(65536):
            if not cut.is_set():
                other.sendall(data)
        other.shutdown(socket.SHUT_WR)
