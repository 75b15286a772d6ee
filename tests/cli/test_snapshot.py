"""The command ``snapshot`` as users type it: what makes no sense is refused before a cluster is asked, and ``verify`` needs none."""

from pathlib import Path

import pyrage
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from meshinstall.adapters.recovery.draft import drafting
from meshinstall.adapters.recovery.signing import load_signer
from meshinstall.model.snapshot import Envelope, envelope_bytes, manifest_bytes
from tests.cli.running import Run

TAKE = ("snapshot", "--env", "dev", "--cloud", "local", "--into", "kept")


@pytest.fixture
def keys(tmp_path: Path) -> None:
    """A key pair beside the snapshot."""
    key = Ed25519PrivateKey.generate()
    (tmp_path / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    (tmp_path / "key.pub").write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))


@pytest.fixture
def kept(tmp_path: Path, keys: None) -> Path:  # noqa: ARG001 - a fixture
    """A signed snapshot."""
    with drafting(tmp_path / "kept") as draft:
        draft.write("mesh.json", b'{"environment": "prod", "cluster": "a", "istioVersion": "1.31.0"}')
        draft.write("times.json", b'{"takenAt": "2026-11-30T12:00:00+00:00", "by": "ann\\u001b[31m"}')
        envelope = Envelope(manifest_bytes(draft.entries()), ())
        signature = load_signer(tmp_path / "key.pem").sign(envelope.signed)
        draft.publish(envelope_bytes(Envelope(envelope.payload, (signature,))))
    return tmp_path / "kept"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("snapshot", "--into", "kept", "--unsigned"), "no environment is named"),
        (("snapshot", "--env", "dev", "--unsigned"), "no folder is named"),
        (TAKE, "it takes one of --sign-with and --unsigned"),
        ((*TAKE, "--unsigned", "--sign-with", "key.pem"), "it takes one of --sign-with and --unsigned"),
        ((*TAKE, "--sign-with", "none.pem"), "--sign-with none.pem: No such file"),
        ((*TAKE, "--sign-with", "key.pub"), "no private key in PEM"),
        ((*TAKE, "--sign-with", "key.pem", "--include-authority", "nobody"), "recipient 1 cannot be read"),
        ((*TAKE, "--sign-with", "key.pem", "--into", "key.pem"), "it exists"),
        ((*TAKE, "--sign-with", "key.pem", "--into", "none/kept"), "No such file or directory"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
@pytest.mark.usefixtures("keys")
def test_what_makes_no_sense_is_refused_before_a_cluster_is_asked(run: Run, arguments: tuple[str, ...], said: str) -> None:
    done = run(*arguments)
    assert done.status == 2
    assert said in done.err
    assert sorted(path.name for path in Path().iterdir()) == ["key.pem", "key.pub"]


@pytest.mark.usefixtures("keys")
def test_a_private_key_of_age_is_never_repeated(run: Run) -> None:
    identity = str(pyrage.x25519.Identity.generate())
    done = run(*TAKE, "--sign-with", "key.pem", "--include-authority", identity)
    assert done.status == 2
    assert identity not in done.err + done.out


@pytest.mark.usefixtures("kept")
def test_a_snapshot_is_checked_without_a_cluster(run: Run) -> None:
    done = run("snapshot", "verify", "kept", "--key", "key.pub")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("kept: 2 files, 128 bytes, as signed by ")
    assert done.out.splitlines()[1:] == ["taken 2026-11-30T12:00:00+00:00 by ann[31m; environment prod on a, Istio 1.31.0"]


@pytest.mark.usefixtures("kept")
def test_unsigned_is_said(run: Run) -> None:
    done = run("snapshot", "verify", "kept", "--unsigned")
    assert done.status == 0
    assert "the signature was not checked" in done.err


def test_an_altered_byte_is_refused(run: Run, kept: Path) -> None:
    (kept / "mesh.json").write_bytes((kept / "mesh.json").read_bytes().replace(b"prod", b"test"))
    done = run("snapshot", "verify", "kept", "--key", "key.pub")
    assert (done.status, done.out) == (1, "")
    assert "mesh.json is not what was recorded" in done.err


@pytest.mark.usefixtures("kept")
def test_whose_signature_it_should_have_is_to_be_said(run: Run) -> None:
    assert run("snapshot", "verify", "kept").status == 2
    assert run("snapshot", "verify", "kept", "--unsigned", "--key", "key.pub").status == 2
    assert run("snapshot", "verify", "none", "--key", "key.pub").status == 2
