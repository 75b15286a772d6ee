"""Reads the CA of a user as istiod and the proxies do: its key, the way to its root, and what its certificates may sign."""

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from meshinstall.adapters.certificates.reader import (
    MOST_IN_CHAIN,
    extension,
    facts_of,
    fingerprint,
    is_authority,
    issuers,
    load,
    reading,
    way_up,
)
from meshinstall.model.own_ca import CaChain, CaParts

if TYPE_CHECKING:
    from cryptography.x509 import Certificate, GeneralName, NameConstraints

# How a block of PEM begins, and those that istiod takes for a key and for a certificate (istio: security/pkg/pki/util/crypto.go).
_BLOCK = re.compile(rb"^-----BEGIN ([A-Z0-9 ]{1,40})-----", re.MULTILINE)
_KEYS = frozenset({"PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY", "ENCRYPTED PRIVATE KEY"})
_CERTIFICATES = frozenset({"CERTIFICATE", "X509 CERTIFICATE"})
# The name that agents and webhooks check of istiod's own certificate, which the CA signs too (istio: pilot/pkg/bootstrap/server.go).
_ISTIOD = "istiod.{namespace}.svc"


def read_ca(parts: CaParts, trust_domain: str, namespace: str) -> CaChain:
    """Hold the parts of a CA against each other; ``namespace`` is istiod's. Raises ClusterError for certificates that cannot be read."""
    with reading():
        signer = load(parts.signer)[0]
        sent, anchors = load(parts.sent, MOST_IN_CHAIN), load(parts.roots)
        path = way_up(signer, issuers((signer, *sent), anchors))
        flaws = [
            *_first_flaws("certificate", parts.signer, _CERTIFICATES),
            *_key_flaws(signer, parts.key),
            *_path_flaws(signer, sent, anchors, path),
        ]
        for below, one in enumerate(path):
            flaws += _own_flaws(one, path[:below], _ISTIOD.format(namespace=namespace), trust_domain)
        root = fingerprint(path[-1]) if path else ""
        return CaChain(tuple(facts_of(one, root) for one in path), tuple(dict.fromkeys(map(fingerprint, anchors))), tuple(flaws))


def _first_flaws(what: str, pem: bytes, known: frozenset[str]) -> Iterator[str]:
    found = _BLOCK.search(pem)
    if found and (first := found[1].decode()) not in known:
        yield f"its {what} stands behind {first}, and istiod reads the first block alone"


def _key_flaws(signer: "Certificate", pem: bytes) -> Iterator[str]:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

    try:
        key = load_pem_private_key(pem, None)
    except TypeError:
        yield "its private key is encrypted, which istiod cannot read"
    except (ValueError, UnsupportedAlgorithm):
        yield "its private key is not one in PEM that istiod can read"
    else:
        yield from _first_flaws("private key", pem, _KEYS)
        form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if key.public_key().public_bytes(*form) != signer.public_key().public_bytes(*form):
            yield "its private key is that of another certificate"


def _path_flaws(
    signer: "Certificate", sent: Sequence["Certificate"], anchors: Sequence["Certificate"], path: Sequence["Certificate"]
) -> Iterator[str]:
    if not path:
        yield f"{_name(signer)} does not lead to a root of the Secret by the certificates in it"
    elif signer not in (*sent, *anchors):
        yield f"the chain that workloads send lacks {_name(signer)}, so that nobody finds the way from their certificates to a root"


def _own_flaws(one: "Certificate", below: Sequence["Certificate"], istiod: str, trust_domain: str) -> Iterator[str]:
    """What is wrong with a certificate of the path; ``below`` are those between it and the workload's (RFC 5280, 4.2.1 and 6.1.4)."""
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID as Usage

    name = _name(one)
    if not is_authority(one):
        yield f"{name} is not a CA"
        return
    constraints = extension(one, x509.BasicConstraints)
    length = constraints.path_length if constraints else None
    if length is not None and sum(each.subject != each.issuer for each in below) > length:
        yield f"{name} allows {length} CAs below it, and there are more"
    usage = extension(one, x509.KeyUsage)
    if usage is not None and not usage.key_cert_sign:
        yield f"{name} may not sign certificates (key usage)"
    purposes = extension(one, x509.ExtendedKeyUsage)
    if purposes is not None and Usage.ANY_EXTENDED_KEY_USAGE not in purposes and not {Usage.SERVER_AUTH, Usage.CLIENT_AUTH} <= {*purposes}:
        yield f"{name} may not sign for servers and clients both (extended key usage)"
    names = extension(one, x509.NameConstraints)
    if names is not None:
        yield from (f"{name} may not sign for {what} (name constraints)" for what in _refused(names, istiod, trust_domain))


def _refused(names: "NameConstraints", istiod: str, trust_domain: str) -> Iterator[str]:
    from cryptography import x509

    for kind, host, what in (
        (x509.UniformResourceIdentifier, trust_domain, f"trust domain {trust_domain}"),
        (x509.DNSName, istiod, istiod),
    ):
        is_url = kind is x509.UniformResourceIdentifier
        permitted, excluded = (
            [_is_within(host, one, is_url=is_url) for one in _of(kind, listed)]
            for listed in (names.permitted_subtrees, names.excluded_subtrees)
        )
        if any(excluded) or (permitted and not any(permitted)):
            yield what


def _of(kind: type["GeneralName"], names: "Sequence[GeneralName] | None") -> list[str]:
    return [str(one.value) for one in names or () if isinstance(one, kind)]


def _is_within(host: str, constraint: str, *, is_url: bool) -> bool:
    """Whether a host is in a subtree: of URLs a leading dot means all below and no dot the host alone; of DNS names it means both."""
    if not constraint:
        return True
    bare = constraint.removeprefix(".").lower()
    is_below = host.lower().endswith(f".{bare}")
    if is_url:
        return is_below if constraint.startswith(".") else host.lower() == bare
    return is_below or (host.lower() == bare and not constraint.startswith("."))


def _name(certificate: "Certificate") -> str:
    return certificate.subject.rfc4514_string() or "a certificate without a subject"
