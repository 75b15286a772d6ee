"""Which cluster is meant and how it is reached."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


class Cloud(StrEnum):
    """Where a cluster runs; ``local`` is any cluster that a kubeconfig reaches."""

    AKS = "aks"
    EKS = "eks"
    GKE = "gke"
    LOCAL = "local"


@dataclass(frozen=True, slots=True)
class ClusterRef:
    """A cluster as the user names it; ``selectors`` are the provider's own (region, project, ...)."""

    cloud: Cloud
    name: str = ""
    kubeconfig: Path | None = None
    context: str = ""
    selectors: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Access:
    """The context that reaches the cluster, for helm and for our client; without a file, KUBECONFIG's."""

    cluster: str
    server: str
    kubeconfig: Path | None
    context: str
