"""Reads and writes files below a folder by their paths; a link below it is never followed."""

import stat
from collections.abc import Iterable, Mapping
from pathlib import Path

from meshinstall.cli.output.files import write_whole
from meshinstall.errors import UsageError

# Bytes of a file that is compared: what is rendered is far smaller.
_MOST = 16 * 1024 * 1024


def read_below(folder: Path, paths: Iterable[str]) -> dict[str, bytes | None]:
    """The content of each file, None where there is none; raises UsageError for links and what is no file."""
    return {path: _read(folder, path) for path in paths}


def write_below(folder: Path, files: Mapping[str, str]) -> None:
    """Write each file in one step, with the folders that it needs; raises UsageError."""
    for path, text in files.items():
        target = _target(folder, path)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            write_whole(target, text)
        except OSError as error:
            raise _unusable(target, error) from error


def remove_below(folder: Path, paths: Iterable[str]) -> None:
    """Delete files, and the folders above them that are empty then; raises UsageError."""
    for path in paths:
        target = _target(folder, path)
        try:
            target.unlink(missing_ok=True)
            for above in target.parents:
                if above == folder or any(above.iterdir()):
                    break
                above.rmdir()
        except OSError as error:
            raise _unusable(target, error) from error


def _read(folder: Path, path: str) -> bytes | None:
    target = _target(folder, path)
    try:
        found = target.lstat()
        if not stat.S_ISREG(found.st_mode) or found.st_size > _MOST:
            raise UsageError(f"{target} is not an ordinary file", "move it, or name another --out")
        return target.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _unusable(target, error) from error


def _target(folder: Path, path: str) -> Path:
    """Where a path leads, if no part of it is a link; the folder itself is the user's, by a link too."""
    above = folder
    for part in path.split("/"):
        above /= part
        if above.is_symlink():
            raise UsageError(f"{above} is a link", "replace it by what it leads to, or name another --out")
    return above


def _unusable(target: Path, error: OSError) -> UsageError:
    return UsageError(f"{target}: {error.strerror}", "name a folder that is writable with --out")
