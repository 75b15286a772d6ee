"""The command ``credential``, which kubectl, helm and istioctl call and wait for: no typer (docs/decisions/0015)."""

import os
from pathlib import Path

import click

from meshinstall.cli.output import exec_credential
from meshinstall.cli.selectors import OPTIONS, read_selectors
from meshinstall.cli.settings import HELP
from meshinstall.cli.target import managed_cluster, warn
from meshinstall.model.cluster import Cloud, flag
from meshinstall.model.request import Request


@click.command(context_settings=HELP)
@click.option("--cloud", type=click.Choice([cloud.value for cloud in Cloud]), help="Where the cluster runs.")
@click.option("--env", default="", help="Environment whose cluster to use, instead of naming the cluster.")
@click.option("--config", type=click.Path(path_type=Path), help="meshinstall.yaml or its folder; found in this folder or above by default.")
def credential(cloud: str | None, env: str, config: Path | None, **named: str) -> None:
    """Print a short-lived credential the way kubectl, helm and istioctl ask for one; it is a secret."""
    from meshinstall.wiring import provider

    version = exec_credential.wanted(os.environ.get("KUBERNETES_EXEC_INFO", ""))
    request = Request(environment=env, cloud=Cloud(cloud) if cloud else None, config=config, cluster=read_selectors(named))
    click.echo(exec_credential.document(provider(managed_cluster(request), warn).credential(), version))


credential.params += [click.Option([name, flag(name)], default="", help=text) for name, (_, text) in OPTIONS.items()]
