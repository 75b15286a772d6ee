"""Names a cluster, and describes how to reach it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any


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
class Access:
    """The context that reaches the cluster, for helm and for our client; without a file, KUBECONFIG's.

    ``withheld`` are variables of the environment that nothing on that way needs.
    """

    cluster: str
    server: str
    kubeconfig: Path | None
    context: str
    withheld: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Credential:
    """What the API server accepts: a bearer token, or a client certificate and key (PEM); ``expires`` is None when unknown."""

    token: str = field(default="", repr=False)
    certificate: str = field(default="", repr=False)
    key: str = field(default="", repr=False)
    expires: datetime | None = None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks a cloud: ``name`` as the cloud knows it (an ARN, a user name, an e-mail address), and what chose it, in words."""

    name: str
    chosen_by: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.chosen_by})" if self.chosen_by else self.name


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


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where an API server answers; ``authority`` is PEM, None where the public ones vouch for it."""

    server: str
    authority: bytes | None
    kind: EndpointKind


@dataclass(frozen=True, slots=True)
class Unread:
    """Why something could not be read: the ``permission`` that is missing where the caller could be given it, else ``why`` in words."""

    permission: str = ""
    why: str = ""

    def __str__(self) -> str:
        return f"missing permission: {self.permission}" if self.permission else self.why


@dataclass(frozen=True, slots=True)
class CloudCluster:
    """A managed cluster as its cloud describes it.

    ``status`` is the cloud's own word, ``ready`` what it means; ``endpoint`` is None while there is none.
    ``details`` are the rest of what preflight judges, in the cloud's own names; ``unread`` maps what could not
    be read to the reason; ``selectors`` name it to its provider, as those of a ClusterRef do.
    ``caller`` is who looked at it, None before that was asked and where the cloud does not say.
    """

    cloud: Cloud
    name: str
    location: str
    version: str
    status: str
    ready: bool
    endpoint: Endpoint | None
    details: Mapping[str, Any] = field(default_factory=dict)
    unread: Mapping[str, Unread] = field(default_factory=dict)
    selectors: Mapping[str, str] = field(default_factory=dict)
    caller: Caller | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """What ``caller`` can see: clusters, and for each place that could not be asked (region, project, subscription) why."""

    clusters: tuple[CloudCluster, ...]
    failures: Mapping[str, str] = field(default_factory=dict)
    caller: Caller | None = None


@dataclass(frozen=True, slots=True)
class MeshFound:
    """The versions of the istiods in a cluster; with ``unknown``, why they are not known."""

    versions: tuple[str, ...]
    unknown: str = ""
