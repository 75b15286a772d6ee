"""Commands that plan and change a mesh: up, plan, down."""

import json
import signal
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meshinstall.cli import options
from meshinstall.cli.app import app
from meshinstall.cli.options import Output, PlanOutput
from meshinstall.cli.request_options import CLUSTER, DESIRED, ENVIRONMENT, PROFILE, SELECTORS, requesting
from meshinstall.cli.running import run
from meshinstall.cli.target import open_environment, warn
from meshinstall.errors import ExitStatus, InterruptedRunError, UsageError
from meshinstall.model.request import Request

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshinstall.engine.events import Event
    from meshinstall.engine.pipeline import Callbacks
    from meshinstall.engine.session import Session
    from meshinstall.model.plan import Plan

_PATIENCE = 600.0
_INTERRUPTED = ("interrupted; steps marked ✓ are done", "run the same command again to continue from there")


@app.command()
@requesting(ENVIRONMENT, CLUSTER, DESIRED, last=SELECTORS)
def up(
    request: Request,
    *,
    saved: Annotated[Path | None, typer.Option("--plan", help="Run exactly this saved plan; refuse when the plan has changed.")] = None,
    yes: options.Yes = False,
    timeout: options.Seconds = _PATIENCE,
    allow: options.Allow = None,
    no_verify: Annotated[bool, typer.Option("--no-verify", help="Do not prove mTLS at the end.")] = False,
    output: options.OutputKind = Output.TABLE,
) -> None:
    """Install or upgrade Istio: plan, show, ask, run, wait until it works, prove mTLS."""
    permitted = options.allowed(allow)
    digest = _saved_digest(saved) if saved else None

    async def work() -> None:
        from meshinstall.cli.output.verdicts import conclude
        from meshinstall.engine import pipeline

        desired, session = open_environment(request)
        terms = pipeline.Terms(allow=permitted, saved=digest, seconds=timeout, prove=not no_verify)
        with _callbacks(session, output, agreed=yes or saved is not None) as callbacks:
            result = await pipeline.up(desired, session, terms, callbacks)
        if result.verdict:
            conclude(result.verdict, output)

    run(work, *_INTERRUPTED)


@app.command()
@requesting(ENVIRONMENT, CLUSTER, DESIRED, last=SELECTORS)
def plan(
    request: Request,
    *,
    diff: Annotated[bool, typer.Option("--diff", help="Show every object that changes, field by field.")] = False,
    save: Annotated[Path | None, typer.Option("--save", help="Write the plan to this file, for up --plan.")] = None,
    output: options.PlanOutputKind = PlanOutput.TABLE,
) -> None:
    """Show what up would do, and change nothing; exit status 3 when there is something to do."""

    async def work() -> None:
        from meshinstall.checks.ownership import ANOTHER_ENVIRONMENT
        from meshinstall.engine.planning import make_plan

        found = await make_plan(*open_environment(request))
        if save:
            _save(found, save)
        typer.echo(_printed(found, output, diff=diff))
        if not found.is_empty or any(finding.code == ANOTHER_ENVIRONMENT for finding in found.findings):
            raise typer.Exit(ExitStatus.CHANGES_PENDING)

    run(work, *_INTERRUPTED)


@app.command()
@requesting(ENVIRONMENT, CLUSTER, PROFILE, last=SELECTORS)
def down(
    request: Request,
    *,
    crds: Annotated[bool, typer.Option("--crds", help="Remove the CRDs too, and with them every Istio object in the cluster.")] = False,
    yes: options.Yes = False,
    timeout: options.Seconds = _PATIENCE,
    allow: options.Allow = None,
    output: options.OutputKind = Output.TABLE,
) -> None:
    """Remove what up installed, gateways first, and prove that it is gone."""
    permitted = options.allowed(allow)

    async def work() -> None:
        from meshinstall.engine import pipeline

        desired, session = open_environment(request)
        terms = pipeline.Terms(allow=permitted, seconds=timeout)
        with _callbacks(session, output, agreed=yes) as callbacks:
            await pipeline.down(desired, session, terms, callbacks, crds=crds)

    run(work, *_INTERRUPTED)


@contextmanager
def _callbacks(session: "Session", output: Output, *, agreed: bool) -> "Iterator[Callbacks]":
    """A stage on a terminal: the plan is shown, a person asked unless they ``agreed`` before, events go to the terminal and the journal."""
    from meshinstall.cli.output.printers import plan_text, progress
    from meshinstall.engine.pipeline import Callbacks
    from meshinstall.wiring import journal

    kept = journal(session, warn)

    async def ask(_: "Plan") -> None:
        if not agreed:
            _ask()

    with progress(output) as told:

        def emit(event: "Event") -> None:
            told(event)
            kept(event)

        yield Callbacks(lambda plan: typer.echo(plan_text(plan), err=True), ask, emit)


def _ask() -> None:
    if not sys.stdin.isatty():
        raise UsageError("cannot ask whether to run the plan: standard input is not a terminal", "add --yes to run it without asking")
    # asyncio's handler would cancel the task, which is noticed only after the answer.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        agreed = typer.confirm("Do this?", err=True)
    except (typer.Abort, KeyboardInterrupt):
        typer.echo(err=True)
        agreed = False
    finally:
        signal.signal(signal.SIGINT, before)
    if not agreed:
        raise InterruptedRunError("stopped before the first step; nothing was changed")


def _printed(found: "Plan", output: PlanOutput, *, diff: bool) -> str:
    from meshinstall.cli.output.plan_markdown import plan_markdown
    from meshinstall.cli.output.printers import dump, plan_json, plan_text

    match output:
        case PlanOutput.JSON:
            return dump(plan_json(found))
        case PlanOutput.MARKDOWN:
            return plan_markdown(found)
        case _:
            return plan_text(found, diff=diff)


def _save(found: "Plan", path: Path) -> None:
    from meshinstall.cli.output import printers

    try:
        path.write_text(printers.dump(printers.plan_json(found)) + "\n")
    except OSError as error:
        raise UsageError(f"cannot write the plan to {path}: {error.strerror}") from error


def _saved_digest(path: Path) -> str:
    """The digest of a saved plan; raises UsageError when the file does not hold one."""
    from meshinstall.cli.output.printers import SCHEMA

    hint = "write one with meshinstall plan --save"
    try:
        saved = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is not a saved plan: {error}", hint) from error
    if not isinstance(saved, dict) or saved.get("schema") != SCHEMA:
        raise UsageError(f"{path} is not a plan of this version", hint)
    return str(saved.get("digest"))
