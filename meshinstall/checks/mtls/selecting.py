"""Finds what selectors select without comparing each with all: by one label first."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

_Thing = TypeVar("_Thing")
_Label = tuple[str, str]


class Selecting(Generic[_Thing]):
    """Things that have selectors, in their order; those with an empty one select nothing here."""

    def __init__(self, things: Iterable[_Thing], selector: Callable[[_Thing], Mapping[str, str]]) -> None:
        self._selector = selector
        self._by_label: dict[_Label, list[tuple[int, _Thing]]] = {}
        for order, thing in enumerate(things):
            if label := next(iter(selector(thing).items()), None):
                self._by_label.setdefault(label, []).append((order, thing))

    def of(self, labels: Mapping[str, str]) -> list[_Thing]:
        """Those that select something with these labels."""
        near = (pair for label in labels.items() for pair in self._by_label.get(label, ()))
        found = [(order, thing) for order, thing in near if self._selector(thing).items() <= labels.items()]
        return [thing for _, thing in sorted(found, key=lambda pair: pair[0])]


class Selected(Generic[_Thing]):
    """Things that have labels."""

    def __init__(self, things: Iterable[_Thing], labels: Callable[[_Thing], Mapping[str, str]]) -> None:
        self._labels = labels
        self._by_label: dict[_Label, list[_Thing]] = {}
        for thing in things:
            for label in labels(thing).items():
                self._by_label.setdefault(label, []).append(thing)

    def by(self, selector: Mapping[str, str]) -> Sequence[_Thing]:
        """Those that a selector selects, in their order; an empty one selects nothing here."""
        near = min((self._by_label.get(label, []) for label in selector.items()), key=len, default=[])
        return [thing for thing in near if selector.items() <= self._labels(thing).items()]
