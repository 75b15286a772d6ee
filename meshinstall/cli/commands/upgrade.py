"""The commands of ``upgrade``: from the Istio that runs to another."""

import shutil
import sys
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meshinstall.cli import options
from meshinstall.cli.app import app
from meshinstall.cli.asking import ask_to_run, telling
from meshinstall.cli.commands.nightly import Files, Job, check_options
from meshinstall.cli.commands.nightly import nightly as run_night
from meshinstall.cli.options import Output, PlanOutput
from meshinstall.cli.request_options import CHARTS, CLUSTER, ENVIRONMENT, OWN_ENVIRONMENT, PROFILE, SELECTORS, VALUES, requesting
from meshinstall.cli.running import in_thread, run
from meshinstall.cli.settings import HELP
from meshinstall.cli.target import open_read, read, warn
from meshinstall.errors import ExitStatus, UsageError
from meshinstall.model.request import Request

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from meshinstall.config.project import Project
    from meshinstall.engine.session import Session
    from meshinstall.engine.staging.planned import Resolve
    from meshinstall.engine.staging.terms import Callbacks, Result, Terms
    from meshinstall.model.desired import Desired
    from meshinstall.model.upgrade import StageName, UpgradePlan

upgrade = typer.Typer(
    help="Go from the Istio that runs to another one, in stages.",
    add_completion=False,
    rich_markup_mode=None,
    context_settings=HELP,
)
app.add_typer(upgrade, name="upgrade")

# Seconds: of a look at a mesh, of each run of a stage, and of opening a session.
_LOOK, _PATIENCE, _OPENING = 300.0, 600.0, 60.0
_INTERRUPTED = ("interrupted; stages marked ✓ are done", "run the same command again to continue, or: meshinstall upgrade rollback")
_OF_TARGET = frozenset({"missing-fix", "eol", "kubernetes"})
_SOURCE = {"charts": CHARTS["charts"]}

To = Annotated[str, typer.Option("--to", help="Version of Istio to upgrade to; the one of the configuration by default.")]
Until = Annotated[str, typer.Option("--until", help="Stop after this stage, such as control-plane or gateways.")]
OnFailure = Annotated[str, typer.Option("--on-failure", help="What becomes of a stage that fails: undo takes it back, hold leaves it.")]
Patience = Annotated[float, typer.Option("--timeout", min=1, help="Seconds for each run of a stage.")]
Nightly = Annotated[bool, typer.Option("--nightly", help="A night's run: inside the windows, to what istio.version and the lock say.")]
JUnit = Annotated[Path | None, typer.Option("--junit", help="With --nightly: write the result as JUnit XML, too.")]
Metrics = Annotated[Path | None, typer.Option("--metrics", help="With --nightly: write the result as an OpenMetrics text file, too.")]
Page = Annotated[Path | None, typer.Option("--html", help="Write how it ended, with the evidence of every gate, as a page, too.")]
Require = Annotated[str, typer.Option("--require", help="pass: what was not proven before the upgrade stops it too.")]


@upgrade.callback(invoke_without_command=True, no_args_is_help=True)
@requesting(OWN_ENVIRONMENT, CLUSTER, {**PROFILE, **_SOURCE, **VALUES}, last=SELECTORS)
def upgrade_to(
    called: typer.Context,
    request: Request,
    *,
    to: To = "",
    until: Until = "",
    on_failure: OnFailure = "undo",
    require: Require = "",
    yes: options.Yes = False,
    timeout: Patience = _PATIENCE,
    allow: options.Allow = None,
    nightly: Nightly = False,
    junit: JUnit = None,
    metrics: Metrics = None,
    html: Page = None,
    output: options.OutputKind = Output.TABLE,
) -> None:
    """Go from the Istio that runs to another one: plan, show, ask, then stage after stage, each judged by a gate."""
    if called.invoked_subcommand is None:
        if not request.environment:
            raise UsageError("no environment is named", "name one: --env dev")
        terms, files = _Terms(until, on_failure, require, timeout, options.allowed(allow)), Files(junit, metrics)
        check_options(is_nightly=nightly, to=to, allow=options.allowed(allow), files=files)
        if nightly and html:
            raise UsageError("--html is not of --nightly", "use --junit or --metrics")
        if nightly:
            run_night(_job(request, terms, output, files, yes=yes))
        else:
            _go(request, to, terms, _Shown(output, html), yes=yes)


@upgrade.command()
@requesting(ENVIRONMENT, CLUSTER, {**PROFILE, **_SOURCE, **VALUES}, last=SELECTORS)
def plan(
    request: Request,
    *,
    to: To = "",
    timeout: options.Seconds = _LOOK,
    allow: options.Allow = None,
    output: options.PlanOutputKind = PlanOutput.TABLE,
) -> None:
    """Show hops, stages, restarts and downtime of an upgrade, and change nothing; exit status 3 when there is something to do."""
    permitted = options.allowed(allow)
    wanted = _version(to)

    async def work() -> None:
        from meshinstall.engine.staging.planned import plan_from

        resolve, session = await _opened(request, wanted)
        found = (await plan_from(resolve, session, wanted)).plan
        typer.echo(_printed(found, permitted, output))
        if not found.is_empty:
            raise typer.Exit(ExitStatus.CHANGES_PENDING)

    run(work, seconds=timeout)


@upgrade.command()
@requesting(ENVIRONMENT, CLUSTER, {**PROFILE, **_SOURCE, **VALUES}, last=SELECTORS)
def status(
    request: Request, *, timeout: options.Seconds = _LOOK, allow: options.Allow = None, output: options.PlanOutputKind = PlanOutput.TABLE
) -> None:
    """Say where each part of the mesh is, and what is left of an upgrade that was begun; exit status 3 when something is."""
    permitted = options.allowed(allow)

    async def work() -> None:
        from meshinstall.engine.staging.planned import NEWEST, plan_from

        resolve, session = await _opened(request, None)
        found = (await plan_from(resolve, session, NEWEST)).plan
        typer.echo(_printed(found, permitted | _OF_TARGET, output))
        if not found.is_empty:
            raise typer.Exit(ExitStatus.CHANGES_PENDING)

    run(work, seconds=timeout)


@upgrade.command("continue")
@requesting(ENVIRONMENT, CLUSTER, {**PROFILE, **_SOURCE, **VALUES}, last=SELECTORS)
def go_on(
    request: Request,
    *,
    until: Until = "",
    on_failure: OnFailure = "undo",
    require: Require = "",
    yes: options.Yes = False,
    timeout: Patience = _PATIENCE,
    allow: options.Allow = None,
    html: Page = None,
    output: options.OutputKind = Output.TABLE,
) -> None:
    """Continue an upgrade that was begun, to the version of the newest istiod."""
    # What was allowed of the target when it began needs no second word.
    _go(
        request,
        "",
        _Terms(until, on_failure, require, timeout, options.allowed(allow) | _OF_TARGET),
        _Shown(output, html),
        yes=yes,
        goes_on=True,
    )


@upgrade.command()
@requesting(ENVIRONMENT, CLUSTER, {**PROFILE, **_SOURCE, **VALUES}, last=SELECTORS)
def rollback(
    request: Request,
    *,
    to: Annotated[str, typer.Option("--to", help="Version to go back to, where no older istiod runs any more.")] = "",
    until: Until = "",
    yes: options.Yes = False,
    timeout: Patience = _PATIENCE,
    allow: options.Allow = None,
    html: Page = None,
    output: options.OutputKind = Output.TABLE,
) -> None:
    """Take an upgrade back: tags first, then gateways, then the newer istiod; CRDs stay."""
    _go(request, to, _Terms(until, "hold", "", timeout, options.allowed(allow)), _Shown(output, html), yes=yes, is_back=True)


class _Terms:
    """The options of a run, held until the engine is loaded; raises UsageError for those that do not make sense."""

    def __init__(self, until: str, on_failure: str, require: str, seconds: float, allow: frozenset[str]) -> None:
        if on_failure not in {"undo", "hold"}:
            raise UsageError(f"--on-failure {on_failure}: it is undo or hold")
        if require not in {"", "pass"}:
            raise UsageError(f"--require {require}: it is pass")
        self.given = {"allow": allow, "seconds": seconds, "undoes": on_failure == "undo", "require_pass": require == "pass"}
        self.until = _stage(until)

    def made(self) -> "Terms":
        """As the engine takes them."""
        from meshinstall.engine.staging.terms import Terms

        return Terms(until=self.until, **self.given)  # type: ignore[arg-type] # by its own names


@dataclass(frozen=True, slots=True)
class _Shown:
    """How a run is shown, and the page that is written at its end."""

    output: Output
    html: Path | None

    def check(self) -> None:
        """Raise UsageError for a page that could not be written at the end."""
        from meshinstall.cli.output.files import check_writable

        if self.html:
            check_writable("--html", self.html)

    def write(self, result: "Result") -> bool:
        """Write the page, if one was asked for; whether that is done. What cannot be written is told."""
        from meshinstall.cli.output.files import write_whole
        from meshinstall.cli.output.upgrade_html import upgrade_html

        try:
            if self.html:
                write_whole(self.html, upgrade_html(result, datetime.now(UTC)))
        except OSError as error:
            warn(f"cannot write {self.html}: {error.strerror}")
            return False
        return True


def _go(request: Request, to: str, terms: _Terms, shown: _Shown, *, yes: bool, goes_on: bool = False, is_back: bool = False) -> None:
    wanted = _version(to)
    shown.check()

    async def work() -> None:
        from meshinstall.engine.staging.planned import NEWEST
        from meshinstall.engine.staging.upgrade import rollback as run_back
        from meshinstall.engine.staging.upgrade import upgrade as run_upgrade

        made = terms.made()
        resolve, session = await _opened(request, None if is_back else wanted)
        target = NEWEST if goes_on else wanted
        with _callbacks(session, shown.output, made.allow, agreed=yes) as callbacks:
            result = await (run_back if is_back else run_upgrade)(resolve, session, made, callbacks, target)
        _conclude(result, shown)

    run(work, *_INTERRUPTED)


def _job(request: Request, terms: _Terms, output: Output, files: Files, *, yes: bool) -> Job:
    def callbacks(session: "Session") -> "AbstractContextManager[Callbacks]":
        return _callbacks(session, output, terms.made().allow, agreed=yes)

    return Job(request, partial(_opened, request, None), terms.made, callbacks, output, files)


def _stage(name: str) -> "StageName | None":
    from meshinstall.model.upgrade import StageName

    if name and name not in set(StageName):
        raise UsageError(f"--until {name}: no stage has this name", ", ".join(StageName))
    return StageName(name) if name else None


async def _opened(request: Request, version: str | None) -> "tuple[Resolve, Session]":
    """What the files say at any version, and the cluster that they name."""
    project, desired = await in_thread(partial(read, _at(request, version)), _OPENING)
    desired, session = await in_thread(partial(open_read, project, desired), _OPENING)
    return partial(_resolved, request, project, session), session


def _resolved(request: Request, project: "Project", session: "Session", version: str | None, revisions: bool | None) -> "Desired":  # noqa: FBT001 - as Resolve has it
    from meshinstall.config.resolve import resolve

    desired = resolve(replace(_at(request, version), revisions=revisions), project)
    return replace(desired, cluster=replace(desired.cluster, name=session.cluster))


def _at(request: Request, version: str | None) -> Request:
    return replace(request, istio_version=version or request.istio_version)


def _version(told: str) -> str | None:
    from meshinstall.config.check import check_version

    if told and (wrong := check_version(told)):
        raise UsageError(f"--to: {wrong}")
    return told or None


@contextmanager
def _callbacks(session: "Session", output: Output, allowed: frozenset[str], *, agreed: bool) -> "Iterator[Callbacks]":
    """The plan goes to stderr, a person is asked unless they ``agreed`` before, events go to the terminal and the journal."""
    from meshinstall.cli.output import upgrade_plan
    from meshinstall.engine.staging.terms import Callbacks

    async def ask(_: "UpgradePlan") -> None:
        if not agreed:
            ask_to_run()

    with telling(session, output) as emit:
        yield Callbacks(lambda plan: typer.echo(upgrade_plan.upgrade_text(plan, allowed), err=True), ask, emit)


def _conclude(result: "Result", shown: _Shown) -> None:
    from meshinstall.cli.output import upgrade_result
    from meshinstall.engine.staging.terms import End

    if shown.output is Output.JSON:
        sys.stdout.write(upgrade_result.result_line(result) + "\n")
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
        typer.echo(upgrade_result.result_text(result, width))
    statuses = {End.DONE: ExitStatus.DONE, End.HELD: ExitStatus.CHANGES_PENDING, End.NOT_PROVEN: ExitStatus.NOT_PROVEN}
    # Printed first: a file that cannot be written must not cost what was done.
    is_whole = shown.write(result)
    if status := statuses.get(result.end, ExitStatus.FAILED) or (ExitStatus.DONE if is_whole else ExitStatus.FAILED):
        raise typer.Exit(status)


def _printed(found: "UpgradePlan", allowed: frozenset[str], output: PlanOutput) -> str:
    from meshinstall.cli.output import upgrade_plan
    from meshinstall.cli.output.printers import dump

    match output:
        case PlanOutput.JSON:
            return dump(upgrade_plan.upgrade_json(found))
        case PlanOutput.MARKDOWN:
            return upgrade_plan.upgrade_markdown(found)
        case _:
            return upgrade_plan.upgrade_text(found, allowed)
