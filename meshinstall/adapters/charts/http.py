"""HTTP for charts with deadlines, bounded retries, safe redirects and size limits; every failure is a ChartError with the URL."""

import re
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from io import BytesIO
from ipaddress import ip_address
from typing import TYPE_CHECKING, BinaryIO, Self
from urllib.parse import urlencode, urljoin, urlsplit

from meshinstall.adapters.net.bodies import TooLongError, TooSlowError, read_pieces
from meshinstall.adapters.net.deadlines import Deadline, held
from meshinstall.adapters.net.pools import pool_manager
from meshinstall.adapters.net.proxies import find_proxy, through
from meshinstall.adapters.net.retry_after import retry_after
from meshinstall.errors import ChartError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from urllib3 import BaseHTTPResponse, PoolManager

Say = Callable[[str], None]

# Seconds.
CONNECT = 5.0
READ = 10.0
TOTAL = 60.0
_PAUSES = (0.3, 1.0)
_LONGEST_PAUSE = 15.0

_REDIRECTS = 5
# Characters of an address in a message.
_LONGEST = 500
_PORTS = {"http": 80, "https": 443}
_MOVED = frozenset({301, 302, 303, 307, 308})
_UNREACHABLE_HINT = "check the address, DNS, the proxy settings (HTTPS_PROXY, NO_PROXY) and the firewall, or use --charts DIR"


@dataclass(frozen=True, slots=True)
class Answer:
    """A finished exchange; ``body`` is empty when it went into a file."""

    url: str
    status: int
    headers: Mapping[str, str]
    body: bytes = b""


class TransientError(ChartError):
    """A failure that may be gone at the next try."""

    def __init__(self, message: str, hint: str, after: float | None = None) -> None:
        super().__init__(message, hint)
        self.after = after


class Http:
    """GET requests of one operation on a source; use it as a context manager."""

    def __init__(self, source: str, deadline: Deadline, say: Say) -> None:
        self._source = source
        self._deadline = deadline
        self._say = say
        self._pools: dict[str, PoolManager] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for pool in self._pools.values():
            pool.clear()

    def get(self, url: str, limit: int, headers: Mapping[str, str] | None = None, into: BinaryIO | None = None) -> Answer:
        """The answer to a GET, its body in ``into`` or in the answer; any status but 429 and 5xx is the caller's to judge.

        Raises ChartError when nothing usable comes within the deadline, or
        more than ``limit`` bytes.
        """
        try:
            return self._tried(url, limit, headers or {}, into)
        except TooSlowError as error:
            raise too_slow(self._source, self._deadline) from error

    def _tried(self, url: str, limit: int, headers: Mapping[str, str], into: BinaryIO | None) -> Answer:
        for pause in (*_PAUSES, None):
            try:
                return self._follow(url, limit, headers, into)
            except TransientError as error:
                if pause is None:
                    raise
                wait = min(error.after if error.after is not None else pause, _LONGEST_PAUSE)
                self._say(f"{error.message}; trying again in {wait:g} s")
                self._deadline.pause(wait)
        raise AssertionError  # the last try returns or raises

    def post(self, url: str, limit: int, form: Mapping[str, str]) -> Answer:
        """The answer to a form, which holds a secret: it is sent once, and to no address that this one redirects to. Raises ChartError."""
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        with self._open(url, headers, urlencode(form).encode()) as response:
            return self._finish(url, response, limit, None)

    def left(self) -> float:
        """Seconds that remain for this operation; raises ChartError when there are none."""
        return self._deadline.left()

    def _follow(self, url: str, limit: int, headers: Mapping[str, str], into: BinaryIO | None) -> Answer:
        for _ in range(_REDIRECTS + 1):
            with self._open(url, headers) as response:
                target = response.headers.get("Location") if response.status in _MOVED else None
                if target is None:
                    return self._finish(url, response, limit, into)
            before, url = url, joined(url, target)
            if not is_safe(url, loopback=is_loopback(before)):
                raise ChartError(f"{before} redirects to {shown(url)}, which is not https", "use a source whose addresses are all https")
            if origin(before) != origin(url):
                headers = {name: value for name, value in headers.items() if name != "Authorization"}
        raise ChartError(f"more than {_REDIRECTS} redirects, the last to {shown(url)}")

    @contextmanager
    def _open(self, url: str, headers: Mapping[str, str], body: bytes | None = None) -> "Iterator[BaseHTTPResponse]":
        from urllib3 import Timeout, exceptions

        left = self._deadline.left()
        timeout = Timeout(connect=min(CONNECT, left), read=min(READ, left))
        sent = {"User-Agent": "meshinstall", "Accept-Encoding": "identity", **headers}
        method = "GET" if body is None else "POST"
        try:
            response = self._pool(url).request(
                method,
                url,
                body=body,
                headers=sent,
                timeout=timeout,
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
            try:
                yield response
            finally:
                response.close()
        except exceptions.HTTPError as error:
            raise _failure(url, error) from error

    def _finish(self, url: str, response: "BaseHTTPResponse", limit: int, into: BinaryIO | None) -> Answer:
        status = response.status
        if status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise TransientError(
                f"{shown(url)} answered {status}",
                "the server is overloaded or broken; try later",
                retry_after(response.headers.get("Retry-After", ""), datetime.now(UTC)),
            )
        sink = into if into is not None and status == HTTPStatus.OK else BytesIO()
        sink.seek(0)
        sink.truncate()
        try:
            for piece in read_pieces(response.read1, limit):
                self._deadline.left()
                sink.write(piece)
        except TooLongError as error:
            raise ChartError(f"{shown(url)} sends more than {limit // 1024**2} MiB", "no chart is that large: check the address") from error
        return Answer(url, status, response.headers, sink.getvalue() if isinstance(sink, BytesIO) else b"")

    def _pool(self, url: str) -> "PoolManager":
        # A registry on this machine is no proxy's, whatever NO_PROXY leaves out.
        proxy = "" if is_loopback(url) else find_proxy(url)
        if proxy not in self._pools:
            self._pools[proxy] = held(pool_manager(proxy))
        return self._pools[proxy]


def too_slow(source: str, deadline: Deadline) -> ChartError:
    """The error for an operation that took too long."""
    return ChartError(f"{source} took longer than {deadline.seconds:g} s", "try again, or use a mirror closer to this machine")


def is_loopback(url: str) -> bool:
    """Whether the host of ``url`` is this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def is_safe(url: str, *, loopback: bool = True) -> bool:
    """Whether ``url`` is https, or http to this machine where ``loopback`` allows it."""
    return url.startswith("https://") or (loopback and url.startswith("http://") and is_loopback(url))


def joined(url: str, target: str) -> str:
    """The address that ``target``, of a header or an index that ``url`` sent, stands for there; raises ChartError."""
    try:
        found = urljoin(url, target)
        # Both are read only when they are asked for.
        _ = urlsplit(found).hostname, urlsplit(found).port
    except ValueError as error:
        raise ChartError(f"{shown(url)} sends on to something that is not an address", "check the source of the charts") from error
    return found


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of an address, which all that gets a login has in common (RFC 6454)."""
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)


def shown(url: str) -> str:
    """``url`` without its query and its fragment, which may hold a signature or a token, and without a login."""
    scheme, separator, rest = re.split("[?#]", url)[0].partition("://")
    host, slash, path = rest.partition("/")
    found = f"{scheme}{separator}{host.rpartition('@')[2]}{slash}{path}"
    return found if len(found) <= _LONGEST else f"{found[:_LONGEST]}…"


def _failure(url: str, error: Exception) -> ChartError:
    from urllib3 import exceptions

    if isinstance(error, exceptions.ProtocolError) and isinstance(error.__cause__, exceptions.HTTPError):
        error = error.__cause__
    where = shown(url)
    if isinstance(error, exceptions.IncompleteRead):
        return TransientError(f"{where} closed the connection after {error.partial} bytes; {error.expected} are missing", _UNREACHABLE_HINT)
    way = through(find_proxy(url))
    # The first that fits: a failed name lookup is a kind of failed connection.
    for kind, said, hint in (
        (exceptions.NameResolutionError, "has a host name that cannot be resolved", _UNREACHABLE_HINT),
        (
            exceptions.SSLError,
            f"failed the TLS handshake ({error})",
            "if your company's own CA signed the certificate, set SSL_CERT_FILE to the CA's file",
        ),
        (exceptions.NewConnectionError, f"cannot be reached{way} ({error.__cause__ or error})", _UNREACHABLE_HINT),
        (exceptions.ProxyError, f"cannot be reached{way} ({error.__cause__ or error})", _UNREACHABLE_HINT),
        (exceptions.TimeoutError, "does not answer in time", _UNREACHABLE_HINT),
        (exceptions.LocationParseError, "is not a usable address", "check the source of the charts"),
    ):
        if isinstance(error, kind):
            return ChartError(f"{where} {said}", hint)
    return TransientError(f"{where} closed the connection ({error})", _UNREACHABLE_HINT)
