"""Certificates that the testbed makes are good enough for every Python that is promised."""

import ssl
from pathlib import Path

from testbed.pki import Authority
from tests.unit.adapters.conftest import shake


def test_a_strict_client_and_a_strict_server_accept_each_other(tmp_path: Path) -> None:
    """Python 3.13 and later are strict by default."""
    authority = Authority("strict")
    ends = []
    for protocol, pair in (
        (ssl.PROTOCOL_TLS_CLIENT, authority.client("admin", "system:masters")),
        (ssl.PROTOCOL_TLS_SERVER, authority.server("api", "127.0.0.1")),
    ):
        file = tmp_path / "pair.pem"
        file.write_bytes(pair.certificate + pair.key)
        context = ssl.SSLContext(protocol)
        context.load_cert_chain(file)
        context.load_verify_locations(cadata=authority.pair.certificate.decode())
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        ends.append(context)
    shake(*ends)
