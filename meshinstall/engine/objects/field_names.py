"""Says what the value of a field is for: the names by which it is decided whether it is shown; pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from meshinstall.engine.objects.field_paths import ABSENT, Item, Path, field_at
from meshinstall.model.secret_names import inherits

_VALUE = "value"
_NAMING = ("name", "key", "header")
_ARGUMENTS = frozenset({"args", "command"})
# The value of an item that nobody can name may be anything.
_UNKNOWN = "secret"


def names_of(path: Path, *objects: Any) -> tuple[str, ...]:
    """Names for a path: its last key, or what names the item it is in; ``objects`` have the items that it gives by their index."""
    return tuple(_names(path, objects))


def _names(path: Path, objects: tuple[Any, ...]) -> Iterator[str]:
    last, above = path[-1], path[-2] if len(path) > 1 else ""
    if isinstance(last, Item):
        yield str(last.value)
    elif isinstance(last, int):
        yield from (above,) if isinstance(above, str) else ()
        yield from _of_argument(path, last, objects)
    else:
        yield last
        if last == _VALUE:
            yield from _of_item(path[:-1], above, objects)
        elif isinstance(above, str) and inherits(above, last):
            yield above


def _of_item(path: Path, part: str | int | Item, objects: tuple[Any, ...]) -> Iterator[str]:
    if isinstance(part, Item):
        yield str(part.value)
    elif isinstance(part, str):
        yield part
    else:
        items = [item for one in objects if isinstance(item := field_at(one, path), Mapping)]
        found = [str(item[key]) for item in items for key in _NAMING if key in item]
        yield from found or (_UNKNOWN,)


def _of_argument(path: Path, index: int, objects: tuple[Any, ...]) -> Iterator[str]:
    """The flag in front of an argument."""
    lists = [found for one in objects if (found := field_at(one, path[:-1])) is not ABSENT]
    if not lists and len(path) > 1 and path[-2] in _ARGUMENTS:
        yield _UNKNOWN
    for one in lists:
        before = one[index - 1] if isinstance(one, list) and 0 < index <= len(one) else ""
        if isinstance(before, str) and before.startswith("-"):
            yield before.lstrip("-")
