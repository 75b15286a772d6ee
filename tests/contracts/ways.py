"""An API server that records who asks it, and two clients that ask it with one kubeconfig: the real kubectl, and ours."""

import os
import ssl
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import pytest
import trustme

from meshinstall.adapters.kube import kubeconfig
from meshinstall.adapters.kube.client import KubeClient
from meshinstall.adapters.kube.tokens import source_of
from meshinstall.errors import MeshinstallError

PATH = "/api/v1/namespaces/a/pods/b"
REFUSED = "refused"
# What may lead to another way than the one that a test is about.
_FOREIGN = ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT", "POD_NAMESPACE", "REQUEST_METHOD")
_PROXIES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as the server saw it: path, Authorization, what impersonates whom, and the name in the client's certificate."""

    path: str
    authorization: str = ""
    impersonation: tuple[tuple[str, str], ...] = ()
    certificate: str = ""

    def __str__(self) -> str:
        """The words of docs/ways-to-a-cluster.md."""
        kind = {"Bearer": "token", "Basic": "password"}.get(self.authorization.partition(" ")[0], "")
        words = [kind, "certificate" if self.certificate else "", "impersonation" if self.impersonation else ""]
        return ", ".join(filter(None, words)) or "anonymous"


class Recorder(ThreadingHTTPServer):
    """Answers every GET with an empty object, or a redirect to ``elsewhere``, and keeps what it saw."""

    daemon_threads = True

    def __init__(self, context: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.seen: list[Seen] = []
        self.elsewhere = ""
        if context:
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.url = f"http{'s' if context else ''}://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: object) -> None:
        """A client that leaves is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        assert isinstance(self.server, Recorder)
        certificate: Any = self.connection.getpeercert() if isinstance(self.connection, ssl.SSLSocket) else None
        names = dict(pair for one in (certificate or {}).get("subject", ()) for pair in one)
        other = tuple(sorted((name.lower(), value) for name, value in self.headers.items() if name.lower().startswith("impersonate-")))
        self.server.seen.append(Seen(self.path, self.headers.get("Authorization", ""), other, names.get("commonName", "")))
        self.send_response(302 if self.server.elsewhere else 200)
        if self.server.elsewhere:
            self.send_header("Location", self.server.elsewhere + self.path)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def recorder(authority: trustme.CA | None) -> Iterator[Recorder]:
    """Run a Recorder, over TLS when there is an authority."""
    context = None
    if authority:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1", "localhost", "api.example.org").configure_cert(context)
        context.verify_mode = ssl.CERT_OPTIONAL
        authority.configure_trust(context)
    server = Recorder(context)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass(frozen=True, slots=True)
class Way:
    """A kubeconfig, or several by KUBECONFIG, and the environment and standard input to use it in."""

    file: Path | None = None
    environ: Mapping[str, str] = field(default_factory=dict)
    descriptors: tuple[int, ...] = ()


def environment(way: Way) -> dict[str, str]:
    """The caller's environment without what leads elsewhere, and with that of the way."""
    drop = {*_FOREIGN, *_PROXIES, *(name.upper() for name in _PROXIES)}
    return {name: value for name, value in os.environ.items() if name not in drop} | dict(way.environ)


def by_kubectl(program: Path, way: Way, servers: list[Recorder]) -> list[Seen] | str:
    """What the servers saw of the real kubectl, or REFUSED when it sent nothing."""
    command: list[Any] = [program, "get", "--raw", PATH]
    command += ["--kubeconfig", way.file] if way.file else []
    done = subprocess.run(
        command, env=environment(way), stdin=subprocess.DEVNULL, capture_output=True, pass_fds=way.descriptors, check=False, timeout=60
    )
    return _taken(servers, is_error=bool(done.returncode))


def by_us(way: Way, servers: list[Recorder]) -> list[Seen] | str:
    """What the servers saw of our client, or REFUSED when it sent nothing and said so."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(environment(way))
    try:
        config = kubeconfig.load(way.file)
        client = KubeClient(config, source_of(config))
        anyio.run(client.get, PATH)
    except MeshinstallError as error:
        if "hunter2" in f"{error.message} {error.hint}":
            pytest.fail("a secret is shown")
        return _taken(servers, is_error=True)
    finally:
        os.environ.clear()
        os.environ.update(before)
    return _taken(servers, is_error=False)


def _taken(servers: list[Recorder], *, is_error: bool) -> list[Seen] | str:
    found = [one for server in servers for one in server.seen]
    for server in servers:
        server.seen.clear()
    return found or (REFUSED if is_error else [])


def word(outcome: list[Seen] | str) -> str:
    """An outcome in the words of the docs."""
    return outcome if isinstance(outcome, str) else " then ".join(str(one) for one in outcome)
