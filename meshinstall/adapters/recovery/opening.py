"""Opens a snapshot whose bytes were checked: what it says, its files and charts in a folder of this run, and its CA in memory."""

import base64
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from meshinstall.adapters.recovery.folder import Trusted, trusted
from meshinstall.adapters.recovery.sealing import opened
from meshinstall.errors import SnapshotError, UsageError
from meshinstall.model import json_text
from meshinstall.model.istio import CA_SECRETS
from meshinstall.model.release import Manifest
from meshinstall.model.restoring import SnapshotContent
from meshinstall.model.snapshot import AUTHORITY, refusal
from meshinstall.model.snapshot_content import DOCUMENTS, OBJECTS, read_content

# Bytes of all documents and objects together, which are in memory, and of a file that is unpacked.
_MAX_READ, _MAX_UNPACKED = 256 * 1024**2, 64 * 1024**2
_PRIVATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
# Of a Secret's data (kubernetes: IsConfigMapKey).
_KEY = re.compile(r"(?!\.\.)[-._a-zA-Z0-9]{1,253}")
FILES, CHARTS = "files/", "charts/"
PROJECT = "meshinstall.yaml"
# A snapshot of a mesh that no file describes.
_NO_FILES = "apiVersion: meshinstall.dev/v1\n"


@dataclass(frozen=True, slots=True)
class OpenSnapshot:
    """What a snapshot says, and the ``folder`` of this run that holds its files and charts; it goes with the run."""

    content: SnapshotContent
    folder: Path
    has_files: bool
    _trusted: Trusted

    @property
    def project(self) -> Path:
        """The folder with meshinstall.yaml."""
        return self.folder / FILES

    def authority(self, identity: Path) -> Manifest:
        """The Secret of the CA; raises SnapshotError where it is not there, cannot be opened, or is no such Secret."""
        if AUTHORITY not in self._trusted.files:
            raise SnapshotError(
                "--identity: the CA is not in this snapshot", "leave out --identity; docs/disaster-recovery.md says what follows"
            )
        sealed = self._trusted.folder.document(self._trusted.files[AUTHORITY])
        return _secret(opened(sealed, identity), self.content.mesh_namespace)


@contextmanager
def open_snapshot(path: Path, key: Path | None) -> Iterator[OpenSnapshot]:
    """A snapshot to make a mesh of; raises SnapshotError for what was changed, and UsageError."""
    found = trusted(path, key)
    read = [entry for name, entry in found.files.items() if name.startswith(OBJECTS) or name in DOCUMENTS]
    if sum(entry.size for entry in read) > _MAX_READ:
        raise refusal([f"its documents and objects have more than {_MAX_READ // 1024**2} MiB"])
    content = read_content(found.digest, {entry.path: found.folder.document(entry, _MAX_READ) for entry in read})
    _insist_on_charts(content, found)
    with TemporaryDirectory(prefix="meshinstall-restore.") as made:
        folder = Path(made)
        for name, entry in found.files.items():
            if name.startswith((FILES, CHARTS)):
                _write(folder / name, found.folder.document(entry, _MAX_UNPACKED))
        has_files = (folder / FILES / PROJECT).exists()
        if not has_files:
            _write(folder / FILES / PROJECT, _NO_FILES.encode())
        yield OpenSnapshot(content, folder, has_files, found)


def _insist_on_charts(content: SnapshotContent, found: Trusted) -> None:
    """The list of files and the desired state must mean the same archives; one that was left out is asked of its source."""
    wrong = [one.file for one in content.charts if one.file in found.files and f"sha256:{found.files[one.file].sha256}" != one.chart.digest]
    if wrong:
        raise refusal([f"{path} is not the chart that desired.json names" for path in wrong])


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(path, _PRIVATE, 0o600), "wb") as file:
            file.write(data)
    except OSError as error:
        raise UsageError(
            f"the snapshot's files could not be unpacked: {error.strerror}", "name a folder with room: TMPDIR=FOLDER"
        ) from None


def _is_part(key: str, value: Any) -> bool:
    if not _KEY.fullmatch(key) or not isinstance(value, str):
        return False
    try:
        base64.b64decode(value, validate=True)
    except ValueError:
        return False
    return True


def _secret(data: bytes, namespace: str) -> Manifest:
    try:
        found: Any = json_text.load(data)
        metadata, values = found["metadata"], found["data"]
        is_ca = found["kind"] == "Secret" and metadata["name"] in CA_SECRETS and metadata["namespace"] == namespace
        is_one = is_ca and isinstance(found["type"], str) and all(_is_part(*one) for one in values.items())
    except (ValueError, KeyError, TypeError, AttributeError):
        is_one = False
    if not is_one:
        # Nothing of it is repeated.
        raise SnapshotError("what is sealed in the snapshot is not the Secret of a CA", "take another copy of the snapshot")
    named = {"name": metadata["name"], "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": named, "type": found["type"], "data": dict(values)}
