"""Finds the value that something of a rendering comes from: by rendering without it, never by its name."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from meshinstall.model.stack import ValuesStack
from meshinstall.model.values import CHART_KINDS, KeyPath, Layer, value_at

_ABSENT = object()

# Whether what is looked for is still so when a release is rendered with these values.
Still = Callable[[Mapping[str, Any]], Awaitable[bool]]


async def find_value(stack: ValuesStack, still: Still) -> KeyPath | None:
    """The one value without which it is no longer so; None when there is not one such value.

    Asks at most twice for each halving of the values; the highest layers come first, where a new mistake is most likely.
    """
    paths = sorted(stack.winners(), key=lambda path: -stack.origin(path).kind)
    if not paths or await still(lacking(stack, paths)):
        return None
    while len(paths) > 1:
        half = len(paths) // 2
        halves = (paths[:half], paths[half:])
        for some in halves:
            if not await still(lacking(stack, some)):
                paths = some
                break
        else:
            return None
    return paths[0]


def lacking(stack: ValuesStack, paths: Iterable[KeyPath]) -> dict[str, Any]:
    """The values that are sent when the highest layer that sets one of ``paths`` does not set it."""
    layers = list(stack.layers)
    for path in paths:
        index = _highest(layers, path)
        if index is not None:
            layers[index] = replace(layers[index], values=_without(layers[index].values, path))
    return replace(stack, layers=tuple(layers)).merged()


def _highest(layers: Sequence[Layer], path: KeyPath) -> int | None:
    speaking = (
        index
        for index, layer in reversed(list(enumerate(layers)))
        if layer.kind not in CHART_KINDS and value_at(layer.values, path, _ABSENT) is not _ABSENT
    )
    return next(speaking, None)


def _without(values: Mapping[str, Any], path: KeyPath) -> dict[str, Any]:
    key, rest = path[0], path[1:]
    kept = {name: value for name, value in values.items() if name != key}
    if not rest:
        return kept
    below = _without(values[key], rest)
    return {**kept, key: below} if below else kept
