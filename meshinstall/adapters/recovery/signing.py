"""Signs with a private key in a PEM file, and verifies with a public one: Ed25519, or ECDSA over P-256 with SHA-256.

Signatures are as other tools for DSSE make and read them: 64 bytes of Ed25519, or ASN.1 DER of ECDSA.
"""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from meshinstall.errors import SnapshotError, UsageError
from meshinstall.model.snapshot import Envelope, Signature

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, EllipticCurvePrivateKey, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

    PrivateKey = Ed25519PrivateKey | EllipticCurvePrivateKey
    PublicKey = Ed25519PublicKey | EllipticCurvePublicKey

_MAX_KEY = 64 * 1024
_KINDS = "an Ed25519 key, or an ECDSA key of the curve P-256"
_MAKE = "openssl genpkey -algorithm ed25519 -out snapshot.key; openssl pkey -in snapshot.key -pubout -out snapshot.pub"


class PemSigner:
    """A private key of a file."""

    def __init__(self, key: "PrivateKey") -> None:
        self._key = key

    def sign(self, message: bytes) -> Signature:
        """Sign a message."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        made = self._key.sign(message) if isinstance(self._key, Ed25519PrivateKey) else self._key.sign(message, _ecdsa())
        return Signature(key_id(self._key.public_key()), made)


def load_signer(path: Path) -> PemSigner:
    """The private key in a file; raises UsageError."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    text = _read("--sign-with", path)
    try:
        key = load_pem_private_key(text, None)
    except TypeError:
        raise UsageError(
            f"--sign-with {path}: the key is encrypted", "decrypt it into memory: --sign-with <(openssl pkey -in FILE)"
        ) from None
    except Exception:  # noqa: BLE001 - cryptography raises several, and their words may hold parts of a key
        raise UsageError(f"--sign-with {path}: no private key in PEM", f"make one: {_MAKE}") from None
    if isinstance(key, ed25519.Ed25519PrivateKey) or (isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1)):
        return PemSigner(key)
    raise UsageError(f"--sign-with {path}: not {_KINDS}", f"make one: {_MAKE}")


def load_verifier(path: Path) -> "PublicKey":
    """The public key in a file; raises UsageError."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    text = _read("--key", path)
    try:
        key = load_pem_public_key(text)
    except Exception:  # noqa: BLE001 - as above
        raise UsageError(f"--key {path}: no public key in PEM", "openssl pkey -in snapshot.key -pubout writes it") from None
    if isinstance(key, ed25519.Ed25519PublicKey) or (isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)):
        return key
    raise UsageError(f"--key {path}: not {_KINDS}", "openssl pkey -in snapshot.key -pubout writes it")


def insist_on_signature(envelope: Envelope, key: "PublicKey") -> None:
    """Raise SnapshotError unless one of the signatures is of this key."""
    if not envelope.signatures:
        raise SnapshotError(
            "the snapshot is refused: it is not signed", "take it from where it was signed; --unsigned checks its files alone"
        )
    if not any(_is_of(key, signature.value, envelope.signed) for signature in envelope.signatures):
        raise SnapshotError(
            f"the snapshot is refused: no signature of it is of the key {key_id(key)[:16]}", "it was altered, or somebody else signed it"
        )


def key_id(key: "PublicKey") -> str:
    """The SHA-256 of a public key in DER (SubjectPublicKeyInfo), in hex."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _is_of(key: "PublicKey", value: bytes, message: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        if isinstance(key, Ed25519PublicKey):
            key.verify(value, message)
        else:
            key.verify(value, message, _ecdsa())
    except (InvalidSignature, ValueError):
        return False
    return True


def _ecdsa() -> "ECDSA":
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
    from cryptography.hazmat.primitives.hashes import SHA256

    return ECDSA(SHA256())


def _read(flag: str, path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MAX_KEY)
    except OSError as error:
        raise UsageError(f"{flag} {path}: {error.strerror}") from error
