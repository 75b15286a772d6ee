"""A proxy before a real API server that delays, resets, throttles, fails and drips at random."""

import http.client
import json
import random
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from enum import Enum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import trustme

from meshinstall.adapters.kube import kubeconfig
from testbed.cluster import Cluster

# What a login would be; the proxy has its own, and no output may have this one.
SECRET = "planted-0123456789abcdef"  # noqa: S105 - opens nothing
_HOP = {"connection", "keep-alive", "transfer-encoding", "authorization", "host", "content-length"}
_STATUS = {429: "too many requests", 500: "etcdserver: leader changed", 502: "bad gateway", 504: "timed out"}


class Mischief(Enum):
    """What is done to a request."""

    DELAY = "delay"
    RESET_BEFORE = "reset before it is done"
    RESET_AFTER = "reset after it is done"
    THROTTLE = "429"
    ELECTION_BEFORE = "500 of an election, and not done"
    TIMED_OUT_AFTER = "504, and done"
    BAD_GATEWAY = "502, and not done"
    DRIP = "drip"


# How many of a thousand requests.
_OFTEN = {
    Mischief.DELAY: 40,
    Mischief.RESET_BEFORE: 12,
    Mischief.RESET_AFTER: 8,
    Mischief.THROTTLE: 25,
    Mischief.ELECTION_BEFORE: 8,
    Mischief.TIMED_OUT_AFTER: 5,
    Mischief.BAD_GATEWAY: 8,
    Mischief.DRIP: 20,
}


# What helm does not ride out by itself: it gets one in so many of these, or no install would come to its end.
_HARD = frozenset(Mischief) - {Mischief.DELAY, Mischief.THROTTLE, Mischief.DRIP}
_SPARED = 10


class Chaos(ThreadingHTTPServer):
    """The proxy; ``done`` counts what it did."""

    daemon_threads = True

    def __init__(self, upstream: tuple[str, int], context: ssl.SSLContext, own: ssl.SSLContext, seed: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        # A handshake is the matter of its own thread.
        self.socket = own.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.upstream, self.context = upstream, context
        self.done: dict[Mischief, int] = dict.fromkeys(Mischief, 0)
        self._random = random.Random(seed)  # noqa: S311 - no secret comes of it
        self._lock = threading.Lock()

    def choose(self, agent: str) -> Mischief | None:
        """What is done to the next request, of the program that ``agent`` names; mostly nothing."""
        with self._lock:
            at = self._random.randrange(1000)
            for one, often in _OFTEN.items():
                at -= often
                if at < 0:
                    if one in _HARD and agent.startswith("Helm/") and self._random.randrange(_SPARED):
                        return None
                    self.done[one] += 1
                    return one
        return None

    def handle_error(self, *_: object) -> None:
        """A client that leaves is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Chaos

    def _pass(self) -> None:
        if self.headers.get("Upgrade"):
            self._tunnel()
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        mischief = self.server.choose(self.headers.get("User-Agent") or "")
        match mischief:
            case Mischief.DELAY:
                time.sleep(1)
            case Mischief.RESET_BEFORE:
                self._reset()
                return
            case Mischief.THROTTLE:
                self._fail(429)
                return
            case Mischief.ELECTION_BEFORE:
                self._fail(500)
                return
            case Mischief.BAD_GATEWAY:
                self._fail(502)
                return
        status, headers, answer = self._ask(body)
        if mischief is Mischief.RESET_AFTER:
            self._reset()
        elif mischief is Mischief.TIMED_OUT_AFTER:
            self._fail(504)
        else:
            self._answer(status, headers, answer, drips=mischief is Mischief.DRIP)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _pass  # noqa: N815 - the names that http.server calls

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        kept = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
        with closing(http.client.HTTPSConnection(*self.server.upstream, context=self.server.context, timeout=60)) as connection:
            connection.request(self.command, self.path, body or None, kept)
            answer = connection.getresponse()
            data = answer.read()
        return answer.status, [(name, value) for name, value in answer.getheaders() if name.lower() not in _HOP], data

    def _answer(self, status: int, headers: list[tuple[str, str]], body: bytes, *, drips: bool = False) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if drips:
            for start in range(min(len(body), 20)):
                self.wfile.write(body[start : start + 1])
                time.sleep(0.05)
            body = body[20:]
        self.wfile.write(body)

    def _fail(self, status: int) -> None:
        body = json.dumps({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": _STATUS[status], "code": status})
        self._answer(status, [("Content-Type", "application/json"), *([("Retry-After", "1")] if status == 429 else [])], body.encode())

    def _reset(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def _tunnel(self) -> None:
        """A port-forward: its bytes are passed on as they are."""
        self.close_connection = True
        plain = socket.create_connection(self.server.upstream)
        with self.server.context.wrap_socket(plain, server_hostname=self.server.upstream[0]) as upstream:
            kept = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items() if name.lower() not in {"authorization", "host"})
            upstream.sendall(f"{self.requestline}\r\nHost: api\r\n{kept}\r\n".encode())
            back = threading.Thread(target=_pump, args=(upstream, self.connection), daemon=True)
            back.start()
            _pump(self.connection, upstream)
            back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(64 * 1024):
            sink.sendall(data)
    for one in (source, sink):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


@contextmanager
def chaos(cluster: Cluster, folder: Path, seed: int) -> Iterator[tuple[Chaos, Path]]:
    """A proxy before a cluster, and the kubeconfig that leads to it."""
    loaded = kubeconfig.load(cluster.kubeconfig)
    pair = folder / "client.pem"
    pair.write_bytes((loaded.certificate or b"") + b"\n" + (loaded.key or b""))
    context = ssl.create_default_context(cadata=(loaded.authority or b"").decode())
    context.load_cert_chain(pair)
    authority, own = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(own)
    address = urlsplit(loaded.server)
    server = Chaos((str(address.hostname), address.port or 443), context, own, seed)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    ca = folder / "ca.crt"
    ca.write_bytes(authority.cert_pem.bytes())
    file = folder / "kubeconfig"
    cluster_entry = {"server": f"https://127.0.0.1:{server.server_port}", "certificate-authority": str(ca)}
    content = {
        "current-context": "chaos",
        "clusters": [{"name": "chaos", "cluster": cluster_entry}],
        "contexts": [{"name": "chaos", "context": {"cluster": "chaos", "user": "chaos"}}],
        "users": [{"name": "chaos", "user": {"token": SECRET}}],
    }
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "Config", **content}))
    file.chmod(0o600)
    try:
        yield server, file
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
