"""Commands that plan and change a mesh: up, plan, down."""

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meshinstall.cli import options
from meshinstall.cli.app import app
from meshinstall.cli.asking import confirm, running_plan
from meshinstall.cli.options import Output, PlanOutput
from meshinstall.cli.request_options import CLUSTER, DESIRED, ENVIRONMENT, PROFILE, SAVED_ENVIRONMENT, SELECTORS, requesting
from meshinstall.cli.running import in_thread, run
from meshinstall.cli.target import open_environment, open_read, read, warn
from meshinstall.errors import ExitStatus, UsageError
from meshinstall.model.request import Request

if TYPE_CHECKING:
    from meshinstall.cli.output.saved_plan import Question, SavedPlan
    from meshinstall.model.plan import Plan

# Seconds: of what changes a mesh, of a look at it, and of opening a session, which is no part of a run.
_PATIENCE, _LOOK, _OPENING = 600.0, 300.0, 60.0
_INTERRUPTED = ("interrupted; steps marked ✓ are done", "run the same command again to continue from there")


@app.command()
@requesting(SAVED_ENVIRONMENT, CLUSTER, DESIRED, last=SELECTORS)
def up(
    request: Request,
    *,
    saved: Annotated[
        Path | None, typer.Option("--plan", help="Run exactly this saved plan, with its flags; refuse when the plan has changed.")
    ] = None,
    yes: options.Yes = False,
    timeout: options.Seconds = _PATIENCE,
    allow: options.Allow = None,
    no_verify: Annotated[bool, typer.Option("--no-verify", help="Do not prove mTLS at the end.")] = False,
    output: options.OutputKind = Output.TABLE,
) -> None:
    """Install or upgrade Istio: plan, show, ask, run, wait until it works, prove mTLS."""
    permitted = options.allowed(allow)
    kept = _load(saved, request) if saved else None
    wanted = kept.request if kept else request
    if not wanted.environment:
        if kept:
            raise UsageError(f"{saved} was saved by an older version of meshinstall, without its flags", "give the flags it was made with")
        raise UsageError("no environment is named", "name one with --env; a plan file carries its own: --plan FILE")

    async def work() -> None:
        from meshinstall.cli.output.verdicts import conclude
        from meshinstall.config.version_choice import as_saved
        from meshinstall.engine import pipeline

        project, desired = await in_thread(partial(read, wanted), min(timeout, _OPENING))
        if kept:
            desired = as_saved(desired, kept.istio_version)
            if question := kept.kubeconfig_of_its_own(request, desired.cluster):
                # Before anything is asked of a cluster: it may name a program that does so.
                _agree_to(question, yes=yes)
        desired, session = await in_thread(partial(open_read, project, desired), min(timeout, _OPENING))
        differences = partial(_compare, kept) if kept else None
        terms = pipeline.Terms(allow=permitted, saved=differences, seconds=timeout, prove=not no_verify)
        # What was agreed to with the file is this cluster's plan, if the file says so.
        with running_plan(session, output, permitted, agreed=yes or bool(kept and kept.target)) as callbacks:
            result = await pipeline.up(desired, session, terms, callbacks)
        if kept and result.plan.is_applied:
            typer.echo(f"already applied: nothing of {saved} is left to do", err=True)
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
    timeout: options.Seconds = _LOOK,
    output: options.PlanOutputKind = PlanOutput.TABLE,
) -> None:
    """Show what up would do, and change nothing; exit status 3 when there is something to do."""

    async def work() -> None:
        from meshinstall.checks.ownership import ANOTHER_ENVIRONMENT
        from meshinstall.engine.planning import make_plan

        found = await make_plan(*await in_thread(partial(open_environment, request)))
        if save:
            from meshinstall.cli.output import saved_plan

            saved_plan.save(found, request, save)
        typer.echo(_printed(found, request, output, diff=diff))
        if not found.is_empty or any(finding.code == ANOTHER_ENVIRONMENT for finding in found.findings):
            raise typer.Exit(ExitStatus.CHANGES_PENDING)

    run(work, seconds=timeout)


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

        desired, session = await in_thread(partial(open_environment, request), min(timeout, _OPENING))
        terms = pipeline.Terms(allow=permitted, seconds=timeout)
        with running_plan(session, output, permitted, agreed=yes) as callbacks:
            await pipeline.down(desired, session, terms, callbacks, crds=crds)

    run(work, *_INTERRUPTED)


def _compare(kept: "SavedPlan", plan: "Plan") -> list[str]:
    """In what the plan differs from the saved one; warns of a file that fits other clusters as well."""
    if kept.target is None and not plan.is_empty:
        warn(f"{kept.path} was saved by an older version of meshinstall: it does not say for which cluster. This is {plan.target}")
    return kept.differences(plan)


def _agree_to(question: "Question", *, yes: bool) -> None:
    """Ask about what a plan file alone names; ``--yes`` is an answer to plans, and none to that."""
    if yes or not sys.stdin.isatty():
        raise UsageError(f"{question.what}; it was not used", question.hint)
    warn(question.what)
    confirm("Use it?")


def _load(path: Path, request: Request) -> "SavedPlan":
    from meshinstall.cli.output import saved_plan

    return saved_plan.load(path, request)


def _printed(found: "Plan", request: Request, output: PlanOutput, *, diff: bool) -> str:
    from meshinstall.cli.output.plan_markdown import plan_markdown
    from meshinstall.cli.output.printers import dump, plan_text

    match output:
        case PlanOutput.JSON:
            from meshinstall.cli.output.saved_plan import document

            return dump(document(found, request))
        case PlanOutput.MARKDOWN:
            return plan_markdown(found)
        case _:
            return plan_text(found, diff=diff)
