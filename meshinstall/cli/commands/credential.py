"""The command ``credential``, which kubectl, helm and istioctl call and wait for: no typer (docs/decisions/0015)."""

import os
from pathlib import Path

import click

from meshinstall.cli.output import exec_credential
from meshinstall.cli.running import in_time
from meshinstall.cli.selectors import OPTIONS, read_selectors
from meshinstall.cli.settings import HELP, SECONDS_HELP
from meshinstall.cli.target import managed_cluster, warn
from meshinstall.model.cluster_ref import Cloud, flag
from meshinstall.model.request import Request

# Seconds: as long as our own client waits for a plugin.
_PATIENCE = 60.0


@click.command(context_settings=HELP)
@click.option("--cloud", type=click.Choice([cloud.value for cloud in Cloud]), help="Where the cluster runs.")
@click.option("--env", default="", help="Environment whose cluster to use, instead of naming the cluster.")
@click.option("--config", type=click.Path(path_type=Path), help="meshinstall.yaml or its folder; found in this folder or above by default.")
@click.option("--timeout", type=click.FloatRange(min=1), default=_PATIENCE, show_default=True, help=SECONDS_HELP)
def credential(cloud: str | None, env: str, config: Path | None, timeout: float, **named: str) -> None:
    """Print a short-lived credential the way kubectl, helm and istioctl ask for one; it is a secret."""
    from meshinstall.wiring import provider

    version = exec_credential.wanted(os.environ.get("KUBERNETES_EXEC_INFO", ""))
    request = Request(environment=env, cloud=Cloud(cloud) if cloud else None, config=config, cluster=read_selectors(named))
    found = in_time(lambda: provider(managed_cluster(request), warn).credential(), timeout)
    click.echo(exec_credential.document(found, version))


credential.params += [click.Option([name, flag(name)], default="", help=text) for name, (_, text) in OPTIONS.items()]
