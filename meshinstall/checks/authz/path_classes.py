"""Classes of paths: those that exact paths, beginnings, ends and templates tell apart, as a proxy has normalised them.

With templates every combination of patterns that a path can meet is looked for letter by letter, by all patterns at once.
"""

import string
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from meshinstall.checks.authz.classes import REST, Class, Patterns, TooManyError
from meshinstall.checks.authz.paths import ANY, ONE, is_template, path_matching, path_of, pieces_of
from meshinstall.checks.authz.seen import UnknownError
from meshinstall.model.authz import Normalization

# The later ones are for what ends within an escape, or begins in one.
_FILLERS = ("zq0qz", "/zq0qz", "Fzq0qz", "2Fzq0qz", "zq0qz%", "zq0qz%2")
# States of the search for combinations of patterns.
_MOST = 20_000
# Characters that a template takes in a segment (checks/authz/paths.py), and the slash, which {**} takes too.
_SEGMENT = frozenset(string.ascii_letters + string.digits + "-._~%!$&'()+,;:@=")
_SEGMENTS = _SEGMENT | {"/"}


def paths(values: Iterable[str], how: Normalization) -> list[Class]:
    """Classes of the path of a request; raises TooManyError."""
    wanted = [one for one in dict.fromkeys(values) if path_matching(one) is not None]
    templates = [one for one in wanted if is_template(one)]
    plain = Patterns.of(one for one in wanted if not is_template(one))
    if templates:
        return list(_searched(templates, plain, how))
    found = plain.classes(lambda begin, end: _between(begin, end, how))
    return [one for one in found if _stays(one.value, how)]


def _between(begin: str, end: str, how: Normalization) -> list[str]:
    """A path with this beginning and end that is as a proxy leaves it; none where there is none."""
    found = ((begin or "/") + filler + end for filler in _FILLERS)
    return [text for text in found if _stays(text, how)][:1]


def _stays(path: str, how: Normalization) -> bool:
    """Whether a proxy compares it as it is; one with characters that are not read here never gets that far."""
    try:
        return path_of(path, how) == path
    except UnknownError:
        return False


@dataclass(frozen=True, slots=True)
class _Items:
    """A pattern as items, each a set of characters, None for every one; of those in ``loops`` there may be any number."""

    items: tuple[frozenset[str] | None, ...]
    loops: frozenset[int]

    def closed(self, places: Iterable[int]) -> frozenset[int]:
        """Places at which the next character may be."""
        found: set[int] = set()
        for start in places:
            place = start
            found.add(place)
            while place in self.loops:
                place += 1
                found.add(place)
        return frozenset(found)

    def step(self, places: frozenset[int], char: str) -> frozenset[int]:
        """The same after one more character."""
        taken = (place for place in places if place < len(self.items) and ((one := self.items[place]) is None or char in one))
        return self.closed(place if place in self.loops else place + 1 for place in taken)

    def ends(self, places: frozenset[int]) -> bool:
        """Whether nothing has to follow."""
        return len(self.items) in places


def _items(pattern: str) -> _Items:
    if is_template(pattern):
        pieces = pieces_of(pattern)
    else:
        begins, ends = pattern.endswith("*") and not pattern.startswith("*"), pattern.startswith("*")
        pieces = [pattern[:-1], REST] if begins else [REST, pattern[1:]] if ends else [pattern]
    items: list[frozenset[str] | None] = []
    loops: set[int] = set()
    for piece in pieces:
        if piece == ONE:
            items.append(_SEGMENT)
        if piece in {ONE, ANY, REST}:
            loops.add(len(items))
            items.append({ONE: _SEGMENT, ANY: _SEGMENTS}.get(piece))
        else:
            items += [frozenset(char) for char in piece]
    return _Items(tuple(items), frozenset(loops))


def _searched(templates: Sequence[str], plain: Patterns, how: Normalization) -> Iterator[Class]:
    """One path for each combination of patterns that a path can meet, the shortest; raises TooManyError."""
    names = [*templates, *plain.exact, *(f"{one}*" for one in plain.begins), *(f"*{one}" for one in plain.ends)]
    every = [_items(name) for name in names]
    used = frozenset(char for one in every for item in one.items if item is not None and len(item) == 1 for char in item)
    fresh = next(char for char in string.ascii_letters + string.digits if char not in used)
    letters = [fresh, *sorted(char for char in used | {"/", "*"} if char in "/.%" or _stays(f"/{char}", how))]
    start = ("", tuple(one.step(one.closed((0,)), "/") for one in every))
    reached, waiting, found = {start}, deque([("/", start)]), set()
    while waiting:
        path, (segment, places) = waiting.popleft()
        matched = frozenset(name for name, one, at in zip(names, every, places, strict=True) if one.ends(at))
        if matched not in found and _stays(path, how):
            found.add(matched)
            exact = matched.intersection(plain.exact)
            yield Class(path, next(iter(exact)) if exact else " and ".join(sorted(matched)) or REST, matched)
        for char in letters:
            if char == "/" and not _may_end(segment, how):
                continue
            state = (_segment(segment, char), tuple(one.step(at, char) for one, at in zip(every, places, strict=True)))
            if state not in reached:
                reached.add(state)
                waiting.append((path + char, state))
        if len(reached) > _MOST:
            raise TooManyError(f"templates of paths with more than {_MOST:,} intermediate states")


def _may_end(segment: str, how: Normalization) -> bool:
    """Whether a slash after it leaves the path as it is."""
    if how is Normalization.NONE:
        return True
    return segment == "x" or (segment == "" and how is Normalization.BASE)


def _segment(segment: str, char: str) -> str:
    """What of a segment may change the path: that it is empty, one dot or two."""
    return "" if char == "/" else segment + char if segment + char in {".", ".."} else "x"
