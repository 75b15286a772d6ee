"""Names a cluster, and what opens it: all that a credential plugin needs, whose start is waited for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path


class Cloud(StrEnum):
    """Where a cluster runs; ``local`` is any cluster that a kubeconfig reaches."""

    AKS = "aks"
    EKS = "eks"
    GKE = "gke"
    LOCAL = "local"


# What names a cluster for each provider, besides name, context and kubeconfig; others pass through.
CLUSTER_KEYS: Mapping[Cloud, tuple[str, ...]] = {
    Cloud.AKS: ("resourceGroup", "subscription", "tenant", "login", "endpoint"),
    Cloud.EKS: ("region", "profile", "login", "roleArn", "externalId", "sourceIdentity", "sessionTags"),
    Cloud.GKE: ("location", "project", "endpoint", "impersonateServiceAccount", "quotaProject"),
    Cloud.LOCAL: (),
}


@dataclass(frozen=True, slots=True)
class ClusterRef:
    """A cluster as the user names it; ``selectors`` are the provider's own (region, project, ...)."""

    cloud: Cloud
    name: str = ""
    kubeconfig: Path | None = None
    context: str = ""
    selectors: Mapping[str, str] = field(default_factory=dict)


def flag(selector: str) -> str:
    """The command line option for a key of ``ClusterRef.selectors``; ``--profile`` is taken by Istio's."""
    return "--aws-profile" if selector == "profile" else f"--{selector.replace('_', '-')}"


@dataclass(frozen=True, slots=True)
class Credential:
    """What the API server accepts: a bearer token, or a client certificate and key (PEM); ``expires`` is None when unknown."""

    token: str = field(default="", repr=False)
    certificate: str = field(default="", repr=False)
    key: str = field(default="", repr=False)
    expires: datetime | None = None


@dataclass(frozen=True, slots=True)
class Chosen:
    """What chose the caller's identity: in words, and so that another shell makes the same choice.

    ``selectors`` are those of a ClusterRef, ``variables`` have no secret in them; ``secrets`` name the variables with a secret that
    the choice rests on, which another shell has to have itself.
    """

    by: str = ""
    selectors: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()


class EndpointKind(StrEnum):
    """The ways to an API server that the clouds offer."""

    PUBLIC = "public"
    PRIVATE = "private"
    DNS = "dns"
    CONNECT_GATEWAY = "connect-gateway"
