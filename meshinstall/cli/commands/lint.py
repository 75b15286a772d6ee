"""The command ``lint``: everything of the configuration that can be judged without a cluster."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meshinstall.cli import options
from meshinstall.cli.app import app
from meshinstall.cli.options import Output
from meshinstall.cli.request_options import CLOUD, CONFIG, DESIRED, requesting
from meshinstall.cli.running import run
from meshinstall.cli.target import warn
from meshinstall.errors import ConfigError, ExitStatus
from meshinstall.model.request import Request

if TYPE_CHECKING:
    from meshinstall.engine.report.lint import Linted

# Seconds of reading all charts.
_CHARTS = 300.0

Environments = Annotated[
    list[str] | None, typer.Option("--env", help="Environment to check; may be repeated; all of meshinstall.yaml by default.")
]


@app.command()
@requesting(last={**CLOUD, **CONFIG, **DESIRED})
def lint(
    request: Request, *, env: Environments = None, timeout: options.Seconds = _CHARTS, output: options.OutputKind = Output.TABLE
) -> None:
    """Check the configuration without a cluster, its values against the charts included; exit status 2 when up would refuse it."""

    async def work() -> None:
        from meshinstall.cli.output import lint_text, printers

        found = await _look(request, tuple(env or ()))
        typer.echo(printers.dump(lint_text.lint_json(found)) if output is Output.JSON else lint_text.lint_text(found))
        if found.chart_error and not found.has_errors:
            raise found.chart_error
        if found.chart_error:
            warn(f"values were not checked against the charts: {found.chart_error.message}")
        if found.has_errors:
            raise typer.Exit(ExitStatus.USAGE)

    run(work, seconds=timeout)


async def _look(request: Request, environments: tuple[str, ...]) -> "Linted":
    """Files that cannot be understood are problems like all others; raises UsageError when there is no file of the name."""
    from meshinstall.config import lockfile
    from meshinstall.config.project import load_project
    from meshinstall.config.resolve import check_flags
    from meshinstall.engine.report import lint as report
    from meshinstall.wiring import lock_path, open_charts

    try:
        project = load_project(request.config, os.environ, Path.cwd())
        pins = lockfile.load(lock_path(project))
    except ConfigError as error:
        return report.only_errors((*error.problems, *check_flags(request)))
    sites = report.find_sites(project, environments or report.written_environments(project, request.cloud), request.cloud)
    return await report.lint(request, project, sites, open_charts(warn), pins)
