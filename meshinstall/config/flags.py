"""Values given on the command line: ``-f RELEASE=FILE``, ``--set RELEASE.key=value`` and ``--set-string``.

A subset of helm's syntax (helm: pkg/strvals): dots, ``key[0]`` for items of lists, and a backslash before a
character that is meant as itself. One value a flag: an unescaped comma or a list in braces is an error.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from meshinstall.errors import Problem
from meshinstall.model.stack import ValuesStack
from meshinstall.model.values import Layer, LayerKind

# A key, or the index of a list item.
Step = str | int

_TOKEN = re.compile(r"\\(?P<literal>.)|\[(?P<index>\d{1,4})\]|(?P<mark>[.=])|(?P<text>[^\\\[\].=,{}]+)|(?P<bad>.)", re.DOTALL)
_INT64 = range(-(2**63), 2**63)


class FlagError(ValueError):
    """What is wrong with the text of a flag; never holds the value."""


def split_file(text: str) -> tuple[str, str]:
    """``istiod`` and ``file.yaml`` of ``istiod=file.yaml``; raises FlagError."""
    release, mark, path = text.partition("=")
    if not (release and mark and path):
        raise FlagError("must name a release; write RELEASE=FILE, such as istiod=values.yaml")
    return release, path


@dataclass(frozen=True, slots=True)
class SetFlag:
    """One ``--set``: the value at ``path`` of ``release``; ``source`` names the flag in messages, without the value."""

    source: str
    release: str
    path: tuple[Step, ...]
    value: Any

    def layer(self, below: ValuesStack) -> Layer:
        """A layer with the one value; the index of a list item counts in the list ``below``. Raises FlagError."""
        return Layer(LayerKind.FLAG, self.source, _put(below.merged(), self.path, self.value, self.source))


def parse_set(flag: str, text: str) -> SetFlag:
    """Read ``--set`` or, with values always text, ``--set-string``; raises FlagError."""
    (release, *path), value = _parse(text)
    if not isinstance(release, str) or not path or not isinstance(path[0], str):
        raise FlagError("must name a release; write RELEASE.KEY=VALUE, such as istiod.autoscaleMin=2")
    typed = value if flag == "--set-string" else _typed(value)
    return SetFlag(f"{flag} {_name([release, *path])}", release, tuple(path), typed)


def problem(flag: str, error: FlagError) -> Problem:
    """The mistake in a flag, as a problem among those of files."""
    return Problem(flag, 0, 0, str(error))


def _parse(text: str) -> tuple[list[Step], str]:
    steps: list[Step] = []
    key = ""
    after_index = False
    for token in _TOKEN.finditer(text):
        if token["mark"] == "=":
            return [*steps, *_key(key, after_index=after_index)], _value(text[token.end() :])
        if token["mark"]:
            steps += _key(key, after_index=after_index)
            key, after_index = "", False
        elif token["index"]:
            steps += [*_key(key, after_index=after_index), int(token["index"])]
            key, after_index = "", True
        elif token["bad"]:
            raise FlagError(
                f"has {token['bad']!r} in its key; write \\{token['bad']} for the character itself, and use one flag for each value"
            )
        else:
            key += token["literal"] or token["text"]
    raise FlagError("has no =; write RELEASE.KEY=VALUE")


def _key(key: str, *, after_index: bool) -> list[Step]:
    if not key and not after_index:
        raise FlagError("has an empty key")
    return [key] if key else []


def _value(text: str) -> str:
    if re.search(r"(?<!\\)(?:\\\\)*,", text) or text.startswith("{"):
        raise FlagError("has a list or several values; use one flag for each value, \\, for a comma, or -f with a file for a list")
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)


def _typed(text: str) -> Any:
    """What helm makes of a value: true, false, null and whole numbers without a leading zero; all else is text."""
    words = {"true": True, "false": False, "null": None, "0": 0}
    if text.lower() in words:
        return words[text.lower()]
    if re.fullmatch(r"[-+]?[0-9]+", text) and not text.startswith("0") and int(text) in _INT64:
        return int(text)
    return text


def _put(below: Any, path: tuple[Step, ...], value: Any, source: str) -> Any:
    """Nested maps that hold ``value`` at ``path``; a list is the one ``below`` with one item changed or added."""
    if not path:
        return value
    step, rest = path[0], path[1:]
    if isinstance(step, str):
        under = below.get(step) if isinstance(below, Mapping) else None
        return {step: _put(under, rest, value, source)}
    items = list(below) if isinstance(below, list) else []
    if step > len(items):
        hint = "" if items else "; a chart's own list cannot be changed by item: write the whole list in a file of values"
        raise FlagError(f"sets item {step} of a list of length {len(items)}{hint}")
    under = items[step] if step < len(items) else None
    changed = _put(under, rest, value, source)
    if isinstance(under, Mapping) and isinstance(changed, Mapping):
        changed = ValuesStack((Layer(LayerKind.FLAG, source, under), Layer(LayerKind.FLAG, source, changed))).merged()
    return [*items[:step], changed, *items[step + 1 :]]


def _name(steps: list[Step]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).removeprefix(".")
