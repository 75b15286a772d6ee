"""Open connections for protocols other than HTTP, on the same way as ``pools``: direct, or through any proxy."""

import socket
import ssl
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlsplit

from meshinstall.adapters.net.deadlines import hold
from meshinstall.adapters.net.pools import login_header, proxy_context
from meshinstall.adapters.net.proxies import split_proxy

_PORTS = {"http": 80, "https": 443}
# PySocks: PROXY_TYPE_SOCKS5.
_SOCKS5 = 2


@dataclass(frozen=True, slots=True)
class Way:
    """How to connect: ``context`` is for the server, ``proxy_authority`` as in ``pools``, ``timeout`` in seconds for each answer."""

    proxy: str
    context: ssl.SSLContext
    server_name: str = ""
    proxy_authority: bytes | None = None
    timeout: float = 10.0


def open_socket(url: str, way: Way) -> socket.socket:
    """A connection to the host of an http or https URL, with TLS for the latter; raises OSError."""
    from urllib3.exceptions import HTTPError

    connection = _connection(url, way)
    try:
        hold(connection)
        connection.connect()
    except HTTPError as error:
        connection.close()
        raise ConnectionError(str(getattr(error, "args", [""])[-1])) from error
    except BaseException:
        connection.close()
        raise
    # Its owner goes, the socket stays.
    found, connection.sock = connection.sock, None
    return cast("socket.socket", found)


def _connection(url: str, way: Way) -> Any:
    from urllib3 import connection as kinds
    from urllib3.util import parse_url

    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
    settings: dict[str, Any] = {"timeout": way.timeout}
    if parts.scheme == "https":
        settings |= {"ssl_context": way.context, "server_hostname": way.server_name or None, "assert_hostname": way.server_name or None}
    plain, secure = kinds.HTTPConnection, kinds.HTTPSConnection
    if not way.proxy:
        return (secure if parts.scheme == "https" else plain)(host, port, **settings)
    address = split_proxy(way.proxy)
    if address.scheme.startswith("socks"):
        return _socks(parts.scheme, host, port, way.proxy, settings)
    context = proxy_context(way.proxy_authority) if address.scheme == "https" else None
    settings |= {"proxy": parse_url(address.url), "proxy_config": kinds.ProxyConfig(context, False, None, None)}
    found = (secure if parts.scheme == "https" else plain)(address.host, address.port, **settings)
    found.set_tunnel(host, port, headers=login_header(address), scheme=address.scheme)
    return found


def _socks(scheme: str, host: str, port: int, proxy: str, settings: dict[str, Any]) -> Any:
    from urllib3.contrib.socks import SOCKSConnection, SOCKSHTTPSConnection

    address = split_proxy(proxy)
    user, password = address.login or (None, None)
    options: Any = {
        "socks_version": _SOCKS5,
        "proxy_host": address.host,
        "proxy_port": address.port,
        "username": user,
        "password": password,
        # The proxy looks names up, as for Go.
        "rdns": True,
    }
    kind = SOCKSHTTPSConnection if scheme == "https" else SOCKSConnection
    return kind(options, host, port, **settings)
