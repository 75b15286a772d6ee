"""Certificates of CAs for tests: real ones, as users write them and as istiod signs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID as Usage
from cryptography.x509.oid import NameOID

# A few keys are enough, and making them takes the time of a handshake.
KEYS = tuple(ec.generate_private_key(ec.SECP256R1()) for _ in range(5))


@dataclass(frozen=True, slots=True)
class Written:
    """What a certificate of a CA has; None leaves an extension out. ``permitted`` and ``excluded`` are names.

    It holds from an hour ago for ``days``.
    """

    is_ca: bool = True
    length: int | None = None
    may_sign: bool | None = True
    purposes: tuple[x509.ObjectIdentifier, ...] | None = None
    permitted: tuple[x509.GeneralName, ...] = ()
    excluded: tuple[x509.GeneralName, ...] = ()
    days: int = 1
    uri: str = ""


Signed = tuple[x509.Certificate, ec.EllipticCurvePrivateKey]


def _builder(name: str, issuer: x509.Name | None, key: ec.EllipticCurvePrivateKey, days: int = 1) -> x509.CertificateBuilder:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) if name else x509.Name([])
    start = datetime.now(UTC) - timedelta(hours=1)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer or subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def authority(name: str, written: Written, issuer: Signed | None, key: ec.EllipticCurvePrivateKey) -> Signed:
    """A certificate of a CA by ``issuer``, or its own."""
    made = _builder(name, issuer[0].subject if issuer else None, key, written.days)
    made = made.add_extension(x509.BasicConstraints(written.is_ca, written.length if written.is_ca else None), critical=True)
    if written.may_sign is not None:
        flags = (True, False, False, False, False, written.may_sign, written.may_sign, False, False)
        made = made.add_extension(x509.KeyUsage(*flags), critical=True)
    if written.purposes is not None:
        made = made.add_extension(x509.ExtendedKeyUsage(written.purposes), critical=False)
    if written.permitted or written.excluded:
        made = made.add_extension(x509.NameConstraints(written.permitted or None, written.excluded or None), critical=True)
    if written.uri:
        made = made.add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(written.uri)]), critical=False)
    return made.sign(issuer[1] if issuer else key, hashes.SHA256()), key


def leaf(names: Sequence[x509.GeneralName], issuer: Signed, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    """A certificate as istiod makes it: no subject, and who it is in the names."""
    made = _builder("", issuer[0].subject, key)
    made = made.add_extension(x509.SubjectAlternativeName(names), critical=True)
    made = made.add_extension(x509.ExtendedKeyUsage([Usage.SERVER_AUTH, Usage.CLIENT_AUTH]), critical=False)
    made = made.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    return made.sign(issuer[1], hashes.SHA256())


def pem(*certificates: x509.Certificate) -> bytes:
    """Certificates one after another."""
    return b"".join(one.public_bytes(Encoding.PEM) for one in certificates)


def key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A key as openssl writes it."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
