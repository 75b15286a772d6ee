"""HTTP for all calls to Google: one trust store, one deadline, bounded bodies; Google's libraries use it too."""

import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from meshinstall.adapters.gke.trust import trust
from meshinstall.adapters.net.bodies import read_pieces
from meshinstall.adapters.net.pools import pool_manager
from meshinstall.adapters.net.proxies import find_proxy, through
from meshinstall.model.foreign_text import plain

if TYPE_CHECKING:
    from urllib3 import PoolManager

# Seconds to connect.
_CONNECT = 5.0
# Bytes; the largest real answers are lists of clusters, about 30 KiB each.
MAX_BODY = 16 * 1024**2


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: for one whole answer, for all tries of one call, the first pause between two."""

    answer: float = 10.0
    call: float = 30.0
    pause: float = 0.5


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer, by the names that google.auth reads."""

    status: int
    headers: Mapping[str, str]
    data: bytes


class Http:
    """What google.auth calls to send a request; raises its TransportError. Safe for many threads."""

    def __init__(self, patience: Patience) -> None:
        self.patience = patience
        self._pools: dict[str, PoolManager] = {}

    def __call__(
        self,
        url: str,
        method: str = "GET",
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
        **_: Any,
    ) -> Reply:
        """The answer of any status, without following redirects."""
        from google.auth import exceptions
        from urllib3 import Timeout
        from urllib3.exceptions import HTTPError

        seconds = min(timeout or self.patience.answer, self.patience.answer)
        end = time.monotonic() + seconds
        sent = {**(headers or {}), "Accept-Encoding": "identity"}
        try:
            response = self._pool(url).request(
                method,
                url,
                body=body,
                headers=sent,
                timeout=Timeout(connect=min(_CONNECT, seconds), read=seconds),
                retries=False,
                redirect=False,
                preload_content=False,
                decode_content=False,
            )
            with closing(response):
                data = b"".join(read_pieces(response.read1, MAX_BODY, end))
                response.release_conn()
        except (HTTPError, OSError, ValueError) as error:
            untyped: Any = exceptions
            raise untyped.TransportError(f"{_place(url)}{through(_proxy(url))}: {_cause(error)}") from error
        return Reply(response.status, response.headers, data)

    def _pool(self, url: str) -> "PoolManager":
        proxy = _proxy(url)
        if proxy not in self._pools:
            self._pools[proxy] = pool_manager(proxy, ssl_context=trust(), maxsize=8)
        return self._pools[proxy]


def _proxy(url: str) -> str:
    # Plain http is the metadata server alone, which no proxy can reach.
    return find_proxy(url) if url.startswith("https://") else ""


def mount(session: Any, http: Http) -> None:
    """Make a session of requests, which Google's SDK holds, send everything through ``http``."""
    from requests.adapters import HTTPAdapter
    from urllib3 import HTTPResponse

    class Adapter(HTTPAdapter):
        """Reads whole, bounded answers before the SDK sees them."""

        def send(self, request: Any, *_: Any, timeout: Any = None, **__: Any) -> Any:
            """The answer of any status."""
            reply = http(request.url, request.method, request.body, request.headers, timeout)
            body = HTTPResponse(BytesIO(reply.data), reply.headers, reply.status, preload_content=False, decode_content=False)
            return self.build_response(request, body)

    for scheme in ("https://", "http://"):
        session.mount(scheme, Adapter())
    # What is refused with 401 says why; with a plain token the session cannot get another, and would hide it.
    session._refresh_status_codes = ()  # noqa: SLF001 - has no other name


def _place(url: str) -> str:
    """The URL without its query, which may hold secrets."""
    address = urlsplit(url)
    return plain(f"{address.scheme}://{address.netloc}{address.path}")


def _cause(error: BaseException) -> str:
    reason = getattr(error, "reason", None)
    return _cause(reason) if isinstance(reason, BaseException) else plain(str(error).partition("\n")[0]) or type(error).__name__
