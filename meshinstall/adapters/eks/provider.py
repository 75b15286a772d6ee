"""EKS behind the Provider port; small, because a credential plugin is waited for."""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from meshinstall.errors import UsageError
from meshinstall.model.cluster_ref import Chosen, ClusterRef, Credential

if TYPE_CHECKING:
    from meshinstall.adapters.eks.session import Aws
    from meshinstall.model.cluster import CloudCluster, Listing


def _hush(_: str) -> None:
    """Nobody listens."""


class EksProvider:
    """One EKS cluster, seen with the caller's AWS credentials or those of the role in ``role_arn``."""

    def __init__(self, ref: ClusterRef, say: Callable[[str], None] = _hush) -> None:
        self._ref = ref
        self._say = say
        self._aws: Aws | None = None

    def describe(self) -> "CloudCluster":
        """The cluster that was asked for; raises ClusterError."""
        from meshinstall.adapters.eks.description import describe

        name = self._name()
        return describe(self._session(), name)

    def credential(self) -> Credential:
        """A new token for its API server, for at most 14 minutes; raises ClusterError."""
        from meshinstall.adapters.eks.token import presign

        return presign(self._session(), self._name())

    def chosen(self) -> Chosen:
        """What chose the caller's identity."""
        return self._session().chosen

    def inspect(self, cluster: "CloudCluster") -> "CloudCluster":
        """The same cluster with its nodes, network, access entries and support in ``details``."""
        from meshinstall.adapters.eks.inspect import inspect

        return inspect(self._session(), cluster)

    def discover(self) -> "Listing":
        """The clusters of the region, or of several regions separated by commas."""
        from meshinstall.adapters.eks.description import parse
        from meshinstall.adapters.eks.discovery import discover

        return discover(self._session(), tuple(self._regions()) or (self._session().region,), parse)

    def _regions(self) -> list[str]:
        """The given regions, each validated: it becomes part of a host name."""
        from meshinstall.adapters.eks.session import checked_region

        named = [region.strip() for region in self._ref.selectors.get("region", "").split(",")]
        return [checked_region(region) for region in dict.fromkeys(named) if region]

    def _name(self) -> str:
        if not self._ref.name:
            raise UsageError("no EKS cluster given", "give --cluster, or cluster: {name: ...} in meshinstall.yaml")
        return self._ref.name

    def _session(self) -> "Aws":
        if self._aws is None:
            from meshinstall.adapters.eks.session import open_aws

            region = next(iter(self._regions()), "")
            self._aws = open_aws({**self._ref.selectors, "region": region}, os.environ, self._say)
        return self._aws
