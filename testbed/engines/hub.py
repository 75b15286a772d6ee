"""Serves Git repositories and the registry of charts by TLS on the cluster's address (``python -m testbed.engines.hub SPEC``).

Engines and meshinstall take both from here as from any company's servers, so what meshinstall renders is used without a change.
Repositories are bare ones in the folder GIT of the cluster's state; whoever can write there pushes to them, and nobody by this server.
"""

import http.client
import os
import ssl
import subprocess
import sys
from collections.abc import Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from testbed import spec

# Under the server's root, and in the cluster's state folder.
GIT = "git"
REGISTRY_PORT = 1338
# Seconds.
_TIMEOUT = 60
# What one connection tells the next, and not the other side.
_HOP = {"connection", "transfer-encoding", "content-length", "keep-alive"}


class Hub(BaseHTTPRequestHandler):
    """Answers from git's own server program, or from the registry on loopback."""

    protocol_version = "HTTP/1.1"

    def handle_one_request(self) -> None:
        """Give up a connection whose other end does."""
        try:
            super().handle_one_request()
        except OSError:
            self.close_connection = True

    def _answer(self) -> None:
        body = self._read_body()
        if self.path.startswith(f"/{GIT}/"):
            self._ask_git(body)
        else:
            self._ask_registry(body)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = _answer  # noqa: N815 - http.server's names

    def _read_body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _ask_git(self, body: bytes) -> None:
        done = subprocess.run(
            ["git", "http-backend"], input=body, env=self._cgi(len(body)), capture_output=True, timeout=_TIMEOUT, check=True
        )
        head, _, rest = done.stdout.partition(b"\r\n\r\n")
        headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self._send(int(headers.pop("Status", "200").split()[0]), headers.items(), rest)

    def _cgi(self, length: int) -> Mapping[str, str]:
        address = urlsplit(self.path)
        return {
            "PATH": os.environ["PATH"],
            "HOME": os.environ["HOME"],
            "GIT_PROJECT_ROOT": str(spec.INSIDE / GIT),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "PATH_INFO": address.path.removeprefix(f"/{GIT}"),
            "QUERY_STRING": address.query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(length),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
        }

    def _ask_registry(self, body: bytes) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", REGISTRY_PORT, timeout=_TIMEOUT)
        connection.request(self.command, self.path, body, {name: value for name, value in self.headers.items() if name.lower() not in _HOP})
        answer = connection.getresponse()
        self._send(answer.status, answer.getheaders(), answer.read(), answer.headers.get("Content-Length", "0"))
        connection.close()

    def _send(self, status: int, headers: Iterable[tuple[str, str]], body: bytes, length: str = "") -> None:
        self.send_response(status)
        for name, value in headers:
            if name.lower() not in _HOP:
                self.send_header(name, value)
        # The answer to HEAD has the length of what it leaves out.
        self.send_header("Content-Length", length if self.command == "HEAD" and length else str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    """Serve until the end of the cluster."""
    of = spec.load(Path(sys.argv[1]))
    pki = spec.INSIDE / "pki"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pki / "hub.crt", pki / "hub.key")
    server = ThreadingHTTPServer((of.address, spec.HUB_PORT), Hub)
    # A handshake belongs to its own connection's thread: a slow one must not hold up the others.
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()


if __name__ == "__main__":
    main()
