"""Reaches a cluster for commands that look at any mesh, also one that no environment describes."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meshinstall.cli.options import Asked
from meshinstall.errors import UsageError
from meshinstall.model.cluster import Cloud, ClusterRef

if TYPE_CHECKING:
    from collections.abc import Mapping

    from meshinstall.engine.session import Session

AnyEnv = Annotated[
    str, typer.Option("--env", help="Environment whose cluster is meant; without it the current context, or --cloud and --cluster.")
]


@dataclass(frozen=True, slots=True)
class Where:
    """A cluster by environment, by cloud and selectors, or by kubeconfig."""

    environment: str = ""
    cloud: Cloud | None = None
    context: str = ""
    kubeconfig: Path | None = None
    config: Path | None = None
    selectors: "Mapping[str, str]" = field(default_factory=dict)

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


def complain(text: str) -> None:
    """Tell of what is no reason to stop."""
    typer.echo(f"warning: {text}", err=True)
