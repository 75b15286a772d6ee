"""Keeps secrets out of a snapshot: everything that goes into one is asked here first."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from meshinstall.errors import SnapshotError
from meshinstall.model.foreign_text import plain
from meshinstall.model.secrets import shape
from meshinstall.model.snapshot import document, line
from meshinstall.model.snapshot_objects import secret_fields, secret_lines
from meshinstall.ports import SnapshotDraft, SnapshotLines

_TOLD = 20


class Search:
    """What holds a secret, by name: ``permitted`` may be left out, anything else stops the snapshot."""

    def __init__(self, permitted: frozenset[str]) -> None:
        self._permitted = permitted
        self._refused: dict[str, tuple[str, ...]] = {}
        self.left_out: dict[str, tuple[str, ...]] = {}

    def is_clean(self, name: str, value: Any) -> bool:
        """Whether a value may go into the snapshot; ``name`` is that of the thing that has it, such as EnvoyFilter/shop/lua."""
        return self._judge(name, secret_fields(value))

    def is_clean_text(self, name: str, text: str) -> bool:
        """The same for the text of a YAML file."""
        return self._judge(name, secret_lines(text))

    def is_clean_bytes(self, name: str, path: str, data: bytes) -> bool:
        """The same for a file in an archive, which may be a template: only what is a secret by its format counts."""
        return self._judge(name, (plain(path),) if shape(data.decode(errors="replace")) else ())

    def _judge(self, name: str, fields: tuple[str, ...]) -> bool:
        if fields:
            kept = self.left_out if name in self._permitted else self._refused
            kept[name] = tuple(dict.fromkeys((*kept.get(name, ()), *fields)))
        return not fields

    @property
    def unused(self) -> tuple[str, ...]:
        """Names that were permitted and held nothing."""
        return tuple(sorted(self._permitted - self.left_out.keys()))

    def insist(self) -> None:
        """Raise SnapshotError where something holds a secret that may not be left out."""
        if not self._refused:
            return
        told = [f"{plain(name)}: {', '.join(fields)}" for name, fields in sorted(self._refused.items())]
        rest = [f"and {len(told) - _TOLD} more"] if len(told) > _TOLD else []
        raise SnapshotError(
            "no snapshot was taken: these hold what looks like a secret\n  " + "\n  ".join([*told[:_TOLD], *rest]),
            "refer to a Secret by its name there, or leave the whole object out of the snapshot: --leave-out "
            + plain(next(iter(sorted(self._refused)))),
        )


class Writer:
    """Writes documents to a draft; whatever has the format of a secret stops it, wherever it came from."""

    def __init__(self, draft: SnapshotDraft) -> None:
        self._draft = draft

    def document(self, path: str, value: Any) -> None:
        """Write a JSON document."""
        _insist(path, value)
        self._draft.write(path, document(value))

    def text(self, path: str, text: str) -> None:
        """Write a text as it is."""
        _insist(path, text)
        self._draft.write(path, text.encode())

    @contextmanager
    def lines(self, path: str) -> Iterator["LineWriter"]:
        """A file with a JSON document on each line, in the order of their keys."""
        with self._draft.lines(path) as lines:
            yield LineWriter(path, lines)


class LineWriter:
    """Lines of one file."""

    def __init__(self, path: str, lines: SnapshotLines) -> None:
        self._path = path
        self._lines = lines

    def add(self, key: str, value: Any) -> None:
        """Add a document on a line."""
        _insist(self._path, value)
        self._lines.add(key, line(value))


def _insist(path: str, value: Any) -> None:
    if what := next(filter(None, map(shape, _texts(value))), ""):
        raise SnapshotError(f"no snapshot was taken: {path} would hold {what}")


def _texts(value: Any) -> Iterator[str]:
    """Every text in a value, and every key."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key)
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, str):
        yield value
