"""Connection pools of urllib3, direct or through a proxy."""

import base64
import ssl
from typing import TYPE_CHECKING, Any

from meshinstall.adapters.net.proxies import ProxyAddress, split_proxy
from meshinstall.adapters.net.tls import shared_context

if TYPE_CHECKING:
    from urllib3 import PoolManager


def pool_manager(proxy: str, *, proxy_authority: bytes | None = None, **settings: Any) -> "PoolManager":
    """A pool with urllib3's own ``settings``; an empty ``proxy`` connects directly. ``proxy_authority`` is as in ``proxy_context``."""
    from urllib3 import PoolManager, ProxyManager
    from urllib3.connection import HTTPConnection

    if not proxy:
        return PoolManager(**settings)
    address = split_proxy(proxy)
    if address.scheme.startswith("socks"):
        return _socks(address, settings)
    return ProxyManager(
        address.url,
        proxy_headers=login_header(address),
        proxy_ssl_context=proxy_context(proxy_authority) if address.scheme == "https" else None,
        # By urllib3's default a body leaves for a proxy only when its headers are acknowledged, up to 40 ms later.
        socket_options=HTTPConnection.default_socket_options,
        **settings,
    )


def login_header(address: ProxyAddress) -> dict[str, str]:
    """What signs in to a proxy; nothing where its URL has no login. urllib3 leaves the login in a URL unused."""
    if address.login is None:
        return {}
    return {"Proxy-Authorization": f"Basic {base64.b64encode(':'.join(address.login).encode()).decode()}"}


def proxy_context(authority: bytes | None) -> ssl.SSLContext:
    """A context for TLS with a proxy: the system's authorities count, and ``authority`` (PEM), which is all that counts for kubectl."""
    context = shared_context()
    if authority:
        context.load_verify_locations(cadata=authority.decode())
    return context


def _socks(address: ProxyAddress, settings: dict[str, Any]) -> "PoolManager":
    from urllib3.contrib.socks import SOCKSProxyManager

    user, password = address.login or (None, None)
    # socks5h: the proxy looks names up, as for Go, whichever of the two was written.
    return SOCKSProxyManager(address._replace(scheme="socks5h").url, username=user, password=password, **settings)
