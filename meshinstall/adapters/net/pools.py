"""Connections by urllib3, straight or through a proxy."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from urllib3 import PoolManager


def pool_manager(proxy: str, **settings: Any) -> "PoolManager":
    """Connections with ``settings``, urllib3's own; an empty ``proxy``: straight."""
    from urllib3 import PoolManager, ProxyManager
    from urllib3.connection import HTTPConnection

    if not proxy:
        return PoolManager(**settings)
    # By urllib3's default a body leaves for a proxy only when its headers are acknowledged, up to 40 ms later.
    return ProxyManager(proxy, socket_options=HTTPConnection.default_socket_options, **settings)
