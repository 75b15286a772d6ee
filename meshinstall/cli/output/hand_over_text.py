"""The order of work of a hand-over: for people who do it, and for programs."""

import textwrap
from collections.abc import Iterator
from typing import Any

from meshinstall.errors import ExitStatus
from meshinstall.model.foreign_text import for_log
from meshinstall.model.hand_over import HandOver, Work, WorkState

SCHEMA = "meshinstall.dev/hand-over/v1"
_WIDTH, _INDENT = 80, " " * 4
_SIGNS = {WorkState.DONE: "✓", WorkState.OPEN: "▸", WorkState.WAITING: "·", WorkState.NOT_KNOWN: "?"}


def status(found: HandOver) -> ExitStatus:
    """0 when every step is done, 3 when some are left, 5 when nothing is left but what could not be seen."""
    states = {one.state for one in found.works}
    if WorkState.OPEN in states:
        return ExitStatus.CHANGES_PENDING
    return ExitStatus.NOT_PROVEN if WorkState.NOT_KNOWN in states else ExitStatus.DONE


def hand_over_text(found: HandOver) -> str:
    """All steps, and what to do for the one that is next."""
    lines = [f"Hand over {found.site} on {found.cluster} to {found.to.called}", ""]
    for number, one in enumerate(found.works, 1):
        lines += _lines(number, one)
    return for_log("\n".join([*lines, "", *textwrap.wrap(_last(found), _WIDTH)]))


def _lines(number: int, one: Work) -> Iterator[str]:
    yield f"{_SIGNS[one.state]} {number} {one.title}{' (unknown)' if one.state is WorkState.NOT_KNOWN else ''}"
    for text in (*one.says, *one.words):
        yield from textwrap.wrap(text, _WIDTH, initial_indent=_INDENT, subsequent_indent=_INDENT, break_long_words=False)
    # A command is one line, so that it can be copied.
    yield from (f"      {command}" for command in one.commands)


def _last(found: HandOver) -> str:
    if not found.left:
        return f"Nothing is left: {found.to.called} keeps the mesh. Prove it: meshinstall verify"
    return f"{found.left} of {len(found.works)} steps are left. Run this again after each: it changes nothing, and says what is next."


def hand_over_json(found: HandOver) -> dict[str, Any]:
    """The document that docs/schemas/hand-over.json describes."""
    return {
        "schema": SCHEMA,
        "site": found.site,
        "cluster": found.cluster,
        "to": found.to,
        "left": found.left,
        "steps": [
            {"title": one.title, "state": one.state, "says": list(one.says), "words": list(one.words), "commands": list(one.commands)}
            for one in found.works
        ],
    }
