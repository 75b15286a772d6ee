"""The Charts port over archives that a snapshot keeps, whose bytes were checked; any other chart is asked of its source."""

from pathlib import Path

from meshinstall.adapters.charts.archive import read_chart
from meshinstall.model.chart import ChartFiles
from meshinstall.model.release import ChartRef
from meshinstall.model.restoring import KeptChart
from meshinstall.ports import Charts


class KeptCharts:
    """The charts of a snapshot, which need no source; implements ports.Charts."""

    def __init__(self, folder: Path, charts: tuple[KeptChart, ...], beside: Charts) -> None:
        self._folder = folder
        there = [one for one in charts if (folder / one.file).is_file()]
        self._by_digest = {one.chart.digest: one.file for one in there}
        self._pins = {(one.chart.name, one.chart.version): one.chart.digest for one in there}
        self._beside = beside

    async def resolve(self, chart: ChartRef) -> ChartRef:
        """The chart with its digest; raises ChartError."""
        digest = self._pins.get((chart.name, chart.version))
        return ChartRef(chart.name, chart.version, chart.source, digest) if digest else await self._beside.resolve(chart)

    async def versions(self, chart: ChartRef) -> tuple[str, ...]:
        """Every version that its source has; raises ChartError."""
        return await self._beside.versions(chart)

    async def manifest(self, chart: ChartRef) -> str:
        """The digest of its manifest in a registry; raises ChartError."""
        return await self._beside.manifest(chart)

    async def fetch(self, chart: ChartRef) -> Path:
        """Its archive; raises ChartError."""
        file = self._by_digest.get(chart.digest)
        return self._folder / file if file else await self._beside.fetch(chart)

    async def read(self, chart: ChartRef) -> ChartFiles:
        """What the archive says of its values; raises ChartError."""
        file = self._by_digest.get(chart.digest)
        return read_chart(self._folder / file, file) if file else await self._beside.read(chart)
