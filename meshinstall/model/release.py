"""What should be installed, and what Helm's own records say is installed."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from meshinstall.errors import ClusterError
from meshinstall.model.values import Values

# A Kubernetes object as JSON.
Manifest = Mapping[str, Any]


class Component(StrEnum):
    """A part of Istio that has a chart."""

    BASE = "base"
    ISTIOD = "istiod"
    CNI = "cni"
    ZTUNNEL = "ztunnel"
    GATEWAY = "gateway"


# What Flux appends to the version of a chart from a registry: the start of the manifest's digest.
_FLUX_DIGEST = re.compile(r"\+[0-9a-f]{12}$")


def without_digest(version: str) -> str:
    """A chart's version without the digest that Flux appends (``1.31.0+0123456789ab``)."""
    return _FLUX_DIGEST.sub("", version)


@dataclass(frozen=True, slots=True)
class ChartRef:
    """A chart at a version; ``source`` is oci://..., https://... or a folder. ``digest`` is ``sha256:<hex>``."""

    name: str
    version: str
    source: str
    digest: str = ""


@dataclass(frozen=True, slots=True)
class ReleaseKey:
    """What names a Helm release in a cluster."""

    namespace: str
    name: str

    def __str__(self) -> str:
        """``namespace/name``."""
        return f"{self.namespace}/{self.name}"


class ReleaseStatus(StrEnum):
    """Helm's own words (helm/pkg/release/common)."""

    UNKNOWN = "unknown"
    DEPLOYED = "deployed"
    UNINSTALLED = "uninstalled"
    SUPERSEDED = "superseded"
    FAILED = "failed"
    UNINSTALLING = "uninstalling"
    PENDING_INSTALL = "pending-install"
    PENDING_UPGRADE = "pending-upgrade"
    PENDING_ROLLBACK = "pending-rollback"

    @property
    def is_pending(self) -> bool:
        """Whether a helm process is running, or was interrupted."""
        return self in {self.PENDING_INSTALL, self.PENDING_UPGRADE, self.PENDING_ROLLBACK, self.UNINSTALLING}


@dataclass(frozen=True, slots=True)
class ReleaseRecord:
    """The newest revision of a release as Helm recorded it; ``values`` are the user's only, ``by_server``: helm applies by the server.

    ``hooks`` name what helm makes by itself when it uninstalls the release.

    With a ``problem`` the record cannot be read, and all that is known is that there is one.
    """

    key: ReleaseKey
    revision: int
    status: ReleaseStatus
    chart: str
    version: str
    app_version: str
    values: Values
    manifest: str
    description: str
    updated: str
    secret: str = ""
    by_server: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    problem: str = ""
    hooks: tuple[str, ...] = ()


def readable(records: Mapping[ReleaseKey, ReleaseRecord], keys: Iterable[ReleaseKey]) -> dict[ReleaseKey, ReleaseRecord]:
    """The records of these releases, of those that have one; raises ClusterError for one that cannot be read."""
    found = {key: records[key] for key in keys if key in records}
    for key, record in found.items():
        if record.problem:
            raise ClusterError(f"release {key}: {record.problem}", f"if release {key} is not wanted, delete the Secret")
    return found
