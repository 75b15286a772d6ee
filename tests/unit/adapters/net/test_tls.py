"""Connections that begin in several threads at the same time."""

import ssl
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from threading import Barrier
from typing import Any

import pytest
import trustme
from botocore.session import Session

from meshinstall.adapters.eks.session import Aws, Clients
from meshinstall.adapters.gke.trust import trust
from meshinstall.adapters.kube.client import tls_context
from meshinstall.adapters.net.tls import shared_context
from tests.unit.adapters.conftest import Reached, shake

# ALPN's extension: its number, its length, the list's length, and the one name with its length.
OFFER = b"\x00\x10\x00\x0b\x00\x09\x08http/1.1"


def greeting(context: ssl.SSLContext) -> bytes:
    """What a client says first."""
    there = ssl.MemoryBIO()
    with suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), there, server_hostname="localhost").do_handshake()
    return there.read()


@pytest.mark.parametrize("of", ["a cluster", "Google"])
def test_what_urllib3_sets_before_each_connection_does_not_touch_those_of_other_threads(of: str, reached: Reached) -> None:
    context = tls_context(reached()) if of == "a cluster" else trust()
    assert OFFER in greeting(context)
    context.set_alpn_protocols(["other"])
    assert OFFER in greeting(context)


def test_an_authority_that_another_one_signed_is_enough() -> None:
    """As for kubectl: a kubeconfig may name an intermediate authority alone."""
    root = trustme.CA()
    middle = root.create_child_ca()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    middle.issue_cert("127.0.0.1").configure_cert(server)
    shake(shared_context(middle.cert_pem.bytes()), server)
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(shared_context(trustme.CA().cert_pem.bytes()), server)


def test_a_server_of_another_name_is_not_trusted() -> None:
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.2").configure_cert(server)
    with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
        shake(shared_context(authority.cert_pem.bytes()), server)


def test_no_two_threads_share_a_client_of_aws() -> None:
    session = Session()
    session.set_credentials("AKIAIOSFODNN7EXAMPLE", "secret")
    clients, together = Clients(Aws(session, "eu-west-1", print)), Barrier(3)

    def both() -> tuple[Any, Any]:
        together.wait()
        return clients("eks"), clients("eks")

    with ThreadPoolExecutor(3) as threads:
        found = [made.result() for made in [threads.submit(both) for _ in range(3)]]
    assert all(first is second for first, second in found)
    assert len({id(first) for first, _ in found}) == 3
    regions = [client.meta.region_name for client in map(partial(clients, "eks"), ("", "eu-north-1"))]
    assert regions == ["eu-west-1", "eu-north-1"]
