"""From a request to what it means: an environment, or a cluster that options alone name. Without typer, for credential plugins."""

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from meshinstall.cli.selectors import flags_of
from meshinstall.errors import ConfigError, UsageError
from meshinstall.model.cluster_ref import Cloud, ClusterRef
from meshinstall.model.foreign_text import for_log
from meshinstall.model.request import Request

if TYPE_CHECKING:
    from meshinstall.config.project import Project
    from meshinstall.engine.session import Session
    from meshinstall.model.desired import Desired


def read(request: Request, *, with_policies: bool = True) -> "tuple[Project, Desired]":
    """The project and what its environment wants; raises ConfigError, with the mistakes in flags and files at once, or UsageError."""
    from meshinstall.config.project import load_project
    from meshinstall.config.resolve import check_flags, resolve

    try:
        project = load_project(request.config, os.environ, Path.cwd(), with_policies=with_policies)
    except ConfigError as error:
        raise ConfigError((*error.problems, *check_flags(request))) from None
    return project, resolve(request, project)


def open_environment(request: Request) -> "tuple[Desired, Session]":
    """What an environment wants, and its cluster, which now has a name; raises ConfigError, UsageError or ClusterError."""
    return open_read(*read(request))


def open_read(project: "Project", desired: "Desired") -> "tuple[Desired, Session]":
    """The same of what was read before; raises UsageError or ClusterError."""
    from meshinstall.wiring import open_session

    session = open_session(desired.cluster, project, warn, tell)
    return replace(desired, cluster=replace(desired.cluster, name=session.cluster)), session


def open_cluster(request: Request) -> "tuple[Session, Desired | None]":
    """A cluster by environment, with what that wants, by cloud and options, or by kubeconfig.

    Raises ConfigError, UsageError or ClusterError.
    """
    from meshinstall.config.project import load_project
    from meshinstall.wiring import open_session

    if request.environment:
        desired, session = open_environment(request)
        return session, desired
    return open_session(_named_cluster(request), load_project(request.config, os.environ, Path.cwd()), warn, tell), None


def managed_cluster(request: Request) -> ClusterRef:
    """The managed cluster of an environment, or the one that options alone name, which reads no file; raises ConfigError or UsageError."""
    if request.environment:
        return read(request, with_policies=False)[1].cluster
    if request.cloud is None:
        raise UsageError("no cluster is named", "name an environment with --env, or a cluster with --cloud and --cluster")
    return _named_cluster(request)


def _named_cluster(request: Request) -> ClusterRef:
    from meshinstall.config.reference import named

    selectors = flags_of(request.cluster)
    if selectors and request.cloud in {None, Cloud.LOCAL}:
        raise UsageError(f"{', '.join(selectors)} need --cloud", "add --cloud aks, eks or gke, or name an environment with --env")
    if request.cloud in {None, Cloud.LOCAL}:
        file = request.cluster.get("kubeconfig", "")
        return ClusterRef(Cloud.LOCAL, kubeconfig=Path(file) if file else None, context=request.cluster.get("context", ""))
    return named(request.cloud, request.cluster)


def tell(text: str) -> None:
    """Tell what is no result, on stderr."""
    click.echo(for_log(text), err=True)


def warn(text: str) -> None:
    """Tell what is no reason to stop."""
    # Words of clouds, registries and clusters may be in it.
    click.echo(f"warning: {for_log(text)}", err=True)
