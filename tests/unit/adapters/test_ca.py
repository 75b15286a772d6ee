"""A CA of a user: what is found wrong with it, with a real TLS handshake as the referee."""

import ssl
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID as Usage
from hypothesis import given, settings
from hypothesis import strategies as st

from meshinstall.adapters.certificates import read_ca
from meshinstall.errors import ClusterError
from meshinstall.model.own_ca import CaParts
from tests.authorities import KEYS, Signed, Written, authority, key_pem, leaf, pem

DOMAIN = "shop.example"
SPACE = "istio-system"
DNS = f"istiod.{SPACE}.svc"
PARAMETERS = b"-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"


def parts(chain: Sequence[Signed], sent: bytes, roots: bytes) -> CaParts:
    """The parts of the CA that signs with the last certificate of a chain."""
    return CaParts(pem(chain[-1][0]), key_pem(chain[-1][1]), sent, roots)


def do_they_meet(served: x509.Certificate, sent: bytes, roots: bytes, key: ec.EllipticCurvePrivateKey) -> bool:
    """Whether two workloads with such certificates, each of the other, are content (OpenSSL)."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "both.pem"
        file.write_bytes(key_pem(key) + pem(served) + sent)
        sides = []
        for protocol in (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT):
            context = ssl.SSLContext(protocol)
            context.check_hostname = False
            context.verify_mode = ssl.CERT_REQUIRED
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
            context.load_cert_chain(file)
            context.load_verify_locations(cadata=roots.decode())
            incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            side = context.wrap_bio(incoming, outgoing, server_side=protocol is ssl.PROTOCOL_TLS_SERVER)
            sides.append((side, incoming, outgoing))
    for _ in range(6):
        for (side, _in, outgoing), (_, other, _out) in ((sides[1], sides[0]), (sides[0], sides[1])):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                return False
            other.write(outgoing.read())
    # TLS 1.3: a client hears of the server's refusal when it reads.
    for side, _, _ in sides:
        try:
            side.read(1)
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLError:
            return False
    return True


URLS = tuple(map(x509.UniformResourceIdentifier, (DOMAIN, ".example", "other.example", ".shop.example", f"sub.{DOMAIN}")))
HOSTS = tuple(map(x509.DNSName, (DNS, "svc", f"{SPACE}.svc", "example.com", f"x.{DNS}")))
NAMES = st.lists(st.sampled_from((*URLS, *HOSTS)), max_size=2).map(tuple)
WRITTEN = st.builds(
    Written,
    is_ca=st.sampled_from((True, True, True, False)),
    length=st.sampled_from((None, None, 0, 1)),
    may_sign=st.sampled_from((None, True, True, False)),
    purposes=st.sampled_from((None, None, None, (Usage.SERVER_AUTH,), (Usage.CLIENT_AUTH,), (Usage.SERVER_AUTH, Usage.CLIENT_AUTH))),
    permitted=NAMES,
    excluded=NAMES,
)


@given(
    written=st.lists(st.one_of(st.just(Written()), WRITTEN), min_size=1, max_size=4),
    lacks=st.sampled_from((0, 0, 0, 1, 2)),
    order=st.randoms(use_true_random=False),
    trusted=st.sampled_from((0, 0, 0, 1, 2)),
)
@settings(max_examples=150, deadline=None)
def test_a_handshake_succeeds_where_no_flaw_is_found_and_nowhere_else(
    written: list[Written], lacks: int, order: object, trusted: int
) -> None:
    chain: list[Signed] = []
    for index, one in enumerate(written):
        chain.append(authority(f"ca {index}", one, chain[-1] if chain else None, KEYS[index]))
    sent = [one for index, (one, _) in enumerate(chain) if index and index != len(chain) - lacks] or [chain[0][0]]
    order.shuffle(sent)  # type: ignore[attr-defined]
    roots = pem(chain[min(trusted, len(chain) - 1)][0])
    found = read_ca(parts(chain, pem(*sent), roots), DOMAIN, SPACE)
    key = KEYS[-1]
    names = ([x509.UniformResourceIdentifier(f"spiffe://{DOMAIN}/ns/shop/sa/web")], [x509.DNSName(DNS)])
    met = all(do_they_meet(leaf(each, chain[-1], key), pem(*sent), roots, key) for each in names)
    assert met == (not found.flaws), found.flaws


def test_a_key_that_istiod_cannot_use_is_named() -> None:
    ca = authority("root", Written(), None, KEYS[0])
    whole = pem(ca[0])
    encrypted = KEYS[0].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    for key, flaw in (
        (key_pem(KEYS[0]), ()),
        (key_pem(KEYS[1]), ("its private key is that of another certificate",)),
        (encrypted, ("its private key is encrypted, which istiod cannot read",)),
        (b"no key", ("its private key is not one in PEM that istiod can read",)),
        # As openssl ecparam -genkey writes it: istiod reads what comes first, and nothing else.
        (PARAMETERS + key_pem(KEYS[0]), ("its private key stands behind EC PARAMETERS, and istiod reads the first block alone",)),
        (whole + key_pem(KEYS[0]), ("its private key stands behind CERTIFICATE, and istiod reads the first block alone",)),
        (b"in words\n" + key_pem(KEYS[0]), ()),
    ):
        assert read_ca(CaParts(whole, key, whole, whole), DOMAIN, SPACE).flaws == flaw


def test_a_certificate_behind_something_else_is_not_what_istiod_reads() -> None:
    ca = authority("root", Written(), None, KEYS[0])
    whole, key = pem(ca[0]), key_pem(KEYS[0])
    found = read_ca(CaParts(key + whole, key, whole, whole), DOMAIN, SPACE)
    assert found.flaws == ("its certificate stands behind PRIVATE KEY, and istiod reads the first block alone",)


def test_the_path_is_from_the_signer_to_the_root_whatever_else_is_sent() -> None:
    root = authority("root", Written(), None, KEYS[0])
    middle = authority("middle", Written(), root, KEYS[1])
    other = authority("other", Written(), None, KEYS[2])
    found = read_ca(parts((root, middle), pem(other[0], middle[0]), pem(other[0], root[0])), DOMAIN, SPACE)
    assert [one.subject for one in found.path] == ["CN=middle", "CN=root"]
    assert len(found.roots) == 2
    assert found.flaws == ()


def test_what_is_not_a_certificate_is_an_error_and_a_key_is_not_in_its_words() -> None:
    key = key_pem(KEYS[0])
    given = CaParts(key, key, key, key)
    assert "PRIVATE" not in repr(given).replace(repr(key), "") or "key=" not in repr(given)
    with pytest.raises(ClusterError):
        read_ca(given, DOMAIN, SPACE)


def test_a_chain_that_lacks_the_signer_leads_nowhere_for_those_who_are_shown_it() -> None:
    root = authority("root", Written(), None, KEYS[0])
    middle = authority("middle", Written(), root, KEYS[1])
    sent, roots, key = pem(root[0]), pem(root[0]), KEYS[-1]
    assert not do_they_meet(leaf([x509.DNSName(DNS)], middle, key), sent, roots, key)
    assert [flaw for flaw in read_ca(parts((root, middle), sent, roots), DOMAIN, SPACE).flaws if "lacks CN=middle" in flaw]
