"""Compares objects: with what the server adds allowed, or exactly; pure."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from meshinstall.engine.objects.field_paths import ABSENT, Item, Path, dotted
from meshinstall.model.paths import LIST_KEYS
from meshinstall.model.quantity import quantity
from meshinstall.model.release import Manifest

# Lists that admission controllers of platforms add to (AKS' admissions enforcer).
_ADDED_TO = "matchExpressions"
_QUANTITIES = frozenset({"requests", "limits", "hard", "capacity"})
# Of an object itself, or of the server.
_NOT_COMPARED = frozenset({"apiVersion", "kind", "status"})
_SERVERS = frozenset({("metadata", "namespace"), ("metadata", "creationTimestamp")})


def differences(wanted: Manifest, live: Manifest) -> list[str]:
    """Paths of everything in ``wanted`` that ``live`` does not have so, as people read them."""
    return [dotted(path) for path in changed(wanted, live)]


def changed(wanted: Manifest, live: Manifest) -> Iterator[Path]:
    """Paths of everything in ``wanted`` that ``live`` does not have so; what the server adds is no difference."""
    return _compare({key: value for key, value in wanted.items() if key not in _NOT_COMPARED}, live, ())


class Difference(NamedTuple):
    """A field that is not the same on both sides; ABSENT where there is none."""

    path: Path
    wanted: Any
    live: Any


def exact(wanted: Any, live: Any, path: Path = ()) -> Iterator[Difference]:
    """Everything that is not the same on both sides, what only ``live`` has included; the order of a list does not count."""
    return _exact(wanted, live, path, _in_any_order)


def exact_in_order(wanted: Any, live: Any, path: Path = ()) -> Iterator[Difference]:
    """The same where the order of a list counts, as that of routes does: the first that matches is taken."""
    return _exact(wanted, live, path, _in_order)


def _exact(wanted: Any, live: Any, path: Path, of_others: Callable[[Any, Any, Path], Iterator[Difference]]) -> Iterator[Difference]:
    """Maps key by key; ``of_others`` compares what is no map on both sides."""
    if is_nothing(wanted) and is_nothing(live):
        return
    if isinstance(wanted, Mapping) and (live is ABSENT or isinstance(live, Mapping)):
        there: Mapping[str, Any] = live if isinstance(live, Mapping) else {}
        for key in dict.fromkeys((*wanted, *there)):
            yield from _exact(wanted.get(key, ABSENT), there.get(key, ABSENT), (*path, key), of_others)
    else:
        yield from of_others(wanted, live, path)


def _in_any_order(wanted: Any, live: Any, path: Path) -> Iterator[Difference]:
    if isinstance(wanted, list) and isinstance(live, list):
        yield from _exact_lists(wanted, live, path)
    elif _canonical(wanted) != _canonical(live):
        yield Difference(path, wanted, live)


def _in_order(wanted: Any, live: Any, path: Path) -> Iterator[Difference]:
    if isinstance(wanted, list) and isinstance(live, list) and len(wanted) == len(live):
        for index, (here, other) in enumerate(zip(wanted, live, strict=True)):
            yield from exact_in_order(here, other, (*path, index))
    elif wanted is ABSENT or live is ABSENT or not _same_value(wanted, live):
        yield Difference(path, wanted, live)


def _same_value(one: Any, other: Any) -> bool:
    return bool(isinstance(one, bool) == isinstance(other, bool) and one == other)


def narrowed(one: Difference) -> tuple[Difference, ...]:
    """The same as people want to read it: of maps and lists, what only one side has."""
    found = []
    for inner in exact(one.wanted, one.live, one.path):
        if isinstance(inner.wanted, list) and isinstance(inner.live, list):
            mine, theirs = Counter(map(_canonical, inner.wanted)), Counter(map(_canonical, inner.live))
            more = [item for item in inner.live if not _takes(mine, item)]
            less = [item for item in inner.wanted if not _takes(theirs, item)]
            found.append(Difference(inner.path, less or ABSENT, more or ABSENT))
        else:
            found.append(inner)
    return tuple(found) or (one,)


def is_nothing(value: Any) -> bool:
    """Whether a value says nothing: {}, [], "" and null do not, nor does a map of such values."""
    if isinstance(value, Mapping):
        return all(is_nothing(one) for one in value.values())
    return value is ABSENT or (not value and not isinstance(value, bool | int | float))


def _exact_lists(wanted: list[Any], live: list[Any], path: Path) -> Iterator[Difference]:
    mine, theirs = Counter(map(_canonical, wanted)), Counter(map(_canonical, live))
    if mine == theirs:
        return
    left = [(index, item) for index, item in enumerate(live) if not _takes(mine, item)]
    missing = [item for item in wanted if not _takes(theirs, item)]
    if len(left) == len(missing) and all(isinstance(item, Mapping) for item in (*missing, *(item for _, item in left))):
        for (index, there), here in zip(left, missing, strict=True):
            yield from exact(here, there, (*path, index))
    else:
        yield Difference(path, wanted, live)


def _takes(items: Counter[str], item: Any) -> bool:
    name = _canonical(item)
    items[name] -= 1
    return items[name] >= 0


def _canonical(value: Any) -> str:
    """One text for all ways to write the same."""
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key!r}:{_canonical(value[key])}" for key in sorted(value, key=str) if not is_nothing(value[key])) + "}"
    if isinstance(value, list):
        return "[" + ",".join(sorted(map(_canonical, value))) + "]"
    return repr(value)


def _compare(wanted: Any, live: Any, path: Path) -> Iterator[Path]:
    if not wanted and not live and not isinstance(live, bool | int):
        # {} and [] and "" are the server's way to say nothing.
        return
    if isinstance(wanted, Mapping) and isinstance(live, Mapping):
        for key, value in wanted.items():
            if key not in live and not value:
                continue
            if (inner := (*path, key)) not in _SERVERS:
                yield from _compare(value, live.get(key), inner)
    elif isinstance(wanted, list) and isinstance(live, list):
        yield from _compare_lists(wanted, live, path)
    elif not _same(wanted, live, path):
        yield path


def _compare_lists(wanted: list[Any], live: list[Any], path: Path) -> Iterator[Path]:
    key = list_key(wanted, live)
    if key:
        there = {item[key]: item for item in live}
        for item in wanted:
            inner = (*path, Item(key, item[key]))
            if item[key] in there:
                yield from _compare(item, there[item[key]], inner)
            else:
                yield inner
    elif path and path[-1] == _ADDED_TO:
        yield from (path for item in wanted if item not in live)
    elif len(wanted) != len(live):
        yield path
    else:
        for index, (one, other) in enumerate(zip(wanted, live, strict=True)):
            yield from _compare(one, other, (*path, index))


def list_key(wanted: list[Any], live: list[Any]) -> str:
    """What names the items of both lists; empty when nothing does."""
    for key in LIST_KEYS:
        names = [[item.get(key) if isinstance(item, Mapping) else None for item in items] for items in (wanted, live)]
        if wanted and all(None not in some and len(set(map(str, some))) == len(some) for some in names):
            return key
    return ""


def _same(wanted: Any, live: Any, path: Path) -> bool:
    if wanted == live or (wanted is None and not live):
        return True
    if not _QUANTITIES.isdisjoint(path[:-1]) and (one := quantity(wanted)) is not None:
        return one == quantity(live)
    return not isinstance(live, Mapping | list) and not isinstance(wanted, bool) and str(wanted) == str(live)
