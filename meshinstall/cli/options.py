"""Options that several commands share."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from meshinstall.model.cluster import Cloud


class Output(StrEnum):
    """How data is printed."""

    TABLE = "table"
    JSON = "json"


CloudOption = Annotated[Cloud | None, typer.Option("--cloud", help="Where the cluster runs; local is any cluster of your kubeconfig.")]
ContextOption = Annotated[str, typer.Option("--context", help="Context of the kubeconfig; the current one by default.")]
KubeconfigOption = Annotated[Path | None, typer.Option("--kubeconfig", help="Kubeconfig file; KUBECONFIG or ~/.kube/config by default.")]
OutputOption = Annotated[Output, typer.Option("-o", "--output", help="How to print data on stdout.")]
