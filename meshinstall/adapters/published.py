"""Implements ports.Published: small public documents over verified TLS, within a limit of bytes and a deadline."""

from http import HTTPStatus

from meshinstall.adapters.net.bodies import TooLongError, TooSlowError, read_pieces
from meshinstall.adapters.net.deadlines import Deadline, held, run_before
from meshinstall.adapters.net.pools import pool_manager
from meshinstall.adapters.net.proxies import find_proxy
from meshinstall.adapters.net.tls import shared_context
from meshinstall.errors import IdentityError
from meshinstall.model.foreign_text import plain

# Seconds of one document, and its bytes; a provider with many keys has some tens of KiB.
_SECONDS = 10.0
_LIMIT = 1024**2
_CONNECT = 5.0
_HINT = "check the address, DNS, HTTPS_PROXY, and SSL_CERT_FILE for an authority of your own; istiod must reach it too"


class PublishedDocuments:
    """Implements ports.Published."""

    async def read(self, url: str) -> bytes:
        """The body at an https:// address, over TLS that is verified, without redirects; raises IdentityError."""
        try:
            return await run_before(Deadline(_SECONDS), lambda: _read(url))
        except TooSlowError as error:
            raise IdentityError(f"{url} did not answer within {_SECONDS:g} s", _HINT) from error


def _why(error: Exception) -> str:
    """What went wrong, without the client library's own words for a connection."""
    from urllib3 import exceptions

    if isinstance(error, exceptions.NameResolutionError):
        return "has a host name that cannot be resolved"
    if isinstance(error, exceptions.NewConnectionError | exceptions.ProxyError):
        return f"cannot be reached ({error.__cause__ or error})"
    return f"cannot be read ({getattr(error, 'reason', None) or error})"


def _read(url: str) -> bytes:
    from urllib3 import Timeout, exceptions

    pool = held(pool_manager(find_proxy(url), ssl_context=shared_context()))
    headers = {"User-Agent": "meshinstall", "Accept": "application/json", "Accept-Encoding": "identity"}
    timeout = Timeout(connect=_CONNECT, read=_SECONDS)
    try:
        response = pool.request(
            "GET", url, headers=headers, timeout=timeout, retries=False, redirect=False, preload_content=False, decode_content=False
        )
        try:
            if response.status != HTTPStatus.OK:
                raise IdentityError(f"{url} answered {response.status}", _HINT)
            return b"".join(read_pieces(response.read1, _LIMIT))
        finally:
            response.close()
    except TooLongError as error:
        raise IdentityError(f"{url} sends more than {_LIMIT // 1024**2} MiB", _HINT) from error
    except exceptions.HTTPError as error:
        raise IdentityError(plain(f"{url} {_why(error)}"), _HINT) from error
    finally:
        pool.clear()
