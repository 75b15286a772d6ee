"""Files of a client certificate and its key are read again, as client-go does: whoever renews them does not end a long run."""

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import anyio
import pytest
import trustme

from meshinstall.adapters.kube import portforward, tokens
from meshinstall.adapters.kube.client import KubeClient
from meshinstall.adapters.kube.kubeconfig import load
from meshinstall.adapters.kube.tokens import source_of
from meshinstall.errors import ClusterError
from tests.contracts.servers import reply
from tests.unit.adapters.conftest import ApiServer, write_kubeconfig


class Renewal:
    """A folder with a kubeconfig that names ``tls.crt`` and ``tls.key``; ``seen`` are the names in the certificates that a server got."""

    def __init__(self, folder: Path, authority: trustme.CA, api: ApiServer) -> None:
        self.folder = folder
        self._authority = authority
        self.seen: list[str] = []
        api.respond = self._respond
        self._cluster = {"server": f"https://127.0.0.1:{api.server_port}", "certificate-authority": "ca.crt"}
        (folder / "ca.crt").write_bytes(authority.cert_pem.bytes())

    def _respond(self, request: BaseHTTPRequestHandler) -> None:
        connection: Any = request.connection
        subject = (connection.getpeercert() or {}).get("subject", ())
        self.seen.append(dict(pair for part in subject for pair in part).get("commonName", "nobody"))
        reply(request, 200, b"{}")

    def write(self, name: str, *, certificate: bool = True, key: bool = True) -> None:
        """Issue a pair, and replace one file or both."""
        leaf = self._authority.issue_cert("ann@example.org", common_name=name)
        if certificate:
            (self.folder / "tls.crt").write_bytes(leaf.cert_chain_pems[0].bytes())
        if key:
            (self.folder / "tls.key").write_bytes(leaf.private_key_pem.bytes())

    def ask(self, change: Callable[[], object], **user: str) -> list[str]:
        """Who asked before and after ``change``."""
        file = write_kubeconfig(self.folder, {"client-certificate": "tls.crt", "client-key": "tls.key", **user}, **self._cluster)
        config = load(file)

        async def twice() -> None:
            source = source_of(config)
            client, ports = KubeClient(config, source), portforward.PodPorts(config, source)
            await client.get("/version")
            change()
            await client.get("/version")
            with pytest.raises(ClusterError):
                await ports.get("a", "b", 1, "/")

        anyio.run(twice)
        return self.seen


@pytest.fixture
def renewal(tmp_path: Path, authority: trustme.CA, api: ApiServer, monkeypatch: pytest.MonkeyPatch) -> Renewal:
    # A file is good for no time at all, so that each request reads it again.
    monkeypatch.setattr(tokens, "_FILE_LIFE", tokens._FILE_MARGIN)  # noqa: SLF001 - its own unit
    found = Renewal(tmp_path, authority, api)
    found.write("ann1")
    return found


def test_a_renewed_pair_counts_for_requests_and_port_forwards(renewal: Renewal) -> None:
    assert renewal.ask(lambda: renewal.write("ann2")) == ["ann1", "ann2", "ann2"]


def test_a_pair_is_renewed_besides_a_token(renewal: Renewal) -> None:
    assert renewal.ask(lambda: renewal.write("ann2"), token="t") == ["ann1", "ann2", "ann2"]  # noqa: S106 - for a test


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found.write("ann2", key=False),
        lambda found: found.write("ann2", certificate=False),
        lambda found: (found.folder / "tls.crt").unlink(),
        lambda found: (found.folder / "tls.key").write_bytes(b""),
        lambda found: (found.folder / "tls.crt").write_text("-----BEGIN CERTIFICATE-----\n?"),
    ],
    ids=["new certificate, old key", "old certificate, new key", "no certificate", "empty key", "half a certificate"],
)
def test_while_a_pair_is_replaced_the_last_one_serves_on(renewal: Renewal, change: Callable[[Renewal], object]) -> None:
    assert renewal.ask(lambda: change(renewal)) == ["ann1", "ann1", "ann1"]
