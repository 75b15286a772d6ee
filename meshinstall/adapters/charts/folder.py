"""Charts in a folder, as ``helm package`` leaves them: NAME-VERSION.tgz."""

import hashlib
import shutil
from pathlib import Path
from typing import BinaryIO

from meshinstall.adapters.charts.source import MAX_ARCHIVE
from meshinstall.adapters.charts.versions import missing
from meshinstall.errors import ChartError
from meshinstall.model.release import ChartRef
from meshinstall.model.version import is_full


class FolderSource:
    """Archives in ``folder``."""

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise ChartError(f"there is no chart folder {folder}", "give a folder with NAME-VERSION.tgz files")
        self._folder = folder

    def versions(self, name: str) -> tuple[str, ...]:
        """The versions in the names of the files."""
        found = (file.name.removeprefix(f"{name}-").removesuffix(".tgz") for file in self._folder.glob(f"{name}-*.tgz"))
        versions = tuple(version for version in found if is_full(version))
        if not versions and (self._folder / name / "Chart.yaml").exists():
            raise ChartError(
                f"{self._folder / name} is an unpacked chart, which has no digest",
                f"package it: helm package {self._folder / name} -d {self._folder}",
            )
        return versions

    def digest(self, chart: ChartRef) -> str:
        """The digest of the file as it is now."""
        try:
            with self._archive(chart).open("rb") as archive:
                return f"sha256:{hashlib.file_digest(archive, 'sha256').hexdigest()}"
        except OSError as error:
            raise _unreadable(error) from error

    def manifest(self, chart: ChartRef) -> str:  # noqa: ARG002 - as the interface has it
        """Nothing: a folder is no registry."""
        return ""

    def copy(self, chart: ChartRef, out: BinaryIO) -> None:
        """Copy the file."""
        try:
            with self._archive(chart).open("rb") as archive:
                shutil.copyfileobj(archive, out)
        except OSError as error:
            raise _unreadable(error) from error

    def _archive(self, chart: ChartRef) -> Path:
        archive = self._folder / f"{chart.name}-{chart.version}.tgz"
        if not archive.is_file():
            raise missing(chart, self.versions(chart.name))
        if archive.stat().st_size > MAX_ARCHIVE:
            raise ChartError(f"{archive} has more than {MAX_ARCHIVE // 1024**2} MiB", "no chart is that large: check the file")
        return archive


def _unreadable(error: OSError) -> ChartError:
    return ChartError(f"{error.filename or 'a chart'} cannot be read: {error.strerror}")
