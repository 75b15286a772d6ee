"""Reads the folder of a snapshot, which anybody may have changed: no link is followed, and nothing is read that has not its size."""

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from meshinstall.errors import UsageError
from meshinstall.model.foreign_text import plain
from meshinstall.model.snapshot import (
    ENVELOPE,
    MAX_DOCUMENT,
    MAX_ENVELOPE,
    MAX_FILES,
    MESH,
    TIMES,
    FileEntry,
    differences,
    folders_of,
    read_envelope,
    read_manifest,
    refusal,
    which,
)

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
_PIECE = 1024 * 1024
_DEEPEST = 16


class SnapshotFolder:
    """A snapshot at ``path`` that is not trusted yet."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def envelope(self) -> bytes:
        """The bytes of the envelope; raises SnapshotError, and UsageError where there is no folder."""
        with self._root() as root, _opened(root, ENVELOPE) as descriptor:
            if os.fstat(descriptor).st_size > MAX_ENVELOPE:
                raise refusal([f"{ENVELOPE} has more than {MAX_ENVELOPE // 1024**2} MiB"])
            with os.fdopen(descriptor, "rb", closefd=False) as file:
                return file.read(MAX_ENVELOPE)

    def insist_on(self, named: tuple[FileEntry, ...]) -> None:
        """Raise SnapshotError unless the folder has these files, each with its bytes, and nothing else."""
        with self._root() as root:
            files, folders = _listed(root)
            wrong = differences(named, {path: size for path, size in files.items() if path != ENVELOPE})
            wrong += [f"the folder {plain(one)} is not of the snapshot" for one in sorted(folders - folders_of(one.path for one in named))]
            if wrong:
                raise refusal(wrong)
            if altered := [f"{one.path} is not what was recorded" for one in named if _digest(root, one) != one.sha256]:
                raise refusal(altered)

    def document(self, entry: FileEntry, most: int = MAX_DOCUMENT) -> bytes:
        """The bytes of a file of at most so many, which are those that were recorded; raises SnapshotError."""
        if entry.size > most:
            raise refusal([f"{entry.path} has more than {most // 1024**2} MiB"])
        with self._root() as root, _opened(root, entry.path) as descriptor, os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(entry.size + 1)
        if hashlib.sha256(data).hexdigest() != entry.sha256:
            raise refusal([f"{entry.path} is not what was recorded"])
        return data

    @contextmanager
    def _root(self) -> Iterator[int]:
        try:
            # The user names the folder, by a link too.
            root = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise UsageError(f"{self._path}: {error.strerror}", "name the folder of a snapshot") from error
        try:
            yield root
        except FileNotFoundError as error:
            raise refusal([f"{plain(error.filename or self._path)} is missing: a part of it is gone, or this is not a snapshot"]) from error
        except OSError as error:
            raise refusal([f"{plain(error.filename or self._path)} cannot be read: {error.strerror}"]) from error
        finally:
            os.close(root)


@dataclass(frozen=True, slots=True)
class Checked:
    """A folder that is what its envelope says: files and bytes, the ID of the key that signed it, empty where none was asked for.

    ``which`` is when it was taken, by whom, and of which mesh.
    """

    files: int
    size: int
    key: str
    which: str


@dataclass(frozen=True, slots=True)
class Trusted:
    """A folder whose every byte is the envelope's: its files by path, the SHA-256 of the manifest, and the ID of the key."""

    folder: SnapshotFolder
    files: Mapping[str, FileEntry]
    digest: str
    key: str


def check(path: Path, key: Path | None) -> Checked:
    """Look at every byte; raises SnapshotError, and UsageError for a key that proves nothing."""
    found = trusted(path, key)
    said = which(*(found.folder.document(found.files[path]) for path in (TIMES, MESH)))
    return Checked(len(found.files), sum(one.size for one in found.files.values()), found.key, said)


def trusted(path: Path, key: Path | None) -> Trusted:
    """The signature first, then the list, then every byte; raises SnapshotError, and UsageError for a key that proves nothing."""
    from meshinstall.adapters.recovery.signing import insist_on_signature, key_id, load_verifier

    if key and key.resolve().is_relative_to(path.resolve()):
        hint = "name the key that you keep elsewhere; whoever changes a snapshot changes a key in it, too"
        raise UsageError(f"--key {key}: it is in the snapshot", hint)
    public = load_verifier(key) if key else None
    folder = SnapshotFolder(path)
    envelope = read_envelope(folder.envelope())
    if public:
        insist_on_signature(envelope, public)
    named = read_manifest(envelope.payload)
    folder.insist_on(named)
    by_path = {one.path: one for one in named}
    if missing := [f"{path} is missing in the manifest" for path in (TIMES, MESH) if path not in by_path]:
        raise refusal(missing)
    return Trusted(folder, by_path, hashlib.sha256(envelope.payload).hexdigest(), key_id(public) if public else "")


def _listed(root: int) -> tuple[Mapping[str, int], frozenset[str]]:
    """Every file with its size, and every folder; raises SnapshotError for links, for what is neither, and for too many."""
    files: dict[str, int] = {}
    folders: set[str] = set()
    for path, info in _walk(root, ""):
        if stat.S_ISDIR(info.st_mode):
            folders.add(path)
        elif stat.S_ISREG(info.st_mode):
            files[path] = info.st_size
        else:
            kind = "a link" if stat.S_ISLNK(info.st_mode) else "neither a file nor a folder"
            raise refusal([f"{plain(path)} is {kind}"])
        if len(files) + len(folders) > 2 * MAX_FILES:
            raise refusal([f"it has more than {2 * MAX_FILES} files and folders"])
    return files, frozenset(folders)


def _walk(folder: int, above: str) -> Iterator[tuple[str, os.stat_result]]:
    if above.count("/") > _DEEPEST:
        raise refusal([f"folders are more than {_DEEPEST} deep"])
    with os.scandir(folder) as listed:
        for entry in listed:
            info = entry.stat(follow_symlinks=False)
            path = f"{above}{entry.name}"
            yield path, info
            if stat.S_ISDIR(info.st_mode):
                inner = os.open(entry.name, _FLAGS | os.O_DIRECTORY, dir_fd=folder)
                try:
                    yield from _walk(inner, f"{path}/")
                finally:
                    os.close(inner)


@contextmanager
def _opened(root: int, path: str) -> Iterator[int]:
    """A file by its path, no part of which is a link; raises SnapshotError for what is no ordinary file."""
    folder = os.dup(root)
    try:
        *above, name = path.split("/")
        for part in above:
            inner = os.open(part, _FLAGS | os.O_DIRECTORY, dir_fd=folder)
            os.close(folder)
            folder = inner
        # A pipe would be waited for.
        descriptor = os.open(name, _FLAGS | os.O_NONBLOCK, dir_fd=folder)
    finally:
        os.close(folder)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise refusal([f"{path} is not an ordinary file"])
        yield descriptor
    finally:
        os.close(descriptor)


def _digest(root: int, entry: FileEntry) -> str:
    """The SHA-256 of as many bytes as were recorded; empty where there are more or fewer."""
    found, left = hashlib.sha256(), entry.size
    with _opened(root, entry.path) as descriptor:
        while piece := os.read(descriptor, min(_PIECE, left + 1)):
            left -= len(piece)
            if left < 0:
                return ""
            found.update(piece)
    return found.hexdigest() if not left else ""
