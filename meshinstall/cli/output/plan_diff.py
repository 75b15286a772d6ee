"""What a plan changes, object by object, as text for people and as a document for programs."""

import difflib
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

from meshinstall.model.diff import Concern, Consequence, FieldChange, ObjectChange, Verb
from meshinstall.model.foreign_text import line, spelled, whole

SIGNS = {Verb.CREATE: "+", Verb.CHANGE: "~", Verb.DELETE: "-"}
# What says no more than which chart made an object, and with which values (istiod: templates/configmap-values.yaml).
_VERSION = ("helm.sh/chart", "app.kubernetes.io/version")
_NOTE = ("data.original-values", "data.merged-values")
_WORDS = {
    Concern.WEAKER: "weaker",
    Concern.WIDER: "wider",
    Concern.STRONGER: "stronger",
    Concern.NARROWER: "narrower",
    Concern.ACCESS: "access",
    Concern.RESTART: "restarts",
    Concern.ADDRESS: "addresses",
    Concern.INJECTION: "injection",
    Concern.CRD: "CRDs",
    Concern.DELETION: "deletions",
}
_WIDTH = 80
_SCREEN = 140
# Lines of one object; a CRD may change in thousands.
_MOST = 1_000
# A unified diff begins with the names of both files; a line of a text may look the same.
_HEADS = 2


def summary_lines(summary: Iterable[Consequence]) -> list[str]:
    """What a plan means, with the concern in front."""
    return [text for one in summary for text in _wrapped(f"  {_WORDS[one.concern]:<10} {line(one.text)}")]


def diff_lines(diff: Iterable[ObjectChange]) -> list[str]:
    """Every object that changes, its fields below it."""
    told, quiet = split(diff)
    lines = [text for change in told for text in bounded(list(object_lines(change)), _MOST, " " * 6)]
    return lines + ([f"~ {quiet_line(quiet)}"] if quiet else [])


def split(diff: Iterable[ObjectChange]) -> tuple[list[ObjectChange], int]:
    """Objects to tell of, and the number of those in which nothing else changes than what names the chart and its values."""
    told = [(change, relevant(change)) for change in diff]
    return [change for change, fields in told if fields or change.verb is not Verb.CHANGE], sum(
        not fields and change.verb is Verb.CHANGE for change, fields in told
    )


def quiet_line(count: int) -> str:
    """That of some objects nothing else changes."""
    return f"{count} {'object' if count == 1 else 'objects'}: only what names the chart's version and its values"


def relevant(change: ObjectChange) -> list[FieldChange]:
    """The fields of an object but those that name the chart and its values."""
    return [one for one in change.fields if not one.path.endswith(_VERSION) and not one.path.startswith(_NOTE)]


def bounded(lines: list[str], most: int, indent: str = "") -> list[str]:
    """The first lines of an object, and how many are left out."""
    left = len(lines) - most
    return [*lines[:most], f"{indent}{left:,} more {'line' if left == 1 else 'lines'} not shown: see -o json"] if left > 0 else lines


def object_lines(change: ObjectChange) -> Iterator[str]:
    """An object and its fields."""
    yield f"{SIGNS[change.verb]} {line(str(change.key))}"
    for one in relevant(change):
        yield from (text for told in field_lines(one) for text in wrapped(told, " " * 6))


def field_lines(one: FieldChange) -> Iterator[str]:
    """A field: on one line from → to, a longer text as the lines that differ; ``+`` and ``-`` are fields that come and go."""
    origin = f"   ({line(one.origin)})" if one.origin else ""
    if isinstance(one.before, str) and isinstance(one.after, str) and "\n" in one.before + one.after:
        yield f"~ {line(one.path)}{origin}"
        yield from (f"    {text}" for text in _changed_lines(one.before, one.after))
    elif one.before is None:
        yield f"+ {line(one.path)}: {whole(one.after)}{origin}"
    elif one.after is None:
        yield f"- {line(one.path)}: {whole(one.before)}{origin}"
    else:
        yield f"~ {line(one.path)}: {whole(one.before)} → {whole(one.after)}{origin}"


def diff_json(diff: Iterable[ObjectChange]) -> list[dict[str, Any]]:
    """Every object that changes, with every field; a side without the field is left out."""
    return [
        {
            "object": str(change.key),
            "apiVersion": change.key.api_version,
            "release": str(change.release) if change.release else None,
            "action": change.verb,
            "fields": [_field_json(one) for one in change.fields],
        }
        for change in diff
    ]


def summary_json(summary: Iterable[Consequence]) -> list[dict[str, str]]:
    """What a plan means."""
    return [{"concern": one.concern, "text": one.text} for one in summary]


def _field_json(one: FieldChange) -> dict[str, Any]:
    sides = {name: value for name, value in (("before", one.before), ("after", one.after)) if value is not None}
    return {"path": one.path, **sides, "origin": one.origin}


def _changed_lines(before: str, after: str) -> list[str]:
    """The lines that differ, all of them: a person agrees to what is here."""
    # Ends of lines that are written otherwise, or are missing at the end, differ too.
    found = list(difflib.unified_diff(before.split("\n"), after.split("\n"), n=0, lineterm=""))
    return [spelled(text) for text in found[_HEADS:] if not text.startswith("@@")]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, subsequent_indent=" " * 13, break_long_words=False, break_on_hyphens=False)


def wrapped(text: str, indent: str) -> list[str]:
    """Lines that are no longer than a screen is wide, but for a single long word; nothing is left out, spaces included."""
    return textwrap.wrap(
        text,
        _SCREEN,
        initial_indent=indent,
        subsequent_indent=f"{indent}    ",
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=False,
        replace_whitespace=False,
    )
