"""Reads X.509 certificates in PEM."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from meshinstall.errors import ClusterError
from meshinstall.model.mesh import CertificateFacts
from meshinstall.model.status import CertificateTimes

if TYPE_CHECKING:
    from cryptography.x509 import Certificate, ExtensionType

_Extension = TypeVar("_Extension", bound="ExtensionType")

# Certificates in one text: a chain is short, and each is held against each other; bundles of authorities hold some hundred.
MOST_IN_CHAIN = 16
_MOST_ROOTS = 500
# Signatures that are verified for one chain, 0.1 ms to 2 ms each while nothing else runs. A chain of four, all of one name as istiod
# names them, beside five roots of that name takes 32 at most; only a hostile one takes thousands.
_MOST_SIGNATURES = 300


def read_certificates(pem: bytes) -> tuple[CertificateTimes, ...]:
    """Subject and dates of each certificate in ``pem``, in its order; raises ClusterError when it is not PEM."""
    with reading():
        found = load(pem)
        return tuple(CertificateTimes(one.subject.rfc4514_string(), one.not_valid_before_utc, one.not_valid_after_utc) for one in found)


def read_chain(pem: bytes, roots: bytes) -> tuple[CertificateFacts, ...]:
    """Each certificate of a chain, and which of ``roots`` it leads to; raises ClusterError.

    The way there is by signature, over the other certificates of the chain that are authorities. Dates are not looked at. A chain
    that takes too many signatures to follow is an error too.
    """
    with reading():
        chain, anchors = load(pem, MOST_IN_CHAIN), load(roots) if roots else ()
        above = issuers(chain, anchors)
        return tuple(facts_of(one, _root(one, above)) for one in chain)


def read_roots(pem: bytes) -> tuple[CertificateFacts, ...]:
    """Each certificate of a bundle of roots, every one its own root; raises ClusterError."""
    with reading():
        return tuple(facts_of(one, fingerprint(one)) for one in load(pem))


@contextmanager
def reading() -> Iterator[None]:
    """A block that reads certificates: turn errors about a certificate into ClusterError, and silence warnings about unusual ones."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except _unreadable() as error:
            raise ClusterError(f"a certificate cannot be read: {error}") from error


def _unreadable() -> tuple[type[Exception], ...]:
    """The errors of cryptography for a part of a certificate that is invalid or that it does not know."""
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    odd = (x509.DuplicateExtension, x509.InvalidVersion, x509.UnsupportedGeneralNameType)
    return (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm, *odd)


def load(pem: bytes, most: int = _MOST_ROOTS) -> Sequence["Certificate"]:
    """At least one certificate and at most ``most``; raises ClusterError."""
    from cryptography import x509

    try:
        found = x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise ClusterError(f"not a certificate in PEM: {error}") from error
    if len(found) > most:
        raise ClusterError(f"a bundle has {len(found)} certificates; at most {most} are read")
    return found


def issuers(chain: Sequence["Certificate"], anchors: Sequence["Certificate"]) -> dict["Certificate", "Above"]:
    """The issuers of each certificate in a chain; a signature is verified once, and only for an issuer with the right name."""
    trusted = [(anchor, anchor.subject) for anchor in dict.fromkeys(anchors)]
    # Those that are trusted have been tried already.
    authorities = [(one, one.subject) for one in dict.fromkeys(chain) if is_authority(one) and one not in anchors]
    above: dict[Certificate, Above] = {}
    signatures = _Signatures()
    for one in dict.fromkeys(chain):
        issuer = one.issuer
        roots = (anchor for anchor, name in trusted if anchor == one or (name == issuer and signatures.has(one, anchor)))
        anchor = next(roots, None)
        signers = [other for other, name in authorities if name == issuer and other != one] if anchor is None else []
        above[one] = Above(anchor, tuple(other for other in signers if signatures.has(one, other)))
    return above


class Above(NamedTuple):
    """What is above a certificate: the trusted one that it is, or was signed by; else those of its chain that signed it."""

    anchor: "Certificate | None"
    links: tuple["Certificate", ...]


class _Signatures:
    """Verifies signatures, and counts them."""

    def __init__(self) -> None:
        self._left = _MOST_SIGNATURES

    def has(self, certificate: "Certificate", issuer: "Certificate") -> bool:
        """Whether one certificate was signed by another; raises ClusterError when it is asked too often."""
        if not self._left:
            raise ClusterError(f"finding the root of a certificate chain takes more than {_MOST_SIGNATURES} signature checks")
        self._left -= 1
        return _is_issued(certificate, issuer)


def way_up(certificate: "Certificate", above: Mapping["Certificate", Above]) -> tuple["Certificate", ...]:
    """The shortest way to a root that is trusted, both ends included; empty when none leads there."""
    ways: list[tuple[Certificate, ...]] = [(certificate,)]
    seen = {certificate}
    # It grows while it is walked.
    for way in ways:
        found = above[way[-1]]
        if found.anchor is not None:
            return way if found.anchor == way[-1] else (*way, found.anchor)
        ways += [(*way, one) for one in found.links if one not in seen]
        seen.update(found.links)
    return ()


def _root(certificate: "Certificate", above: Mapping["Certificate", Above]) -> str:
    way = way_up(certificate, above)
    return fingerprint(way[-1]) if way else ""


def _is_issued(certificate: "Certificate", issuer: "Certificate") -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except _unreadable():
        return False
    return True


def facts_of(certificate: "Certificate", root: str) -> CertificateFacts:
    """What a certificate says; ``root`` is the fingerprint of what it leads to."""
    return CertificateFacts(
        fingerprint=fingerprint(certificate),
        subject=certificate.subject.rfc4514_string(),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        uris=_uris(certificate),
        is_authority=is_authority(certificate),
        key=_key(certificate),
        root=root,
    )


def fingerprint(certificate: "Certificate") -> str:
    """Its SHA-256 in hexadecimal."""
    from cryptography.hazmat.primitives.hashes import SHA256

    return certificate.fingerprint(SHA256()).hex()


def _uris(certificate: "Certificate") -> tuple[str, ...]:
    from cryptography import x509

    names = extension(certificate, x509.SubjectAlternativeName)
    return () if names is None else tuple(names.get_values_for_type(x509.UniformResourceIdentifier))


def is_authority(certificate: "Certificate") -> bool:
    """Whether it may sign others by its basic constraints."""
    from cryptography import x509

    constraints = extension(certificate, x509.BasicConstraints)
    return constraints is not None and constraints.ca


def extension(certificate: "Certificate", kind: type[_Extension]) -> "_Extension | None":
    """What a certificate says of a kind; None when it has none of it."""
    from cryptography import x509

    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _key(certificate: "Certificate") -> str:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    match certificate.public_key():
        case rsa.RSAPublicKey(key_size=size):
            return f"RSA {size}"
        case ec.EllipticCurvePublicKey(curve=curve):
            return f"ECDSA {curve.name}"
        case other:
            return type(other).__name__.removesuffix("PublicKey").strip("_")
