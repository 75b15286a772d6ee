"""The command ``diff``: what two environments want differently, without a cluster."""

from dataclasses import replace
from typing import Annotated

import typer

from meshinstall.cli import options
from meshinstall.cli.app import app
from meshinstall.cli.options import Output
from meshinstall.cli.request_options import CONFIG, DESIRED, requesting
from meshinstall.cli.target import read
from meshinstall.errors import UsageError
from meshinstall.model.cluster import Cloud
from meshinstall.model.request import Request

Two = Annotated[list[str], typer.Option("--env", help="Two environments, each ENV or ENV/CLOUD: --env staging --env prod/eks.")]


@app.command()
@requesting(last={**CONFIG, **DESIRED})
def diff(request: Request, *, env: Two, output: options.OutputKind = Output.TABLE) -> None:
    """Show in what two environments differ: versions, releases and values, each with the file and line that says it."""
    from meshinstall.cli.output import diff_text, printers
    from meshinstall.config import lockfile
    from meshinstall.config.resolve import resolve
    from meshinstall.config.version_choice import as_pinned
    from meshinstall.engine.report.compare import differences
    from meshinstall.wiring import lock_path

    if len(env) != 2:  # noqa: PLR2004 - one beside the other
        raise UsageError(f"--env is given {'once' if len(env) == 1 else f'{len(env)} times'}", "name two: --env staging --env prod")
    project, one = read(_of(request, env[0]))
    pins = lockfile.load(lock_path(project))
    found = differences(as_pinned(one, pins), as_pinned(resolve(_of(request, env[1]), project), pins))
    text = printers.dump(diff_text.diff_json(env, found)) if output is Output.JSON else diff_text.diff_text(env, found)
    typer.echo(text)


def _of(request: Request, name: str) -> Request:
    environment, slash, cloud = name.partition("/")
    if slash and cloud not in tuple(Cloud):
        raise UsageError(f"{name!r} names no cloud", f"write ENV/CLOUD with one of {', '.join(Cloud)}")
    return replace(request, environment=environment, cloud=Cloud(cloud) if slash else None)
