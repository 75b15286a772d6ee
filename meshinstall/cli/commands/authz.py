"""The commands of ``authz``: who may call what."""

from pathlib import Path
from typing import Annotated

import typer

from meshinstall.cli import options
from meshinstall.cli.app import app
from meshinstall.cli.options import Output
from meshinstall.cli.request_options import CLOUD, CLUSTER, CONFIG, DESIRED, OWN_ENVIRONMENT, SELECTORS, requesting
from meshinstall.cli.running import in_thread, run
from meshinstall.cli.settings import HELP
from meshinstall.cli.target import open_cluster, open_read, read
from meshinstall.errors import UsageError
from meshinstall.model.request import Request

authz = typer.Typer(
    help="Who may call what, and tests of it.",
    add_completion=False,
    rich_markup_mode=None,
    context_settings=HELP,
)
app.add_typer(authz, name="authz")

# Seconds of reading files, and of reading a cluster too.
_FILES, _CLUSTER = 60.0, 120.0

Paths = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[FILE|FOLDER]...", help="YAML or JSON of Kubernetes' objects; by default the layers of --env.", show_default=False
    ),
]


@authz.callback()
def _authz() -> None:
    """A command of commands."""


@authz.command(name="test")
@requesting(OWN_ENVIRONMENT, last={**CLOUD, **CONFIG, **DESIRED})
def try_requests(
    request: Request,
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="YAML with requests and what must become of each.")],
    paths: Paths = None,
    *,
    junit: Annotated[Path | None, typer.Option("--junit", help="Write the results as JUnit XML, too.")] = None,
    timeout: options.Seconds = _FILES,
    output: options.OutputKind = Output.TABLE,
) -> None:
    """Test policies against a table of requests: exit status 4 when one is decided otherwise, 5 when files do not tell.

    With --env the mesh of that environment is known: its trust domains, its mTLS, its root namespace.
    """

    async def work() -> None:
        from meshinstall.cli.output import authz_text, printers
        from meshinstall.cli.output.files import write_whole
        from meshinstall.config.policy_layers import objects_of, read_layers
        from meshinstall.engine.report.authz import try_table

        if not paths and not request.environment:
            raise UsageError("no policies are named", "name files or folders, or with --env an environment whose layers to test")
        project, desired = read(request) if request.environment else (None, None)
        sources = paths or (objects_of(read_layers(project, request, desired.releases)) if project and desired else ())
        tried = try_table(table, sources, desired)
        typer.echo(printers.dump(authz_text.authz_json(tried)) if output is Output.JSON else authz_text.authz_text(tried))
        if junit:
            try:
                write_whole(junit, authz_text.authz_junit(tried))
            except OSError as error:
                raise UsageError(f"cannot write {junit}: {error.strerror}") from error
        if status := authz_text.status_of(tried):
            raise typer.Exit(status)

    run(work, seconds=timeout)


@authz.command()
@requesting(OWN_ENVIRONMENT, last={**CLUSTER, **DESIRED, **SELECTORS})
def who(
    request: Request,
    paths: Paths = None,
    *,
    live: Annotated[
        bool, typer.Option("--live", help="Also by the policies that the cluster has, for the workloads that run there.")
    ] = False,
    namespace: Annotated[
        list[str] | None, typer.Option("--namespace", "-n", help="Only workloads of this namespace; may be repeated.")
    ] = None,
    timeout: options.Seconds = _CLUSTER,
    output: options.OutputKind = Output.TABLE,
) -> None:
    """Say who may call what of each workload, and by which rule; with --live also what is not in Git, and what is not applied.

    With --env the mesh of that environment is known: its trust domains, its mTLS, its root namespace.
    """

    async def work() -> None:
        from functools import partial

        from meshinstall.cli.output import printers, who_text
        from meshinstall.config.policy_layers import objects_of, read_layers
        from meshinstall.engine.report.who import read_sources, who_may_call

        if not paths and not request.environment and not live:
            hint = "name files or folders, with --env an environment whose layers to read, or with --live a cluster"
            raise UsageError("no policies are named", hint)
        project, desired = read(request) if request.environment else (None, None)
        layers = objects_of(read_layers(project, request, desired.releases)) if project and desired and not paths else ()
        files = read_sources(paths or layers, desired) if paths or desired else None
        session = None
        if live and project and desired:
            desired, session = await in_thread(partial(open_read, project, desired), timeout)
        elif live:
            session, _ = await in_thread(partial(open_cluster, request), timeout)
        found = await who_may_call(files, session.kube if session else None, desired, frozenset(namespace or ()))
        typer.echo(printers.dump(who_text.who_json(found)) if output is Output.JSON else who_text.who_text(found))

    run(work, seconds=timeout)
