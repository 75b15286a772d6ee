"""GKE behind the Provider port; small, because a credential plugin is waited for."""

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from meshinstall.adapters.gke.credentials import Identity
from meshinstall.adapters.gke.http import Http, Patience
from meshinstall.model.cluster_ref import Chosen, ClusterRef, Credential

if TYPE_CHECKING:
    from meshinstall.adapters.gke.clusters import Clusters
    from meshinstall.model.cluster import CloudCluster, Listing


def _hush(_: str) -> None:
    """Nobody listens."""


class GkeProvider:
    """One GKE cluster, or all that the caller sees, with application default credentials."""

    def __init__(self, ref: ClusterRef, say: Callable[[str], None] = _hush, patience: Patience | None = None) -> None:
        self._ref = ref
        self._say = say
        self._http = Http(patience or Patience())
        self._identity = Identity(self._http, ref)

    def describe(self) -> "CloudCluster":
        """The cluster that was asked for; raises ClusterError."""
        return self._clusters.describe()

    def credential(self) -> Credential:
        """An access token that was not returned before; raises ClusterError."""
        return self._identity.credential()

    def chosen(self) -> Chosen:
        """What chose the caller's identity."""
        return self._identity.login.chosen

    def inspect(self, cluster: "CloudCluster") -> "CloudCluster":
        """The cluster with its network's firewall, the fleet's mesh, GKE's versions, and who the caller is."""
        return self._clusters.inspect(cluster)

    def discover(self) -> "Listing":
        """The clusters of the project asked for, or of every project that the caller sees."""
        return self._clusters.discover()

    @cached_property
    def _clusters(self) -> "Clusters":
        # A credential needs none of it.
        from meshinstall.adapters.gke.api import GkeApi
        from meshinstall.adapters.gke.clusters import Clusters

        return Clusters(GkeApi(self._identity, self._http, self._say), self._identity, self._ref)
