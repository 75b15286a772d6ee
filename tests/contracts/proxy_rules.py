"""Asks the real kubectl which proxy it takes, in a network of its own in which nothing but loopback can be reached.

Run inside of ``unshare --net``: reads [{"server": URL, "environ": {...}}, ...] from stdin, with PROXY for the address of the proxy, and
writes for each the target and the login that the proxy was asked with, or null where kubectl went straight.
"""

import base64
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.contracts.servers import serving

_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh", b"lo", _IFF_UP))


def _handler(asked: list[list[str]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            login = self.headers.get("Proxy-Authorization", "").removeprefix("Basic ")
            asked.append([self.path, base64.b64decode(login).decode()])
            self.send_error(403)

        do_GET = do_CONNECT  # noqa: N815 - the name that http.server calls

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler


def ask(kubectl: str, cases: list[dict[str, Any]]) -> list[list[str] | None]:
    """What the proxy was asked for each case."""
    asked: list[list[str]] = []
    found: list[list[str] | None] = []
    with serving(_handler(asked)) as address:
        for case in cases:
            environ = {name: value.replace("PROXY", address) for name, value in case["environ"].items()}
            subprocess.run(
                [kubectl, "get", "--raw", "/version", "--server", case["server"], "--token", "t"],
                env={"PATH": os.environ["PATH"], "HOME": "/nonexistent", **environ},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
                timeout=60,
            )
            found.append(asked[0] if asked else None)
            asked.clear()
    return found


if __name__ == "__main__":
    _loopback_up()
    json.dump(ask(sys.argv[1], json.load(sys.stdin)), sys.stdout)
