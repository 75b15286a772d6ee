"""Options that several commands share, and what they make together."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from meshinstall.errors import UsageError
from meshinstall.model.cluster import Cloud

if TYPE_CHECKING:
    from meshinstall.config.project import Project
    from meshinstall.model.desired import Desired

_DESIRED = "What to install"
_WHERE = "Which cluster"


class Output(StrEnum):
    """How data is printed."""

    TABLE = "table"
    JSON = "json"


Env = Annotated[str, typer.Option("--env", help="Environment: dev, staging, prod or one of yours.", rich_help_panel=_DESIRED)]
CloudName = Annotated[
    Cloud | None, typer.Option("--cloud", help="Where the cluster runs; local is any cluster of your kubeconfig.", rich_help_panel=_WHERE)
]
Context = Annotated[str, typer.Option("--context", help="Context of the kubeconfig; the current one by default.", rich_help_panel=_WHERE)]
KubeconfigFile = Annotated[Path | None, typer.Option("--kubeconfig", help="Kubeconfig file; KUBECONFIG or ~/.kube/config by default.")]
Config = Annotated[Path | None, typer.Option("--config", help="meshinstall.yaml or its folder; found in this folder or above by default.")]
Profile = Annotated[str | None, typer.Option("--profile", help="minimal, default, production, ambient or one of yours.")]
ChartsSource = Annotated[str | None, typer.Option("--charts", help="Where charts come from: oci://..., https://... or a folder.")]
IstioVersion = Annotated[str | None, typer.Option("--istio-version", help="Version of Istio to install.")]
Files = Annotated[list[str] | None, typer.Option("-f", "--values", help="RELEASE=FILE with more values; may be repeated.")]
Sets = Annotated[list[str] | None, typer.Option("--set", help="RELEASE.KEY=VALUE; may be repeated.")]
SetStrings = Annotated[list[str] | None, typer.Option("--set-string", help="RELEASE.KEY=TEXT, never a number; may be repeated.")]
OutputKind = Annotated[Output, typer.Option("-o", "--output", help="How to print data on stdout.")]
Seconds = Annotated[float, typer.Option("--timeout", min=1, help="Seconds for the whole run.")]
Allow = Annotated[
    list[str] | None, typer.Option("--allow", help="Go on in spite of: downgrade, skip-minor, eol, kubernetes, foreign, webhook-port.")
]


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


def allowed(names: Sequence[str] | None) -> frozenset[str]:
    """The names given to --allow; raises UsageError on one that means nothing."""
    from meshinstall.checks.preflight import ALLOWABLE

    known = sorted(set(ALLOWABLE.values()))
    for name in names or ():
        if name not in known:
            raise UsageError(f"--allow {name}: there is no such thing to allow", f"one of {', '.join(known)}")
    return frozenset(names or ())
