"""The proxy that the environment asks for: HTTPS_PROXY, HTTP_PROXY and NO_PROXY, in either case, as curl and Python read them."""

from typing import NamedTuple
from urllib.parse import unquote, urlsplit

_DEFAULT_PORTS = {"https": 443}
_HTTP = 80


class ProxyAddress(NamedTuple):
    """A proxy's URL in its parts; ``login`` is user and password, None where the URL has none."""

    scheme: str
    host: str
    port: int
    login: tuple[str, str] | None


def find_proxy(url: str) -> str:
    """The URL of the proxy for requests to ``url``; empty when they go straight."""
    from urllib.request import getproxies, proxy_bypass

    address = urlsplit(url)
    return "" if proxy_bypass(address.netloc) else getproxies().get(address.scheme, "")


def split_proxy(url: str) -> ProxyAddress:
    """The parts of a proxy's URL."""
    parts = urlsplit(url)
    login = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    return ProxyAddress(parts.scheme, parts.hostname or "", parts.port or _DEFAULT_PORTS.get(parts.scheme, _HTTP), login)
