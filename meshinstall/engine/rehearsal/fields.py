"""Compares an object as it will be rendered with what is there, field by field; pure.

What the server or a controller adds is no change: of the live object only those fields count that the new or the last rendering has.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from meshinstall.engine.objects.field_names import names_of
from meshinstall.engine.objects.field_paths import ABSENT, Path, dotted, field_at
from meshinstall.engine.plan.compare import changed, exact
from meshinstall.model.diff import FieldChange
from meshinstall.model.release import Manifest
from meshinstall.model.secrets import HIDDEN, SECRET_DATA, pair
from meshinstall.model.yaml_text import load

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
    """A field that differs; ABSENT where there is none. ``names`` say what it is for, empty where its place does."""

    place: Place
    before: Any
    after: Any
    names: tuple[str, ...] = ()


def field_changes(last: Manifest, wanted: Manifest, live: Manifest) -> Iterator[Field]:
    """What of ``live`` changes when ``wanted`` is sent; ``last`` is what was sent before, {} for nothing."""
    seen = set()
    for path in changed(wanted, live):
        seen.add(path)
        yield from _opened(path, field_at(live, path), field_at(wanted, path), names_of(path, live, wanted))
    for path in changed(last, wanted):
        if path not in seen and field_at(wanted, path) is ABSENT and (before := field_at(live, path)) is not ABSENT:
            yield Field(Place(path), before, ABSENT, names_of(path, live, last))


def leaves(manifest: Manifest) -> Iterator[Field]:
    """Every field of an object that is new, but those that name it."""
    named = {"apiVersion", "kind", "metadata", "status"}
    for one in exact({key: value for key, value in manifest.items() if key not in named}, ABSENT):
        yield Field(Place(one.path), ABSENT, one.wanted, names_of(one.path, manifest))


def value_at(manifest: Manifest, place: Place) -> Any:
    """What an object has at a place; ABSENT where there is nothing."""
    value = field_at(manifest, place.outer)
    return field_at(_document(value), place.inner) if place.inner else value


def shown(kind: str, field: Field, origin: str = "") -> FieldChange:
    """A field as it may be shown: never a secret."""
    before, after = (None if value is ABSENT else value for value in (field.before, field.after))
    path = (*field.place.outer, *field.place.inner)
    if kind == "Secret" and path[0] in SECRET_DATA:
        before, after = (None if value is None else HIDDEN for value in (before, after))
    else:
        before, after = pair(before, after, *(field.names or names_of(path)))
    return FieldChange(str(field.place), before, after, origin)


def _opened(path: Path, before: Any, after: Any, names: tuple[str, ...]) -> Iterator[Field]:
    """The fields of a document that is kept in a text, such as the mesh configuration; the text as a whole where it is none."""
    old, new = _document(before), _document(after)
    if old is None or new is None:
        yield Field(Place(path), before, after, names)
        return
    found = tuple(exact(new, old))
    # Paths are those of the old document; where an item has another name now, that is a difference too.
    renamed = {one.path[:-1]: str(one.wanted) for one in found if one.path[-1:] == ("name",)}
    for one in found:
        also = (renamed[one.path[:-1]],) if one.path[:-1] in renamed else ()
        yield Field(Place(path, one.path), one.live, one.wanted, (*names_of(one.path, old), *also))


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
