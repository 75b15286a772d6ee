"""The command ``render``: the files from which an engine that keeps a cluster like Git installs what ``up`` would."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from meshinstall.cli import options
from meshinstall.cli.app import app
from meshinstall.cli.options import Output
from meshinstall.cli.request_options import CLOUD, CONFIG, DESIRED, requesting
from meshinstall.cli.running import run
from meshinstall.cli.target import warn
from meshinstall.errors import ExitStatus, UsageError
from meshinstall.gitops.terms import Format
from meshinstall.model.request import Request

if TYPE_CHECKING:
    from meshinstall.cli.output.render_text import Written
    from meshinstall.gitops.repository import Repository
    from meshinstall.gitops.terms import Files, RenderedSite

# Seconds of reading all charts and of all that helm renders.
_SECONDS = 300.0

Environments = Annotated[
    list[str] | None, typer.Option("--env", help="Environment to render; may be repeated; all of meshinstall.yaml by default.")
]
Out = Annotated[Path, typer.Option("--out", file_okay=False, help="Folder to write into; files of others in it stay.")]


@app.command()
@requesting(last={**CLOUD, **CONFIG, **DESIRED})
def render(
    request: Request,
    *,
    format_: Annotated[Format, typer.Option("--format", help="What is to read the files.")],
    out: Out,
    env: Environments = None,
    repo_url: Annotated[str, typer.Option("--repo-url", help="Address of the Git repository, without a login (argocd).")] = "",
    path: Annotated[str, typer.Option("--path", help="Where --out is in the Git repository (argocd, flux).")] = "",
    check: Annotated[bool, typer.Option("--check", help="Write nothing; exit status 3 when the folder is not what is rendered.")] = False,
    timeout: options.Seconds = _SECONDS,
    output: options.OutputKind = Output.TABLE,
) -> None:
    """Write what up would install as files, for GitOps: every site at once, by pinned charts, without a cluster and without secrets."""

    async def work() -> None:
        from meshinstall.cli.output import printers, render_text

        repository = _repository(format_, path, repo_url)
        sites = await _rendered(request, tuple(env or ()))
        made = _files(format_, sites, repository)
        found = _write(Asked(out, format_, narrowed=bool(env or request.cloud), only_check=check), sites, made)
        typer.echo(printers.dump(render_text.render_json(found)) if output is Output.JSON else render_text.render_text(found))
        if check and not found.changes.is_empty:
            raise typer.Exit(ExitStatus.CHANGES_PENDING)

    run(work, seconds=timeout)


async def _rendered(request: Request, environments: tuple[str, ...]) -> "tuple[RenderedSite, ...]":
    from meshinstall.config import lockfile
    from meshinstall.config.project import load_project
    from meshinstall.engine.report.lint import find_sites, written_environments
    from meshinstall.engine.report.render import Means, render_sites
    from meshinstall.wiring import lock_path, open_charts, open_helm

    project = load_project(request.config, os.environ, Path.cwd())
    pins = lockfile.load(lock_path(project))
    sites = find_sites(project, environments or written_environments(project, request.cloud), request.cloud)
    if not sites:
        raise UsageError("there is no site to render", "name an environment with --env and a cloud with --cloud")
    return await render_sites(request, project, sites, Means(open_charts(warn), pins, open_helm()))


def _repository(format_: Format, path: str, url: str) -> "Repository":
    """Where engines find the files; raises UsageError, also for what a format does not need."""
    from meshinstall.gitops.repository import Repository, check_repository

    if format_ in {Format.ARGOCD, Format.FLUX} and not (url and format_ is Format.FLUX):
        return check_repository(path, url, needs_url=format_ is Format.ARGOCD)
    if url or path:
        raise UsageError(f"--format {format_} does not need {'--repo-url' if url else '--path'}", "leave it out")
    return Repository("")


def _files(format_: Format, sites: "tuple[RenderedSite, ...]", repository: "Repository") -> "Files":
    from meshinstall.gitops.argocd import argocd
    from meshinstall.gitops.flux import flux
    from meshinstall.gitops.kustomize import kustomize
    from meshinstall.gitops.manifests import manifests

    match format_:
        case Format.MANIFESTS:
            return manifests(sites)
        case Format.KUSTOMIZE:
            return kustomize(sites)
        case Format.ARGOCD:
            return argocd(sites, repository)
        case Format.FLUX:
            return flux(sites, repository)


class Asked(NamedTuple):
    """The folder, what for, whether only some sites are rendered, and whether nothing is to be written."""

    out: Path
    format: Format
    narrowed: bool
    only_check: bool


def _write(asked: Asked, sites: "tuple[RenderedSite, ...]", made: "Files") -> "Written":
    """Compare, and write what differs: first a record that names everything, so that an interrupted run can be repeated."""
    from meshinstall.cli.output.render_text import Written
    from meshinstall.cli.output.tree import read_below, remove_below, write_below
    from meshinstall.gitops import record

    out = asked.out
    now = record.make_record(asked.format.value, tuple(site.path for site in sites), made)
    files = {**made, record.NAME: record.record_text(now)}
    kept = read_below(out, [record.NAME])[record.NAME]
    before = record.read_record(kept) if kept is not None else None
    if before:
        record.check_same(before, now, narrowed=asked.narrowed)
    there = read_below(out, dict.fromkeys((*files, *(before.files if before else ()))))
    changes = record.compare(files, before, there)
    if not asked.only_check:
        record.insist(changes)
        both = record.Record(now.format, now.sites, {**(before.files if before else {}), **now.files})
        write_below(out, {record.NAME: record.record_text(both)} if changes.removed or changes.created else {})
        write_below(out, {path: made[path] for path in (*changes.created, *changes.changed) if path != record.NAME})
        remove_below(out, changes.removed)
        write_below(out, {record.NAME: files[record.NAME]} if not changes.is_empty else {})
    return Written(asked.format.value, out, sites, len(files), changes, asked.only_check)
