"""What ``render`` wrote, or would write, for people and programs."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meshinstall.gitops.record import Changes
from meshinstall.gitops.terms import RenderedSite

SCHEMA = "meshinstall.dev/render-result/v1"


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a folder; with ``only_checked`` nothing was written."""

    format: str
    folder: Path
    sites: tuple[RenderedSite, ...]
    files: int
    changes: Changes
    only_checked: bool


def render_text(found: Written) -> str:
    """A line for each file that changes, and one that counts."""
    changes, count = found.changes, sum(1 for _ in _changes(found))
    removed = f", {len(changes.removed)} removed" if changes.removed else ""
    written = f"{len(changes.created) + len(changes.changed)} of {found.files} files written{removed}"
    sites = ", ".join(f"{site.path} (Istio {site.desired.istio_version})" for site in found.sites)
    verb = f"{count} of {found.files} files differ" if found.only_checked else written
    return "\n".join(
        [*(f"{sign} {path}" for sign, _, path in _changes(found)), f"{found.folder}: {verb if count else 'nothing to do'}; {sites}"]
    )


def render_json(found: Written) -> dict[str, Any]:
    """The document that docs/schemas/render.json describes."""
    return {
        "schema": SCHEMA,
        "format": found.format,
        "folder": str(found.folder),
        "checked": found.only_checked,
        "sites": [
            {"environment": site.desired.environment, "cloud": site.desired.cloud, "istioVersion": site.desired.istio_version}
            for site in found.sites
        ],
        "files": found.files,
        "changes": [{"change": word, "path": path} for _, word, path in _changes(found)],
    }


def _changes(found: Written) -> Iterator[tuple[str, str, str]]:
    changes = found.changes
    for sign, word, paths in (("+", "created", changes.created), ("~", "changed", changes.changed), ("-", "removed", changes.removed)):
        yield from ((sign, word, path) for path in paths)
