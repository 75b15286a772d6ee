"""Compares an object as it will be rendered with what is there, field by field; pure.

What the server or a controller adds is no change: of the live object only those fields count that the new or the last rendering has.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from meshinstall.config.secrets import hides
from meshinstall.engine.objects.field_paths import ABSENT, Item, Path, dotted, field_at
from meshinstall.engine.plan.compare import changed, exact
from meshinstall.model.diff import FieldChange
from meshinstall.model.release import Manifest
from meshinstall.model.yaml_text import load

HIDDEN = "(not shown)"
_SECRET_FIELDS = frozenset({"data", "stringData"})
# Characters of a text that is read as YAML: the injector's template has 60,000.
_READ = 200_000


class Place(NamedTuple):
    """Where a field is: its path in the object, and for a document kept in a text the path in that document."""

    outer: Path
    inner: Path = ()

    def __str__(self) -> str:
        """As people read it."""
        return dotted((*self.outer, *self.inner))


class Field(NamedTuple):
    """A field that differs; ABSENT where there is none."""

    place: Place
    before: Any
    after: Any


def field_changes(last: Manifest, wanted: Manifest, live: Manifest) -> Iterator[Field]:
    """What of ``live`` changes when ``wanted`` is sent; ``last`` is what was sent before, {} for nothing."""
    seen = set()
    for path in changed(wanted, live):
        seen.add(path)
        yield from _opened(path, field_at(live, path), field_at(wanted, path))
    for path in changed(last, wanted):
        if path not in seen and field_at(wanted, path) is ABSENT and (before := field_at(live, path)) is not ABSENT:
            yield Field(Place(path), before, ABSENT)


def leaves(manifest: Manifest) -> Iterator[Field]:
    """Every field of an object that is new, but those that name it."""
    named = {"apiVersion", "kind", "metadata", "status"}
    for one in exact({key: value for key, value in manifest.items() if key not in named}, ABSENT):
        yield Field(Place(one.path), ABSENT, one.wanted)


def value_at(manifest: Manifest, place: Place) -> Any:
    """What an object has at a place; ABSENT where there is nothing."""
    value = field_at(manifest, place.outer)
    return field_at(_document(value), place.inner) if place.inner else value


def shown(kind: str, field: Field, origin: str = "") -> FieldChange:
    """A field as it may be shown: never a secret."""
    before, after = (_shown(kind, field.place, value) for value in (field.before, field.after))
    return FieldChange(str(field.place), before, after, origin)


def _shown(kind: str, place: Place, value: Any) -> Any:
    if value is ABSENT:
        return None
    path = (*place.outer, *place.inner)
    if (kind == "Secret" and path[0] in _SECRET_FIELDS) or hides(value, _name(path)):
        return HIDDEN
    return value


def _name(path: Path) -> str:
    """What says what a value is for: the last key, or the name of the item of an env."""
    last = path[-1]
    if isinstance(last, str):
        above = path[-2] if len(path) > 1 else ""
        return str(above.value) if last == "value" and isinstance(above, Item) else last
    return str(last.value) if isinstance(last, Item) else next((part for part in reversed(path) if isinstance(part, str)), "")


def _opened(path: Path, before: Any, after: Any) -> Iterator[Field]:
    """The fields of a document that is kept in a text, such as the mesh configuration; the text as a whole where it is none."""
    old, new = _document(before), _document(after)
    if old is None or new is None:
        yield Field(Place(path), before, after)
        return
    for one in exact(new, old):
        yield Field(Place(path, one.path), one.live, one.wanted)


def _document(value: Any) -> Mapping[str, Any] | None:
    return _parsed(value) if isinstance(value, str) and len(value) <= _READ and ("\n" in value or value.startswith("{")) else None


# Each field of a document is looked up in every rendering of it.
@lru_cache(maxsize=64)
def _parsed(text: str) -> Mapping[str, Any] | None:
    try:
        found = load(text, aliases=False)
    except ValueError:
        return None
    return found if isinstance(found, Mapping) else None
