"""The Charts port: OCI registries, Helm repositories and folders, behind one verified cache."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import anyio

from meshinstall.adapters.charts.archive import read_chart
from meshinstall.adapters.charts.cache import ArchiveCache, mismatch
from meshinstall.adapters.charts.folder import FolderSource
from meshinstall.adapters.charts.http import TOTAL, Http, Say, is_safe, shown, too_slow
from meshinstall.adapters.charts.logins import Logins
from meshinstall.adapters.charts.source import Source
from meshinstall.adapters.charts.versions import missing, newest
from meshinstall.adapters.net.bodies import TooSlowError
from meshinstall.adapters.net.deadlines import Deadline, run_before
from meshinstall.errors import ChartError
from meshinstall.model.chart import ChartFiles
from meshinstall.model.release import ChartRef
from meshinstall.model.version import is_full

__all__ = ["ChartStore", "default_cache", "read_chart"]

# Helm's rule for chart names; it also keeps them from being paths.
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,249}")
# Seconds beyond the deadline that a worker thread gets to report it.
_SLACK = 1.0
_DIGEST = re.compile(r"(sha256:[0-9a-f]{64})?")

Answer = TypeVar("Answer")


def default_cache() -> Path:
    """The folder for archives in the user's cache."""
    from platformdirs import user_cache_path

    return user_cache_path("meshinstall") / "charts"


class ChartStore:
    """Resolves and fetches charts; ``say`` hears, from a worker thread, of every second try.

    One operation takes at most ``seconds``.
    """

    def __init__(self, cache: Path, say: Say, seconds: float = TOTAL) -> None:
        self._cache = ArchiveCache(cache)
        self._say = say
        self._seconds = seconds
        self._logins = Logins()
        self._indexes: dict[str, Mapping[str, Any]] = {}

    async def resolve(self, chart: ChartRef) -> ChartRef:
        """The chart with its full version and the digest that its source has for it now; raises ChartError."""
        return await self._with_source(chart, partial(self._resolve, chart))

    async def versions(self, chart: ChartRef) -> tuple[str, ...]:
        """Every version of the chart that its source has, in any order; raises ChartError, also where it has none."""
        return await self._with_source(chart, partial(self._versions, chart))

    async def manifest(self, chart: ChartRef) -> str:
        """The digest of its manifest in a registry, empty for other sources; raises ChartError, also where that has another archive."""
        return await self._with_source(chart, lambda source: source.manifest(chart))

    async def fetch(self, chart: ChartRef) -> Path:
        """The verified archive of ``digest``, from the cache without asking the source when it is there; raises ChartError."""
        _check(chart)
        if chart.digest and (archive := await anyio.to_thread.run_sync(self._cache.find, chart.digest)):
            return archive
        return await self._with_source(chart, partial(self._download, chart))

    async def read(self, chart: ChartRef) -> ChartFiles:
        """Metadata, values and schema in the verified archive; raises ChartError."""
        return await anyio.to_thread.run_sync(read_chart, await self.fetch(chart))

    def _versions(self, chart: ChartRef, source: Source) -> tuple[str, ...]:
        found = tuple(version for version in source.versions(chart.name) if is_full(version))
        if not found:
            raise missing(chart, ())
        return found

    def _resolve(self, chart: ChartRef, source: Source) -> ChartRef:
        if not is_full(chart.version):
            chart = replace(chart, version=newest(chart, source.versions(chart.name)))
        found = replace(chart, digest="")
        digest = source.digest(found) or self._cache.add(found, partial(source.copy, found))[0]
        return replace(chart, digest=digest)

    def _download(self, chart: ChartRef, source: Source) -> Path:
        # Refused before the download where the source says what it has.
        if (offered := source.digest(chart)) and chart.digest not in {"", offered}:
            raise mismatch(chart, offered)
        _, archive = self._cache.add(replace(chart, digest=chart.digest or offered), partial(source.copy, chart))
        return archive

    async def _with_source(self, chart: ChartRef, call: Callable[[Source], Answer]) -> Answer:
        _check(chart)
        deadline = Deadline(self._seconds)

        def work() -> Answer:
            with Http(chart.source, deadline, self._say) as http:
                return call(self._open(chart.source, http))

        try:
            return await run_before(deadline, work, _SLACK)
        except TooSlowError as error:
            raise too_slow(chart.source, deadline) from error

    def _open(self, source: str, http: Http) -> Source:
        if source.startswith("oci://"):
            from meshinstall.adapters.charts.oci import OciSource

            return OciSource(source, http, self._logins)
        if "://" in source:
            from meshinstall.adapters.charts.repository import RepositorySource

            return RepositorySource(source, http, self._indexes)
        return FolderSource(Path(source).expanduser())


def _check(chart: ChartRef) -> None:
    """Refuse invalid names, digests and sources; raises ChartError."""
    if not _NAME.fullmatch(chart.name) or not _DIGEST.fullmatch(chart.digest):
        raise ChartError(
            f"chart {chart.name!r} with digest {chart.digest!r} has an invalid name or digest",
            "a digest is sha256: and 64 lower-case hex digits",
        )
    if "://" not in chart.source:
        return
    parts = urlsplit(chart.source)
    where = shown(chart.source).replace(f"{parts.netloc.rpartition('@')[0]}@", "")
    if "@" in parts.netloc:
        raise ChartError(f"the chart source {where} contains a login", "remove it from the address and use `helm registry login`")
    if parts.scheme != "oci" and not is_safe(chart.source):
        raise ChartError(f"the chart source {where} is neither oci://, https:// nor a folder", "plain http works for this machine only")
