"""Verified archives on disk, named by their digest; bounded, private, safe to delete at any time."""

import hashlib
import os
import stat
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from meshinstall.adapters.charts.archive import read_chart
from meshinstall.errors import ChartError
from meshinstall.model.release import ChartRef

# Bytes: several hundred versions of all of Istio's charts.
MAX_TOTAL = 200 * 1024**2
# Seconds after which an unfinished download is abandoned.
_ABANDONED = 3600
_DRAFT = "new-"
_UPDATE_HINT = (
    "if the change is wanted, accept it: `meshinstall lock --update --env NAME`; if not, somebody replaced the chart under its version"
)


class ArchiveCache:
    """Archives in ``folder``, which is created when needed."""

    def __init__(self, folder: Path, max_total: int = MAX_TOTAL) -> None:
        self._folder = folder
        self._max_total = max_total

    def find(self, digest: str) -> Path | None:
        """The archive with this digest, verified now; a damaged one is deleted. Raises ChartError for a folder that others can write."""
        archive = self._path(digest)
        try:
            self._refuse_others()
            if _digest(archive) == digest:
                os.utime(archive)
                return archive
            archive.unlink(missing_ok=True)
        except FileNotFoundError:
            # It was never there, or another run has just trimmed it.
            return None
        except OSError as error:
            raise self._unusable(error) from error
        return None

    def add(self, chart: ChartRef, write: Callable[[BinaryIO], object]) -> tuple[str, Path]:
        """Digest and path of what ``write`` wrote. Raises ChartError when it is not ``chart``, or not the digest that chart names."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._refuse_others()
            # mkstemp makes it readable by its owner only, and so it stays.
            handle, name = tempfile.mkstemp(dir=self._folder, prefix=_DRAFT)
            draft = Path(name)
            try:
                with os.fdopen(handle, "wb") as file:
                    write(file)
                digest = _verify(chart, draft)
                draft.replace(self._path(digest))
            finally:
                draft.unlink(missing_ok=True)
            self._trim(keep=self._path(digest))
        except OSError as error:
            raise self._unusable(error) from error
        return digest, self._path(digest)

    def _refuse_others(self) -> None:
        """An archive is verified here and read by helm a moment later: nobody else may be able to replace it."""
        status = self._folder.stat()
        if status.st_uid != os.geteuid():
            why, remedy = f"belongs to the user with ID {status.st_uid}", "delete it"
        elif status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            why, remedy = f"can be written by other users (mode {stat.S_IMODE(status.st_mode):04o})", f"run `chmod go-w {self._folder}`"
        else:
            return
        raise ChartError(
            f"the chart cache {self._folder} {why}: they could replace a chart after its digest was checked",
            f"{remedy}, or set XDG_CACHE_HOME to a folder of your own",
        )

    def _path(self, digest: str) -> Path:
        return self._folder / f"{digest.removeprefix('sha256:')}.tgz"

    def _trim(self, keep: Path) -> None:
        """Delete abandoned downloads, then the archives that were used longest ago."""
        files = sorted((known for file in self._folder.iterdir() if (known := _seen(file))), reverse=True)
        total = 0
        for used, size, file in files:
            total += size
            is_old = used < time.time() - _ABANDONED if file.name.startswith(_DRAFT) else total > self._max_total
            if file != keep and is_old:
                file.unlink(missing_ok=True)

    def _unusable(self, error: OSError) -> ChartError:
        return ChartError(
            f"the chart cache {self._folder} cannot be used: {error.strerror}",
            "free some space there, or set XDG_CACHE_HOME to another folder",
        )


def _seen(file: Path) -> tuple[float, int, Path] | None:
    """When it was used last, its size and itself; None for a download that was finished, and so renamed, since the folder was read."""
    try:
        status = file.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime, status.st_size, file


def mismatch(chart: ChartRef, came: str) -> ChartError:
    """The error for a chart that is not the pinned one."""
    return ChartError(f"chart {chart.name} {chart.version}: expected {chart.digest}, but {chart.source} has {came}", _UPDATE_HINT)


def _verify(chart: ChartRef, draft: Path) -> str:
    digest = _digest(draft)
    if chart.digest not in {"", digest}:
        raise mismatch(chart, digest)
    metadata = read_chart(draft, f"chart {chart.name} {chart.version} from {chart.source}").metadata
    named = metadata.get("name"), str(metadata.get("version"))
    if named != (chart.name, chart.version):
        raise ChartError(
            f"{chart.source} returned chart {named[0]} {named[1]} for {chart.name} {chart.version}",
            "its index or tags are wrong: use another source",
        )
    return digest


def _digest(archive: Path) -> str:
    with archive.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
