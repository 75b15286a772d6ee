"""Who set a value of a release, and who else spoke about it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from meshinstall.config.chart_layers import chart_path, chart_view
from meshinstall.config.documents import suggestion
from meshinstall.errors import UsageError
from meshinstall.model.chart import ChartFiles
from meshinstall.model.desired import Release
from meshinstall.model.stack import ValuesStack, leaves
from meshinstall.model.values import CHART_KINDS, KeyPath, Spoken


@dataclass(frozen=True, slots=True)
class Explained:
    """One value: every layer that spoke about it, lowest first; the last one won."""

    path: KeyPath
    spoken: tuple[Spoken, ...]


def explain(release: Release, files: ChartFiles, key: str = "") -> tuple[Explained, ...]:
    r"""Explain the value ``key``, all values below it, or without a key all that is not the chart's own.

    ``key`` is dotted; a dot inside a key is written ``\.``. Raises UsageError when nobody speaks about it.
    """
    view = chart_view(release.component, files, release.values)
    path = chart_path(release.component, _split(key)) if key else ()
    found = tuple(Explained(each, view.explain(each)) for each in sorted(_paths(view, path)))
    if key and not found:
        known = tuple({".".join(each) for each in leaves(view.effective())})
        raise UsageError(f"nothing sets {key} of {release.key}", suggestion(key, known))
    return found


def _paths(view: ValuesStack, path: KeyPath) -> Iterator[KeyPath]:
    if not path:
        ours = ValuesStack(tuple(layer for layer in view.layers if layer.kind not in CHART_KINDS))
        yield from leaves(ours.effective())
        return
    inside = [each for each in leaves(view.effective()) if each[: len(path)] == path]
    yield from inside or ([path] if view.explain(path) else ())


def _split(key: str) -> KeyPath:
    return tuple(part.replace("\\.", ".") for part in re.split(r"(?<!\\)\.", key))
