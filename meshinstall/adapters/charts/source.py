"""The interface of the three kinds of chart source."""

from typing import BinaryIO, Protocol

from meshinstall.model.release import ChartRef

# Bytes; Istio's largest chart has 0.2 MiB.
MAX_ARCHIVE = 20 * 1024**2


class Source(Protocol):
    """A place with charts; blocking, for one operation. Every method raises ChartError."""

    def versions(self, name: str) -> tuple[str, ...]:
        """Versions of the chart that it has, in any order; none when it does not know the chart."""

    def digest(self, chart: ChartRef) -> str:
        """``sha256:...`` of the archive, or empty when the source does not say; raises when it has no such version."""

    def manifest(self, chart: ChartRef) -> str:
        """``sha256:...`` of what names the chart in a registry, empty elsewhere; raises also where that has another archive by now."""

    def copy(self, chart: ChartRef, out: BinaryIO) -> None:
        """Write the archive, at most MAX_ARCHIVE bytes, to the start of ``out``."""
