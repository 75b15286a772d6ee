"""Writes what others read meanwhile: a whole file in one step, or lines at the end of the one that a pipeline shows."""

import os
import stat
import tempfile
from pathlib import Path

from meshinstall.errors import UsageError

# GitHub shows at most 1 MiB of a step.
_LONGEST = 64 * 1024


def check_writable(flag: str, path: Path) -> None:
    """Raise UsageError where a file could not be written, before something is done whose result it should get."""
    folder = path.parent
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"{flag} {path}: cannot be written", "name a file in a folder that is there and writable")


def write_whole(path: Path, text: str) -> None:
    """Replace a file in one step, as readable as it was, or by everybody; a link is replaced, not followed. Raises OSError."""
    found = path.lstat() if os.path.lexists(path) else None
    mode = stat.S_IMODE(found.st_mode) & 0o777 if found and stat.S_ISREG(found.st_mode) else 0o644
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        draft.chmod(mode)
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def append_summary(path: Path, text: str) -> str:
    """Add text at the end of a pipeline's summary; why that was not done, empty where it was. Only a file of ours is written to."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        return f"{path} cannot be written: {error.strerror}"
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            return f"{path} is not a file of its own"
        try:
            file.write(text[:_LONGEST])
            file.flush()
        except OSError as error:
            return f"{path} cannot be written: {error.strerror}"
    return ""
