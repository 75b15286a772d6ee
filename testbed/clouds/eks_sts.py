"""AWS STS at its real name: TLS, reached through a proxy as any STS may be, and every signature recomputed."""

import json
import socket
import ssl
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs

from testbed.clouds.eks_identity import ACCOUNT, Identity, Keys, RefusedError, Signed, path_and_query
from testbed.pki import Authority

_CHUNK = 65536


def caller(identity: Identity) -> dict[str, object]:
    """GetCallerIdentity's answer."""
    result = {"Account": ACCOUNT, "Arn": identity.arn, "UserId": identity.user_id}
    return {"GetCallerIdentityResponse": {"GetCallerIdentityResult": result, "ResponseMetadata": {"RequestId": "testbed"}}}


@contextmanager
def sts(keys: Keys, authority: Authority, region: str, port: int = 0) -> Iterator[str]:
    """Serve sts.REGION.amazonaws.com; yields the URL of the proxy that leads every CONNECT to it; ``port`` is the proxy's, 0 for any."""

    class Handler(BaseHTTPRequestHandler):
        """Takes what the authenticator sends: a presigned GET."""

        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path, query = path_and_query(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            try:
                if path != "/" or parse_qs(query).get("Action") != ["GetCallerIdentity"]:
                    raise RefusedError(400, "InvalidAction", "Could not find operation")  # noqa: TRY301 - the same answer as below
                status, body = 200, caller(keys.of_query(Signed("GET", path, query, headers)))
            except RefusedError as refusal:
                status, body = refusal.status, {"Error": {"Code": refusal.code, "Message": refusal.message}}
            data = json.dumps(body).encode()
            self.send_response(HTTPStatus(status))
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Say nothing: a request's line holds a token."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = _tls(authority, f"sts.{region}.amazonaws.com").wrap_socket(server.socket, server_side=True)
    with _serving(server), proxy(server.server_address[1], port) as url:
        yield url


def _tls(authority: Authority, name: str) -> ssl.SSLContext:
    pair = authority.server(name, name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(pair.certificate + pair.key)
        context.load_cert_chain(file.name)
    return context


@contextmanager
def proxy(target: int, port: int = 0) -> Iterator[str]:
    """A CONNECT proxy on ``port`` that leads everything to the port ``target`` of the loopback, whatever host is asked for."""

    class Handler(BaseHTTPRequestHandler):
        def do_CONNECT(self) -> None:
            self.send_response(HTTPStatus.OK)
            self.end_headers()
            with socket.create_connection(("127.0.0.1", target)) as there:
                back = threading.Thread(target=_pump, args=(there, self.connection), daemon=True)
                back.start()
                _pump(self.connection, there)
                back.join()
            self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    with _serving(server):
        yield f"http://127.0.0.1:{server.server_address[1]}"


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(_CHUNK):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        # The other side has hung up.
        return


@contextmanager
def _serving(server: ThreadingHTTPServer) -> Iterator[None]:
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
