"""Reads YAML with the line and column of every key; refuses tags, alias bombs, and words that YAML 1.1 and 1.2 read differently.

Plain scalars are read as helm reads them (go-yaml 2: 0644 is octal, 1.0 a float), except the words that YAML 1.1
takes for booleans (yes, no, on, off, y, n): those are an error, because the reader and helm may disagree on them.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from meshinstall.errors import Problem
from meshinstall.model.values import KeyPath, Layer, LayerKind
from meshinstall.model.yaml_text import events, is_integer, plain

MAX_BYTES = 1024 * 1024
# Values after aliases are written out, and levels of nesting; Istio's largest values file has 500 and 7.
MAX_NODES = 50_000
MAX_DEPTH = 50
# Characters of a value in a message.
_SHOWN = 40

Position = tuple[int, int]

_AMBIGUOUS = frozenset({"yes", "no", "on", "off", "y", "n"})


@dataclass(frozen=True, slots=True)
class Document:
    """A YAML file whose root is a map; ``positions`` has the place of every key and list item."""

    source: str
    values: Mapping[str, Any] = field(default_factory=dict)
    positions: Mapping[KeyPath, Position] = field(default_factory=dict)

    def place(self, path: KeyPath) -> Position:
        """Line and column of ``path``, or of its nearest written parent; (0, 0) for the whole file."""
        return next((self.positions[path[:end]] for end in range(len(path), 0, -1) if path[:end] in self.positions), (0, 0))

    def problem(self, path: KeyPath, text: str, hint: str = "") -> Problem:
        """A mistake at ``path``."""
        return Problem(self.source, *self.place(path), text, hint)

    def layer(self, kind: LayerKind, path: KeyPath = ()) -> Layer | None:
        """The values under ``path`` as a layer; None when there are none."""
        values: Any = self.values
        for key in path:
            values = values.get(key) if isinstance(values, Mapping) else None
        if not values or not isinstance(values, Mapping):
            return None
        depth = len(path)
        return Layer(
            kind, self.source, values, {key[depth:]: at for key, at in self.positions.items() if key[:depth] == path and len(key) > depth}
        )


def read(path: Path, source: str, problems: list[Problem], *, numbers_are_keys: bool = False) -> Document:
    """Parse the file at ``path``, called ``source`` in messages; what is wrong is added to ``problems``."""
    text = read_text(path, source, problems)
    return Document(source) if text is None else parse(text, source, problems, numbers_are_keys=numbers_are_keys)


def read_text(path: Path, source: str, problems: list[Problem]) -> str | None:
    """The text of a file; None where it cannot be read, which is added to ``problems``."""
    try:
        if not path.is_file():
            problems.append(Problem(source, 0, 0, "there is no such file"))
            return None
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            problems.append(
                Problem(source, 0, 0, f"larger than {MAX_BYTES // 1024} KiB", "values files are small; is this the right file?")
            )
            return None
        return content.decode()
    except OSError as error:
        problems.append(Problem(source, 0, 0, f"cannot be read: {error.strerror}"))
    except UnicodeDecodeError as error:
        problems.append(Problem(source, 0, 0, f"is not UTF-8 text (byte {error.start})"))
    return None


def parse(text: str, source: str, problems: list[Problem], *, numbers_are_keys: bool = False) -> Document:
    """Parse YAML text; an empty one is an empty map. What is wrong is added to ``problems``.

    With ``numbers_are_keys`` a key that is a whole number is its text, as for kubectl: portLevelMtls has such keys.
    """
    from yaml import MarkedYAMLError, YAMLError

    reader = _Reader(source, problems, numbers_are_keys=numbers_are_keys)
    try:
        return reader.document(events(text))
    except _StopReadingError as stop:
        problems.append(stop.problem)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        problems.append(Problem(source, line, column, f"not valid YAML: {error.problem or error.context}"))
    except YAMLError as error:
        problems.append(Problem(source, 0, 0, f"not valid YAML: {getattr(error, 'reason', 'unreadable characters')}"))
    except ValueError as error:
        problems.append(Problem(source, 0, 0, f"not valid YAML: {error}"))
    return Document(source)


class _StopReadingError(Exception):
    """The rest of the file makes no sense or costs too much."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.text)
        self.problem = problem


class _Reader:
    """Builds plain values from the events of one YAML stream."""

    def __init__(self, source: str, problems: list[Problem], *, numbers_are_keys: bool) -> None:
        self.source = source
        self.problems = problems
        self.numbers_are_keys = numbers_are_keys
        self.positions: dict[KeyPath, Position] = {}
        self.anchors: dict[str, Any] = {}
        self.nodes = 0

    def document(self, events: Iterator[Any]) -> Document:
        self.events = events
        self.next()  # the stream starts
        if _kind(self.next()) == "StreamEnd":
            return Document(self.source)
        event = self.next()
        root = self.value(event, ())
        self.next()  # the document ends
        if _kind(extra := self.next()) != "StreamEnd":
            self.stop(extra, "a second YAML document", "write one document in each file")
        if root is not None and not isinstance(root, dict):
            self.stop(event, "must be a map of keys and values")
        return Document(self.source, root or {}, self.positions)

    def next(self) -> Any:
        return next(self.events)

    def stop(self, event: Any, text: str, hint: str = "") -> None:
        raise _StopReadingError(self.at(event, text, hint))

    def at(self, event: Any, text: str, hint: str = "") -> Problem:
        return Problem(self.source, *_place(event), text, hint)

    def value(self, event: Any, path: KeyPath) -> Any:
        kind = _kind(event)
        if kind == "Alias":
            return self.alias(event)
        self.count(event, 1)
        if len(path) > MAX_DEPTH:
            self.stop(event, f"nested deeper than {MAX_DEPTH} levels")
        if event.tag:
            self.problems.append(self.at(event, f"the tag {event.tag} is not allowed", "write the plain value"))
        if kind == "MappingStart":
            built: Any = self.map(path)
        elif kind == "SequenceStart":
            built = self.list(path)
        else:
            built = self.scalar(event)
        if event.anchor:
            self.anchors[event.anchor] = built
        return built

    def count(self, event: Any, more: int) -> None:
        self.nodes += more
        if self.nodes > MAX_NODES:
            self.stop(event, f"more than {MAX_NODES} values after aliases are expanded")

    def alias(self, event: Any) -> Any:
        if event.anchor not in self.anchors:
            self.stop(event, f"the alias *{event.anchor} has no anchor before it")
        built = self.anchors[event.anchor]
        self.count(event, _size(built))
        return built

    def map(self, path: KeyPath) -> dict[str, Any]:
        built: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        while _kind(event := self.next()) != "MappingEnd":
            key = self.key(event)
            value = self.value(self.next(), (*path, key))
            if key == "<<" and not event.style:
                self.take_over(event, value, merged)
            elif key in built:
                self.problems.append(self.at(event, f"duplicate key {key!r} (first on line {self.positions[*path, key][0]})"))
            else:
                built[key] = value
                self.positions[*path, key] = _place(event)
        return merged | built

    def key(self, event: Any) -> str:
        if _kind(event) != "Scalar":
            self.stop(event, "a key must be text")
        if not event.style and event.value != "<<" and not self.is_text(event.value):
            self.problems.append(self.at(event, f"the key {event.value} is not text", f'quote it: "{event.value}"'))
        return str(event.value)

    def is_text(self, key: str) -> bool:
        is_number = self.numbers_are_keys and key.isdecimal() and str(int(key)) == key
        return is_number or is_plain_text(key)

    def take_over(self, event: Any, value: Any, merged: dict[str, Any]) -> None:
        """Apply a merge key (<<); of several maps the first wins."""
        sources = value if isinstance(value, list) else [value]
        if not all(isinstance(item, dict) for item in sources):
            self.problems.append(self.at(event, "<< accepts only maps"))
            return
        for item in sources:
            merged.update({key: found for key, found in item.items() if key not in merged})

    def list(self, path: KeyPath) -> list[Any]:
        built: list[Any] = []
        while _kind(event := self.next()) != "SequenceEnd":
            item = (*path, str(len(built)))
            self.positions[item] = _place(event)
            built.append(self.value(event, item))
        return built

    def scalar(self, event: Any) -> Any:
        text: str = event.value
        if event.style:
            return text
        if text.lower() in _AMBIGUOUS:
            self.problems.append(
                self.at(event, f"{text} is text in YAML 1.2 but true or false in YAML 1.1", "write true or false, or quote it")
            )
            return text
        found = plain(text)
        if not isinstance(found, int) and is_integer(text):
            self.problems.append(
                self.at(event, f"{_start(text)} is an integer of more than 64 bits, which helm does not keep exactly", "quote it")
            )
        elif isinstance(found, float) and not math.isfinite(found):
            self.problems.append(self.at(event, f"{text} is not a finite number", "write a number, or quote it"))
        return found


def _kind(event: Any) -> str:
    """``MappingStart`` for PyYAML's MappingStartEvent; its classes are not imported before they are needed."""
    return type(event).__name__.removesuffix("Event")


def _place(event: Any) -> Position:
    return event.start_mark.line + 1, event.start_mark.column + 1


def _start(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def is_plain_text(text: str) -> bool:
    """Whether YAML reads ``text`` as text without quotes."""
    return text.lower() not in _AMBIGUOUS and isinstance(plain(text), str)


def _size(value: Any) -> int:
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(_size(child) for child in children)
