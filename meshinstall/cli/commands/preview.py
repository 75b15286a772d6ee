"""The command ``preview``: what a change in Git means for every site, before it is merged."""

import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meshinstall.cli import options
from meshinstall.cli.app import app
from meshinstall.cli.commits import Side, placed, read_side
from meshinstall.cli.options import PlanOutput
from meshinstall.cli.request_options import CHARTS, CLOUD, CONFIG, requesting
from meshinstall.cli.running import run
from meshinstall.cli.target import warn
from meshinstall.errors import ConfigError, ExitStatus, UsageError
from meshinstall.model.diff import Concern
from meshinstall.model.request import Request

if TYPE_CHECKING:
    from meshinstall.gitops.terms import RenderedSite
    from meshinstall.model.diff import Consequence
    from meshinstall.model.preview import Preview
    from meshinstall.ports import Helm

_SECONDS = 300.0

Environments = Annotated[
    list[str] | None, typer.Option("--env", help="Environment to preview; may be repeated; all of meshinstall.yaml by default.")
]
Tables = Annotated[
    list[str] | None, typer.Option("--test", help="Table of requests in the repository, tried before and after; may be repeated.")
]

FailOn = Annotated[
    list[Concern] | None, typer.Option("--fail-on", help="Exit status 4 when the change has such a consequence; may be repeated.")
]


@app.command()
@requesting(last={**CLOUD, **CONFIG, "charts": CHARTS["charts"]})
def preview(
    request: Request,
    *,
    base: Annotated[str, typer.Option("--base", help="Branch or commit that the change is for; what both have in common counts.")],
    head: Annotated[str, typer.Option("--head", help="Commit of the change.")] = "HEAD",
    env: Environments = None,
    test: Tables = None,
    fail_on: FailOn = None,
    junit: Annotated[Path | None, typer.Option("--junit", help="Write the results as JUnit XML, too.")] = None,
    timeout: options.Seconds = _SECONDS,
    output: options.PlanOutputKind = PlanOutput.TABLE,
) -> None:
    """Show what a change in Git means for every site, without a cluster and without a login; exit status 3 when anything changes.

    Both sides are rendered from their commits, by charts from where the base has them. Nothing of a commit is run. Exit status 4 when a
    row of a table of --test fails after the change, or the change has a consequence of --fail-on; 5 when a row is undecided.
    """

    async def work() -> None:
        from meshinstall.cli.output import preview_text, printers
        from meshinstall.cli.output.files import write_whole

        with tempfile.TemporaryDirectory(prefix="meshinstall-") as temporary:
            found = await _look(request, (base, head), env, tuple(test or ()), Path(temporary))
        if junit:
            write_whole(junit, preview_text.preview_junit(found))
        shown = {PlanOutput.TABLE: preview_text.preview_text, PlanOutput.MARKDOWN: preview_text.preview_markdown}
        typer.echo(printers.dump(preview_text.preview_json(found)) if output is PlanOutput.JSON else shown[output](found))
        if concerns := preview_text.failing(found, fail_on or ()):
            warn(f"--fail-on: the change has consequences of this kind: {', '.join(concerns)}")
        if (status := preview_text.status(found, fail_on or ())) is not ExitStatus.DONE:
            raise typer.Exit(status)

    if junit:
        from meshinstall.cli.output.files import check_writable

        check_writable("--junit", junit)
    run(work, seconds=timeout)


async def _look(request: Request, refs: tuple[str, str], env: list[str] | None, tables: tuple[str, ...], temporary: Path) -> "Preview":
    from meshinstall.config.project import find_file
    from meshinstall.engine.report.preview import compare_sites, with_tests
    from meshinstall.model.preview import Preview
    from meshinstall.wiring import git, open_helm

    file = find_file(request.config, os.environ, Path.cwd())
    here = file.parent if file else Path.cwd()
    base, head = (git().commit_of(here, ref) for ref in refs)
    old = read_side(here, git().fork_point(here, base, head), temporary / "base", ())
    new = read_side(here, head, temporary / "head", tables)
    _insist(env, old, new)
    source = _source(request, old, here)
    helm = open_helm()
    before, after = [await _rendered(side, request, env, source, helm) for side in (old, new)]
    sites = compare_sites(before, after, datetime.now(UTC).date())
    if not sites:
        raise UsageError("neither side has a site to look at", "name an environment with --env and a cloud with --cloud")
    sites = with_tests(sites, before, after, {table: new.folder / table for table in tables})
    return Preview(old.commit, new.commit, sites, _notes(old, new))


def _insist(env: list[str] | None, *sides: Side) -> None:
    """Raise UsageError for an environment that neither side has: nothing would change in it."""
    known = {name for side in sides if side.project for name in side.project.environments}
    if missing := [name for name in env or () if name not in known]:
        raise UsageError(f"--env {missing[0]}: neither side has such an environment", f"one of {', '.join(sorted(known)) or 'none'}")


def _source(request: Request, base: Side, here: Path) -> str:
    """Where charts come from: the command line, else the base. A change cannot name another place."""
    from meshinstall.config.documents import Settings
    from meshinstall.wiring import git

    if request.charts:
        return request.charts if "://" in request.charts else str(Path.cwd() / Path(request.charts).expanduser())
    source = (base.project.settings if base.project else Settings()).charts.source
    if "://" in source or Path(source).is_absolute():
        return source
    files = git().read_files(here, base.commit, [str(Path(source))])
    git().write_files(base.folder, {path: data for path, data in files.items() if path.endswith(".tgz")})
    return str(base.folder / source)


async def _rendered(side: Side, request: Request, env: list[str] | None, source: str, helm: "Helm") -> "tuple[RenderedSite, ...]":
    from meshinstall.config import lockfile
    from meshinstall.engine.report.lint import find_sites, written_environments
    from meshinstall.engine.report.render import Means, render_sites
    from meshinstall.wiring import lock_path, open_charts

    if side.project is None:
        return ()
    names = [name for name in env or written_environments(side.project, request.cloud) if name in side.project.environments]
    sites = find_sites(side.project, names, request.cloud)
    try:
        pins = lockfile.load(lock_path(side.project))
        asked = Request(cloud=request.cloud, charts=source, folder=side.folder)
        return await render_sites(asked, side.project, sites, Means(open_charts(warn), pins, helm))
    except ConfigError as error:
        raise placed(error, side.commit) from None


def _notes(old: Side, new: Side) -> "tuple[Consequence, ...]":
    from meshinstall.model.diff import Consequence
    from meshinstall.model.foreign_text import line

    sources = [line(side.project.settings.charts.source) if side.project else "" for side in (old, new)]
    if all(sources) and sources[0] != sources[1]:
        told = (
            f"charts would come from {sources[1]} instead of {sources[0]}: this preview took them from there no matter what the change says"
        )
        return (Consequence(Concern.WEAKER, told),)
    return ()
