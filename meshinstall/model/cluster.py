"""Describes a cluster: how to reach it, and what its cloud says of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from meshinstall.model.cluster_ref import CLUSTER_KEYS, Chosen, Cloud, ClusterRef, Credential, EndpointKind, flag

__all__ = [
    "CLUSTER_KEYS",
    "Access",
    "Caller",
    "Chosen",
    "Cloud",
    "CloudCluster",
    "ClusterRef",
    "Credential",
    "Endpoint",
    "EndpointKind",
    "Listing",
    "MeshFound",
    "Unread",
    "flag",
]


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
class Caller:
    """Who asks a cloud: ``name`` as the cloud knows it (an ARN, a user name, an e-mail address), and what chose it, in words."""

    name: str
    chosen_by: str = ""

    def __str__(self) -> str:
        return f"{self.name} ({self.chosen_by})" if self.chosen_by else self.name


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
