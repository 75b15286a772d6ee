"""The Kubernetes API in plain JSON.

On urllib3, which the official client stands on: importing that client costs
0.3 s, and of what it offers only port-forwarding is not a plain request.
"""

import json
import re
import ssl
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import anyio.to_thread

from meshinstall.adapters.kube import discovery
from meshinstall.adapters.kube.identity import as_bytes_of_utf8, headers
from meshinstall.adapters.kube.kubeconfig import Kubeconfig
from meshinstall.adapters.kube.token import Token
from meshinstall.adapters.kube.tokens import TokenSource
from meshinstall.adapters.net.bodies import TooLongError, read_pieces
from meshinstall.adapters.net.pools import pool_manager
from meshinstall.adapters.net.proxies import find_proxy, through
from meshinstall.adapters.net.tls import load_pair, shared_context
from meshinstall.errors import ClusterError, ConflictError, ForbiddenError, UnauthorizedError, UnreachableError
from meshinstall.model import json_text
from meshinstall.model.foreign_text import plain
from meshinstall.model.release import Manifest
from meshinstall.model.trial import Answer, ApiKind, Attempt, Kinds, Write

if TYPE_CHECKING:
    from urllib3 import PoolManager

FIELD_MANAGER = "meshinstall"
# Seconds: to connect, and for an answer to begin or go on.
_TIMEOUT = (5.0, 30.0)
_NO_TOKEN = Token("")
# No answer to what was asked.
_NO_ANSWER = {HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
# Connections kept open; as many requests run at the same time.
_THREADS = 16
# Bytes of one answer, and objects asked for at a time.
_MAX_ANSWER = 64 * 1024**2
_PAGE = 500
# Seconds: how long an API server that was there may be away, as one of a single node is when it restarts, and between two tries.
_OUTAGE = 30.0
_RETRY = 0.5
_APPLY = "application/apply-patch+yaml"
_MERGE = "application/merge-patch+json"
_METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_CONTENT = {
    Write.CREATE: ("POST", "application/json"),
    Write.APPLY: ("PATCH", _APPLY),
    Write.STRATEGIC_MERGE: ("PATCH", "application/strategic-merge-patch+json"),
    Write.MERGE: ("PATCH", _MERGE),
}


class KubeClient:
    """Implements ports.Kube; requests run in threads, each with a deadline."""

    def __init__(self, config: Kubeconfig, tokens: TokenSource | None) -> None:
        self._config = config
        self._tokens = tokens
        self._answered = False
        self._pools = _Pools(config)

    async def get(self, path: str) -> Manifest | None:
        """The object at ``path``, or None when there is none."""
        return await self._in_thread(_Request("GET", path, missing_ok=True))

    async def list(self, path: str, *, labels: str = "", fields: str = "", metadata_only: bool = False) -> AsyncIterator[Manifest]:
        """The objects of a collection, page by page; nothing when the server does not know the kind."""
        query = {"limit": str(_PAGE), "labelSelector": labels, "fieldSelector": fields}
        accept = _METADATA_ONLY if metadata_only else "application/json"
        while True:
            answer = await self._in_thread(_Request("GET", path, query=query, accept=accept, missing_ok=True))
            for item in (answer or {}).get("items") or ():
                yield item
            query["continue"] = ((answer or {}).get("metadata") or {}).get("continue") or ""
            if not query["continue"]:
                return

    async def apply(self, path: str, body: Manifest, *, dry_run: bool = False, force: bool = False) -> Manifest:
        """Server-side apply as field manager meshinstall; raises ConflictError when another manager owns a field."""
        query = {"fieldManager": FIELD_MANAGER, "force": str(force).lower(), "dryRun": "All" if dry_run else ""}
        return await self._in_thread(_Request("PATCH", path, body, query, content=_APPLY)) or {}

    async def create(self, path: str, body: Manifest, *, dry_run: bool = False) -> Manifest:
        """Create an object in the collection at ``path``."""
        return await self._in_thread(_Request("POST", path, body, {"dryRun": "All" if dry_run else ""})) or {}

    async def patch(self, path: str, body: Manifest, *, dry_run: bool = False) -> Manifest:
        """Merge ``body`` into an object, where null removes; with a resourceVersion in it, only into that version (else ConflictError)."""
        query = {"fieldManager": FIELD_MANAGER, "dryRun": "All" if dry_run else ""}
        return await self._in_thread(_Request("PATCH", path, body, query, content=_MERGE)) or {}

    async def delete(self, path: str, *, uid: str = "") -> None:
        """Delete an object, its dependents in the background; nothing when it is gone. Raises ConflictError when it has another ``uid``."""
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        body = {**options, **({"preconditions": {"uid": uid}} if uid else {})}
        await self._in_thread(_Request("DELETE", path, body, missing_ok=True))

    async def attempt(self, attempt: Attempt) -> Answer:
        """Try a write as a server-side dry run with strict validation; a refusal is an answer."""
        method, content = _CONTENT[attempt.write]
        query = {"dryRun": "All", "fieldManager": attempt.manager, "fieldValidation": "Strict"}
        if attempt.write is Write.APPLY:
            query["force"] = str(attempt.force).lower()
        request = _Request(method, attempt.path, attempt.body, query, content=content)
        reply = await anyio.to_thread.run_sync(self._ask, request, abandon_on_cancel=True)
        if reply.status in _NO_ANSWER:
            raise _refusal(reply.status, reply.body, request, self._config)
        return discovery.answer(reply.status, reply.body, reply.warnings)

    async def kinds(self) -> Kinds:
        """Every kind that is served, by two requests."""
        found: dict[tuple[str, str], ApiKind] = {}
        for path in ("/api", "/apis"):
            found.update(discovery.kinds(await self._in_thread(_Request("GET", path, accept=discovery.AGGREGATED)) or {}))
        return found

    async def _in_thread(self, request: "_Request") -> dict[str, Any] | None:
        started = anyio.current_time()
        while True:
            try:
                found = await anyio.to_thread.run_sync(self._send, request, abandon_on_cancel=True)
            except UnreachableError:
                # A server that never answered is wrongly named or down; one that did is restarting.
                if not self._answered or request.method != "GET" or anyio.current_time() - started > _OUTAGE:
                    raise
                await anyio.sleep(_RETRY)
            else:
                self._answered = True
                return found

    def _send(self, request: "_Request") -> dict[str, Any] | None:
        reply = self._ask(request)
        if reply.status == HTTPStatus.NOT_FOUND and request.missing_ok:
            return None
        if reply.status >= HTTPStatus.BAD_REQUEST:
            raise _refusal(reply.status, reply.body, request, self._config)
        return reply.body

    def _ask(self, request: "_Request") -> "_Reply":
        token = self._tokens.current() if self._tokens else _NO_TOKEN
        reply = self._exchange(request, token)
        if reply.status == HTTPStatus.UNAUTHORIZED and self._tokens:
            # Revoked, or our clock is behind: one fresh token, one more try.
            self._tokens.discard(token)
            reply = self._exchange(request, self._tokens.current())
        return reply

    def _exchange(self, request: "_Request", token: Token) -> "_Reply":
        from urllib3 import HTTPHeaderDict
        from urllib3.exceptions import HTTPError

        sent = HTTPHeaderDict({"Accept": request.accept, "Content-Type": request.content})
        for name, value in headers(self._config, token.value):
            sent.add(name, as_bytes_of_utf8(value))
        pool = self._pools.of(token)
        body = None if request.body is None else json.dumps(request.body)
        url = self._config.server + request.target()
        try:
            answer = pool.request(request.method, url, headers=sent, body=body, preload_content=False, redirect=False)
            with closing(answer):
                data = b"".join(read_pieces(answer.read1, _MAX_ANSWER))
                answer.release_conn()
        except TooLongError as error:
            raise ClusterError(f"the API server sent more than {_MAX_ANSWER // 1024**2} MiB for {request.method} {request.path}") from error
        except (HTTPError, OSError) as error:
            raise UnreachableError(
                f"the API server {self._config.server} does not answer{through(self._pools.proxy)}: {_root_cause(error)}",
                _unreachable_hint(error),
            ) from error
        refuse_redirect(self._config.server, answer.status, answer.headers.get("Location", ""))
        return _Reply(answer.status, _object(answer.status, data, self._config.server), tuple(answer.headers.getlist("Warning")))


def _object(status: int, data: bytes, server: str) -> dict[str, Any]:
    """The JSON object in an answer; raises ClusterError for a proxy's page with a good status."""
    try:
        found = json_text.load(data)
    except ValueError:
        found = None
    if isinstance(found, dict):
        return found
    if status < HTTPStatus.BAD_REQUEST:
        raise ClusterError(f"the answer of {server} is not a JSON object", "check that no proxy or login page answers in its place")
    return {"message": data[:200].decode(errors="replace")}


@dataclass(frozen=True, slots=True)
class _Request:
    """One request; empty query values are left out."""

    method: str
    path: str
    body: Manifest | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    accept: str = "application/json"
    content: str = "application/json"
    missing_ok: bool = False

    def target(self) -> str:
        text = urlencode({key: value for key, value in self.query.items() if value})
        return f"{self.path}?{text}" if text else self.path


@dataclass(frozen=True, slots=True)
class _Reply:
    """What came back; ``warnings`` are headers as they were sent."""

    status: int
    body: dict[str, Any]
    warnings: tuple[str, ...] = ()


class _Pools:
    """Connections to the API server; a client certificate that is renewed gets new ones. Safe for many threads."""

    def __init__(self, config: Kubeconfig) -> None:
        self.proxy = proxy_of(config)
        self._config = config
        self._changing = threading.Lock()
        self._token = _NO_TOKEN
        self._pool = _connect(config, self.proxy, _NO_TOKEN)

    def of(self, token: Token) -> "PoolManager":
        """Those that show the credential's certificate, if it has one."""
        with self._changing:
            if (token.certificate, token.key) != (self._token.certificate, self._token.key):
                self._pool = _connect(self._config, self.proxy, token)
                self._token = token
            return self._pool


def proxy_of(config: Kubeconfig) -> str:
    """The URL of the proxy on the way to the API server; empty when there is none. Raises UsageError."""
    return config.proxy or find_proxy(config.server)


def refuse_redirect(server: str, status: int, target: str) -> None:
    """Raise ClusterError for an answer that leads elsewhere: the credentials are for this server alone."""
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        # What follows may be somebody's login.
        elsewhere = f" to {plain(re.split('[?#]', target)[0])}" if target else ""
        raise ClusterError(
            f"the API server {server} answers with a redirect{elsewhere} (HTTP {status}), which is not followed",
            "give the API server's own address, and check that no proxy or login page answers in its place",
        )


def _connect(config: Kubeconfig, proxy: str, token: Token) -> "PoolManager":
    from urllib3 import Timeout

    # Our own deadlines and errors, not urllib3's silent three tries.
    settings: dict[str, Any] = {
        "ssl_context": tls_context(config, token),
        "retries": False,
        "timeout": Timeout(connect=_TIMEOUT[0], read=_TIMEOUT[1]),
        "maxsize": _THREADS,
    }
    if config.server_name:
        settings |= {"server_hostname": config.server_name, "assert_hostname": config.server_name}
    return pool_manager(proxy, proxy_authority=config.authority, **settings)


def tls_context(config: Kubeconfig, token: Token = _NO_TOKEN) -> ssl.SSLContext:
    """A TLS context with the cluster's CA and the client certificate, if any; raises ClusterError."""
    certificate, key = config.certificate or token.certificate, config.key or token.key
    try:
        context = shared_context(config.authority)
        if certificate and key:
            load_pair(context, certificate + b"\n" + key)
    except (ssl.SSLError, ValueError) as error:
        raise ClusterError(
            f"a certificate or key of context {config.context!r} in the kubeconfig {config.source} is not usable: {error}"
        ) from error
    return context


def _refusal(status: int, answer: Mapping[str, Any], request: _Request, config: Kubeconfig) -> ClusterError:
    said = str(answer.get("message") or answer.get("reason") or f"HTTP {status}")
    match status:
        case HTTPStatus.UNAUTHORIZED:
            hint = "the credentials may have expired: log in again, then repeat the command"
            return UnauthorizedError(
                f"the API server {config.server} does not accept the credentials of context {config.context!r}: {said}", hint
            )
        case HTTPStatus.FORBIDDEN:
            return ForbiddenError(said, "ask for this permission, or use a context that has it")
        case HTTPStatus.SERVICE_UNAVAILABLE | HTTPStatus.TOO_MANY_REQUESTS:
            return UnreachableError(f"the API server {config.server} is not ready: {said}", "wait a moment, then repeat the command")
        case HTTPStatus.CONFLICT:
            return ConflictError(said)
        case _:
            return ClusterError(f"{request.method} {request.path}: {said}")


def _root_cause(error: BaseException) -> str:
    reason = getattr(error, "reason", None)
    return _root_cause(reason) if isinstance(reason, BaseException) else str(error).splitlines()[0]


def _unreachable_hint(error: BaseException) -> str:
    text = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return "the kubeconfig's certificate authority did not sign this server's certificate: fetch the kubeconfig again"
    if "expired" in text:
        return "the client certificate of this context has expired: fetch the kubeconfig again"
    return "check that the cluster is running and that this machine can reach its network"
