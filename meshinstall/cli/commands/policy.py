"""The commands of ``policy``: what policies do, as they are written, and what a mesh is ready for."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meshinstall.cli import options
from meshinstall.cli.app import app
from meshinstall.cli.options import Output
from meshinstall.cli.request_options import CLOUD, CLUSTER, CONFIG, DESIRED, ENVIRONMENT, OWN_ENVIRONMENT, SELECTORS, requesting
from meshinstall.cli.running import AGAIN, in_thread, run
from meshinstall.cli.settings import HELP
from meshinstall.cli.target import open_cluster, open_environment, open_read, read, tell, warn
from meshinstall.errors import ClusterError, ExitStatus, UsageError
from meshinstall.model.cluster_ref import Cloud
from meshinstall.model.request import Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from meshinstall.config.project import Project
    from meshinstall.engine.report.dry_run import Tried
    from meshinstall.engine.session import Session
    from meshinstall.model.desired import Desired
    from meshinstall.model.finding import Finding
    from meshinstall.model.policy_object import PolicyObject

policy = typer.Typer(
    help="Check policies as they are written, and find what a mesh is ready for.",
    add_completion=False,
    rich_markup_mode=None,
    context_settings=HELP,
)
app.add_typer(policy, name="policy")

# Seconds of reading the chart that has the schemas.
_CHARTS = 300.0
# Seconds of looking at a mesh, of opening a session, and days that a Prometheus is asked for.
_LOOKING, _OPENING, _DAYS = 300.0, 60.0, 7
# An environment that is always there: of it only the version of Istio is taken.
_ANY = "dev"

Paths = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[FILE|FOLDER]...", help="YAML or JSON of Kubernetes' objects; by default the layers of --env.", show_default=False
    ),
]


Online = Annotated[
    bool,
    typer.Option("--online", help="Also compare identity providers with their own discovery documents and keys.", show_default=False),
]


@policy.callback()
def _policy() -> None:
    """A command of commands."""


DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Also ask the cluster of --env, or of --context, by server-side dry runs; writes nothing.", show_default=False
    ),
]


@policy.command()
@requesting(OWN_ENVIRONMENT, last={**CLUSTER, **DESIRED, **SELECTORS})
def check(
    request: Request,
    paths: Paths = None,
    *,
    online: Online = False,
    dry_run: DryRun = False,
    timeout: options.Seconds = _CHARTS,
    output: options.OutputKind = Output.TABLE,
) -> None:
    """Say what is wrong with policies, and what they do that they do not say; exit status 2 for what must not be applied.

    With --env the mesh of that environment is known: its trust domains, its providers, its root namespace.

    With --dry-run the exit status is 5 for what the cluster did not judge.
    """

    async def work() -> None:
        from dataclasses import replace

        from meshinstall.cli.output import policy_text, printers
        from meshinstall.config import lockfile
        from meshinstall.config.policy_layers import objects_of, read_layers
        from meshinstall.engine.report.policies import check_policies, compare_published
        from meshinstall.wiring import lock_path, open_charts, open_published

        if online and not request.environment:
            raise UsageError("--online needs --env, whose identity providers are compared")
        if not paths and not request.environment:
            raise UsageError("no policies are named", "name files or folders, or with --env an environment whose layers to check")
        asked = request if request.environment else replace(request, environment=_ANY, cloud=Cloud.LOCAL)
        project, desired = read(asked)
        pins = lockfile.load(lock_path(project))
        sources = paths or objects_of(read_layers(project, asked, desired.releases))
        found = await check_policies(sources, desired, open_charts(warn), pins, knows_mesh=bool(request.environment))
        if online:
            found = replace(found, findings=(*found.findings, *await compare_published(desired.identity, open_published())))
        if dry_run:
            mesh = desired if request.environment else None
            tried, missing = await _tried(found.read, mesh, partial(_opened, request, project, desired), timeout)
            found = replace(found, tried=tried, findings=(*found.findings, *missing))
        typer.echo(printers.dump(policy_text.policy_json(found)) if output is Output.JSON else policy_text.policy_text(found))
        if found.chart_error and not found.has_errors:
            raise found.chart_error
        if found.chart_error:
            warn(f"files were not held against Istio's schemas: {found.chart_error.message}")
        if found.has_errors:
            raise typer.Exit(ExitStatus.USAGE)
        if found.is_unproven:
            raise typer.Exit(ExitStatus.NOT_PROVEN)

    run(work, seconds=timeout)


def _opened(request: Request, project: "Project", desired: "Desired") -> "Session":
    """The cluster of the environment, or the one that options name."""
    return open_read(project, desired)[1] if request.environment else open_cluster(request)[0]


async def _tried(
    objects: "tuple[PolicyObject, ...]", mesh: "Desired | None", opening: "Callable[[], Session]", seconds: float
) -> "tuple[tuple[Tried, ...], tuple[Finding, ...]]":
    """What a cluster says of the objects, and what they name or select and it does not have; where it cannot be asked, that, and why."""
    from meshinstall.engine.report.dry_run import try_policies, untried
    from meshinstall.engine.report.live_selectors import unmatched_selectors
    from meshinstall.engine.report.live_targets import missing_targets

    try:
        session = await in_thread(opening, min(seconds, _OPENING))
        tried = await try_policies(objects, session.kube)
        return tried, (*await missing_targets(objects, session.kube), *await unmatched_selectors(objects, mesh, session.kube))
    except ClusterError as error:
        return untried(objects, f"{error.message}{f'; {error.hint}' if error.hint else ''}"), ()


@policy.command()
@requesting(ENVIRONMENT, CLOUD, CONFIG, last=SELECTORS)
def migrate(
    request: Request,
    *,
    history: Annotated[
        int, typer.Option("--history", min=1, max=365, metavar="DAYS", help="Days that the cluster's Prometheus is asked for.")
    ] = _DAYS,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="Write the files below this folder, the project's; none is overwritten.")
    ] = None,
    timeout: options.Seconds = _LOOKING,
    output: options.OutputKind = Output.TABLE,
) -> None:
    """Say which namespaces are ready for STRICT and for deny by default, who would be refused, and which files to commit.

    Changes nothing. Ready is only what proxies and a Prometheus counted; what was not seen is NOT PROVEN.
    """

    async def work() -> None:
        from meshinstall.cli.output import migration, printers
        from meshinstall.engine.report.migrate import plan_migration

        desired, session = await in_thread(partial(open_environment, request), min(timeout, _OPENING))
        found = await plan_migration(desired, session, history)
        texts = migration.file_texts(found)
        if output is Output.JSON:
            typer.echo(printers.dump(migration.migration_json(found, session.cluster, desired.environment)))
        else:
            typer.echo(migration.migration_text(found))
        if out is not None:
            for path in migration.write_files(out, texts):
                tell(f"wrote {path}")
        elif output is Output.TABLE:
            typer.echo(migration.printed_files(texts), nl=False)

    run(work, "interrupted; nothing was changed", AGAIN, seconds=timeout)
