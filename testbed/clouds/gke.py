"""Google on the loopback: its APIs under their real names behind a proxy, a metadata server, and the token review of a cluster.

A program is sent here by HTTPS_PROXY and trusts it by SSL_CERT_FILE: it asks https://container.googleapis.com and gets a
certificate for that name. A cluster's own addresses are reached through the same proxy, its DNS endpoint as Google does
it: TLS ends in front of the cluster, where IAM is asked before the API server is.
"""

import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from testbed.clouds.gke_apis import GATEWAYS, Apis, RefusalError
from testbed.clouds.gke_federation import Pool, principal
from testbed.clouds.gke_identity import IAM, Issuer, RefusedError
from testbed.clouds.gke_server import Answer, Door, Handler, Server
from testbed.pki import Authority, kubeconfig, write_private
from testbed.spec import API_PORT, AUTHENTICATION, Authentication, Spec

_JSON = "application/json; charset=UTF-8"
_APIS = frozenset(f"{name}.googleapis.com" for name in ("container", "compute", "gkehub", "cloudresourcemanager")) | {*GATEWAYS.values()}
_TOKENS = frozenset({"oauth2.googleapis.com", "iamcredentials.googleapis.com", "sts.googleapis.com"})
CONNECT = "container.clusters.connect"
# Of an API server that asks Google who a token is.
FLAGS = (f"--authentication-token-webhook-config-file={AUTHENTICATION}/google.json", "--authentication-token-webhook-cache-ttl=1s")
_BUNDLE = "google-ca.pem"


def environment(address: str, folder: Path) -> dict[str, str]:
    """What sends a program to the proxy and metadata server at ``address``, whose files are in ``folder``."""
    return {
        "HTTPS_PROXY": f"http://{address}",
        "NO_PROXY": "",
        "SSL_CERT_FILE": str(folder / _BUNDLE),
        "GCE_METADATA_HOST": address,
        "GCE_METADATA_IP": address,
        "CLOUDSDK_CONFIG": str(folder / "gcloud"),
    }


@dataclass(slots=True)
class Fault:
    """The next ``count`` requests whose host and path contain ``part`` get ``answer``."""

    part: str
    answer: Answer
    count: int = 1


@dataclass(frozen=True, slots=True)
class Front:
    """A DNS endpoint: the cluster behind it, its authority, and the project whose IAM decides."""

    cluster: Spec
    authority: bytes
    project: str


@dataclass(slots=True)
class Asked:
    """A request as it came in: its token too, for tests that look for it elsewhere; ``quota`` is the project that it is counted for."""

    host: str
    path: str
    authorization: str = field(default="", repr=False)
    quota: str = ""


class FakeGoogle:
    """Serves within ``running``; ``faults`` come before what the servers would say, ``asked`` is all that was asked."""

    def __init__(self, issuer: Issuer, apis: Apis, folder: Path, listen: tuple[str, int] = ("127.0.0.1", 0)) -> None:
        self.issuer = issuer
        self.apis = apis
        self.pool = Pool()
        self.faults: list[Fault] = []
        self.asked: list[Asked] = []
        # DNS endpoints by name, and clusters by address.
        self.fronts: dict[str, Front] = {}
        self.clusters: dict[str, Spec] = {}
        self._folder = folder
        self._lock = threading.Lock()
        self._authority = Authority("google")
        self._contexts: dict[str, ssl.SSLContext] = {}
        self._ended = threading.Event()
        (folder / _BUNDLE).write_bytes(self._authority.pair.certificate)
        self._servers: list[Server] = []
        self._serve(listen, "")

    @property
    def address(self) -> str:
        """host:port of the proxy and of the metadata server."""
        address, port = self._servers[0].server_address[:2]
        return f"{address!s}:{port}"

    def environment(self) -> dict[str, str]:
        """What sends a program here; it still has to say who it is."""
        return environment(self.address, self._folder)

    def authenticate(self, of: Spec) -> Authentication:
        """Make an API server ask here, at the cluster's ``host_address``, who a token is."""
        return self.authentication(of.host_address)

    def authentication(self, address: str) -> Authentication:
        """Listen on ``address`` for API servers that ask who a token is, as GKE's asks Google."""
        server = self._serve((address, 0), address)
        caller = self._authority.client("kube-apiserver")
        url = f"https://{address}:{server.server_address[1]}/review"
        return Authentication(FLAGS, {"google.json": kubeconfig(url, self._authority.pair.certificate, caller, "google")})

    def fault(self, part: str, answer: Answer, count: int = 1) -> None:
        """Answer the next ``count`` requests for ``part`` otherwise."""
        with self._lock:
            self.faults.append(Fault(part, answer, count))

    def count(self, part: str) -> int:
        """How many requests had ``part`` in their host and path."""
        return sum(part in f"{one.host}{one.path}" for one in self.asked)

    @contextmanager
    def running(self) -> Iterator["FakeGoogle"]:
        """Serve until the end of the block."""
        try:
            yield self
        finally:
            self._ended.set()
            for server in self._servers:
                server.shutdown()
                server.server_close()

    def door(self, host: str) -> Door | None:
        """What a tunnel to ``host`` leads to; None for nothing."""
        if host in self.clusters:
            return Door(forward=(self.clusters[host].address, API_PORT))
        if front := self.fronts.get(host):
            return Door(self._context(host), (front.cluster.address, API_PORT), front.authority)
        return Door(self._context(host)) if host in _APIS | _TOKENS else None

    def lets_in(self, host: str, authorization: str) -> bool:
        """Whether IAM lets a request through a DNS endpoint; a token that is worth nothing is the API server's to refuse."""
        caller = self.issuer.who(authorization)
        self.asked.append(Asked(host, "", authorization))
        return caller is None or CONNECT in caller.roles.get(self.fronts[host].project, set())

    def respond(self, host: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """The answer to one request."""
        authorization = headers.get("Authorization", "")
        with self._lock:
            self.asked.append(Asked(host, target, authorization, headers.get("X-Goog-User-Project", "")))
            for fault in self.faults:
                if fault.part in f"{host}{target}" and fault.count > 0:
                    fault.count -= 1
                    return fault.answer
        try:
            return self._answer(host, target, headers, body)
        except RefusalError as error:
            return _json(error.body(), error.status)
        except RefusedError as error:
            return _json(error.body, error.status)

    def _answer(self, host: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        parts = urlsplit(target)
        query = dict(parse_qsl(parts.query))
        authorization = headers.get("Authorization", "")
        if host in _APIS:
            quota = headers.get("X-Goog-User-Project", "")
            return _json(self.apis.answer(host, parts.path, query, self.issuer.who(authorization), quota))
        if host in _TOKENS:
            return self._token(host, parts.path, headers, body)
        if parts.path == "/review":
            review = json.loads(body)
            return _json({**review, "status": self.issuer.review(review["spec"]["token"])})
        return self._metadata(parts.path, query, headers)

    def hold(self) -> None:
        """Say nothing until the end."""
        self._ended.wait()

    def _token(self, host: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        authorization = headers.get("Authorization", "")
        if path == "/tokeninfo":
            return _json(self.issuer.describe(authorization))
        if host.startswith("oauth2"):
            return _json(self.issuer.token(dict(parse_qsl(body.decode()))))
        if host.startswith("sts"):
            form = dict(parse_qsl(body.decode()))
            return _json(self.issuer.exchange(principal(self.pool.subject(form)), frozenset(form["scope"].split())))
        caller = self.issuer.who(authorization, IAM)
        if caller is None:
            raise RefusalError(401, "UNAUTHENTICATED", "Request had invalid authentication credentials.", "ACCESS_TOKEN_EXPIRED")
        self.apis.count_for(headers.get("X-Goog-User-Project", ""), host, caller)
        granted = self.issuer.impersonate(caller, path.rpartition("/")[2].removesuffix(":generateAccessToken"), json.loads(body))
        if isinstance(granted, str):
            text = f"Permission '{granted}' denied on resource (or it may not exist)."
            raise RefusalError(403, "PERMISSION_DENIED", text, "IAM_PERMISSION_DENIED", granted)
        return _json(granted)

    def _metadata(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> Answer:
        value = self.issuer.metadata(path, query) if headers.get("Metadata-Flavor") == "Google" else None
        if value is None:
            return Answer(404, b"not found", "text/html")
        kind = "application/json" if value.startswith("{") else "application/text"
        return Answer(200, value.encode(), kind, {"Metadata-Flavor": "Google", "Server": "Metadata Server for VM"})

    def _serve(self, listen: tuple[str, int], tls: str) -> Server:
        server = Server(listen, self, self._context(tls) if tls else None, Handler)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self._servers.append(server)
        return server

    def _context(self, name: str) -> ssl.SSLContext:
        with self._lock:
            if name not in self._contexts:
                pair = self._authority.server(name, name)
                file = self._folder / f"{name}.pem"
                write_private(file, pair.certificate + pair.key)
                self._contexts[name] = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                self._contexts[name].load_cert_chain(file)
            return self._contexts[name]


def _json(body: Mapping[str, object] | str, status: int = 200) -> Answer:
    return Answer(status, (body if isinstance(body, str) else json.dumps(body)).encode(), _JSON)
