"""Azure on the loopback: Resource Manager and Entra ID under their real names behind a proxy, and the metadata service of a machine.

A program is sent here by HTTPS_PROXY and trusts it by REQUESTS_CA_BUNDLE, so that it runs with no setting of ours: it
asks https://management.azure.com and gets a certificate for that name.
"""

import json
import socket
import ssl
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from testbed.clouds.aks_arm import Arm, RefusalError
from testbed.clouds.aks_entra import LOGINS, MANAGERS, Entra, Principal, RefusedError
from testbed.pki import Authority, KeyPair, write_private
from testbed.spec import AUTHENTICATION, Authentication, Spec

_JSON = "application/json; charset=utf-8"
_IMDS = "/metadata/identity/oauth2/token"
# Linux: bind to an address that is not there yet (ip(7)).
_IP_FREEBIND = 15
# How long a hanging answer is held at most, in seconds.
_HANG = 60.0


# The file that vouches for all of it.
BUNDLE = "azure-ca.pem"
# Of an API server that takes Entra ID's tokens.
FLAGS = (f"--authentication-config={AUTHENTICATION}/entra.json",)


def environment(url: str, bundle: Path) -> dict[str, str]:
    """What sends a program to the proxy at ``url``, whose certificates the ones in ``bundle`` vouch for."""
    return {"HTTPS_PROXY": url, "REQUESTS_CA_BUNDLE": str(bundle), "AZURE_POD_IDENTITY_AUTHORITY_HOST": url}


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back; ``times`` repeats the body, ``claimed`` is a Content-Length that need not be true.

    ``drip`` are the seconds before each time; ``hang`` never ends.
    """

    status: int = 200
    body: bytes = b""
    content_type: str = _JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    times: int = 1
    claimed: int | None = None
    drip: float = 0.0
    hang: bool = False


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came in."""

    host: str
    method: str
    path: str


@dataclass(slots=True)
class Fault:
    """The next ``count`` requests whose path contains ``part`` get ``answer``."""

    part: str
    answer: Answer
    count: int = 1


class FakeAzure:
    """Starts with ``running``; ``faults`` come before what the servers would say, ``asked`` is all that was asked."""

    def __init__(self, entra: Entra, arm: Arm, folder: Path, listen: tuple[str, int] = ("127.0.0.1", 0)) -> None:
        self.entra = entra
        self.arm = arm
        self.faults: list[Fault] = []
        self.asked: list[Asked] = []
        # The identity of the machine that the metadata service speaks for.
        self.machine: Principal | None = None
        self._lock = threading.Lock()
        self._folder = folder
        self._authority = Authority("azure")
        self._ended = threading.Event()
        self._contexts: dict[str, ssl.SSLContext] = {}
        self.bundle = folder / BUNDLE
        self.bundle.write_bytes(self._authority.pair.certificate)
        self._proxy = _serve(listen, self, tls="")
        self._others: list[_Server] = []

    @property
    def port(self) -> int:
        """The port of ``url``."""
        return int(self._proxy.server_address[1])

    @property
    def url(self) -> str:
        """Where the proxy and the metadata service listen."""
        return f"http://{self._proxy.server_address[0]!s}:{self.port}"

    def environment(self) -> dict[str, str]:
        """What sends a program here; it still has to say who it is."""
        return environment(self.url, self.bundle)

    def authenticate(self, of: Spec) -> Authentication:
        """Make an API server take this Entra ID's tokens; asked for its keys at the cluster's ``host_address``."""
        return self.authentication(of.host_address)

    def authentication(self, address: str) -> Authentication:
        """Listen on ``address`` for API servers that take these tokens as AKS does: for its own application, by ``upn`` or else ``oid``."""
        server = _serve((address, 0), self, tls=address)
        self._others.append(server)
        base = f"https://{address}:{server.server_address[1]}"
        config = {
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "AuthenticationConfiguration",
            "jwt": [
                {
                    "issuer": {
                        "url": self.entra.issuer,
                        "discoveryURL": f"{base}/{self.entra.tenant}/.well-known/openid-configuration",
                        "certificateAuthority": self._authority.pair.certificate.decode(),
                        "audiences": ["6dae42f8-4368-4678-94ff-3960e28e3630"],
                    },
                    "claimValidationRules": [{"claim": "tid", "requiredValue": self.entra.tenant}],
                    "claimMappings": {
                        "username": {"expression": "has(claims.upn) ? claims.upn : claims.oid"},
                        "groups": {"expression": "has(claims.groups) ? claims.groups : []"},
                    },
                }
            ],
        }
        return Authentication(FLAGS, {"entra.json": json.dumps(config, indent=2)})

    def count(self, part: str) -> int:
        """How many requests had ``part`` in their path."""
        return sum(part in one.path for one in self.asked)

    @contextmanager
    def running(self) -> Iterator["FakeAzure"]:
        """Serve until the end of the block."""
        try:
            yield self
        finally:
            self._ended.set()
            for server in (self._proxy, *self._others):
                server.shutdown()
                server.server_close()

    def context(self, name: str) -> ssl.SSLContext:
        """What a server called ``name`` shows."""
        with self._lock:
            if name not in self._contexts:
                self._contexts[name] = _context(self._folder / f"{name}.pem", self._authority.server(name, name))
            return self._contexts[name]

    def respond(self, host: str, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """The answer to one request."""
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        with self._lock:
            self.asked.append(Asked(host, method, target))
            for fault in self.faults:
                if fault.part in target and fault.count > 0:
                    fault.count -= 1
                    return fault.answer
        try:
            if host in MANAGERS:
                return _json(self.arm.answer(host, method, parts.path, query, headers.get("Authorization", "")))
            if parts.path == _IMDS:
                return _json(self._metadata(query, headers))
            return _json(self._entra(f"https://{host}", host, method, parts.path, dict(parse_qsl(body.decode()))))
        except RefusalError as error:
            return _json({"error": {"code": error.code, "message": error.text}}, error.status, error.headers)
        except RefusedError as error:
            return _json(error.body, error.status)

    def hold(self, seconds: float = _HANG) -> None:
        """Say nothing for that long, or until the end."""
        self._ended.wait(seconds)

    def _entra(self, base: str, host: str, method: str, path: str, form: Mapping[str, str]) -> dict[str, Any]:
        _, tenant, *rest = path.split("/")
        where = (method, "/".join(rest))
        if where == ("GET", "discovery/instance"):
            return self.entra.instances(host)
        known = {one.tenant: one for one in self.arm.others} | dict.fromkeys((self.entra.tenant, "common"), self.entra)
        if (entra := known.get(tenant)) is None:
            raise self.entra.unknown(tenant)
        if where == ("GET", ".well-known/openid-configuration"):
            return entra.discovery(base, entra.issuer)
        if where == ("GET", "v2.0/.well-known/openid-configuration") and host in LOGINS:
            return entra.discovery(base, f"{base}/{tenant}/v2.0")
        if where == ("GET", "discovery/keys"):
            return entra.keys()
        if where == ("POST", "oauth2/v2.0/token"):
            return entra.token(tenant, form)
        raise RefusedError("invalid_request", 900144, f"There is nothing at {path}.", HTTPStatus.NOT_FOUND)

    def _metadata(self, query: Mapping[str, str], headers: Mapping[str, str]) -> dict[str, Any]:
        """The instance metadata service, which asks for its header so that no forwarded request gets a token."""
        if headers.get("Metadata") != "true" or "X-Forwarded-For" in headers or "api-version" not in query:
            raise RefusedError("invalid_request", 0, "Required metadata header not specified")
        if self.machine is None or query.get("client_id", self.machine.client_id) != self.machine.client_id:
            raise RefusedError("invalid_request", 0, "Identity not found")
        resource = query["resource"]
        granted = self.entra.grant(self.machine, resource)
        life = int(granted["expires_in"])
        return {
            "access_token": granted["access_token"],
            "client_id": self.machine.client_id,
            "expires_in": str(life),
            "expires_on": str(int(time.time()) + life),
            "resource": resource,
            "token_type": "Bearer",
        }


class _Server(ThreadingHTTPServer):
    """One listener; with ``tls`` it shows a certificate for that name at once, without it, after CONNECT."""

    daemon_threads = True

    def __init__(self, listen: tuple[str, int], azure: FakeAzure, tls: str) -> None:
        self.azure = azure
        self.tls = tls
        super().__init__(listen, _Handler)

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
        super().server_bind()

    def finish_request(self, request: Any, client_address: Any) -> None:
        try:
            if self.tls:
                with self.azure.context(self.tls).wrap_socket(request, server_side=True) as wrapped:
                    super().finish_request(wrapped, client_address)
            else:
                super().finish_request(request, client_address)
        except OSError:
            # The other side went away or trusts nobody here: its test says whether that is right.
            return


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Else an answer waits 40 ms for the caller's acknowledgement of what was sent before it; no cloud's does.
    disable_nagle_algorithm = True
    timeout = _HANG
    server: _Server
    host = ""

    def do_CONNECT(self) -> None:
        """A tunnel to one of Azure's hosts ends here."""
        host = self.path.rpartition(":")[0]
        if host not in MANAGERS and host not in LOGINS:
            self.send_error(HTTPStatus.BAD_GATEWAY)
            return
        self.send_response(HTTPStatus.OK)
        self.end_headers()
        self.host = host
        # Clients ask for the tunnel in HTTP/1.0.
        self.close_connection = False
        self.connection = self.server.azure.context(host).wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb")

    def do_GET(self) -> None:
        """Any request."""
        azure = self.server.azure
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        host = self.host or self.headers.get("Host", "")
        answer = azure.respond(host, self.command, self.path, dict(self.headers), body)
        if answer.hang:
            azure.hold()
            self.close_connection = True
            return
        self._send(answer)

    do_POST = do_GET  # noqa: N815 - http.server's name

    def finish(self) -> None:
        """Close the tunnel as well."""
        try:
            super().finish()
        finally:
            # A caller who left makes the last flush fail, and then this was not closed yet.
            self.rfile.close()
            self.connection.close()

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        length = answer.claimed if answer.claimed is not None else len(answer.body) * answer.times
        headers = {
            "Content-Type": answer.content_type,
            "Content-Length": str(length),
            "x-ms-request-id": str(uuid.uuid4()),
            **answer.headers,
        }
        for name, value in headers.items():
            self.send_header(name, value)
        self.close_connection = answer.claimed is not None
        self.end_headers()
        for _ in range(answer.times):
            if answer.drip:
                self.server.azure.hold(answer.drip)
            self.wfile.write(answer.body)
            self.wfile.flush()

    def log_message(self, *_args: object) -> None:
        """Say nothing; ``asked`` has it all."""


def _serve(listen: tuple[str, int], azure: FakeAzure, tls: str) -> _Server:
    server = _Server(listen, azure, tls)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    return server


def _context(file: Path, pair: KeyPair) -> ssl.SSLContext:
    write_private(file, pair.certificate + pair.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def _json(body: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(status, json.dumps(body).encode(), headers=headers or {})
