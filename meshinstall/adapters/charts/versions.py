"""Picks the version of a chart among those that its source has."""

import re
from collections.abc import Iterable

from meshinstall.errors import ChartError
from meshinstall.model.release import ChartRef
from meshinstall.model.version import is_full, order

_SHORT = re.compile(r"\d{1,9}(?:\.\d{1,9})?")
_SHOWN = 8


def newest(chart: ChartRef, available: Iterable[str]) -> str:
    """The newest release that ``chart.version``, 1.31 or 1, stands for; no pre-release. Raises ChartError."""
    if not _SHORT.fullmatch(chart.version):
        raise ChartError(
            f"version {chart.version!r} of chart {chart.name} is neither a full version such as 1.31.0 nor a prefix such as 1.31",
            "name the version in full; ranges such as ^1.30 are not supported",
        )
    versions = tuple(available)
    fitting = [version for version in versions if version.startswith(f"{chart.version}.") and "-" not in version]
    if not fitting:
        raise missing(chart, versions)
    return max(fitting, key=order)


def missing(chart: ChartRef, available: Iterable[str]) -> ChartError:
    """The error for a missing version, which lists the available versions."""
    versions = sorted((version for version in available if is_full(version)), key=order, reverse=True)
    if not versions:
        return ChartError(f"there is no chart {chart.name} at {chart.source}", "check the name of the chart and the path of the source")
    shown = ", ".join(versions[:_SHOWN]) + (f" and {len(versions) - _SHOWN} older ones" if len(versions) > _SHOWN else "")
    return ChartError(f"chart {chart.name} has no version {chart.version} at {chart.source}", f"it has {shown}")
