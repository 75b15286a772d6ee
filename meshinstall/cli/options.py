"""Options that several commands share."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from meshinstall.errors import UsageError
from meshinstall.model.cluster import Cloud

_DESIRED = "What to install"
_WHERE = "Which cluster"


class Output(StrEnum):
    """How data is printed."""

    TABLE = "table"
    JSON = "json"


Env = Annotated[str, typer.Option("--env", help="Environment: dev, staging, prod or one of yours.", rich_help_panel=_DESIRED)]
AnyEnv = Annotated[
    str, typer.Option("--env", help="Environment whose cluster is meant; without it the current context, or --cloud and --cluster.")
]
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


def allowed(names: Sequence[str] | None) -> frozenset[str]:
    """The names given to --allow; raises UsageError on one that means nothing."""
    from meshinstall.checks.preflight import ALLOWABLE

    known = sorted(set(ALLOWABLE.values()))
    for name in names or ():
        if name not in known:
            raise UsageError(f"--allow {name}: there is no such thing to allow", f"one of {', '.join(known)}")
    return frozenset(names or ())
