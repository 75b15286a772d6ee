"""Writes a snapshot to a folder of another name, which gets its own when it is whole; implements ports.SnapshotDraft."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO

from meshinstall.errors import SnapshotError, UsageError
from meshinstall.model.snapshot import ENVELOPE, MAX_FILE, MAX_FILES, MAX_TOTAL, FileEntry, is_safe_path

_PRIVATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PIECE = 1024 * 1024


@contextmanager
def drafting(target: Path) -> Iterator["Draft"]:
    """A draft beside ``target``, removed unless it is published; raises UsageError where the target cannot be made."""
    if os.path.lexists(target):
        raise UsageError(f"--into {target}: it exists", "name a folder that does not exist yet: a snapshot replaces nothing")
    try:
        # mkdtemp makes it for its owner alone, and so it stays.
        folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", suffix=".unfinished", dir=target.parent))
    except OSError as error:
        raise UsageError(f"--into {target}: {error.strerror}", "name a folder in one that is there and writable") from error
    try:
        yield Draft(folder, target)
    finally:
        # After publishing there is nothing of this name.
        shutil.rmtree(folder, ignore_errors=True)


class Draft:
    """Files below ``folder``, readable by their owner alone; ``publish`` renames it to ``target``."""

    def __init__(self, folder: Path, target: Path) -> None:
        self._folder = folder
        self._target = target
        self._entries: dict[str, FileEntry] = {}
        self._left = MAX_TOTAL

    def write(self, path: str, data: bytes) -> None:
        """Write a file."""
        with self._file(path) as out:
            out.write(data)

    def copy(self, path: str, source: Path) -> None:
        """Copy a file."""
        with self._file(path) as out, source.open("rb") as file:
            while piece := file.read(_PIECE):
                out.write(piece)

    @contextmanager
    def lines(self, path: str) -> Iterator["Lines"]:
        """A file of lines, written in the order of their keys at the end of the block; without any line it is not made."""
        # What waits has no name, so that nothing of it is left.
        with tempfile.TemporaryFile(dir=self._folder) as spool:
            lines = Lines(path, spool)
            yield lines
            if lines.places:
                with self._file(path) as out:
                    for _, start, size in sorted(lines.places):
                        spool.seek(start)
                        out.write(spool.read(size) + b"\n")

    def entries(self) -> tuple[FileEntry, ...]:
        """Every file so far."""
        return tuple(self._entries[path] for path in sorted(self._entries))

    def publish(self, envelope: bytes) -> None:
        """Write the envelope and give the folder its name; what was published survives a machine that stops now."""
        try:
            with os.fdopen(os.open(self._folder / ENVELOPE, _PRIVATE, 0o600), "wb") as file:
                file.write(envelope)
                file.flush()
                os.fsync(file.fileno())
            for folder in (*(path for path in self._folder.rglob("*") if path.is_dir()), self._folder):
                _sync(folder)
            if os.path.lexists(self._target):
                raise SnapshotError(f"{self._target} exists by now", "name another folder")
            self._folder.rename(self._target)
            _sync(self._target.parent)
        except OSError as error:
            raise _unwritable(self._target, error) from error

    @contextmanager
    def _file(self, path: str) -> Iterator["_Hashed"]:
        """A new file that is known by its digest when it is closed."""
        if not is_safe_path(path) or path in self._entries:
            raise SnapshotError(f"a snapshot cannot have a file of this name, or has it already: {path}", "rename the file")
        if len(self._entries) >= MAX_FILES:
            raise SnapshotError(f"the snapshot has more than {MAX_FILES} files", "is this the right project?")
        full = self._folder / path
        try:
            full.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with os.fdopen(os.open(full, _PRIVATE, 0o600), "wb") as file:
                out = _Hashed(path, file, self._left)
                yield out
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise _unwritable(self._target, error) from error
        self._entries[path] = FileEntry(path, out.size, out.sha256)
        self._left -= out.size


class _Hashed:
    """A file that is written and hashed at once, within the bounds that a reader has."""

    def __init__(self, path: str, file: BinaryIO, left: int) -> None:
        self._path = path
        self._file = file
        self._left = min(left, MAX_FILE)
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def sha256(self) -> str:
        """Of what was written, in hex."""
        return self._hash.hexdigest()

    def write(self, data: bytes) -> None:
        self.size += len(data)
        if self.size > self._left:
            raise SnapshotError(f"{self._path} makes the snapshot larger than a snapshot may be ({MAX_FILE // 1024**2} MiB a file)")
        self._file.write(data)
        self._hash.update(data)


class Lines:
    """Lines that wait in a file; in memory is only where each is."""

    def __init__(self, path: str, spool: IO[bytes]) -> None:
        self._path = path
        self._spool = spool
        self.places: list[tuple[str, int, int]] = []

    def add(self, key: str, line: bytes) -> None:
        """Add a line without its end."""
        try:
            self.places.append((key, self._spool.tell(), len(line)))
            self._spool.write(line)
        except OSError as error:
            raise SnapshotError(f"{self._path} cannot be written: {error.strerror}", "free some space there") from error


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(target: Path, error: OSError) -> SnapshotError:
    return SnapshotError(f"{target} cannot be written: {error.strerror}", "free some space there, or name another folder")
