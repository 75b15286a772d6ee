"""Commands that plan and change a mesh: up, plan, down."""

import json
import signal
import sys
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meshinstall.cli import options
from meshinstall.cli.app import app
from meshinstall.cli.options import Output
from meshinstall.cli.running import run
from meshinstall.cli.selectors import Selectors, selecting
from meshinstall.cli.target import Asked, complain
from meshinstall.errors import InterruptedRunError, PlanRefusedError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from meshinstall.engine.events import Emit, Event
    from meshinstall.engine.session import Session
    from meshinstall.model.desired import Desired
    from meshinstall.model.plan import Plan

_CHANGES_PENDING = 3
_PATIENCE = 600.0
_INTERRUPTED = ("interrupted; steps marked ✓ are done", "the same command again goes on where this one stopped")


@app.command()
@selecting
def up(
    env: options.Env,
    cloud: options.CloudName = None,
    context: options.Context = "",
    kubeconfig: options.KubeconfigFile = None,
    config: options.Config = None,
    profile: options.Profile = None,
    charts: options.ChartsSource = None,
    istio_version: options.IstioVersion = None,
    values: options.Files = None,
    set_: options.Sets = None,
    set_string: options.SetStrings = None,
    saved: Annotated[Path | None, typer.Option("--plan", help="Run exactly this saved plan, or refuse if the world moved.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    timeout: options.Seconds = _PATIENCE,
    allow: options.Allow = None,
    no_verify: Annotated[bool, typer.Option("--no-verify", help="Do not prove mTLS at the end.")] = False,
    output: options.OutputKind = Output.TABLE,
    *,
    selectors: Selectors,
) -> None:
    """Install or upgrade Istio: plan, show, ask, run, wait until it works, prove mTLS."""
    asked = Asked(
        env,
        cloud,
        context,
        kubeconfig,
        config,
        profile,
        charts,
        istio_version,
        values or (),
        set_ or (),
        set_string or (),
        selectors=selectors,
    )
    permitted = options.allowed(allow)

    async def work() -> None:
        desired, session, plan = await _planned(asked)
        _show(plan)
        if saved:
            _insist(plan, saved)
        deadline = time.monotonic() + timeout
        # What is refused, or asked about, is a change; a nightly run that finds nothing to do is no failure.
        if not plan.is_empty:
            _agree(plan, permitted, yes=yes or saved is not None)
            deadline = time.monotonic() + timeout
            await _run(plan, desired, session, seconds=timeout, output=output)
        if not no_verify:
            from meshinstall.cli.commands.verify import verified

            await verified(session, output, max(deadline - time.monotonic(), 1))

    run(work, *_INTERRUPTED)


@app.command()
@selecting
def plan(
    env: options.Env,
    cloud: options.CloudName = None,
    context: options.Context = "",
    kubeconfig: options.KubeconfigFile = None,
    config: options.Config = None,
    profile: options.Profile = None,
    charts: options.ChartsSource = None,
    istio_version: options.IstioVersion = None,
    values: options.Files = None,
    set_: options.Sets = None,
    set_string: options.SetStrings = None,
    save: Annotated[Path | None, typer.Option("--save", help="Write the plan to this file, for up --plan.")] = None,
    output: options.OutputKind = Output.TABLE,
    *,
    selectors: Selectors,
) -> None:
    """Show what up would do, and change nothing; exit status 3 when something is to be done."""
    from meshinstall.cli.output import printers

    asked = Asked(
        env,
        cloud,
        context,
        kubeconfig,
        config,
        profile,
        charts,
        istio_version,
        values or (),
        set_ or (),
        set_string or (),
        selectors=selectors,
    )

    async def work() -> None:
        _, _, found = await _planned(asked)
        if save:
            _save(found, save)
        typer.echo(printers.dump(printers.plan_json(found)) if output is Output.JSON else printers.plan_text(found))
        if not found.is_empty:
            raise typer.Exit(_CHANGES_PENDING)

    run(work, *_INTERRUPTED)


@app.command()
@selecting
def down(
    env: options.Env,
    cloud: options.CloudName = None,
    context: options.Context = "",
    kubeconfig: options.KubeconfigFile = None,
    config: options.Config = None,
    profile: options.Profile = None,
    crds: Annotated[bool, typer.Option("--crds", help="Remove the CRDs too, and with them every Istio object in the cluster.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    timeout: options.Seconds = _PATIENCE,
    output: options.OutputKind = Output.TABLE,
    *,
    selectors: Selectors,
) -> None:
    """Remove what up installed, gateways first, and prove that it is gone."""
    asked = Asked(env, cloud, context, kubeconfig, config, profile, selectors=selectors)

    async def work() -> None:
        from meshinstall.engine import pipeline

        desired, session = _opened(asked)
        removal = await pipeline.make_removal(desired, session, crds=crds)
        _show(removal)
        if not yes and not removal.is_empty:
            _ask()
        with _listeners(session, output) as emit:
            await pipeline.down(removal, desired, session, emit, timeout)

    run(work, *_INTERRUPTED)


def _opened(asked: Asked) -> "tuple[Desired, Session]":
    from meshinstall.wiring import open_session

    project, desired = asked.resolve()
    session = open_session(desired.cluster, project, complain)
    return replace(desired, cluster=replace(desired.cluster, name=session.cluster)), session


async def _planned(asked: Asked) -> "tuple[Desired, Session, Plan]":
    from meshinstall.engine.pipeline import make_plan

    desired, session = _opened(asked)
    return desired, session, await make_plan(desired, session)


def _agree(plan: "Plan", permitted: frozenset[str], *, yes: bool) -> None:
    """Raise unless the plan may be run and, where it is asked, a person says so."""
    from meshinstall.engine.pipeline import refuse

    refuse(plan, permitted)
    if not yes:
        _ask()


async def _run(plan: "Plan", desired: "Desired", session: "Session", *, seconds: float, output: Output) -> None:
    from meshinstall.cli.output.printers import summary_text
    from meshinstall.engine import pipeline
    from meshinstall.engine.events import StepDone

    done: list[StepDone] = []
    with _listeners(session, output) as emit:

        def tell(event: "Event") -> None:
            emit(event)
            if isinstance(event, StepDone):
                done.append(event)

        await pipeline.up(plan, desired, session, tell, seconds)
    if output is Output.TABLE:
        typer.echo(summary_text(done), err=True)


@contextmanager
def _listeners(session: "Session", output: Output) -> "Iterator[Emit]":
    """Who hears of a run: the terminal and the journal."""
    from meshinstall.cli.output.printers import progress
    from meshinstall.wiring import journal

    kept = journal(session, complain)
    with progress(output) as told:

        def tell(event: "Event") -> None:
            told(event)
            kept(event)

        yield tell


def _show(plan: "Plan") -> None:
    from meshinstall.cli.output.printers import plan_text

    typer.echo(plan_text(plan), err=True)


def _ask() -> None:
    if not sys.stdin.isatty():
        raise UsageError("nobody is there to confirm the plan", "add --yes to run it without asking")
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
        raise InterruptedRunError("nothing was done")


def _save(found: "Plan", path: Path) -> None:
    from meshinstall.cli.output import printers

    try:
        path.write_text(printers.dump(printers.plan_json(found)) + "\n")
    except OSError as error:
        raise UsageError(f"the plan cannot be written to {path}: {error.strerror}") from error


def _insist(found: "Plan", path: Path) -> None:
    """Refuse unless the plan of now is the one that was saved."""
    from meshinstall.cli.output.printers import SCHEMA

    try:
        saved = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is not a saved plan: {error}", "write one with meshinstall plan --save") from error
    if not isinstance(saved, dict) or saved.get("schema") != SCHEMA:
        raise UsageError(f"{path} is not a plan of this version", "write one with meshinstall plan --save")
    if saved.get("digest") != found.digest:
        raise PlanRefusedError(
            f"the world has moved since {path} was saved: it is {saved.get('digest')}, now it would be {found.digest}",
            "look at the plan above; if it is right, save and approve it anew",
        )
