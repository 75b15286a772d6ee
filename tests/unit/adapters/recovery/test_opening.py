"""A snapshot is opened: into a folder of this run alone, within bounds, and with no file taken for what it is not."""

import json
import os
from pathlib import Path

import pyrage
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meshinstall.adapters.recovery import opening
from meshinstall.adapters.recovery.draft import drafting
from meshinstall.adapters.recovery.opening import open_snapshot
from meshinstall.errors import SnapshotError, UsageError
from meshinstall.model.snapshot import Envelope, envelope_bytes, manifest_bytes
from tests.unit.model.test_snapshot_content import as_bytes, documents


def folder_of(target: Path, more: dict[str, bytes]) -> Path:
    """An unsigned snapshot with these files beside its documents."""
    with drafting(target) as draft:
        for path, data in {**as_bytes(documents()), **more}.items():
            draft.write(path, data)
        draft.publish(envelope_bytes(Envelope(manifest_bytes(draft.entries()), ())))
    return target


def test_its_files_are_there_as_long_as_the_run(tmp_path: Path) -> None:
    target = folder_of(tmp_path / "kept", {"files/meshinstall.yaml": b"a", "files/policies/base/x.yaml": b"b"})
    with open_snapshot(target, None) as snapshot:
        made = snapshot.folder
        assert sorted(one.relative_to(made).as_posix() for one in made.rglob("*") if one.is_file()) == [
            "files/meshinstall.yaml",
            "files/policies/base/x.yaml",
        ]
        assert made.stat().st_mode & 0o077 == 0
    assert not made.exists()


def test_what_no_run_reads_is_not_read(tmp_path: Path) -> None:
    """Documents of a later format, however many and large."""
    target = folder_of(tmp_path / "kept", {"later.json": b"{", "later/a.bin": b"\xff"})
    with open_snapshot(target, None) as snapshot:
        assert not (snapshot.folder / "later.json").exists()


def test_documents_and_objects_have_a_bound_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "_MAX_READ", 500)
    with pytest.raises(SnapshotError, match="more than"), open_snapshot(folder_of(tmp_path / "kept", {}), None):
        pass


def test_a_full_disk_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = folder_of(tmp_path / "kept", {"files/meshinstall.yaml": b"a"})
    really = os.open

    def full(path: str, flags: int, *rest: int, **named: int) -> int:
        if flags & os.O_CREAT and str(path).endswith("meshinstall.yaml"):
            raise OSError(28, "No space left on device")
        return really(path, flags, *rest, **named)

    monkeypatch.setattr(os, "open", full)
    with pytest.raises(UsageError, match="No space left"), open_snapshot(target, None):
        pass


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    secret=st.binary(max_size=40)
    | st.recursive(
        st.text(max_size=5),
        lambda one: st.dictionaries(
            st.sampled_from(["kind", "metadata", "data", "type", "name", "namespace", "Secret", "ca-cert.pem", "root-cert.pem"]),
            one | st.sampled_from(["Secret", "cacerts", "istio-system"]),
        ),
        max_leaves=8,
    ).map(lambda one: json.dumps(one).encode())
)
def test_whatever_was_sealed_it_is_a_ca_or_refused(tmp_path_factory: pytest.TempPathFactory, secret: bytes) -> None:
    identity = pyrage.x25519.Identity.generate()
    folder = tmp_path_factory.mktemp("sealed")
    (folder / "id").write_text(str(identity))
    target = folder_of(folder / "kept", {"authority.age": bytes(pyrage.encrypt(secret, [identity.to_public()]))})
    with open_snapshot(target, None) as snapshot:
        try:
            found = snapshot.authority(folder / "id")
        except SnapshotError:
            return
    assert found["metadata"]["name"] in {"cacerts", "istio-ca-secret"}


def sealed(folder: Path, data: dict[str, str]) -> tuple[Path, Path]:
    identity = pyrage.x25519.Identity.generate()
    (folder / "id").write_text(str(identity))
    made = {"kind": "Secret", "metadata": {"name": "cacerts", "namespace": "istio-system"}, "type": "Opaque", "data": data}
    return folder_of(
        folder / "kept", {"authority.age": bytes(pyrage.encrypt(json.dumps(made).encode(), [identity.to_public()]))}
    ), folder / "id"


@pytest.mark.parametrize("data", [{"ca-cert.pem": "?"}, {"../x": "aGVsbG8="}, {"": ""}])
def test_what_is_no_ca_is_refused(tmp_path: Path, data: dict[str, str]) -> None:
    target, identity = sealed(tmp_path, data)
    with open_snapshot(target, None) as snapshot, pytest.raises(SnapshotError):
        snapshot.authority(identity)
