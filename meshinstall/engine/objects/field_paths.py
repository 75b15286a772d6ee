"""Paths of fields in objects, where an item of a list goes by its name; pure."""

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from typing import Any, NamedTuple

ABSENT = object()


class Item(NamedTuple):
    """The item of a list of objects whose field ``key`` has this value."""

    key: str
    value: Any


# A key of a map, an index of a list, or an item of one.
Path = tuple[str | int | Item, ...]

REPLICAS: Path = ("spec", "replicas")


def dotted(path: Path) -> str:
    """As people read it: ``spec.containers[discovery].image``."""
    text = ""
    for part in path:
        if isinstance(part, Item):
            text += f"[{part.value}]"
        else:
            text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def field_at(value: Any, path: Iterable[str | int | Item]) -> Any:
    """What is at a path; ABSENT where there is nothing."""
    for part in path:
        if isinstance(part, str):
            value = value.get(part, ABSENT) if isinstance(value, Mapping) else ABSENT
        elif not isinstance(value, Sequence) or isinstance(value, str):
            return ABSENT
        else:
            index = _index(value, part)
            value = ABSENT if index is None else value[index]
    return value


def with_field(value: Any, path: Path, new: Any) -> Any:
    """A copy with ``new`` at a path, and all else as it is; ABSENT removes what is there. Raises KeyError where no such list item is."""
    if not path:
        return deepcopy(new)
    part, rest = path[0], path[1:]
    if isinstance(part, str):
        inner = value if isinstance(value, Mapping) else {}
        if not rest and new is ABSENT:
            return {name: one for name, one in inner.items() if name != part}
        return {**inner, part: with_field(inner.get(part), rest, new)}
    items = list(value) if isinstance(value, Sequence) and not isinstance(value, str) else []
    index = _index(items, part)
    if index is None:
        if rest or new is ABSENT:
            raise KeyError(dotted((part,)))
        return [*items, deepcopy(new)]
    changed = [] if not rest and new is ABSENT else [with_field(items[index], rest, new)]
    return [*items[:index], *changed, *items[index + 1 :]]


def merge_patch(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """What makes ``after`` of ``before``: a JSON merge patch (RFC 7396), empty when they are the same."""
    found: dict[str, Any] = {name: None for name in before if name not in after}
    for name, new in after.items():
        old = before.get(name, ABSENT)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            if inner := merge_patch(old, new):
                found[name] = inner
        elif old is ABSENT or old != new:
            found[name] = deepcopy(new)
    return found


def correction(live: Mapping[str, Any], fields: Iterable[tuple[Path, Any]]) -> dict[str, Any]:
    """The patch that gives fields of an object these values, ABSENT for none; empty when they have them."""
    wanted: Any = live
    for path, value in fields:
        wanted = with_field(wanted, path, value)
    return merge_patch(live, wanted)


def _index(items: Sequence[Any], part: int | Item) -> int | None:
    if isinstance(part, int):
        return part if part < len(items) else None
    return next((index for index, item in enumerate(items) if isinstance(item, Mapping) and item.get(part.key) == part.value), None)
