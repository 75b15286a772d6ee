"""What a command line asks for: an environment, or a cluster that no environment describes. Without typer, for credential plugins."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from meshinstall.errors import UsageError
from meshinstall.model.cluster import Cloud, ClusterRef

if TYPE_CHECKING:
    from meshinstall.config.project import Project
    from meshinstall.engine.session import Session
    from meshinstall.model.desired import Desired


@dataclass(frozen=True, slots=True)
class Asked:
    """What a command line asks for, before any file is read; ``selectors`` have the keys of ``cluster`` in meshinstall.yaml."""

    environment: str
    cloud: Cloud | None = None
    context: str = ""
    kubeconfig: Path | None = None
    config: Path | None = None
    profile: str | None = None
    charts: str | None = None
    istio_version: str | None = None
    files: Sequence[str] = ()
    sets: Sequence[str] = ()
    set_strings: Sequence[str] = ()
    selectors: Mapping[str, str] = field(default_factory=dict)

    def resolve(self) -> "tuple[Project, Desired]":
        """Read the configuration and resolve it; raises ConfigError or UsageError."""
        from meshinstall.config.project import load_project
        from meshinstall.config.resolve import Request, resolve

        project = load_project(self.config, os.environ, Path.cwd())
        cluster = {"context": self.context, "kubeconfig": str(self.kubeconfig or ""), **self.selectors}
        request = Request(
            environment=self.environment,
            cloud=self.cloud,
            profile=self.profile,
            files=tuple(self.files),
            sets=tuple(self.sets),
            set_strings=tuple(self.set_strings),
            cluster={key: value for key, value in cluster.items() if value},
            charts=self.charts,
            istio_version=self.istio_version,
        )
        return project, resolve(request, project)


@dataclass(frozen=True, slots=True)
class Where:
    """A cluster by environment, by cloud and selectors, or by kubeconfig."""

    environment: str = ""
    cloud: Cloud | None = None
    context: str = ""
    kubeconfig: Path | None = None
    config: Path | None = None
    selectors: Mapping[str, str] = field(default_factory=dict)

    def session(self) -> "Session":
        """Reach it; raises ConfigError, UsageError or ClusterError."""
        from meshinstall.config.project import load_project
        from meshinstall.wiring import open_session

        if self.environment:
            asked = Asked(self.environment, self.cloud, self.context, self.kubeconfig, self.config, selectors=self.selectors)
            project, desired = asked.resolve()
            return open_session(desired.cluster, project, complain)
        return open_session(self._named(), load_project(self.config, os.environ, Path.cwd()), complain)

    def _named(self) -> ClusterRef:
        if self.cloud in {None, Cloud.LOCAL}:
            if self.selectors:
                raise UsageError("whose cluster it is is not said", "add --cloud aks, eks or gke, or name an environment with --env")
            return ClusterRef(Cloud.LOCAL, kubeconfig=self.kubeconfig, context=self.context)
        from meshinstall.config.reference import named

        return named(self.cloud, self.selectors)


def cluster_of(cloud: Cloud | None, env: str, config: Path | None, selectors: Mapping[str, str]) -> ClusterRef:
    """The managed cluster of an environment, or the one that flags alone name, which reads no file; raises ConfigError or UsageError."""
    if env:
        _, desired = Asked(env, cloud, config=config, selectors=selectors).resolve()
        return desired.cluster
    if cloud is None:
        raise UsageError("which cluster is not said", "name an environment with --env, or --cloud and --cluster")
    from meshinstall.config.reference import named

    return named(cloud, selectors)


def complain(text: str) -> None:
    """Tell of what is no reason to stop."""
    click.echo(f"warning: {text}", err=True)
