"""In what two environments differ, as people and programs read it."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from meshinstall.engine.report.compare import Difference, Side
from meshinstall.model.foreign_text import for_log, whole

SCHEMA = "meshinstall.dev/diff/v1"


def diff_text(names: Sequence[str], found: Sequence[Difference]) -> str:
    """Below each release its values that differ, and for each what the two environments say."""
    if not found:
        return for_log(f"{names[0]} and {names[1]} want the same.")
    lines: list[str] = []
    for release, differing in groupby(found, lambda one: one.release):
        lines += ["", release] if release else []
        for one in differing:
            lines += _lines(names, one)
    count = f"{len(found)} difference{'s' if len(found) > 1 else ''}"
    return for_log("\n".join([*lines, "", f"{count} between {names[0]} and {names[1]}."]).lstrip("\n"))


def _lines(names: Sequence[str], one: Difference) -> Iterator[str]:
    indent = "  " if one.release else ""
    if one.what:
        yield f"{indent}{one.what}"
    width = max(map(len, names))
    for name, side in zip(names, (one.one, one.other), strict=True):
        yield f"{indent}  {name.ljust(width)}  {_side(side, quoted=bool(one.release and one.what))}"


def _side(side: Side | None, *, quoted: bool) -> str:
    if side is None:
        return "-"
    said = whole(side.value) if quoted else str(side.value) or "-"
    return f"{said}   ({side.origin})" if side.origin else said


def diff_json(names: Sequence[str], found: Sequence[Difference]) -> dict[str, Any]:
    """The document that docs/schemas/diff.json describes."""
    return {
        "schema": SCHEMA,
        "environments": list(names),
        "differences": [{"release": one.release, "what": one.what, "sides": [_json(one.one), _json(one.other)]} for one in found],
    }


def _json(side: Side | None) -> dict[str, Any] | None:
    return None if side is None else {"value": side.value, "origin": side.origin}
