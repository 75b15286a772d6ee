"""Explains a value of a release: every layer that sets it, and the layer that wins."""

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
    """One value and every layer that sets it, lowest first; the last layer wins."""

    path: KeyPath
    spoken: tuple[Spoken, ...]


def explain(release: Release, files: ChartFiles, key: str = "") -> tuple[Explained, ...]:
    r"""Explain the value ``key`` and all values below it; without a key, all values that are not chart defaults.

    ``key`` is dotted; a dot inside a key is written ``\.``. Raises UsageError when no layer sets it.
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
