"""The few regular expressions that istiod writes into proxies, compared in linear time for each of their parts.

A proxy's configuration comes from elsewhere: an expression is taken apart here, never run. What istiod does not write is not read
(istio: pilot/pkg/security/authz/model/generator.go and matcher/string.go).
"""

import re
from collections.abc import Callable

from meshinstall.checks.authz.seen import UnknownError
from meshinstall.checks.authz.texts import Match

# Places in a text, and those where one part that begins at any of them may end.
_Places = frozenset[int]
_Part = Callable[[str, _Places], _Places]
_TOKEN = re.compile(
    r"(?P<some>\.\+)|(?P<any>\.\*)|(?P<segment>\[\^/\]\*)|(?P<before>\(\.\+/\|\))|(?P<after>\(/\.\+\)\?)|(?P<text>\\\W|[^\\.+*?()|\[\]{}^$])"
)
# Of an expression, and of a text that is compared with one.
_MOST_PARTS, _LONGEST = 24, 4_096


def matching_pattern(expression: str) -> Match:
    """Compare a whole text with an expression; a comparison raises UnknownError where the expression is not one of istiod's."""
    parts = _parts(expression)

    def match(text: str) -> bool:
        if parts is None:
            raise UnknownError("a regular expression that istiod does not write")
        if len(text) > _LONGEST or "\n" in text:
            raise UnknownError("whether a very long text, or one of several lines, meets a regular expression")
        places = frozenset({0})
        for part in parts:
            places = part(text, places)
        return len(text) in places

    return match


def _parts(expression: str) -> list[_Part] | None:
    """What stands one behind the other in it; None for what istiod does not write."""
    found: list[_Part] = []
    literal, at = "", 0
    while at < len(expression):
        token = _TOKEN.match(expression, at)
        if token is None or len(found) > _MOST_PARTS:
            return None
        at = token.end()
        if token.lastgroup == "text":
            literal += token[0][-1]
            continue
        found += [*([_text(literal)] if literal else []), _KINDS[token.lastgroup or ""]]
        literal = ""
    return [*found, *([_text(literal)] if literal else [])]


def _text(literal: str) -> _Part:
    return lambda text, places: frozenset(place + len(literal) for place in places if text.startswith(literal, place))


def _any(text: str, places: _Places) -> _Places:
    return frozenset(range(min(places), len(text) + 1)) if places else places


def _some(text: str, places: _Places) -> _Places:
    return frozenset(range(min(places) + 1, len(text) + 1)) if places else places


def _segment(text: str, places: _Places) -> _Places:
    """Up to the next slash."""
    found: set[int] = set()
    for place in sorted(places):
        if place not in found:
            end = text.find("/", place)
            found.update(range(place, (len(text) if end < 0 else end) + 1))
    return frozenset(found)


def _before(text: str, places: _Places) -> _Places:
    """Nothing, or what is there up to a slash and that slash."""
    return places | frozenset(place for place in _some(text, places) if text[place - 1] == "/" and place > min(places) + 1)


def _after(text: str, places: _Places) -> _Places:
    """Nothing, or a slash and what follows it."""
    first = next((place for place in sorted(places) if text.startswith("/", place)), None)
    return places if first is None else places | frozenset(range(first + 2, len(text) + 1))


_KINDS: dict[str, _Part] = {"some": _some, "any": _any, "segment": _segment, "before": _before, "after": _after}
