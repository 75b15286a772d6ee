"""Reads YAML from elsewhere with a bounded amount of work, and scalars as kubectl and helm do (sigs.k8s.io/yaml over go-yaml 2)."""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

# Levels of maps and lists.
_DEEPEST = 100
# Values when aliases and merge keys are expanded, which a few lines can make gigabytes of; an index of 2 MiB has 80,000.
MOST_VALUES = 500_000
# Lines that begin with %: the parser compares each %TAG with all before it, and gives no sign of life until it has read the last.
_MOST_DIRECTIVES = 100
_DIRECTIVE = re.compile("^%", re.MULTILINE)

# A line that ends one document and begins the next: at the start of a line it is nothing else, in block text neither (YAML 1.2, 9.1.2).
_BETWEEN = re.compile(r"^---(?=\s|$)", re.MULTILINE)
_INT = re.compile(r"([-+]?)(?:0b([01]+)|0x([0-9a-fA-F]+)|0o?([0-7]+)|([1-9][0-9]*|0))")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.inf|\.nan", re.IGNORECASE)
# Characters; the time to convert an integer grows with their square, and one of 64 bits has 66 without leading zeros.
_LONGEST_INT = 400
_MOST, _LEAST = 2**64 - 1, -(2**63)
_WORDS: Mapping[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
# Text in YAML 1.2.
_OLD_WORDS: Mapping[str, bool] = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "off", "Off", "OFF"), False),
}
_MERGE = "<<"
_STANDARD = "tag:yaml.org,2002:"
_TEXT_TAGS = frozenset({"!", f"{_STANDARD}str"})
_PLAIN_TAGS = frozenset(f"{_STANDARD}{name}" for name in ("bool", "float", "int", "null"))
_CONTAINER_TAGS = frozenset({"!", f"{_STANDARD}map", f"{_STANDARD}seq"})


def load(text: str | bytes, *, aliases: bool = True, most: int = MOST_VALUES) -> Any:
    """The document in ``text``, with text for every key; None when it is empty.

    Raises ValueError when it is not YAML, is nested too deep, has more than ``most`` values after its aliases and
    merge keys are expanded, or has aliases although ``aliases`` is false.
    """
    import yaml

    try:
        return _Builder(most, aliases=aliases).document(events(text if isinstance(text, str) else _decoded(text)))
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {error}") from error


def documents(text: str) -> Iterator[tuple[int, str]]:
    """The text of each document that is not empty, and how many lines are before it."""
    start = 0
    for mark in (*_BETWEEN.finditer(text), None):
        end = mark.start() if mark else len(text)
        if text[start:end].strip():
            yield text.count("\n", 0, start), text[start:end]
        start = mark.end() if mark else end


def events(text: str) -> Iterator[Any]:
    """The parser's events, in C where PyYAML was built with it; raises ValueError and, when they are taken, yaml.YAMLError."""
    import yaml

    if len(_DIRECTIVE.findall(text)) > _MOST_DIRECTIVES:
        raise ValueError(f"it has more than {_MOST_DIRECTIVES} lines that begin with %")
    return yaml.parse(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def plain(text: str) -> str | float | bool | None:
    """Value of an unquoted scalar (go-yaml 2, resolve.go) but for the words that only YAML 1.1 takes for booleans.

    An integer beyond 64 bits is a number with a fraction, which Go rounds it to; one that no such number can hold is text.
    """
    if text in _WORDS:
        return _WORDS[text]
    bare = _bare(text)
    if len(bare) <= _LONGEST_INT and (match := _INT.fullmatch(bare)):
        digits, base = next((digits, base) for digits, base in zip(match.groups()[1:], (2, 16, 8, 10), strict=True) if digits)
        found = int(match[1] + digits, base)
        if _LEAST <= found <= _MOST:
            return found
    if _NOT_FINITE.fullmatch(text):
        return math.inf
    if _FLOAT.fullmatch(bare) and math.isfinite(number := float(bare)):
        return number
    return text


def reads_as_text(text: str) -> bool:
    """Whether an unquoted scalar is the text itself to every reader: kubectl, helm and kustomize, by YAML 1.1 or 1.2."""
    return isinstance(plain(text), str) and text not in _OLD_WORDS


def is_integer(text: str) -> bool:
    """Whether an unquoted scalar is written as an integer, of whatever size."""
    return bool(_INT.fullmatch(_bare(text)))


def _bare(text: str) -> str:
    return text if text.startswith("_") else text.replace("_", "")


def _decoded(text: bytes) -> str:
    """As text; PowerShell writes UTF-16."""
    return text.decode("utf-16" if text.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig")


class _Builder:
    """Builds plain values from the events of one document, and counts them."""

    def __init__(self, most: int, *, aliases: bool) -> None:
        self._left = self._most = most
        self._aliases = aliases
        self._anchors: dict[str, tuple[Any, int]] = {}

    def document(self, found: Iterator[Any]) -> Any:
        self._next = found.__next__
        self._next()  # the stream starts
        if _kind(self._next()) == "StreamEnd":
            return None
        root = self._value(self._next(), 0)
        self._next()  # the document ends
        if _kind(self._next()) != "StreamEnd":
            raise ValueError("not YAML: it has a second document")
        return root

    def _count(self, more: int) -> None:
        self._left -= more
        if self._left < 0:
            raise ValueError(f"more than {self._most} values after aliases are expanded")

    def _value(self, event: Any, depth: int) -> Any:
        kind = _kind(event)
        if kind == "Alias":
            return self._alias(event)
        before = self._left
        self._count(1)
        if kind == "Scalar":
            built = _scalar(event)
        elif depth >= _DEEPEST:
            raise ValueError(f"nested too deep: more than {_DEEPEST} levels")
        elif event.tag and event.tag not in _CONTAINER_TAGS:
            raise _bad_tag(event)
        else:
            built = self._map(depth + 1) if kind == "MappingStart" else self._list(depth + 1)
        if event.anchor:
            self._anchors[event.anchor] = built, before - self._left
        return built

    def _alias(self, event: Any) -> Any:
        if not self._aliases:
            raise ValueError("it has aliases")
        # An anchor counts from its end on, so nothing can hold itself.
        if event.anchor not in self._anchors:
            raise ValueError(f"not YAML: the alias *{event.anchor[:40]} has no anchor before it")
        built, size = self._anchors[event.anchor]
        self._count(size)
        return built

    def _map(self, depth: int) -> dict[str, Any]:
        built: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        while _kind(event := self._next()) != "MappingEnd":
            if _kind(event) != "Scalar":
                raise ValueError("not YAML that has a value in JSON: a key must be text")
            value = self._value(self._next(), depth)
            if event.value == _MERGE and not event.style and not event.tag:
                _take_over(value, merged)
            else:
                built[_key(event)] = value
        return merged | built if merged else built

    def _list(self, depth: int) -> list[Any]:
        built = []
        while _kind(event := self._next()) != "SequenceEnd":
            built.append(self._value(event, depth))
        return built


def _take_over(value: Any, merged: dict[str, Any]) -> None:
    """Apply a merge key, whose maps were counted as values; of several the first wins."""
    for one in value if isinstance(value, list) else [value]:
        if not isinstance(one, dict):
            raise ValueError("not YAML: << accepts only maps")  # noqa: TRY004 - wrong is the document, not a caller
        for key, found in one.items():
            merged.setdefault(key, found)


def _key(event: Any) -> str:
    """As text, which sigs.k8s.io/yaml makes of each."""
    match _scalar(event):
        case None:
            raise ValueError("not YAML that has a value in JSON: a key must be text")
        case bool(word):
            return "true" if word else "false"
        case int(number):
            return str(number)
        case _:
            return str(event.value)


def _scalar(event: Any) -> Any:
    text: str = event.value
    if event.tag in _TEXT_TAGS or (event.style and not event.tag):
        return text
    if event.tag and event.tag not in _PLAIN_TAGS:
        raise _bad_tag(event)
    if text in _OLD_WORDS:
        return _OLD_WORDS[text]
    found = plain(text)
    if found == math.inf:
        raise ValueError(f"not YAML that has a value in JSON: {text} is not a finite number")
    return found


def _bad_tag(event: Any) -> ValueError:
    return ValueError(f"not YAML of plain values: the tag {event.tag[:80]} is not allowed")


def _kind(event: Any) -> str:
    """``MappingStart`` for PyYAML's MappingStartEvent; its classes are not imported before they are needed."""
    return type(event).__name__.removesuffix("Event")
