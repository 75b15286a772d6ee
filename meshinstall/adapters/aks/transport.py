"""HTTP of the Azure SDK, bounded: how long, how large, how often. Loads the SDK, so it is imported inside functions only.

It stays on requests, whose sessions both of Azure's SDKs expect, with the proxies of ``net.proxies`` instead of its own rules.
"""

import time
from collections.abc import Iterator
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import requests
from azure.core.pipeline.transport import RequestsTransport
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection

from meshinstall.adapters.aks.errors import Say
from meshinstall.adapters.aks.limits import Limits
from meshinstall.adapters.net.bodies import TooLongError, TooSlowError, read_pieces
from meshinstall.adapters.net.proxies import find_proxy
from meshinstall.errors import ClusterError, UnreachableError


# The SDK hands the class out at run time, unseen by type checkers.
class BoundedTransport(RequestsTransport):  # type: ignore[misc]
    """The SDK's transport; ``say`` hears of every wait before a retry."""

    def __init__(self, limits: Limits, say: Say) -> None:
        session = requests.Session()
        for scheme in ("https://", "http://"):
            session.mount(scheme, _BoundedAdapter(limits))
        super().__init__(session=session, connection_timeout=limits.connect, read_timeout=limits.read)
        self._limits = limits
        self._say = say

    def sleep(self, duration: float) -> None:
        """Wait before a retry; raises UnreachableError when the server asks for a longer wait than ``pause``."""
        if duration > self._limits.pause:
            raise UnreachableError(f"Azure is busy and asks to try again in {duration:g} s", "repeat the command after that")
        self._say(f"Azure is busy or did not answer; trying again in {duration:.1f} s")
        time.sleep(duration)


class _BoundedAdapter(HTTPAdapter):
    def __init__(self, limits: Limits) -> None:
        # Trying again is the SDK's business.
        super().__init__(max_retries=0)
        self._limits = limits

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        """By urllib3's default a body leaves for a proxy only when its headers are acknowledged, up to 40 ms later."""
        return super().proxy_manager_for(proxy, socket_options=HTTPConnection.default_socket_options, **kwargs)

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        # To requests, socks5 is what looks names up here.
        proxy = find_proxy(str(request.url)).replace("socks5:", "socks5h:", 1)
        kwargs["proxies"] = {"all": proxy} if proxy else {}
        end = time.monotonic() + self._limits.exchange
        response = super().send(request, *args, **kwargs)
        response.raw = _BoundedBody(response.raw, end, self._limits, urlsplit(str(request.url)).hostname or "Azure")
        return response


class _BoundedBody:
    """A body of urllib3 that raises an error when it is too large or takes too long."""

    def __init__(self, body: Any, end: float, limits: Limits, host: str) -> None:
        self._body = body
        self._end = end
        self._limits = limits
        self._host = host

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        try:
            yield from read_pieces(partial(self._body.read1, decode_content=True), self._limits.size, self._end)
        except TooLongError as error:
            self._body.close()
            raise ClusterError(
                f"{self._host} sends more than {self._limits.size // 1024**2} MiB", "check that no proxy answers in its place"
            ) from error
        except TooSlowError as error:
            self._body.close()
            raise UnreachableError(f"{self._host} did not finish its answer in {self._limits.exchange:g} s", "try again") from error

    def __getattr__(self, name: str) -> Any:
        return getattr(self._body, name)
