"""Commands about managed clusters: kubeconfig, clusters."""

import os
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from meshinstall.cli import options
from meshinstall.cli.app import app
from meshinstall.cli.options import Output
from meshinstall.cli.request_options import CLOUD, CONFIG, MANAGED_ENVIRONMENT, SELECTORS, requesting
from meshinstall.cli.running import in_thread, in_time, run
from meshinstall.cli.target import managed_cluster, tell, warn
from meshinstall.errors import ExitStatus, UsageError
from meshinstall.model.cluster import ClusterRef
from meshinstall.model.request import Request

# Seconds: to describe one cluster, and to list all of several regions with their meshes.
_ONE, _ALL = 60.0, 180.0


@app.command()
@requesting(CLOUD, MANAGED_ENVIRONMENT, CONFIG, last=SELECTORS)
def kubeconfig(
    request: Request,
    *,
    file: Annotated[Path | None, typer.Option("--file", help="Write it here instead of on stdout; never over another file.")] = None,
    timeout: options.Seconds = _ONE,
) -> None:
    """Print a kubeconfig without any secret, for kubectl, helm and istioctl: it names meshinstall as their credential plugin."""
    from meshinstall.wiring import exec_kubeconfig

    text = in_time(partial(exec_kubeconfig, managed_cluster(request), warn, tell), timeout)
    if file is None:
        typer.echo(text, nl=False)
        return
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(text)
    except FileExistsError as error:
        raise UsageError(f"{file} exists already", "name another file; kubectl takes several: KUBECONFIG=one:two") from error
    except OSError as error:
        raise UsageError(f"cannot write {file}: {error.strerror}") from error
    typer.echo(f"wrote {file}; try it: kubectl --kubeconfig {file} get namespaces", err=True)


@app.command()
@requesting(CLOUD, MANAGED_ENVIRONMENT, CONFIG, last=SELECTORS)
def doctor(request: Request, *, timeout: options.Seconds = _ALL, output: options.OutputKind = Output.TABLE) -> None:
    """Ask a cloud what a run will ask it, without touching a cluster: as whom, from where, which permissions are there.

    What it prints holds no secret and may go into a ticket. Exit status 1 when a question was not answered.
    """
    from meshinstall.cli.output import doctor_text, printers
    from meshinstall.wiring import examine

    asked = _of_a_cloud(request)
    found = in_time(partial(examine, asked, warn), timeout)
    typer.echo(printers.dump(doctor_text.doctor_json(found)) if output is Output.JSON else doctor_text.doctor_text(found))
    if not found.ok:
        raise typer.Exit(ExitStatus.FAILED)


def _of_a_cloud(request: Request) -> ClusterRef:
    if request.cloud is None and not request.environment:
        raise UsageError("no cloud is named", "add --cloud aks, eks or gke")
    return managed_cluster(request)


@app.command()
@requesting(CLOUD, MANAGED_ENVIRONMENT, CONFIG, last=SELECTORS)
def clusters(request: Request, *, timeout: options.Seconds = _ALL, output: options.OutputKind = Output.TABLE) -> None:
    """List the clusters that you can see and the meshes in them; --region, --project and --subscription take several with commas.

    Exit status 1 when a region, project or subscription did not answer.
    """
    from meshinstall.cli.output import cluster_tables, printers
    from meshinstall.engine.mesh.find_meshes import find_meshes
    from meshinstall.wiring import open_kube, provider

    asked = _of_a_cloud(request)

    async def work() -> None:
        found = await in_thread(lambda: provider(asked, warn).discover())
        if found.caller:
            tell(f"to {asked.cloud} as {found.caller}")
        meshes = await find_meshes(found.clusters, lambda cluster: open_kube(cluster, asked, warn))
        if output is Output.JSON:
            typer.echo(printers.dump(cluster_tables.listing_json(found, meshes)))
        else:
            typer.echo(cluster_tables.listing_text(found, meshes))
        if found.failures:
            raise typer.Exit(ExitStatus.FAILED)

    run(work, seconds=timeout)
