"""Cheap questions that tell whether a component answers; False while it does not."""

import http.client
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

Probe = Callable[[], bool]

# Seconds; everything asked is on the same machine.
_PATIENCE = 1.0


def tcp(host: str, port: int) -> Probe:
    """Something accepts connections."""

    def ask() -> bool:
        try:
            socket.create_connection((host, port), _PATIENCE).close()
        except OSError:
            return False
        return True

    return ask


def unix(path: Path) -> Probe:
    """Something accepts connections on the socket file."""

    def ask() -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(_PATIENCE)
            return client.connect_ex(str(path)) == 0

    return ask


def _answers(connection: http.client.HTTPConnection, path: str) -> bool:
    """A GET is answered with 200."""
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def http_ok(host: str, port: int, path: str) -> Probe:
    """The plain HTTP endpoint answers 200."""
    return lambda: _answers(http.client.HTTPConnection(host, port, timeout=_PATIENCE), path)


def api_ready(server: str, pki: Path) -> Probe:
    """The API server says that it is ready, its certificate verified."""
    address = urlsplit(server)

    def ask() -> bool:
        context = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        host = address.hostname or ""
        return _answers(http.client.HTTPSConnection(host, address.port, timeout=_PATIENCE, context=context), "/readyz")

    return ask
