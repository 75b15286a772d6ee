"""Tells a person what happens, and asks whether something may be done."""

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from meshinstall.cli.running import interruptible
from meshinstall.cli.target import warn
from meshinstall.errors import InterruptedRunError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshinstall.cli.options import Output
    from meshinstall.engine.events import Emit, Event
    from meshinstall.engine.session import Session


@contextmanager
def telling(session: "Session", output: "Output") -> "Iterator[Emit]":
    """Events go to the terminal and to the journal."""
    from meshinstall.cli.output.printers import progress
    from meshinstall.wiring import journal

    kept = journal(session, warn)
    with progress(output) as told:

        def emit(event: "Event") -> None:
            told(event)
            kept(event)

        yield emit


def ask_to_run() -> None:
    """Ask about the plan that was shown; raises UsageError without a terminal, InterruptedRunError for a no."""
    if not sys.stdin.isatty():
        raise UsageError("cannot ask whether to run the plan: standard input is not a terminal", "add --yes to run it without asking")
    confirm("Do this?")


def confirm(question: str) -> None:
    """Ask; raises InterruptedRunError for a no."""
    try:
        with interruptible():
            agreed = typer.confirm(question, err=True)
    except (typer.Abort, KeyboardInterrupt):
        typer.echo(err=True)
        agreed = False
    if not agreed:
        raise InterruptedRunError("stopped before the first step; nothing was changed")
