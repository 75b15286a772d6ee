"""The command ``drift``: in what a mesh is not what Git says, who changed it and when, and what puts it right."""

import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meshinstall.cli import options
from meshinstall.cli.app import app
from meshinstall.cli.commits import files_of, placed, read_side, way_of
from meshinstall.cli.options import PlanOutput
from meshinstall.cli.request_options import CLUSTER, DESIRED, ENVIRONMENT, SELECTORS, requesting
from meshinstall.cli.running import in_thread, run
from meshinstall.cli.target import open_read, read, tell
from meshinstall.errors import ConfigError, ExitStatus, UsageError
from meshinstall.model.request import Request

if TYPE_CHECKING:
    from meshinstall.config.project import Project
    from meshinstall.engine.report.drift import Asked
    from meshinstall.model.cluster import ClusterRef
    from meshinstall.model.drift import Drift

_SECONDS = 300.0


@app.command()
@requesting(ENVIRONMENT, CLUSTER, DESIRED, last=SELECTORS)
def drift(
    request: Request,
    *,
    ref: Annotated[
        str, typer.Option("--ref", help="Branch or commit that the mesh should be like; the files of the folder by default.")
    ] = "",
    timeout: options.Seconds = _SECONDS,
    output: options.PlanOutputKind = PlanOutput.TABLE,
) -> None:
    """Show in what a mesh is not what Git says: which field, what the engine installed, what is there, who wrote it and when.

    For a mesh that up, Argo CD, Flux or kubectl keeps. The command changes nothing. Exit status 3 when something differs; 5 when nothing
    differs in what could be read, and something could not be read.
    """

    async def work() -> None:
        from meshinstall.cli.output import drift_text, printers

        with tempfile.TemporaryDirectory(prefix="meshinstall-") as temporary:
            found = await _look(request, ref, Path(temporary))
        shown = {PlanOutput.TABLE: drift_text.drift_text, PlanOutput.MARKDOWN: drift_text.drift_markdown}
        typer.echo(printers.dump(drift_text.drift_json(found)) if output is PlanOutput.JSON else shown[output](found))
        if (status := drift_text.status(found)) is not ExitStatus.DONE:
            raise typer.Exit(status)

    run(work, seconds=timeout)


async def _look(request: Request, ref: str, temporary: Path) -> "Drift":
    from meshinstall.engine.report.drift import find_drift

    # Which cluster it is, and how it is reached, the folder says: a commit names no kubeconfig.
    project, desired = await in_thread(partial(read, request, with_policies=False))
    asked = await in_thread(partial(_asked, request, ref, project, desired.cluster, temporary))
    desired, session = await in_thread(partial(open_read, project, desired))
    try:
        return await find_drift(asked, desired, session, tell)
    except ConfigError as error:
        raise (placed(error, asked.commit) if asked.commit else error) from None


def _asked(request: Request, ref: str, project: "Project", cluster: "ClusterRef", temporary: Path) -> "Asked":
    """What Git says: of the folder, or of a commit, by charts from where the folder has them."""
    from dataclasses import replace

    from meshinstall.wiring import git

    if not ref:
        return files_of(request, cluster)
    commit = git().commit_of(project.folder, ref)
    side = read_side(project.folder, commit, temporary / "commit")
    if side.project is None:
        raise UsageError(f"--ref {ref}: commit {commit[:12]} has no meshinstall.yaml in {project.folder}", "name another commit")
    place = request.charts or project.settings.charts.source
    charts = place if "://" in place else str((request.folder if request.charts else project.folder) / Path(place).expanduser())
    made = files_of(replace(request, charts=charts), cluster, side.project)
    return replace(made, source=f"commit {commit[:12]}", commit=commit, way=replace(way_of(request, cluster), ref=ref))
