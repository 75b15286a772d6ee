"""meshinstall.lock pins each chart to the digest of its archive, so that every run installs the same bytes."""

import json
import os
import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from meshinstall.config.source import Document, read
from meshinstall.errors import ChartError, ConfigError, Problem, UsageError
from meshinstall.model.release import ChartRef

NAME = "meshinstall.lock"
API_VERSION = "meshinstall.dev/lock/v1"
_HEADER = "# The charts that this project installs. Written by `meshinstall lock --update`; commit it.\n"
_UPDATE_HINT = "run `meshinstall lock --update --env NAME`"
# An update reads the file too: what it holds for other environments stays.
_REPAIR_HINT = "restore the file from version control, or delete it and run `meshinstall lock --update --env NAME`"
_FIELDS = ("name", "version", "source", "digest")
_MANIFEST = "manifest"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Lock:
    """Pinned charts, without duplicates; each has a full version and a digest.

    ``manifests`` are the digests by which registries know them, by name and version, of those that are from one.
    """

    charts: tuple[ChartRef, ...]
    manifests: Mapping[tuple[str, str], str] = field(default_factory=dict)

    def pinned(self, name: str, version: str) -> ChartRef | None:
        """The entry for a chart at a version."""
        return next((chart for chart in self.charts if (chart.name, chart.version) == (name, version)), None)

    def pin(self, chart: ChartRef) -> ChartRef:
        """The chart with the digest that is pinned; the same where none is."""
        pinned = self.pinned(chart.name, chart.version)
        return replace(chart, digest=pinned.digest) if pinned else chart


def load(path: Path) -> Lock:
    """Read a lock file; only a missing one pins nothing. Raises ConfigError with every mistake and its line, as for one without charts."""
    # A link that leads nowhere is there.
    if not os.path.lexists(path):
        return Lock(())
    problems: list[Problem] = []
    document = read(path, str(path), problems)
    charts = _charts(document, problems) if not problems else ()
    if problems:
        raise ConfigError(tuple(_whole(problem) for problem in problems))
    manifests = {(entry["name"], entry["version"]): entry[_MANIFEST] for entry in document.values["charts"] if _MANIFEST in entry}
    return Lock(charts, manifests)


def _whole(problem: Problem) -> Problem:
    """With a line, also where the whole file is wrong, and with what to do."""
    return replace(problem, line=max(problem.line, 1), column=max(problem.column, 1), hint=problem.hint or _REPAIR_HINT)


def dump(lock: Lock) -> str:
    """The text of a lock file: one field a line, in an order that does not depend on how the charts came."""
    lines = [_HEADER.rstrip(), f"apiVersion: {API_VERSION}", "charts:"]
    for chart in sorted(lock.charts, key=lambda chart: (chart.name, chart.version)):
        told = {name: getattr(chart, name) for name in _FIELDS}
        if manifest := lock.manifests.get((chart.name, chart.version)):
            told[_MANIFEST] = manifest
        fields = (f"{name}: {json.dumps(text, ensure_ascii=False)}" for name, text in told.items())
        lines += [f"{'  ' if index else '- '}{line}" for index, line in enumerate(fields)]
    return "\n".join(lines) + "\n"


def write(path: Path, lock: Lock) -> None:
    """Replace the file at ``path`` in one step, as readable as it was; raises UsageError when the folder cannot be written."""
    draft = None
    try:
        mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False, encoding="utf-8") as file:
            draft = Path(file.name)
            file.write(dump(lock))
            file.flush()
            os.fsync(file.fileno())
        draft.chmod(mode)
        draft.replace(path)
    except OSError as error:
        if draft:
            draft.unlink(missing_ok=True)
        raise UsageError(f"{path} cannot be written: {error.strerror}", "run this command where the project folder is writable") from error


def check(lock: Lock, resolved: Iterable[ChartRef]) -> None:
    """Raise ChartError unless every chart is pinned with the digest it has; the source may be a mirror."""
    for chart in resolved:
        pinned = lock.pinned(chart.name, chart.version)
        if pinned is None:
            raise ChartError(f"chart {chart.name} {chart.version} is not in {NAME}", _UPDATE_HINT)
        if pinned.digest != chart.digest:
            expected = f"{NAME} expects {pinned.digest} (from {pinned.source})"
            raise ChartError(
                f"chart {chart.name} {chart.version}: {expected}, but {chart.source} has {chart.digest}",
                f"if you expect the new archive, {_UPDATE_HINT}; if not, somebody replaced the chart without changing its version",
            )


def _charts(document: Document, problems: list[Problem]) -> tuple[ChartRef, ...]:
    if not document.values:
        problems.append(document.problem((), "it is empty and pins no chart", _REPAIR_HINT))
        return ()
    problems += [
        document.problem((key,), f"unknown key {key!r}", "known: apiVersion, charts")
        for key in document.values
        if key not in {"apiVersion", "charts"}
    ]
    if (found := document.values.get("apiVersion")) != API_VERSION:
        problems.append(document.problem(("apiVersion",), f"apiVersion is {found!r}, not {API_VERSION}", _REPAIR_HINT))
    entries = document.values.get("charts")
    if not isinstance(entries, list) or not entries:
        text = "charts is empty, so that no chart is pinned" if entries == [] else "charts must be a list"
        problems.append(document.problem(("charts",), text, _REPAIR_HINT))
        return ()
    charts: dict[tuple[str, str], ChartRef] = {}
    for index, entry in enumerate(entries):
        chart = _chart(document, index, entry, problems)
        if chart is None:
            continue
        if (chart.name, chart.version) in charts:
            problems.append(document.problem(("charts", str(index)), f"chart {chart.name} {chart.version} is listed twice"))
        charts[chart.name, chart.version] = chart
    return tuple(charts.values())


def _chart(document: Document, index: int, entry: Any, problems: list[Problem]) -> ChartRef | None:
    at = ("charts", str(index))
    if not isinstance(entry, Mapping):
        problems.append(document.problem(at, "an entry of charts must be a map", _REPAIR_HINT))
        return None
    before = len(problems)
    wrong = [name for name in _FIELDS if not isinstance(entry.get(name), str) or not entry[name]]
    problems += [document.problem((*at, name), f"{name} must be text", _REPAIR_HINT) for name in wrong]
    known = (*_FIELDS, _MANIFEST)
    problems += [
        document.problem((*at, str(key)), f"unknown key {key!r}", f"known: {', '.join(known)}") for key in entry if key not in known
    ]
    for name in ("digest", _MANIFEST):
        if name in entry and name not in wrong and not _DIGEST.fullmatch(str(entry[name])):
            problems.append(document.problem((*at, name), f"{name} must be sha256: and 64 lower-case hex digits", _REPAIR_HINT))
    return ChartRef(*(entry[name] for name in _FIELDS)) if len(problems) == before else None
