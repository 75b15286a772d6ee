"""A real Envoy that enforces the filters which istiod makes of policies, one pair of listeners for each workload.

It listens on loopback. Where a connection comes from and goes to is said by PROXY protocol; who the client is, by a certificate.
"""

import http.client
import json
import socket
import ssl
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from testbed.api import Json
from testbed.errors import TestbedError
from testbed.referee.bootstrap import ADMIN, RUNTIME
from testbed.referee.plane import ask_socket
from testbed.waiting import until

# Seconds until Envoy listens, and until it answers.
_PATIENCE = 60
_ANSWER = 20.0
TYPE = "type.googleapis.com/envoy.extensions."
# What answers on connections of TCP.
ECHO = "envoy.filters.network.echo"
# What it says to a request of HTTP that no filter refuses, and what a connection of TCP gives back.
_ALLOWED, _DENIED, _UNAUTHENTICATED = 200, 403, 401
# As long as the first record of TLS, which Envoy waits for before it knows that this is none.
_WORD = b"neither TLS nor HTTP\r\n"


@dataclass(frozen=True, slots=True)
class Filters:
    """Envoy's JSON of the filters of one workload; ``manager`` are further fields of its HTTP connection manager."""

    http: tuple[Json, ...]
    tcp: tuple[Json, ...]
    manager: Json = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Call:
    """One connection; ``identity`` is "" for TLS without a client certificate, None for plaintext; ``text`` is a request, "" for TCP."""

    source_ip: str
    remote_ip: str
    destination_ip: str
    port: int
    identity: str | None
    server_name: str
    text: str


@dataclass(frozen=True, slots=True)
class Keys:
    """Files of PEM: the authority, the server's certificate and key in one file, and each client's by its identity."""

    authority: Path
    server: Path
    clients: Mapping[str, Path]


def ask_builder(program: Path, questions: Sequence[Json]) -> list[Filters | str]:
    """What istiod makes of each question (testbed/go/istio/authz); a text says why its webhook refuses."""
    text = "".join(json.dumps(one) + "\n" for one in questions)
    done = subprocess.run([program], input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        message = f"istiod's builder ended with {done.returncode}: {done.stderr[-2000:]}"
        raise TestbedError(message)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return [one.get("refused") or Filters(tuple(one["http"] or ()), tuple(one["tcp"] or ())) for one in answers]


class Enforcer(AbstractContextManager["Enforcer"]):
    """The Envoy, while it runs in ``folder``."""

    def __init__(self, envoy: Path, folder: Path, cases: Sequence[Filters], keys: Keys) -> None:
        self._folder, self._envoy, self._keys = folder, envoy, keys
        listeners = [_listener(f"{kind}-{index}", _of(kind, case), keys) for index, case in enumerate(cases) for kind in _KINDS]
        config = {
            "node": {"id": "enforcer", "cluster": "enforcer"},
            "admin": {"address": {"pipe": {"path": ADMIN}}},
            "layered_runtime": {"layers": [{"name": "global config", "static_layer": RUNTIME}, {"name": "admin", "admin_layer": {}}]},
            "static_resources": {"listeners": listeners},
        }
        (folder / "envoy.json").write_text(json.dumps(config))
        self._contexts = {identity: _context(file) for identity, file in keys.clients.items()} | {"": _context(None)}
        self._ports: dict[str, int] = {}

    def __enter__(self) -> Self:
        with (self._folder / "envoy.log").open("w") as log:
            self._process = subprocess.Popen(
                [self._envoy, "--config-path", "envoy.json", "--concurrency", "1", "--disable-hot-restart"],
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            until(self._is_live, _PATIENCE, lambda: f"this Envoy does not start:\n{self._log()}")
            self._ports = self._read_ports()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end()

    def ask(self, case: int, call: Call) -> str:
        """What happens to a connection: allow, deny, 401, or another status of HTTP."""
        name = f"{'http' if call.text else 'tcp'}-{case}"
        with socket.create_connection(("127.0.0.1", self._ports[name]), _ANSWER, (call.source_ip, 0)) as plain:
            # Else what follows the first packet waits for its confirmation.
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            plain.sendall(f"PROXY TCP4 {call.remote_ip} {call.destination_ip} 40000 {call.port}\r\n".encode())
            if call.identity is None:
                return _outcome(plain, call)
            context = self._contexts[call.identity]
            with context.wrap_socket(plain, server_hostname=call.server_name or None) as secured:
                return _outcome(secured, call)

    def listeners(self) -> dict[str, Json]:
        """What it says of its own listeners, by name: http-0 and tcp-0 are those of the first workload."""
        found = json.loads(ask_socket(self._folder / ADMIN, "/config_dump?resource=static_listeners")[1])["configs"]
        return {one["listener"]["name"]: one["listener"] for one in found}

    def _is_live(self) -> bool:
        if self._process.poll() is not None:
            message = f"this Envoy ended:\n{self._log()}"
            raise TestbedError(message)
        try:
            return ask_socket(self._folder / ADMIN, "/ready")[0] == http.HTTPStatus.OK
        except OSError:
            return False

    def _read_ports(self) -> dict[str, int]:
        found = json.loads(ask_socket(self._folder / ADMIN, "/listeners?format=json")[1])["listener_statuses"]
        return {one["name"]: one["local_address"]["socket_address"]["port_value"] for one in found}

    def _log(self) -> str:
        return "\n".join((self._folder / "envoy.log").read_text(errors="replace").splitlines()[-12:])

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()


def _outcome(connection: socket.socket, call: Call) -> str:
    if not call.text:
        connection.sendall(_WORD)
        return "allow" if _first(connection) else "deny"
    connection.sendall(call.text.encode())
    status = int(_first(connection).split(b" ")[1])
    return {_ALLOWED: "allow", _DENIED: "deny", _UNAUTHENTICATED: "401"}.get(status, str(status))


def _first(connection: socket.socket) -> bytes:
    """The first bytes of an answer; none where the connection is closed."""
    try:
        return connection.recv(4096)
    except ConnectionResetError:
        return b""


def _context(client: Path | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Envoy is the one that is tried; who it is does not matter.
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if client:
        context.load_cert_chain(client)
    return context


_KINDS = ("http", "tcp")


def _of(kind: str, case: Filters) -> list[Json]:
    """The network filters of a listener: those of the workload, then what answers."""
    if kind == "tcp":
        return [*case.tcp, _extension(ECHO, "filters.network.echo.v3.Echo", {})]
    router = _extension("envoy.filters.http.router", "filters.http.router.v3.Router", {})
    routes = [{"match": {"prefix": "/"}, "direct_response": {"status": _ALLOWED}}]
    fields = {
        "stat_prefix": "http",
        **case.manager,
        "http_filters": [*case.http, router],
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
    }
    kind = "filters.network.http_connection_manager.v3.HttpConnectionManager"
    return [_extension("envoy.filters.network.http_connection_manager", kind, fields)]


def _listener(name: str, filters: list[Json], keys: Keys) -> Json:
    proxied = _extension("envoy.filters.listener.proxy_protocol", "filters.listener.proxy_protocol.v3.ProxyProtocol", {})
    inspector = _extension("envoy.filters.listener.tls_inspector", "filters.listener.tls_inspector.v3.TlsInspector", {})
    server = {"filename": str(keys.server)}
    tls = {
        "common_tls_context": {
            "tls_certificates": [{"certificate_chain": server, "private_key": server}],
            "validation_context": {"trusted_ca": {"filename": str(keys.authority)}},
        }
    }
    secured = _extension("envoy.transport_sockets.tls", "transport_sockets.tls.v3.DownstreamTlsContext", tls)
    return {
        "name": name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
        "listener_filters": [proxied, inspector],
        "filter_chains": [
            {"filter_chain_match": {"transport_protocol": "tls"}, "transport_socket": secured, "filters": filters},
            {"filter_chain_match": {"transport_protocol": "raw_buffer"}, "filters": filters},
        ],
    }


def _extension(name: str, kind: str, fields: Json) -> Json:
    return {"name": name, "typed_config": {"@type": f"{TYPE}{kind}", **fields}}
