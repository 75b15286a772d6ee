"""Certificates: what they say, and which root they lead to by signature."""

import base64
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from meshinstall.adapters.certificates import read_certificates, read_chain, read_roots, reader
from meshinstall.errors import ClusterError

START = datetime(2026, 11, 21, 12, tzinfo=UTC)
SPIFFE = "spiffe://cluster.local/ns/shop/sa/web"
Key = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key."""

    certificate: x509.Certificate
    key: Key

    @property
    def pem(self) -> bytes:
        """The certificate alone."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    @property
    def fingerprint(self) -> str:
        """SHA-256 in hexadecimal."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()


def make(name: str, issuer: Pair | None = None, *, authority: bool | None = True, uri: str = "", key: Key | None = None) -> Pair:
    """A certificate by ``issuer``, or its own; ``authority`` None leaves out whether it is one."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(START)
        .not_valid_after(START + timedelta(days=1))
    )
    if authority is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    if uri:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=True)
    signer = issuer.key if issuer else key
    return Pair(builder.sign(signer, None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()), key)


ROOT = make("root")
MIDDLE = make("middle", ROOT)
LEAF = make("web", MIDDLE, authority=False, uri=SPIFFE)


def test_a_certificate_says_whose_it_is_and_when_it_holds() -> None:
    leaf, middle = read_chain(LEAF.pem + MIDDLE.pem, ROOT.pem)
    assert leaf.fingerprint == LEAF.fingerprint
    assert leaf.subject == "CN=web"
    assert leaf.uris == (SPIFFE,)
    assert leaf.key == "ECDSA secp256r1"
    assert leaf.not_before == START
    assert leaf.not_after == START + timedelta(days=1)
    assert leaf.is_authority is False
    assert middle.is_authority is True
    assert middle.uris == ()
    assert [(one.subject, one.not_after) for one in read_certificates(MIDDLE.pem)] == [("CN=middle", START + timedelta(days=1))]


@pytest.mark.parametrize(
    ("key", "word"),
    [
        (lambda: rsa.generate_private_key(65537, 2048), "RSA 2048"),
        (lambda: ec.generate_private_key(ec.SECP384R1()), "ECDSA secp384r1"),
        (ed25519.Ed25519PrivateKey.generate, "Ed25519"),
    ],
    ids=["RSA", "ECDSA", "Ed25519"],
)
def test_each_kind_of_key_is_named_and_its_signatures_count(key: Callable[[], Key], word: str) -> None:
    root = make("root", key=key())
    leaf = make("leaf", root, authority=False)
    assert [one.key for one in read_roots(root.pem)] == [word]
    assert [one.root for one in read_chain(leaf.pem, root.pem)] == [root.fingerprint]


def test_a_chain_leads_to_the_root_that_signed_it() -> None:
    other = make("other")
    assert [one.root for one in read_chain(LEAF.pem + MIDDLE.pem, other.pem + ROOT.pem)] == [ROOT.fingerprint] * 2
    assert [one.root for one in read_chain(LEAF.pem + MIDDLE.pem + ROOT.pem, ROOT.pem)] == [ROOT.fingerprint] * 3


@pytest.mark.parametrize(
    ("chain", "roots"),
    [
        (LEAF.pem + MIDDLE.pem, make("root").pem),
        (LEAF.pem, ROOT.pem),
        (LEAF.pem + make("middle", ROOT).pem, ROOT.pem),
        (make("leaf", LEAF, authority=False).pem + LEAF.pem + MIDDLE.pem, ROOT.pem),
        (make("leaf", make("odd", ROOT, authority=None), authority=False).pem + ROOT.pem, ROOT.pem),
        (LEAF.pem, b""),
    ],
    ids=[
        "same name, other key",
        "a link is missing",
        "a link of the same name",
        "a leaf signed it",
        "signed by what says nothing",
        "no roots",
    ],
)
def test_a_chain_that_is_broken_leads_nowhere(chain: bytes, roots: bytes) -> None:
    assert read_chain(chain, roots)[0].root == ""


def test_of_two_ways_the_one_that_leads_to_a_root_is_found() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    astray, right = make("middle", make("elsewhere"), key=key), make("middle", ROOT, key=key)
    leaf = make("leaf", right, authority=False)
    assert read_chain(leaf.pem + astray.pem + right.pem, ROOT.pem)[0].root == ROOT.fingerprint


def test_an_intermediate_that_is_trusted_is_where_a_chain_ends() -> None:
    assert [one.root for one in read_chain(LEAF.pem + MIDDLE.pem, MIDDLE.pem)] == [MIDDLE.fingerprint] * 2


def test_of_two_trusted_certificates_the_first_is_named() -> None:
    assert [one.root for one in read_chain(LEAF.pem + MIDDLE.pem, ROOT.pem + MIDDLE.pem)] == [MIDDLE.fingerprint, ROOT.fingerprint]
    assert [one.root for one in read_chain(MIDDLE.pem, MIDDLE.pem + ROOT.pem)] == [MIDDLE.fingerprint]


def signatures(monkeypatch: pytest.MonkeyPatch) -> list[tuple[x509.Certificate, x509.Certificate]]:
    """Who was held against whom by signature, as it happens."""
    seen: list[tuple[x509.Certificate, x509.Certificate]] = []
    verify = reader._is_issued  # noqa: SLF001 - the class itself cannot be watched

    def watched(one: x509.Certificate, issuer: x509.Certificate) -> bool:
        seen.append((one, issuer))
        return verify(one, issuer)

    monkeypatch.setattr(reader, "_is_issued", watched)
    return seen


def test_a_chain_of_one_name_beside_many_roots_of_it_ends_after_some_hundred_signatures(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pod says what it likes: each of its authorities might have signed each other, and each root all of them."""
    seen = signatures(monkeypatch)
    chain = b"".join(make("O=cluster.local").pem for _ in range(16))
    roots = b"".join(make("O=cluster.local").pem for _ in range(100))
    with pytest.raises(ClusterError, match="finding the root of a certificate chain takes more than 300 signature checks"):
        read_chain(chain, roots)
    assert len(seen) == 300


def test_real_chains_take_few_signatures_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """While roots are replaced, all of them and those between have the name that istiod gives them."""
    seen = signatures(monkeypatch)
    name = "O=cluster.local"
    roots = [make(name) for _ in range(5)]
    upper = make(name, roots[4])
    lower = make(name, upper)
    leaf = make("web", lower, authority=False, uri=SPIFFE)
    chain = leaf.pem + lower.pem + upper.pem + roots[4].pem
    found = read_chain(chain, b"".join(root.pem for root in roots))
    assert [one.root for one in found] == [roots[4].fingerprint] * 4
    assert len(seen) == len(set(seen)) <= 32


def test_a_certificate_that_is_there_many_times_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = signatures(monkeypatch)
    assert {one.root for one in read_chain(LEAF.pem + MIDDLE.pem * 15, make("root").pem * 250 + ROOT.pem * 250)} == {ROOT.fingerprint}
    assert len(seen) == 3


def test_names_that_differ_take_no_signature(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = signatures(monkeypatch)
    others = b"".join(make(f"root {number}").pem for number in range(400))
    assert read_chain(LEAF.pem + MIDDLE.pem, others)[0].root == ""
    assert len(seen) == 1


def test_roots_are_their_own() -> None:
    assert [(one.fingerprint, one.root) for one in read_roots(ROOT.pem + MIDDLE.pem)] == [
        (ROOT.fingerprint, ROOT.fingerprint),
        (MIDDLE.fingerprint, MIDDLE.fingerprint),
    ]


def test_what_is_no_certificate_is_an_error() -> None:
    broken = LEAF.pem.replace(b"M", b"N", 1)
    for pem in (b"", b"no PEM", broken):
        for read in (read_roots, read_certificates, lambda pem: read_chain(pem, ROOT.pem)):
            with pytest.raises(ClusterError, match="not a certificate in PEM"):
                read(pem)
    with pytest.raises(ClusterError, match="not a certificate in PEM"):
        read_chain(LEAF.pem, b"no PEM")


def test_more_certificates_than_any_chain_has_are_refused() -> None:
    with pytest.raises(ClusterError, match="a bundle has 17 certificates; at most 16 are read"):
        read_chain(LEAF.pem * 17, ROOT.pem)
    with pytest.raises(ClusterError, match="a bundle has 501 certificates; at most 500 are read"):
        read_roots(ROOT.pem * 501)


def test_what_is_odd_in_a_certificate_is_not_the_users_business() -> None:
    der = bytearray(ROOT.certificate.public_bytes(serialization.Encoding.DER))
    version = b"\xa0\x03\x02\x01\x02"
    # The first byte of the serial number, which must not be negative.
    der[der.index(version) + len(version) + 2] = 0x80
    assert [one.subject for one in read_roots(in_pem(bytes(der)))] == ["CN=root"]


@given(st.integers(0, len(LEAF.certificate.public_bytes(serialization.Encoding.DER)) - 1), st.integers(1, 255))
def test_a_certificate_of_which_any_byte_is_changed_leads_nowhere_or_says_the_same(place: int, change: int) -> None:
    """What is around the signed part can be written in more ways than one, such as how many bits of the signature's last byte count."""
    der = bytearray(LEAF.certificate.public_bytes(serialization.Encoding.DER))
    der[place] ^= change
    forged = in_pem(bytes(der))
    try:
        found = read_chain(forged + MIDDLE.pem, ROOT.pem)
    except ClusterError:
        return
    (untouched, _) = read_chain(LEAF.pem + MIDDLE.pem, ROOT.pem)
    assert found[0].root == "" or replace(found[0], fingerprint=untouched.fingerprint) == untouched


def in_pem(der: bytes) -> bytes:
    """Bytes as they would stand in PEM if they were a certificate."""
    return b"-----BEGIN CERTIFICATE-----\n" + base64.encodebytes(der) + b"-----END CERTIFICATE-----\n"
