"""TLS contexts for clusters and clouds: their CAs, client certificates, and safe sharing between threads."""

import os
import ssl
import tempfile
from collections.abc import Iterable


class _Settled(ssl.SSLContext):
    """A context whose ALPN protocols stay as they are.

    urllib3 sets them anew before every connection, and OpenSSL frees the list
    while a connection that begins in another thread reads it: a greeting that
    the server cannot decode, or a crash (python/cpython#141012).
    """

    def set_alpn_protocols(self, alpn_protocols: Iterable[str]) -> None:
        """Do nothing, for the reason above."""


def shared_context(authority: bytes | None = None) -> ssl.SSLContext:
    """A context for HTTP/1.1 that trusts a CA (PEM; None: the system's, or SSL_CERT_FILE); raises ssl.SSLError, ValueError.

    Not ``ssl.create_default_context``: it makes no subclass, and from Python 3.13 on it
    refuses authorities without key identifiers, which EKS has. Chain, names and dates are checked as ever.
    """
    context = _Settled(ssl.PROTOCOL_TLS_CLIENT)
    ssl.SSLContext.set_alpn_protocols(context, ["http/1.1"])
    # An authority that another one signed is enough, as it is for kubectl and, from 3.13 on, for Python.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if authority:
        context.load_verify_locations(cadata=authority.decode())
    else:
        context.load_default_certs()
    return context


def load_pair(context: ssl.SSLContext, pem: bytes) -> None:
    """Load a client certificate and key without leaving the key in a file: the ssl module takes paths only."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("client")
        try:
            os.write(descriptor, pem)
            context.load_cert_chain(f"/proc/self/fd/{descriptor}", password=_refuse)
        finally:
            os.close(descriptor)
        return
    with tempfile.NamedTemporaryFile() as file:
        file.write(pem)
        file.flush()
        context.load_cert_chain(file.name, password=_refuse)


def fits(certificate: bytes, key: bytes) -> bool:
    """Whether a client certificate and a key (PEM) belong together."""
    try:
        load_pair(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), certificate + b"\n" + key)
    except (ssl.SSLError, ValueError):
        return False
    return True


def _refuse() -> str:
    """Asked for the passphrase of a key; left alone, OpenSSL asks on the terminal and waits."""
    raise ValueError("the key has a passphrase, which is not supported")
