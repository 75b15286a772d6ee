"""Small servers on loopback that behave as a test wants."""

import hashlib
import io
import json
import os
import socket
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from meshinstall.model.release import ChartRef

Respond = Callable[[BaseHTTPRequestHandler], object]


@contextmanager
def serving(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[str]:
    """Run a server on loopback; gives its host:port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class QuietHandler(SimpleHTTPRequestHandler):
    """Serves a folder and logs nothing."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class RecordingProxy:
    """A proxy at ``url`` that lets nothing through; ``asked`` keeps the target and the login of each CONNECT."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[tuple[str, str]] = []


@contextmanager
def recording_proxy() -> Iterator[RecordingProxy]:
    """Run a RecordingProxy on loopback."""

    class Handler(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            proxy.asked.append((self.path, self.headers.get("Proxy-Authorization", "")))
            self.send_error(403)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with serving(Handler) as address:
        proxy = RecordingProxy(f"http://{address}")
        yield proxy


def reply(request: BaseHTTPRequestHandler, status: int, body: bytes = b"", **headers: str) -> None:
    """Answer a request; underscores in header names stand for dashes."""
    request.send_response(status)
    for name, value in headers.items():
        request.send_header(name.replace("_", "-"), value)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)


def packed(name: str = "demo", version: str = "1.0.0") -> bytes:
    """A chart archive."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        content = f"name: {name}\nversion: {version}\n".encode()
        member = tarfile.TarInfo(f"{name}/Chart.yaml")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return data.getvalue()


ARCHIVE = packed()
DIGEST = f"sha256:{hashlib.sha256(ARCHIVE).hexdigest()}"
MANIFEST = json.dumps(
    {
        "schemaVersion": 2,
        "config": {"mediaType": "application/vnd.cncf.helm.config.v1+json"},
        "layers": [{"mediaType": "application/vnd.cncf.helm.chart.content.v1.tar+gzip", "digest": DIGEST, "size": len(ARCHIVE)}],
    }
).encode()


def registry(blob: Respond) -> Respond:
    """A registry whose one chart is sent by ``blob``."""

    def respond(request: BaseHTTPRequestHandler) -> None:
        if "/manifests/" in request.path:
            reply(request, 200, MANIFEST, Content_Type="application/vnd.oci.image.manifest.v1+json")
        else:
            blob(request)

    return respond


def chart(host: str) -> ChartRef:
    """The chart of ``registry`` at ``host``."""
    return ChartRef("demo", "1.0.0", f"oci://{host}/charts")


def delays_small_packets(port: int) -> list[bool]:
    """Nagle's algorithm, of each connection that this process holds open to a port of the loopback."""
    found = []
    for entry in Path("/proc/self/fd").iterdir():
        try:
            with socket.socket(fileno=os.dup(int(entry.name))) as one:
                if one.getpeername()[1:2] == (port,):
                    found.append(not one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        except OSError:
            # No socket, one that listens, or closed since.
            continue
    return found
