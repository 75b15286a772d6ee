"""Text from clouds, clusters and tools on its way into errors, findings and reports: nothing in it moves a terminal's cursor."""

import json
import re
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from typing import Any, TypeVar, cast

from meshinstall.errors import safe

_Value = TypeVar("_Value")

_LONGEST = 300
# Characters of one line of a verdict.
_LONGEST_LINE = 4000
# What pipelines run as commands of their own: GitHub's "::name" where a line begins, and "##[", Azure's "##vso[", TeamCity's
# "##teamcity[", anywhere in it.
_FIX = re.compile(r"(?<!\S)fix:")
_PIPELINE = re.compile(r"(?<!\S)::(?=[a-z])|##(?=[a-z]*\[)", re.IGNORECASE)


def printable(text: str, kept: str = "") -> str:
    """``text`` without control, direction and other characters that do not print, except those in ``kept``."""
    return "".join(char for char in text if char in kept or char.isprintable())


def plain(text: object, longest: int = _LONGEST, cut: str = "") -> str:
    """One printable line of at most ``longest`` characters; ``cut`` follows a line that was longer."""
    line = printable(" ".join(str(text)[: 4 * longest].split()))
    return line if len(line) <= longest else f"{line[:longest]}{cut}"


def cleaned(found: Any) -> Any:
    """Maps and lists as they are, with every other value but true, false and null as plain text."""
    if isinstance(found, dict):
        return {plain(key): cleaned(value) for key, value in found.items()}
    if isinstance(found, list):
        return [cleaned(value) for value in found]
    return found if found is None or isinstance(found, bool) else plain(found)


def line(text: str, longest: int = _LONGEST_LINE) -> str:
    """``text`` as one printable line that no pipeline reads as a command of its own, and that nobody takes for a fix of ours."""
    short = text if len(text) <= longest else f"{text[:longest]}…"
    found = short if short.isprintable() else printable("".join(" " if char.isspace() else char for char in short))
    # Where a long line is wrapped, such a word would begin one.
    return _disarmed(_FIX.sub("fix :", found))


def whole(value: Any) -> str:
    """A value as JSON on one line, nothing of it cut off or left out."""
    return spelled(json.dumps(value, ensure_ascii=False, default=str))


def spelled(text: str) -> str:
    """The same as ``line`` without a bound: what does not print is written as its number."""
    shown = "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)
    return line(shown, len(shown))


def command(text: str) -> str:
    """The same for several lines that are to be copied: their ends and their indentation stay."""
    return "\n".join(_disarmed(printable(one)) for one in text.split("\n"))


def for_log(text: str) -> str:
    """The lines of a message as they are, with a mark for what does not print, and nothing that a pipeline reads as its own command."""
    return _disarmed(safe(text))


def in_lines(value: _Value) -> _Value:
    """Dataclasses and tuples with every text in them as one line; fields called ``hint`` hold commands, which may be several."""
    if isinstance(value, str) and not isinstance(value, Enum):
        return cast("_Value", line(value))
    if isinstance(value, tuple):
        items = [in_lines(one) for one in value]
        return cast("_Value", type(value)(*items) if hasattr(value, "_fields") else tuple(items))
    if is_dataclass(value) and not isinstance(value, type):
        told = {one.name: getattr(value, one.name) for one in fields(value)}
        return replace(value, **{name: command(one) if name == "hint" else in_lines(one) for name, one in told.items()})
    return value


def _disarmed(text: str) -> str:
    return _PIPELINE.sub(lambda found: " ".join(found[0]), text)
