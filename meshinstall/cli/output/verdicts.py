"""Prints a verdict and ends the process with its status."""

import json
import os
import sys

import typer

from meshinstall.cli.options import Output
from meshinstall.cli.output import printers, verdict_json, verdict_text
from meshinstall.errors import ExitStatus
from meshinstall.model.verdict import Outcome, Verdict

STATUS = {Outcome.PASS: ExitStatus.DONE, Outcome.FAIL: ExitStatus.VIOLATION, Outcome.NOT_PROVEN: ExitStatus.NOT_PROVEN}


def show(verdict: Verdict, output: Output) -> None:
    """Print a verdict on stdout, as the only thing there."""
    if output is Output.JSON:
        typer.echo(printers.dump(verdict_json.verdict_json(verdict)))
        return
    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    typer.echo(verdict_text.verdict_text(verdict, coloured=coloured), color=coloured)


def conclude(verdict: Verdict, output: Output) -> None:
    """Print a verdict after a run's events, and exit with its status unless it is PASS."""
    if output is Output.JSON:
        # One more line after those of the events.
        typer.echo(json.dumps(verdict_json.verdict_json(verdict)))
    else:
        show(verdict, output)
    if status := STATUS[verdict.counted]:
        raise typer.Exit(status)
