"""EKS behind the Provider port."""

import base64
import binascii
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from meshinstall.adapters.eks.errors import explained
from meshinstall.errors import ClusterError, UsageError
from meshinstall.model.cluster import Chosen, Cloud, CloudCluster, ClusterRef, Credential, Endpoint, EndpointKind, Listing
from meshinstall.model.foreign_text import cleaned, plain

if TYPE_CHECKING:
    from meshinstall.adapters.eks.session import Aws

# In these the API server answers; in the others it does not yet, or not any more.
_READY = frozenset({"ACTIVE", "UPDATING"})
# The fields of DescribeCluster that preflight checks.
_KEPT = (
    "arn",
    "platformVersion",
    "resourcesVpcConfig",
    "health",
    "accessConfig",
    "upgradePolicy",
    "computeConfig",
    "kubernetesNetworkConfig",
    "remoteNetworkConfig",
)


def _hush(_: str) -> None:
    """Nobody listens."""


class EksProvider:
    """One EKS cluster, seen with the caller's AWS credentials or those of the role in ``role_arn``."""

    def __init__(self, ref: ClusterRef, say: Callable[[str], None] = _hush) -> None:
        self._ref = ref
        self._say = say
        self._aws: Aws | None = None

    def describe(self) -> CloudCluster:
        """The cluster that was asked for; raises ClusterError."""
        name = self._name()
        self._session().sign_in()
        with explained("eks:DescribeCluster"):
            client = self._session().client("eks")
            try:
                answer = client.describe_cluster(name=name)
            except client.exceptions.ResourceNotFoundException as error:
                region = client.meta.region_name
                hint = f"list the clusters: meshinstall clusters --cloud eks --region {region}"
                raise UsageError(f"there is no EKS cluster {name!r} in {region}, for these credentials", hint) from error
        return parse(answer.get("cluster"), self._session().region)

    def credential(self) -> Credential:
        """A new token for its API server, for at most 14 minutes; raises ClusterError."""
        from meshinstall.adapters.eks.token import presign

        return presign(self._session(), self._name())

    def chosen(self) -> Chosen:
        """What chose the caller's identity."""
        return self._session().chosen

    def inspect(self, cluster: CloudCluster) -> CloudCluster:
        """The same cluster with its nodes, network, access entries and support in ``details``."""
        from meshinstall.adapters.eks.inspect import inspect

        return inspect(self._session(), cluster)

    def discover(self) -> Listing:
        """The clusters of the region, or of several regions separated by commas."""
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


def parse(cluster: Any, region: str) -> CloudCluster:
    """A cluster from the answer of DescribeCluster; raises ClusterError on any other answer."""
    if not isinstance(cluster, dict):
        raise ClusterError("AWS answered eks:DescribeCluster without a cluster", "check that no proxy answers in AWS's place")
    name, status = _text(cluster, "name"), _text(cluster, "status")
    if cluster.get("outpostConfig"):
        raise UsageError(f"EKS cluster {name} is a local cluster on an Outpost, which needs tokens of another kind", "use --cloud local")
    return CloudCluster(
        cloud=Cloud.EKS,
        name=name,
        location=region,
        version=_text(cluster, "version"),
        status=status,
        ready=status in _READY,
        endpoint=_endpoint(cluster) if cluster.get("endpoint") else None,
        details=cleaned({key: cluster[key] for key in _KEPT if key in cluster}),
        selectors={"region": region},
    )


def _endpoint(cluster: Mapping[str, Any]) -> Endpoint:
    access = cluster.get("resourcesVpcConfig") or {}
    kind = EndpointKind.PUBLIC if isinstance(access, dict) and access.get("endpointPublicAccess") else EndpointKind.PRIVATE
    authority = cluster.get("certificateAuthority") or {}
    try:
        return Endpoint(_text(cluster, "endpoint"), base64.b64decode(_text(authority, "data"), validate=True), kind)
    except binascii.Error as error:
        raise ClusterError(f"the certificate authority of EKS cluster {plain(cluster['name'])} is not base64") from error


def _text(of: Any, key: str) -> str:
    found = of.get(key) if isinstance(of, dict) else None
    if not isinstance(found, str) or (plain(found) != found and key != "data"):
        raise ClusterError(
            f"AWS describes the cluster without a usable {key!r}", "repeat the command; if it happens again, report it to AWS support"
        )
    return found
