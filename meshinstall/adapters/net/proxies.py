"""The proxy that the environment asks for, by Go's rules (golang.org/x/net/http/httpproxy), which kubectl and helm go by.

HTTPS_PROXY, HTTP_PROXY and NO_PROXY count, in upper case first, as in Go up to 1.26; this machine is never reached through a proxy.
"""

import os
import re
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from meshinstall.adapters.net.addresses import address_of, is_loopback
from meshinstall.errors import UsageError

_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}
_CIDR = re.compile(r"[0-9a-f.:]+/\d{1,3}")
_WITH_PORT = re.compile(r"(?:\[(?P<six>[^\[\]]*)\]|(?P<host>[^:\[\]]*)):(?P<port>[^:\[\]]*)")


class ProxyAddress(NamedTuple):
    """A proxy's URL in its parts; ``login`` is user and password, None where the URL has none."""

    scheme: str
    host: str
    port: int
    login: tuple[str, str] | None

    @property
    def url(self) -> str:
        """The URL without the login."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def find_proxy(url: str, environ: Mapping[str, str] = os.environ) -> str:
    """The URL of the proxy for requests to ``url``; empty when they go straight. Raises UsageError for one that cannot be used."""
    try:
        address = urlsplit(url)
        port = address.port
    except ValueError:
        # No address at all, which whoever asks for it says better.
        return ""
    name = f"{address.scheme}_proxy"
    proxy = _variable(environ, name) if address.scheme in {"http", "https"} else ""
    if not proxy:
        return ""
    if address.scheme == "http" and environ.get("REQUEST_METHOD"):
        raise UsageError(
            "HTTP_PROXY is not used where REQUEST_METHOD is set: in a web server's CGI program the client of the web server can set it",
            "unset one of the two",
        )
    host = address.hostname or ""
    if is_loopback(host) or _is_left_out(_ascii(host), str(port or _PORTS[address.scheme]), _variable(environ, "no_proxy")):
        return ""
    return checked_proxy(proxy if "://" in proxy else f"http://{proxy}", name.upper())


def checked_proxy(url: str, what: str) -> str:
    """``url`` itself; raises UsageError, which names ``what`` and not the login, for one that is not the URL of a proxy."""
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in _PORTS and bool(parts.hostname) and parts.port != 0 and url.isprintable() and " " not in url
    except ValueError:  # no port, or brackets that do not match
        is_good = False
    if not is_good:
        raise UsageError(
            f"{what} is not the URL of a proxy that can be used", f"give http://HOST:PORT; the schemes are {', '.join(_PORTS)}"
        )
    return url


def split_proxy(url: str) -> ProxyAddress:
    """The parts of a proxy's URL."""
    parts = urlsplit(url)
    login = None if parts.username is None else (unquote(parts.username), unquote(parts.password or ""))
    return ProxyAddress(parts.scheme, parts.hostname or "", parts.port or _PORTS[parts.scheme], login)


def through(proxy: str) -> str:
    """What errors say of the way: `` through the proxy URL`` without the login, or nothing."""
    return f" through the proxy {split_proxy(proxy).url}" if proxy else ""


def _variable(environ: Mapping[str, str], name: str) -> str:
    return environ.get(name.upper()) or environ.get(name) or ""


def _ascii(host: str) -> str:
    if host.isascii():
        return host
    try:
        return host.encode("idna").decode()
    except UnicodeError:
        return host


def _is_left_out(host: str, port: str, no_proxy: str) -> bool:
    entries = [entry for one in no_proxy.split(",") if (entry := one.strip().lower())]
    if "*" in entries:
        return True
    address = address_of(host)
    return any(_matches(entry, host.lower(), port, address) for entry in entries)


def _matches(entry: str, host: str, port: str, address: IPv4Address | IPv6Address | None) -> bool:
    if _CIDR.fullmatch(entry) and (network := _network(entry)):
        return address is not None and address in network
    found = _WITH_PORT.fullmatch(entry)
    name, wanted = (found["six"] or found["host"] or "", found["port"]) if found else (entry, "")
    if not name or (wanted and wanted != port):
        return False
    if own := address_of(name):
        return own == address
    if address is not None:
        return False
    domain = _ascii(name[1:] if name.startswith("*.") else name)
    return host.endswith(domain) if domain.startswith(".") else host == domain or host.endswith(f".{domain}")


def _network(entry: str) -> IPv4Network | IPv6Network | None:
    try:
        return ip_network(entry, strict=False)
    except ValueError:
        return None
