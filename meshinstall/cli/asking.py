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
    from meshinstall.engine.pipeline import Callbacks
    from meshinstall.engine.session import Session
    from meshinstall.model.plan import Plan


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


@contextmanager
def running_plan(session: "Session", output: "Output", allowed: frozenset[str], *, agreed: bool) -> "Iterator[Callbacks]":
    """A stage on a terminal: the plan is shown, a person asked unless they ``agreed`` before, events go to the terminal and the journal."""
    from meshinstall.cli.output.printers import plan_text
    from meshinstall.engine.pipeline import Callbacks

    async def ask(_: "Plan") -> None:
        if not agreed:
            ask_to_run()

    with telling(session, output) as emit:
        yield Callbacks(lambda plan: typer.echo(plan_text(plan, allowed=allowed), err=True), ask, emit)


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
