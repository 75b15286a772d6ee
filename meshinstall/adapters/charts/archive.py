"""Reads the metadata, values and schema of a chart archive without unpacking it to disk; hostile archives raise ChartError."""

import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from meshinstall.adapters.charts.tar import Kind, Member, TooLargeError, members
from meshinstall.errors import ChartError
from meshinstall.model.chart import ChartFiles
from meshinstall.model.yaml_text import load

# Helm's own bounds (helm/pkg/chart/loader/archive): 100 MiB in all, 5 MiB for one file.
MAX_UNPACKED = 100 * 1024**2
MAX_FILE = 5 * 1024**2
_MAX_MEMBERS = 10_000
# Streams of gzip, one after the other: packers make one, or one for each processor's share. Each costs time and may be empty.
_MAX_STREAMS = 1_000
_PIECE = 64 * 1024
# zlib's word for "gzip, and check its header and sum".
_GZIP = 31

_PROFILE = "files/profile-"
_ROOT_FILES = frozenset({"Chart.yaml", "values.yaml", "values.schema.json"})
# The CRDs of Istio, in its base chart.
_DEFINITIONS = "files/crd-all.gen.yaml"


def read_chart(archive: Path, called: str = "") -> ChartFiles:
    """Metadata, default values, schema and profiles of a packed chart, ``called`` so in messages.

    Raises ChartError when it is no chart, has paths that lead out of it, or
    unpacks to more than Helm would take.
    """
    name = called or str(archive)
    try:
        with archive.open("rb") as packed:
            texts = _texts(members(_Bounded(_Unpacked(packed), name).read, MAX_FILE), name)
    except TooLargeError as error:
        raise ChartError(
            f"{name} has a {error.path} of more than {MAX_FILE // 1024**2} MiB",
            "no chart has files that large: check where the archive comes from",
        ) from error
    except (EOFError, zlib.error, ValueError) as error:
        raise ChartError(f"{name} is corrupt: {error}", "download or package it again") from error
    except OSError as error:
        raise ChartError(f"{name} cannot be read: {error.strerror}") from error
    profiles = {path[len(_PROFILE) : -len(".yaml")]: texts[path] for path in sorted(texts) if path.startswith(_PROFILE)}
    return ChartFiles(
        _metadata(texts, name), texts.get("values.yaml", ""), texts.get("values.schema.json"), profiles, texts.get(_DEFINITIONS, "")
    )


def read_members(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Path and content of each file of a packed chart; raises ChartError as ``read_chart`` does."""
    try:
        with archive.open("rb") as packed:
            found = members(_Bounded(_Unpacked(packed), str(archive)).read, MAX_FILE)
            yield from ((member.path, member.data) for member in found if member.kind is Kind.FILE)
    except (EOFError, zlib.error, ValueError) as error:
        raise ChartError(f"{archive} is corrupt: {error}", "download or package it again") from error
    except OSError as error:
        raise ChartError(f"{archive} cannot be read: {error.strerror}") from error


class _Unpacked:
    """What is in a gzip file; not Python's gzip, which reads names in headers byte by byte, and any number of empty streams."""

    def __init__(self, packed: BinaryIO) -> None:
        self._packed = packed
        self._stream = zlib.decompressobj(wbits=_GZIP)
        self._streams = 1
        self._rest = b""

    def read(self, size: int) -> bytes:
        """The next bytes, fewer only at the end; raises EOFError, ValueError and zlib.error for what is not gzip."""
        pieces: list[bytes] = []
        while size:
            if not self._rest:
                self._rest = self._packed.read(_PIECE)
            if not self._rest and not self._stream.eof:
                raise EOFError("the archive ends too early")
            if self._stream.eof and not self._begin():
                break
            piece = self._stream.decompress(self._rest, size)
            # What follows this stream, or what of it there was no room for.
            self._rest = self._stream.unused_data or self._stream.unconsumed_tail
            size -= len(piece)
            pieces.append(piece)
        return b"".join(pieces)

    def _begin(self) -> bool:
        """Whether another stream follows; zeros after the last are padding."""
        if not self._rest.strip(b"\0"):
            return False
        self._streams += 1
        if self._streams > _MAX_STREAMS:
            raise ValueError(f"it has more than {_MAX_STREAMS} streams of gzip")
        self._stream = zlib.decompressobj(wbits=_GZIP)
        return True


class _Bounded:
    """A file that raises ChartError after MAX_UNPACKED bytes."""

    def __init__(self, file: "_Unpacked", name: str) -> None:
        self._file = file
        self._name = name
        self._left = MAX_UNPACKED

    def read(self, size: int) -> bytes:
        """The next bytes, fewer only at the end."""
        data = self._file.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise ChartError(
                f"{self._name} unpacks to more than {MAX_UNPACKED // 1024**2} MiB",
                "no chart is that large: check where the archive comes from",
            )
        return data


def _texts(found: Iterable[Member], name: str) -> dict[str, str]:
    """The wanted files by their path in the chart."""
    texts: dict[str, str] = {}
    seen: set[str] = set()
    for count, member in enumerate(found):
        path = PurePosixPath(member.path)
        if path.is_absolute() or ".." in path.parts or "\\" in member.path:
            raise ChartError(f"{name} has a file that leads out of the chart: {member.path!r}", "do not use this archive")
        if count >= _MAX_MEMBERS:
            raise ChartError(f"{name} has more than {_MAX_MEMBERS} files", "no chart has that many: check where the archive comes from")
        inside = "/".join(path.parts[1:])
        if member.kind is Kind.OTHER:
            raise ChartError(f"{name} has {member.path!r}, which is neither a file nor a folder", "package the chart with `helm package`")
        if member.kind is Kind.FOLDER:
            continue
        # Helm would use both, or one of them, and not tell which.
        if inside in seen:
            raise ChartError(f"{name} has {inside} twice", "do not use this archive")
        seen.add(inside)
        if inside in {*_ROOT_FILES, _DEFINITIONS} or (inside.startswith(_PROFILE) and inside.endswith(".yaml")):
            texts[inside] = member.data.decode()
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
