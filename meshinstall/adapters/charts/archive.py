"""Reads the metadata, values and schema of a chart archive without unpacking it to disk; hostile archives raise ChartError."""

import gzip
import tarfile
import zlib
from collections.abc import Mapping
from io import BufferedIOBase
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

from meshinstall.errors import ChartError
from meshinstall.model.chart import ChartFiles
from meshinstall.model.yaml_text import load

# Helm's own bounds (helm/pkg/chart/loader/archive): 100 MiB in all, 5 MiB for one file.
MAX_UNPACKED = 100 * 1024**2
MAX_FILE = 5 * 1024**2
_MAX_MEMBERS = 10_000

_PROFILE = "files/profile-"
_ROOT_FILES = frozenset({"Chart.yaml", "values.yaml", "values.schema.json"})


def read_chart(archive: Path, called: str = "") -> ChartFiles:
    """Metadata, default values, schema and profiles of a packed chart, ``called`` so in messages.

    Raises ChartError when it is no chart, has paths that lead out of it, or
    unpacks to more than Helm would take.
    """
    name = called or str(archive)
    try:
        with gzip.open(archive) as unpacked, tarfile.open(fileobj=cast("BinaryIO", _Bounded(unpacked, name)), mode="r|") as tar:
            texts = _texts(tar, name)
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError) as error:
        raise ChartError(f"{name} is corrupt: {error}", "download or package it again") from error
    except OSError as error:
        raise ChartError(f"{name} cannot be read: {error.strerror}") from error
    profiles = {path[len(_PROFILE) : -len(".yaml")]: texts[path] for path in sorted(texts) if path.startswith(_PROFILE)}
    return ChartFiles(_metadata(texts, name), texts.get("values.yaml", ""), texts.get("values.schema.json"), profiles)


class _Bounded(BufferedIOBase):
    """A file that raises ChartError after MAX_UNPACKED bytes."""

    def __init__(self, file: gzip.GzipFile, name: str) -> None:
        self._file = file
        self._name = name
        self._left = MAX_UNPACKED

    def read(self, size: int | None = -1) -> bytes:
        """The next bytes."""
        data = self._file.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise ChartError(
                f"{self._name} unpacks to more than {MAX_UNPACKED // 1024**2} MiB",
                "no chart is that large: check where the archive comes from",
            )
        return data


def _texts(tar: tarfile.TarFile, name: str) -> dict[str, str]:
    """The wanted files by their path in the chart."""
    texts: dict[str, str] = {}
    for count, member in enumerate(tar):
        path = PurePosixPath(member.name)
        if path.is_absolute() or ".." in path.parts or "\\" in member.name:
            raise ChartError(f"{name} has a file that leads out of the chart: {member.name!r}", "do not use this archive")
        if count >= _MAX_MEMBERS:
            raise ChartError(f"{name} has more than {_MAX_MEMBERS} files", "no chart has that many: check where the archive comes from")
        inside = "/".join(path.parts[1:])
        if inside not in _ROOT_FILES and not (inside.startswith(_PROFILE) and inside.endswith(".yaml")):
            continue
        if not member.isfile() or inside in texts:
            raise ChartError(f"{name} has {inside} twice, or it is not a regular file", "do not use this archive")
        if member.size > MAX_FILE:
            raise ChartError(
                f"{name} has a {inside} of more than {MAX_FILE // 1024**2} MiB",
                "no chart has files that large: check where the archive comes from",
            )
        content = tar.extractfile(member)
        texts[inside] = content.read().decode() if content else ""
    return texts


def _metadata(texts: Mapping[str, str], name: str) -> Mapping[str, Any]:
    if "Chart.yaml" not in texts:
        raise ChartError(f"{name} has no Chart.yaml", "this is not a packed Helm chart")
    try:
        found = load(texts["Chart.yaml"])
    except ValueError as error:
        raise ChartError(f"{name} has a Chart.yaml that is not YAML: {error}") from error
    if not isinstance(found, Mapping):
        raise ChartError(f"{name} has a Chart.yaml that is not a map", "package the chart again")
    return found
