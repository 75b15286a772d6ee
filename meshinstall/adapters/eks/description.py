"""One EKS cluster as AWS describes it."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from meshinstall.adapters.eks.errors import explained
from meshinstall.adapters.eks.session import Aws
from meshinstall.errors import ClusterError, UsageError
from meshinstall.model.cluster import Cloud, CloudCluster, Endpoint, EndpointKind
from meshinstall.model.foreign_text import cleaned, plain

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


def describe(aws: Aws, name: str) -> CloudCluster:
    """The cluster of that name in the session's region; raises ClusterError."""
    aws.sign_in()
    with explained("eks:DescribeCluster"):
        client = aws.client("eks")
        try:
            answer = client.describe_cluster(name=name)
        except client.exceptions.ResourceNotFoundException as error:
            region = client.meta.region_name
            hint = f"list the clusters: meshinstall clusters --cloud eks --region {region}"
            raise UsageError(f"there is no EKS cluster {name!r} in {region}, for these credentials", hint) from error
    return parse(answer.get("cluster"), aws.region)


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
