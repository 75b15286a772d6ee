"""An API server that says what a test wants, over TLS on loopback."""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import trustme
import yaml

from meshinstall.adapters.kube.kubeconfig import Kubeconfig

Respond = Callable[[BaseHTTPRequestHandler], object]
Reached = Callable[..., Kubeconfig]


@pytest.fixture
def anyio_backend() -> str:
    """The adapters run on asyncio, with threads and sockets."""
    return "asyncio"


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """Who signed the server's certificate."""
    return trustme.CA()


class ApiServer(ThreadingHTTPServer):
    """Answers every request with ``respond``; ``requests`` keeps method, path and token of each."""

    daemon_threads = True

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.respond: Respond = lambda _: None
        self.requests: list[tuple[str, str, str]] = []

    def handle_error(self, *_: object) -> None:
        """A client that leaves is no news."""


class _Handler(BaseHTTPRequestHandler):
    def _answer(self) -> None:
        assert isinstance(self.server, ApiServer)
        self.server.requests.append((self.command, self.path, self.headers.get("Authorization", "")))
        self.server.respond(self)

    do_GET = do_POST = do_PATCH = do_DELETE = _answer  # noqa: N815 - the names that http.server calls

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def api(authority: trustme.CA) -> Iterator[ApiServer]:
    """A server that runs for one test."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1", "localhost").configure_cert(context)
    context.verify_mode = ssl.CERT_OPTIONAL
    authority.configure_trust(context)
    server = ApiServer(context)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def reached(api: ApiServer, authority: trustme.CA) -> Reached:
    """A context that reaches the server; what differs from the usual is named."""

    def config(**fields: object) -> Kubeconfig:
        usual: dict[str, object] = {
            "source": "config.yaml",
            "context": "dev",
            "server": f"https://127.0.0.1:{api.server_port}",
            "authority": authority.cert_pem.bytes(),
        }
        return Kubeconfig(**(usual | fields))  # type: ignore[arg-type]

    return config


def write_kubeconfig(folder: Path, user: object, **cluster: object) -> Path:
    """A kubeconfig with one context, called dev."""
    content = {
        "current-context": "dev",
        "clusters": [{"name": "dev", "cluster": {"server": "https://x.example", **cluster}}],
        "users": [{"name": "dev", "user": user}],
        "contexts": [{"name": "dev", "context": {"cluster": "dev", "user": "dev"}}],
    }
    file = folder / "config"
    file.write_text(yaml.safe_dump(content, allow_unicode=True))
    return file


def shake(client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    """A handshake with 127.0.0.1 in memory."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [client.wrap_bio(back, there, server_hostname="127.0.0.1"), server.wrap_bio(there, back, server_side=True)]
    while ends:
        for end in tuple(ends):
            with suppress(ssl.SSLWantReadError):
                end.do_handshake()
                ends.remove(end)
