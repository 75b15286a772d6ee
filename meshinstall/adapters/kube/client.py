"""The Kubernetes API in plain JSON.

On urllib3, which the official client stands on: importing that client costs
0.3 s, and of what it offers only port-forwarding is not a plain request.
"""

import json
import re
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import closing
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from meshinstall.adapters.kube import discovery, pages
from meshinstall.adapters.kube.exchange import APPLY, FIELD_MANAGER, BrokenOffError, ExpiredError, Reply, Request
from meshinstall.adapters.kube.identity import as_bytes_of_utf8, headers
from meshinstall.adapters.kube.kubeconfig import Kubeconfig
from meshinstall.adapters.kube.patience import EVICTION
from meshinstall.adapters.kube.riding_out import Patient
from meshinstall.adapters.kube.token import Token
from meshinstall.adapters.kube.tokens import TokenSource
from meshinstall.adapters.net.bodies import TooLongError, TooSlowError, read_pieces
from meshinstall.adapters.net.deadlines import Deadline, held, run_before
from meshinstall.adapters.net.pools import pool_manager
from meshinstall.adapters.net.proxies import find_proxy, through
from meshinstall.adapters.net.tls import load_pair, shared_context
from meshinstall.errors import BudgetError, ClusterError, ConflictError, ForbiddenError, UnauthorizedError, UnreachableError
from meshinstall.model import json_text
from meshinstall.model.foreign_text import plain
from meshinstall.model.release import Manifest
from meshinstall.model.trial import Answer, ApiKind, Attempt, Kinds, Write

if TYPE_CHECKING:
    from urllib3 import PoolManager

# Seconds: to connect, for an answer to begin or go on, and for all of an exchange.
_TIMEOUT = (5.0, 30.0)
_WHOLE = 60.0
_NO_TOKEN = Token("")
# Connections kept open; as many requests run at the same time.
_THREADS = 16
# Bytes of one answer, and objects asked for at a time.
_MAX_ANSWER = 64 * 1024**2
_PAGE = 500
# Pages of one list, and how often it is begun again where the server does not keep the rest of it.
_PAGES = 1000
_LISTS = 3
# Characters of what a server says.
_SAID = 2000
_LOGIN = re.compile(r"//[^/]*@")
_MERGE = "application/merge-patch+json"
_METADATA_ONLY = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_CONTENT = {
    Write.CREATE: ("POST", "application/json"),
    Write.APPLY: ("PATCH", APPLY),
    Write.STRATEGIC_MERGE: ("PATCH", "application/strategic-merge-patch+json"),
    Write.MERGE: ("PATCH", _MERGE),
}


class KubeClient:
    """Implements ports.Kube; requests run in threads, each with a deadline; ``say`` hears of trouble that is ridden out."""

    def __init__(self, config: Kubeconfig, tokens: TokenSource | None, say: Callable[[str], None] = lambda _: None) -> None:
        self._config = config
        self._tokens = tokens
        self._patient = Patient(self._once, self._refusal, say)
        self._pools = _Pools(config)

    async def get(self, path: str) -> Manifest | None:
        """The object at ``path``, or None when there is none."""
        return await self._send(Request("GET", path, missing_ok=True))

    async def list(self, path: str, *, labels: str = "", fields: str = "", metadata_only: bool = False) -> AsyncIterator[Manifest]:
        """The objects of a collection, page by page; nothing when the server does not know the kind."""
        accept = _METADATA_ONLY if metadata_only else "application/json"
        first = Request("GET", path, query={"limit": str(_PAGE), "labelSelector": labels, "fieldSelector": fields}, accept=accept)
        told: set[tuple[str, str]] = set()
        for begun in range(1, _LISTS + 1):
            try:
                async for item in self._pages(first):
                    name = _name(item)
                    # Of a list that is begun again, what came before is known.
                    if begun == 1 or name not in told:
                        yield item
                    told.add(name)
            except ExpiredError:
                if begun == _LISTS:
                    raise
            else:
                return

    async def _pages(self, request: Request) -> AsyncIterator[Manifest]:
        for _ in range(_PAGES):
            answer = await self._send(replace(request, missing_ok=True)) or {}
            for item in pages.items(answer, request.path):
                yield item
            more = pages.following(answer, request.path, request.query.get("continue", ""))
            if not more:
                return
            request = replace(request, query={**request.query, "continue": more})
        raise ClusterError(f"the API server lists more than {_PAGES} pages of {request.path}", "check what makes so many objects there")

    async def apply(self, path: str, body: Manifest, *, dry_run: bool = False, force: bool = False) -> Manifest:
        """Server-side apply as field manager meshinstall; raises ConflictError when another manager owns a field."""
        query = {"fieldManager": FIELD_MANAGER, "force": str(force).lower(), "dryRun": "All" if dry_run else ""}
        return await self._send(Request("PATCH", path, body, query, content=APPLY)) or {}

    async def create(self, path: str, body: Manifest, *, dry_run: bool = False) -> Manifest:
        """Create an object in the collection at ``path``."""
        return await self._send(Request("POST", path, body, {"dryRun": "All" if dry_run else ""})) or {}

    async def patch(self, path: str, body: Manifest, *, dry_run: bool = False) -> Manifest:
        """Merge ``body`` into an object, where null removes; with a resourceVersion in it, only into that version (else ConflictError)."""
        query = {"fieldManager": FIELD_MANAGER, "dryRun": "All" if dry_run else ""}
        return await self._send(Request("PATCH", path, body, query, content=_MERGE)) or {}

    async def delete(self, path: str, *, uid: str = "") -> None:
        """Delete an object, its dependents in the background; nothing when it is gone. Raises ConflictError when it has another ``uid``."""
        options = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        body = {**options, **({"preconditions": {"uid": uid}} if uid else {})}
        await self._send(Request("DELETE", path, body, missing_ok=True))

    async def attempt(self, attempt: Attempt) -> Answer:
        """Try a write as a server-side dry run with strict validation; a refusal is an answer."""
        method, content = _CONTENT[attempt.write]
        query = {"dryRun": "All", "fieldManager": attempt.manager, "fieldValidation": "Strict"}
        if attempt.write is Write.APPLY:
            query["force"] = str(attempt.force).lower()
        request = Request(method, attempt.path, attempt.body, query, content=content)
        reply = await self._patient.reply(request)
        if reply.status == HTTPStatus.UNAUTHORIZED:
            raise self._refusal(reply, request)
        return discovery.answer(reply.status, reply.body, reply.warnings)

    async def kinds(self) -> Kinds:
        """Every kind that is served, by two requests."""
        found: dict[tuple[str, str], ApiKind] = {}
        for path in ("/api", "/apis"):
            found.update(discovery.kinds(await self._send(Request("GET", path, accept=discovery.AGGREGATED)) or {}))
        return found

    async def _send(self, request: Request) -> dict[str, Any] | None:
        reply = await self._patient.reply(request)
        if reply.status == HTTPStatus.NOT_FOUND and request.missing_ok:
            return None
        if reply.status >= HTTPStatus.BAD_REQUEST:
            raise self._refusal(reply, request)
        return reply.body

    async def _once(self, request: Request) -> Reply:
        if self._tokens:
            # A login may ask a person, which is no time of the API server's.
            await self._tokens.ready()
        deadline = Deadline(_WHOLE)
        try:
            return await run_before(deadline, partial(self._ask, request, deadline))
        except TooSlowError as error:
            raise UnreachableError(
                f"the API server {self._config.server} did not answer {request.method} {request.path} within {_WHOLE:g} s",
                "check that the cluster is not overloaded, and the way to it",
            ) from error

    def _refusal(self, reply: Reply, request: Request) -> ClusterError:
        return _refusal(reply.status, reply.body, request, self._config)

    def _ask(self, request: Request, deadline: Deadline) -> Reply:
        token = self._tokens.current() if self._tokens else _NO_TOKEN
        reply = self._exchange(request, token, deadline)
        if reply.status == HTTPStatus.UNAUTHORIZED and self._tokens:
            # Revoked, or our clock is behind: one fresh token, one more try.
            self._tokens.discard(token)
            reply = self._exchange(request, self._tokens.current(), deadline)
        return reply

    def _exchange(self, request: Request, token: Token, deadline: Deadline) -> Reply:
        from urllib3 import HTTPHeaderDict
        from urllib3.exceptions import HTTPError, ProtocolError

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
                deadline.let_go()
                answer.release_conn()
        except TooLongError as error:
            raise ClusterError(f"the API server sent more than {_MAX_ANSWER // 1024**2} MiB for {request.method} {request.path}") from error
        except (HTTPError, OSError) as error:
            kind = BrokenOffError if isinstance(error, ProtocolError) else UnreachableError
            way = through(self._pools.proxy)
            message = f"the API server {self._config.server} does not answer{way}: {_root_cause(error)}"
            raise kind(message, _unreachable_hint(error)) from error
        refuse_redirect(self._config.server, answer.status, answer.headers.get("Location", ""))
        found = _object(answer.status, data, self._config.server)
        return Reply(answer.status, found, tuple(answer.headers.getlist("Warning")), answer.headers.get("Retry-After", ""))


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


class _Pools:
    """Connections to the API server; a client certificate that is renewed gets new ones. Safe for many threads."""

    def __init__(self, config: Kubeconfig) -> None:
        self.proxy = proxy_of(config)
        self._config = config
        self._changing = threading.Lock()
        self._pair = _pair(config, _NO_TOKEN)
        self._pool = _connect(config, self.proxy, _NO_TOKEN)

    def of(self, token: Token) -> "PoolManager":
        """Those that show the credential's certificate, if it has one."""
        with self._changing:
            if (pair := _pair(self._config, token)) != self._pair:
                self._pool = _connect(self._config, self.proxy, token)
                self._pair = pair
            return self._pool


def proxy_of(config: Kubeconfig) -> str:
    """The URL of the proxy on the way to the API server; empty when there is none. Raises UsageError."""
    return config.proxy or find_proxy(config.server)


def refuse_redirect(server: str, status: int, target: str) -> None:
    """Raise ClusterError for an answer that leads elsewhere: the credentials are for this server alone."""
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        # What follows, and what stands before the host, may be somebody's login.
        elsewhere = f" to {plain(_LOGIN.sub('//', re.split('[?#]', target)[0]))}" if target else ""
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
    return held(pool_manager(proxy, proxy_authority=config.authority, **settings))


def _pair(config: Kubeconfig, token: Token) -> tuple[bytes, bytes]:
    """The client certificate and key: those of the credential are the newest."""
    return (token.certificate, token.key) if token.certificate else (config.certificate or b"", config.key or b"")


def tls_context(config: Kubeconfig, token: Token = _NO_TOKEN) -> ssl.SSLContext:
    """A TLS context with the cluster's CA and the client certificate, if any; raises ClusterError."""
    certificate, key = _pair(config, token)
    try:
        context = shared_context(config.authority)
        if certificate and key:
            load_pair(context, certificate + b"\n" + key)
    except (ssl.SSLError, ValueError) as error:
        raise ClusterError(
            f"a certificate or key of context {config.context!r} in the kubeconfig {config.source} is not usable: {error}"
        ) from error
    return context


def _refusal(status: int, answer: Mapping[str, Any], request: Request, config: Kubeconfig) -> ClusterError:
    said = plain(answer.get("message") or answer.get("reason") or f"HTTP {status}", _SAID, "…")
    match status:
        case HTTPStatus.UNAUTHORIZED:
            hint = "the credentials may have expired: log in again, then repeat the command"
            return UnauthorizedError(
                f"the API server {config.server} does not accept the credentials of context {config.context!r}: {said}", hint
            )
        case HTTPStatus.FORBIDDEN:
            return ForbiddenError(said, "ask for this permission, or use a context that has it")
        case HTTPStatus.SERVICE_UNAVAILABLE | HTTPStatus.TOO_MANY_REQUESTS:
            return _not_now(status, said, request, config)
        case HTTPStatus.GONE:
            return ExpiredError(f"{request.method} {request.path}: {said}", "objects there change too fast to be listed: try again")
        case HTTPStatus.CONFLICT:
            return ConflictError(said)
        case _:
            return ClusterError(f"{request.method} {request.path}: {said}")


def _not_now(status: int, said: str, request: Request, config: Kubeconfig) -> ClusterError:
    """Of an eviction the word of a PodDisruptionBudget, of anything else that of a busy server."""
    if status == HTTPStatus.TOO_MANY_REQUESTS and request.path.endswith(EVICTION):
        return BudgetError(said, "wait until other pods of its PodDisruptionBudget are ready, or change the budget")
    return UnreachableError(f"the API server {config.server} is not ready: {said}", "wait a moment, then repeat the command")


def _name(item: Manifest) -> tuple[str, str]:
    metadata = item.get("metadata") or {}
    return str(metadata.get("namespace", "")), str(metadata.get("name", ""))


def _root_cause(error: BaseException) -> str:
    # Of a proxy urllib3 keeps the cause beside its words.
    reason = getattr(error, "reason", None) or getattr(error, "original_error", None)
    return _root_cause(reason) if isinstance(reason, BaseException) else next(iter(str(error).splitlines()), type(error).__name__)


def _unreachable_hint(error: BaseException) -> str:
    text = str(error)
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return "the kubeconfig's certificate authority did not sign this server's certificate: fetch the kubeconfig again"
    if "expired" in text:
        return "the client certificate of this context has expired: fetch the kubeconfig again"
    return "check that the cluster is running and that this machine can reach its network"
