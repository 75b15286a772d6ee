"""Layers of Helm values put on top of each other by Helm's rules, with the winners kept."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from meshinstall.model.values import CHART_KINDS, KeyPath, Layer, Origin, Spoken, Values

_ABSENT = object()


@dataclass(frozen=True, slots=True)
class ValuesStack:
    """Layers of one release, lowest first.

    ``unsent`` are paths at which a null wins that is not sent: where the chart has nothing to delete, Helm would render the null.
    """

    layers: tuple[Layer, ...] = ()
    unsent: frozenset[KeyPath] = frozenset()

    def merged(self) -> dict[str, Any]:
        """Return what is sent to Helm: every layer but the chart's own.

        A null stays in the result: Helm deletes the chart's default by it (helm: CoalesceValues).
        """
        return _without(self._sent().effective(), self.unsent)

    def effective(self) -> dict[str, Any]:
        """Return all layers merged, the chart's own included."""
        result: dict[str, Any] = {}
        for layer in self.layers:
            result = merge(result, layer.values)
        return result

    def explain(self, path: KeyPath) -> tuple[Spoken, ...]:
        """Return what each layer sets at ``path``, lowest first; the winner is marked.

        A layer that writes null or a plain value at a parent of ``path`` deletes everything below it.
        """
        spoken = [(layer, value) for layer in self.layers if (value := _look_up(layer.values, path)) is not _ABSENT]
        return tuple(
            Spoken(layer.origin(path), value, wins=position == len(spoken), deletes=value is None)
            for position, (layer, value) in enumerate(spoken, start=1)
        )

    def origin(self, path: KeyPath) -> Origin:
        """Who wrote what counts at ``path``; raises IndexError when nobody did."""
        return self.explain(path)[-1].origin

    def winners(self) -> dict[KeyPath, Spoken]:
        """Map every leaf of what is sent to the layer that decided it; lists, nulls and empty maps are leaves."""
        sent = self._sent()
        return {path: sent.explain(path)[-1] for path in leaves(sent.effective())}

    def _sent(self) -> "ValuesStack":
        return ValuesStack(tuple(layer for layer in self.layers if layer.kind not in CHART_KINDS))


def _without(values: Values, unsent: frozenset[KeyPath], prefix: KeyPath = ()) -> dict[str, Any]:
    """Leave out the nulls at ``unsent``, and maps that held nothing else."""
    if not any(path[: len(prefix)] == prefix for path in unsent):
        return dict(values)
    result: dict[str, Any] = {}
    for key, value in values.items():
        path = (*prefix, key)
        if value is None and path in unsent:
            continue
        kept = _without(value, unsent, path) if isinstance(value, Mapping) else value
        if kept or not isinstance(value, Mapping) or not value:
            result[key] = kept
    return result


def merge(below: Values, above: Values) -> dict[str, Any]:
    """Merge two values by the rules of helm's ``-f a -f b``: maps merge, all else replaces, null included."""
    result = {key: _copy(value) for key, value in below.items()}
    for key, value in above.items():
        under = result.get(key)
        result[key] = merge(under, value) if isinstance(value, Mapping) and isinstance(under, Mapping) else _copy(value)
    return result


def leaves(values: Values, prefix: KeyPath = ()) -> Iterator[KeyPath]:
    """Paths of everything in ``values`` that is not a map with something in it."""
    for key, value in values.items():
        path = (*prefix, key)
        if isinstance(value, Mapping) and value:
            yield from leaves(value, path)
        else:
            yield path


def _look_up(values: Values, path: KeyPath) -> object:
    """Value at ``path``; None when a parent is written as something else than a map; _ABSENT when not mentioned."""
    value: object = values
    for key in path:
        if not isinstance(value, Mapping):
            return None
        if key not in value:
            return _ABSENT
        value = value[key]
    return value


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, (list, tuple)) else value
