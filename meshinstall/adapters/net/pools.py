"""Connection pools of urllib3, direct or through a proxy."""

from typing import TYPE_CHECKING, Any

from meshinstall.adapters.net.proxies import split_proxy

if TYPE_CHECKING:
    from urllib3 import PoolManager


def pool_manager(proxy: str, **settings: Any) -> "PoolManager":
    """A pool with urllib3's own ``settings``; an empty ``proxy`` connects directly."""
    from urllib3 import PoolManager, ProxyManager, make_headers
    from urllib3.connection import HTTPConnection

    if not proxy:
        return PoolManager(**settings)
    # urllib3 leaves the login in a proxy's URL unused.
    login = split_proxy(proxy).login
    headers = make_headers(proxy_basic_auth=":".join(login)) if login else None
    # By urllib3's default a body leaves for a proxy only when its headers are acknowledged, up to 40 ms later.
    return ProxyManager(proxy, proxy_headers=headers, socket_options=HTTPConnection.default_socket_options, **settings)
