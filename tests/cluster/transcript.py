"""Holds a transcript in a page of docs/ against what a run printed: the same lines in the same order, but for times and other numbers."""

import re
from pathlib import Path

_FENCE = "```"
_CUT = "[…]"
_VARYING = (
    # In a column, and in a line.
    re.compile(r"^ +\d+\.\d s\b"),
    re.compile(r"\d+\.\d s\b"),
    re.compile(r"\(\d+ s\)$"),
    re.compile(r"\d+\.\d+\.\d+\.\d+\b"),
    re.compile(r"\S*meshinstall\.yaml:\d+"),
    # What an earlier test has done is left out.
    re.compile(r"^stage \d+ of \d+"),
    re.compile(r"the same \d+ objects of \d+ kinds"),
)


def transcript(page: Path, heading: str) -> list[str]:
    """The lines of the first block below a heading, without commands and what is left out."""
    text = page.read_text().partition(f"## {heading}\n")[2]
    block = text.partition(f"\n{_FENCE}\n")[2].partition(f"\n{_FENCE}\n")[0]
    assert block, f"{page} has no block below {heading!r}"
    return [line for line in block.splitlines() if line and line != _CUT and not line.startswith("$ ")]


def first_missing(told: list[str], printed: str) -> str:
    """The first line of a transcript that was not printed after those before it; empty when all were."""
    lines = iter([_masked(line) for line in printed.splitlines()])
    return next((line for line in told if _masked(line) not in lines), "")


def _masked(line: str) -> str:
    for pattern in _VARYING:
        line = pattern.sub("…", line)
    return line
