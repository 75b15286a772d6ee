"""Reads the CA of a user as istiod and the proxies do: its key, the way to its root, and what its certificates may sign."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from meshinstall.adapters.certificates.reader import Above, facts_of, fingerprint, is_authority, issuers, load, reading
from meshinstall.model.own_ca import CaChain, CaParts

if TYPE_CHECKING:
    from cryptography.x509 import Certificate, Extensions, ExtensionType, GeneralName, NameConstraints

_Extension = TypeVar("_Extension", bound="ExtensionType")

# How a block of PEM begins, and those that istiod takes for a key and for a certificate (istio: security/pkg/pki/util/crypto.go).
_BLOCK = re.compile(rb"^-----BEGIN ([A-Z0-9 ]{1,40})-----", re.MULTILINE)
_KEYS = frozenset({"PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY", "ENCRYPTED PRIVATE KEY"})
_CERTIFICATES = frozenset({"CERTIFICATE", "X509 CERTIFICATE"})
# As many as are read of any chain.
_MOST_SENT = 16
# The name that agents and webhooks check of istiod's own certificate, which the CA signs too (istio: pilot/pkg/bootstrap/server.go).
_ISTIOD = "istiod.{namespace}.svc"


def read_ca(parts: CaParts, trust_domain: str, namespace: str) -> CaChain:
    """Hold the parts of a CA against each other; ``namespace`` is istiod's. Raises ClusterError for certificates that cannot be read."""
    with reading():
        signer = load(parts.signer)[0]
        sent, anchors = load(parts.sent, _MOST_SENT), load(parts.roots)
        path = _path(signer, issuers((signer, *sent), anchors))
        flaws = [
            *_first_flaws("certificate", parts.signer, _CERTIFICATES),
            *_key_flaws(signer, parts.key),
            *_path_flaws(signer, sent, anchors, path),
        ]
        for below, one in enumerate(path):
            flaws += _own_flaws(one, path[:below], _ISTIOD.format(namespace=namespace), trust_domain)
        root = fingerprint(path[-1]) if path else ""
        return CaChain(tuple(facts_of(one, root) for one in path), tuple(dict.fromkeys(map(fingerprint, anchors))), tuple(flaws))


def _path(signer: "Certificate", above: Mapping["Certificate", Above]) -> tuple["Certificate", ...]:
    """The shortest way from the signer to a root, both included; empty when none leads there."""
    waiting: list[tuple[Certificate, ...]] = [(signer,)]
    seen = {signer}
    # It grows while it is walked.
    for way in waiting:
        found = above[way[-1]]
        if found.anchor is not None:
            return way if found.anchor == way[-1] else (*way, found.anchor)
        waiting += [(*way, one) for one in found.links if one not in seen]
        seen.update(found.links)
    return ()


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

    extensions, name = one.extensions, _name(one)
    if not is_authority(one):
        yield f"{name} is not a CA"
        return
    length = extensions.get_extension_for_class(x509.BasicConstraints).value.path_length
    if length is not None and sum(each.subject != each.issuer for each in below) > length:
        yield f"{name} allows {length} CAs below it, and there are more"
    usage = _value(extensions, x509.KeyUsage)
    if usage is not None and not usage.key_cert_sign:
        yield f"{name} may not sign certificates (key usage)"
    purposes = _value(extensions, x509.ExtendedKeyUsage)
    if purposes is not None and Usage.ANY_EXTENDED_KEY_USAGE not in purposes and not {Usage.SERVER_AUTH, Usage.CLIENT_AUTH} <= {*purposes}:
        yield f"{name} may not sign for servers and clients both (extended key usage)"
    names = _value(extensions, x509.NameConstraints)
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


def _value(extensions: "Extensions", kind: type[_Extension]) -> "_Extension | None":
    from cryptography import x509

    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _name(certificate: "Certificate") -> str:
    return certificate.subject.rfc4514_string() or "a certificate without a subject"
