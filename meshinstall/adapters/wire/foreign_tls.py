"""TLS handshakes from outside the mesh: without a certificate, or with one from an unknown CA."""

import re
import ssl
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from meshinstall.adapters.net.tls import load_pair
from meshinstall.adapters.wire.tunnel import Tunnel
from meshinstall.model.wire import Answer

# What the mesh's clients offer, so that a proxy that takes both picks the chain of its mutual TLS.
_PROTOCOL = "istio"
_READ = 16 * 1024
# How OpenSSL names the alerts that are about a client's certificate (RFC 8446 section 6.2).
_ABOUT_CERTIFICATES = re.compile(r"ALERT_(\w*CERTIFICATE\w*|UNKNOWN_CA|ACCESS_DENIED|DECRYPT_ERROR)$")
# In TLS 1.2 a missing one has no alert of its own (RFC 5246 section 7.4.6).
_HANDSHAKE_FAILURE = re.compile(r"ALERT_HANDSHAKE_FAILURE$")
_LIFE = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Client:
    """The TLS client: ``roots`` (PEM) that it trusts, empty: any server; ``pair``: its certificate and key (PEM), may be empty."""

    roots: str
    pair: bytes = b""

    def believing_anyone(self) -> "Client":
        """The same client, which trusts any server."""
        return replace(self, roots="")

    def context(self) -> ssl.SSLContext:
        """The client as an OpenSSL context."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        # SPIFFE names are no host names; who the server is gets told, and judged by others.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED if self.roots else ssl.CERT_NONE
        if self.roots:
            context.load_verify_locations(cadata=self.roots)
            # A mesh may trust an intermediate authority, and so does Envoy.
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.set_alpn_protocols([_PROTOCOL])
        if self.pair:
            load_pair(context, self.pair)
        return context


@dataclass(frozen=True, slots=True)
class Met:
    """The result of a handshake; ``identity`` is the server's proven SPIFFE name; ``unverified``: we refused the server.

    ``is_late``: we had ended first, so that an answer in more time might tell more.
    """

    answer: Answer
    words: str
    identity: str = ""
    unverified: bool = False
    is_late: bool = False


_NO_ANSWER = Met(Answer.SILENT, "connected, but no answer to the TLS ClientHello", is_late=True)


def handshake(tunnel: Tunnel, who: Client, patience: float, linger: float) -> Met:
    """Shake hands, send nothing, and see whether the server keeps the connection; raises OSError when the way there is broken.

    In TLS 1.3 our side is done before the server has seen our certificate: what it thinks of it comes as an alert,
    within ``patience`` seconds; else we end in order, and it must answer that within ``linger``.
    """
    session = _Session(tunnel, who.context())
    try:
        session.begin(patience + linger)
        said = session.read(patience)
    except ssl.SSLCertVerificationError as error:
        return Met(Answer.FAILED, error.verify_message, unverified=True)
    except ssl.SSLError as error:
        return session.refusal(error)
    except ConnectionResetError:
        return Met(Answer.REFUSED, "reset without a TLS alert", session.identity)
    except TimeoutError:
        return _last_words(session, linger) if session.is_open else _NO_ANSWER
    if said:
        return Met(Answer.SERVED, f"the handshake succeeded, and the server sent {len(said)} bytes", session.identity)
    return session.ended()


def _last_words(session: "_Session", linger: float) -> Met:
    try:
        session.end(linger)
    except ssl.SSLError as error:
        return session.refusal(error)
    except ConnectionResetError:
        return Met(Answer.ENDED, "the handshake succeeded, then the server reset the connection", session.identity, is_late=True)
    except TimeoutError:
        return Met(Answer.SILENT, "the handshake succeeded, but neither an alert nor a close came", session.identity, is_late=True)
    return Met(Answer.SERVED, "the handshake succeeded, and the server kept the connection open until we closed it", session.identity)


class _Session:
    """One TLS connection over a tunnel; ``is_open`` once our side of the handshake is done.

    ``identity`` is then the SPIFFE name of a server that was verified; after an alert OpenSSL does not tell it any more.
    """

    def __init__(self, tunnel: Tunnel, context: ssl.SSLContext) -> None:
        self._tunnel = tunnel
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing)
        self.is_open = False
        self.identity = ""

    def begin(self, seconds: float) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._exchange(seconds)
            else:
                self._flush()
                self.is_open = True
                self.identity = self._peer()
                return

    def read(self, seconds: float) -> bytes:
        """Bytes from the server; empty after its close."""
        while True:
            try:
                return self._tls.read(_READ)
            except ssl.SSLWantReadError:
                self._exchange(seconds)
            except ssl.SSLZeroReturnError:
                return b""

    def end(self, seconds: float) -> bytes:
        """Close the connection, in TLS and below; returns what the server still sends, empty when it closes normally too.

        Only who reads on hears an alert that comes late: ``unwrap`` takes it for an end in order.
        """
        with suppress(ssl.SSLWantReadError):
            self._tls.unwrap()
        self._flush()
        self._tunnel.end()
        return self.read(seconds)

    def _exchange(self, seconds: float) -> None:
        self._flush()
        if data := self._tunnel.receive(_READ, seconds):
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def _flush(self) -> None:
        if data := self._outgoing.read():
            self._tunnel.send(data)

    def refusal(self, error: ssl.SSLError) -> Met:
        """The result for an OpenSSL error."""
        # Python has no name for some alerts.
        reason = error.reason or str(error)
        words = reason.lower().replace("_", " ")
        if isinstance(error, ssl.SSLEOFError) or "UNEXPECTED_EOF" in reason:
            return self.ended()
        # With parameters agreed on, a failed handshake is about the certificate.
        if _ABOUT_CERTIFICATES.search(reason) or (_HANDSHAKE_FAILURE.search(reason) and self._tls.cipher()):
            return Met(Answer.REFUSED, words, self.identity)
        if "ALERT" in reason:
            return Met(Answer.FAILED, f"not a mesh server: {words}", self.identity)
        return Met(Answer.ENDED, f"the server does not speak a known version of TLS: {words}")

    def ended(self) -> Met:
        """The result for a close without an alert."""
        what = "after the handshake" if self.is_open else "at the TLS ClientHello"
        return Met(Answer.ENDED, f"closed normally {what}, without an alert", self.identity)

    def _peer(self) -> str:
        names = (self._tls.getpeercert() or {}).get("subjectAltName", ())
        return next((str(name[1]) for name in names if name[0] == "URI" and str(name[1]).startswith("spiffe://")), "")


def foreign_pair(identity: str) -> bytes:
    """A certificate for a SPIFFE name and its key (PEM), signed by an authority made for this moment; they stay in memory."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    authority, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "meshinstall probe")])
    usages = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    now = datetime.now(UTC)
    leaf = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _LIFE)
        .not_valid_after(now + _LIFE)
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity)]), critical=True)
        .add_extension(usages, critical=False)
        .sign(authority, hashes.SHA256())
    )
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return leaf.public_bytes(serialization.Encoding.PEM) + private
