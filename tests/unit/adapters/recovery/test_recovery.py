"""A snapshot on disk: what anybody may do to it is noticed, and a run that was killed leaves nothing that looks whole."""

import base64
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pyrage
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from meshinstall.adapters.recovery.draft import drafting
from meshinstall.adapters.recovery.folder import check
from meshinstall.adapters.recovery.sealing import AgeSealer
from meshinstall.adapters.recovery.signing import load_signer, load_verifier
from meshinstall.errors import SnapshotError, UsageError
from meshinstall.model.snapshot import ENVELOPE, PAYLOAD_TYPE, Envelope, Signature, envelope_bytes, manifest_bytes, pae

FILES = {"mesh.json": b"{}\n", "times.json": b"{}\n", "objects/a.jsonl": b"1\n2\n", "charts/base.tgz": b"\x1f\x8b"}
Key = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey
KEYS: dict[str, Key] = {"ed25519": ed25519.Ed25519PrivateKey.generate(), "p256": ec.generate_private_key(ec.SECP256R1())}


def pem(key: Key | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def key_files(folder: Path, key: Key) -> tuple[Path, Path]:
    private, public = folder / "key.pem", folder / "key.pub"
    private.write_bytes(pem(key))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public


def snapshot(folder: Path, key: Key | None = KEYS["ed25519"]) -> tuple[Path, Path]:
    """A signed snapshot, and the public key."""
    target = folder / "kept"
    private, public = key_files(folder, key or KEYS["ed25519"])
    with drafting(target) as draft:
        for path, data in FILES.items():
            draft.write(path, data)
        envelope = Envelope(manifest_bytes(draft.entries()), ())
        signatures = (load_signer(private).sign(envelope.signed),) if key else ()
        draft.publish(envelope_bytes(Envelope(envelope.payload, signatures)))
    return target, public


@pytest.mark.parametrize("key", KEYS.values(), ids=list(KEYS))
def test_a_signed_snapshot_is_what_was_signed(tmp_path: Path, key: Key) -> None:
    target, public = snapshot(tmp_path, key)
    assert check(target, public).files == len(FILES)


def test_other_programs_verify_the_signature(tmp_path: Path) -> None:
    target, public = snapshot(tmp_path, KEYS["p256"])
    envelope = json.loads((target / ENVELOPE).read_text())
    (tmp_path / "sig").write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
    (tmp_path / "signed").write_bytes(pae(PAYLOAD_TYPE, base64.b64decode(envelope["payload"])))
    said = subprocess.run(
        ["openssl", "dgst", "-sha256", "-verify", public, "-signature", tmp_path / "sig", tmp_path / "signed"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.stdout.strip() == "Verified OK"


@pytest.mark.parametrize("other", ["ed25519", "p256"])
def test_a_key_that_did_not_sign_refuses(tmp_path: Path, other: str) -> None:
    target, _ = snapshot(tmp_path)
    wrong = ed25519.Ed25519PrivateKey.generate() if other == "ed25519" else ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "other").mkdir()
    _, public = key_files(tmp_path / "other", wrong)
    with pytest.raises(SnapshotError, match="no signature of it"):
        check(target, public)


def test_a_key_in_the_snapshot_proves_nothing(tmp_path: Path) -> None:
    """Whoever makes a snapshot of their own signs it, and puts their key into it."""
    target, public = snapshot(tmp_path)
    inside = target / "objects" / "snapshot.pub"
    inside.write_bytes(public.read_bytes())
    with pytest.raises(UsageError, match="is in the snapshot"):
        check(target, inside)


def test_a_key_that_is_missing_is_reported_as_that(tmp_path: Path) -> None:
    target, _ = snapshot(tmp_path)
    with pytest.raises(UsageError, match="No such file"):
        check(target, tmp_path / "none.pub")


def test_a_folder_that_is_not_a_snapshot_is_reported_as_that(tmp_path: Path) -> None:
    _, public = snapshot(tmp_path)
    (tmp_path / "other").mkdir()
    with pytest.raises(SnapshotError, match=r"manifest\.dsse\.json is missing: a part of it is gone, or this is not a snapshot"):
        check(tmp_path / "other", public)


def test_an_unsigned_snapshot_is_not_taken_for_a_signed_one(tmp_path: Path) -> None:
    target, public = snapshot(tmp_path, None)
    with pytest.raises(SnapshotError, match="not signed"):
        check(target, public)
    assert check(target, None).key == ""


@given(st.data())
def test_any_altered_byte_of_any_file_is_refused(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        target, public = snapshot(Path(folder))
        victim = target / data.draw(st.sampled_from([*FILES, ENVELOPE]))
        before = victim.read_bytes()
        at = data.draw(st.integers(0, len(before) - 1))
        change = data.draw(st.integers(1, 255))
        victim.write_bytes(before[:at] + bytes([before[at] ^ change]) + before[at + 1 :])
        # An envelope that means the same, such as one with another keyid or other spaces, is as good.
        with suppress(SnapshotError):
            check(target, public)
            assert victim.name == ENVELOPE
            assert json.loads(victim.read_bytes())["payload"] == json.loads(before)["payload"]


@given(st.data())
def test_bytes_that_are_added_or_cut_off_are_refused(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        target, public = snapshot(Path(folder))
        victim = target / data.draw(st.sampled_from(list(FILES)))
        before = victim.read_bytes()
        cut = data.draw(st.integers(0, len(before) - 1))
        victim.write_bytes(before[:cut] if data.draw(st.booleans()) else before + b"x" * (cut + 1))
        with pytest.raises(SnapshotError, match="bytes, not"):
            check(target, public)


def _link(target: Path) -> None:
    (target / "mesh.json").rename(target.parent / "elsewhere")
    (target / "mesh.json").symlink_to(target.parent / "elsewhere")


def _folder_link(target: Path) -> None:
    (target / "objects").rename(target.parent / "elsewhere")
    (target / "objects").symlink_to(target.parent / "elsewhere")


def _envelope_link(target: Path) -> None:
    (target / ENVELOPE).rename(target.parent / "elsewhere")
    (target / ENVELOPE).symlink_to(target.parent / "elsewhere")


def _bomb(target: Path) -> None:
    os.truncate(target / "mesh.json", 2**40)


def _envelope_bomb(target: Path) -> None:
    os.truncate(target / ENVELOPE, 2**40)


def _pipe(target: Path) -> None:
    (target / "mesh.json").unlink()
    os.mkfifo(target / "mesh.json")


def _envelope_pipe(target: Path) -> None:
    (target / ENVELOPE).unlink()
    os.mkfifo(target / ENVELOPE)


def _deep(target: Path) -> None:
    (target / "/".join("a" * 40)).mkdir(parents=True)


@pytest.mark.parametrize(
    ("tamper", "why"),
    [
        (lambda target: (target / "new.json").write_text("{}"), "new.json is not in the manifest"),
        (lambda target: (target / "mesh.json").unlink(), "mesh.json is missing"),
        (lambda target: (target / "empty").mkdir(), "the folder empty is not of the snapshot"),
        (lambda target: (target / ENVELOPE).unlink(), "is missing"),
        (_link, "mesh.json is a link"),
        (_folder_link, "objects is a link"),
        (_envelope_link, "cannot be read"),
        (_bomb, "mesh.json has 1099511627776 bytes"),
        (_envelope_bomb, "has more than 8 MiB"),
        (_pipe, "neither a file nor a folder"),
        (_envelope_pipe, "not an ordinary file"),
        (_deep, "deep"),
    ],
)
def test_what_is_not_as_it_was_written_is_refused(tmp_path: Path, tamper: Callable[[Path], object], why: str) -> None:
    target, public = snapshot(tmp_path)
    tamper(target)
    with pytest.raises(SnapshotError, match=why):
        check(target, public)


def test_a_signed_path_that_leads_out_is_refused(tmp_path: Path) -> None:
    target, public = snapshot(tmp_path)
    (tmp_path / "outside").write_bytes(b"")
    payload = json.dumps({"schema": "meshinstall.dev/snapshot/v1", "files": [{"path": "../outside", "size": 0, "sha256": "0" * 64}]})
    envelope = Envelope(payload.encode(), ())
    signer = load_signer(tmp_path / "key.pem")
    (target / ENVELOPE).write_bytes(envelope_bytes(Envelope(envelope.payload, (signer.sign(envelope.signed),))))
    with pytest.raises(SnapshotError, match="not safe"):
        check(target, public)


def test_a_signature_of_another_kind_of_document_is_none_of_a_snapshot(tmp_path: Path) -> None:
    target, public = snapshot(tmp_path)
    payload = manifest_bytes(())
    other = load_signer(tmp_path / "key.pem").sign(pae("application/vnd.in-toto+json", payload))
    (target / ENVELOPE).write_bytes(envelope_bytes(Envelope(payload, (Signature("", other.value),))))
    with pytest.raises(SnapshotError, match="no signature of it"):
        check(target, public)


KILLED = """
import os, sys, pathlib
from meshinstall.adapters.recovery.draft import drafting
with drafting(pathlib.Path(sys.argv[1])) as draft:
    draft.write("mesh.json", b"{}")
    with draft.lines("objects/a.jsonl") as lines:
        lines.add("a", b"1")
        print("ready", flush=True)
        sys.stdin.read()
"""


def test_a_run_that_is_killed_leaves_nothing_that_looks_whole(tmp_path: Path) -> None:
    target = tmp_path / "kept"
    with subprocess.Popen([sys.executable, "-c", KILLED, target], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGKILL)
    (left,) = tmp_path.iterdir()
    assert left.name.endswith(".unfinished")
    with pytest.raises(SnapshotError):
        check(left, None)


def test_a_run_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with suppress(ChildProcessError), drafting(tmp_path / "kept") as draft:
        draft.write("mesh.json", b"{}")
        raise ChildProcessError
    assert list(tmp_path.iterdir()) == []


def test_lines_are_in_the_order_of_their_keys(tmp_path: Path) -> None:
    with drafting(tmp_path / "kept") as draft:
        with draft.lines("a.jsonl") as lines:
            for key in ("b", "a/x", "a", "c"):
                lines.add(key, key.encode())
        with draft.lines("none.jsonl"):
            pass
        draft.publish(envelope_bytes(Envelope(manifest_bytes(draft.entries()), ())))
    assert (tmp_path / "kept" / "a.jsonl").read_bytes() == b"a\na/x\nb\nc\n"
    assert not (tmp_path / "kept" / "none.jsonl").exists()


@pytest.mark.parametrize("path", ["../out", "/etc/passwd", "a/../../b", ENVELOPE])
def test_nothing_is_written_outside(tmp_path: Path, path: str) -> None:
    with drafting(tmp_path / "kept") as draft, pytest.raises(SnapshotError):
        draft.write(path, b"")


def test_a_key_of_another_sort_is_refused_and_never_repeated(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    key.write_bytes(pem(rsa.generate_private_key(65537, 2048)))
    with pytest.raises(UsageError, match="not an Ed25519 key"):
        load_signer(key)
    key.write_bytes(KEYS["p256"].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"word")))
    with pytest.raises(UsageError, match="encrypted"):
        load_signer(key)
    key.write_bytes(pem(KEYS["p256"])[:-40])
    with pytest.raises(UsageError) as caught:
        load_signer(key)
    assert "BEGIN" not in caught.value.in_one_line()
    with pytest.raises(UsageError, match="no public key"):
        load_verifier(key)


def test_a_private_key_in_place_of_a_recipient_is_refused_and_never_repeated() -> None:
    identity = str(pyrage.x25519.Identity.generate())
    with pytest.raises(UsageError) as caught:
        AgeSealer([identity])
    assert identity not in caught.value.in_one_line()
    with pytest.raises(UsageError, match="recipient 1 cannot be read"):
        AgeSealer(["age1nothing"])


def test_what_is_sealed_opens_for_each_recipient_alone() -> None:
    ours, theirs, other = (pyrage.x25519.Identity.generate() for _ in range(3))
    sealed = AgeSealer([str(ours.to_public()), str(theirs.to_public())]).seal(b"the key")
    assert [pyrage.decrypt(sealed, [one]) for one in (ours, theirs)] == [b"the key", b"the key"]
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt(sealed, [other])
