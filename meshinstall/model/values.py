"""Helm values in layers: who set what, where, and who won."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from meshinstall.errors import Problem

# A path of keys into nested maps: ("pilot", "autoscaleMin").
KeyPath = tuple[str, ...]
Values = Mapping[str, Any]


def value_at(values: Any, path: Iterable[str], default: Any = None) -> Any:
    """The value under a path of keys; ``default`` where a key is missing or stands under something that is not a map."""
    for key in path:
        if not isinstance(values, Mapping) or key not in values:
            return default
        values = values[key]
    return values


class LayerKind(IntEnum):
    """Where a layer of values comes from; the higher wins."""

    CHART = 0
    CHART_PROFILE = 1
    COMPONENT = 2
    PROFILE = 3
    CLOUD = 4
    PROJECT = 5
    ENVIRONMENT = 6
    CLUSTER = 7
    FILE = 8
    FLAG = 9


# Helm adds these itself; they are shown by explain and never sent.
CHART_KINDS = frozenset({LayerKind.CHART, LayerKind.CHART_PROFILE})


@dataclass(frozen=True, slots=True)
class Origin:
    """Where one value was written; ``line`` and ``column`` count from 1, 0 when there is no line."""

    kind: LayerKind
    source: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        """``file:line``, or what stands for it."""
        return f"{self.source}:{self.line}" if self.line else self.source

    def problem(self, text: str, hint: str = "") -> Problem:
        """A mistake at this place."""
        return Problem(self.source, self.line, self.column, text, hint)


@dataclass(frozen=True, slots=True)
class Layer:
    """The values of one source; ``positions`` maps key paths to (line, column)."""

    kind: LayerKind
    source: str
    values: Values
    positions: Mapping[KeyPath, tuple[int, int]] = field(default_factory=dict)

    def origin(self, path: KeyPath) -> Origin:
        """Where this layer wrote ``path``; the nearest written parent otherwise."""
        for length in range(len(path), 0, -1):
            if path[:length] in self.positions:
                return Origin(self.kind, self.source, *self.positions[path[:length]])
        return Origin(self.kind, self.source)


@dataclass(frozen=True, slots=True)
class Spoken:
    """The value that one layer sets at a key path; ``deletes`` when it is null."""

    origin: Origin
    value: object
    wins: bool
    deletes: bool = False
