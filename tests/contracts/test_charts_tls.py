"""Certificates are checked, against the system's authorities or those in SSL_CERT_FILE."""

import ssl
import threading
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from meshinstall.errors import ChartError
from meshinstall.model.release import ChartRef
from meshinstall.ports import Charts
from testbed.pki import Authority, write_private
from tests.contracts.servers import ARCHIVE, DIGEST, QuietHandler, reply

pytestmark = pytest.mark.anyio


class Repository(QuietHandler):
    """A Helm repository with one chart."""

    def do_GET(self) -> None:  # noqa: N802 - http.server's name
        """Answer with the index or the chart."""
        index = b"entries: {demo: [{version: 1.0.0, digest: %s, urls: [demo.tgz]}]}" % DIGEST.removeprefix("sha256:").encode()
        reply(self, 200, index if self.path == "/index.yaml" else ARCHIVE)


@pytest.fixture
def authority() -> Authority:
    return Authority("a company's own")


@pytest.fixture
def address(authority: Authority, tmp_path: Path) -> Iterator[str]:
    """https://localhost:PORT with a certificate of ``authority``."""
    pair = authority.server("localhost", "localhost")
    write_private(tmp_path / "pair.pem", pair.key + pair.certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "pair.pem")
    server = QuietServer(("127.0.0.1", 0), Repository)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"https://localhost:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


class QuietServer(ThreadingHTTPServer):
    """Says nothing of clients that break off."""

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing."""


async def test_a_certificate_of_an_unknown_authority_is_refused(store: Charts, address: str) -> None:
    with pytest.raises(ChartError, match=f"{address}/index.yaml failed the TLS handshake .*CERTIFICATE_VERIFY_FAILED") as caught:
        await store.resolve(ChartRef("demo", "1.0.0", address))

    assert "SSL_CERT_FILE" in caught.value.hint


async def test_an_authority_in_ssl_cert_file_is_trusted(
    store: Charts, address: str, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ca.pem").write_bytes(authority.pair.certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))

    assert (await store.fetch(ChartRef("demo", "1.0.0", address))).read_bytes() == ARCHIVE
