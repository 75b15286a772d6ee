"""What a cluster is called and where it answers, from its cloud's description; small, because writing a kubeconfig needs no client."""

from meshinstall.errors import ClusterError
from meshinstall.model.cluster import CloudCluster, Endpoint


def context_name(cluster: CloudCluster) -> str:
    """The name of its context: clusters with the same name in two regions stay apart when kubeconfigs are merged."""
    return f"{cluster.cloud}_{cluster.location}_{cluster.name}"


def endpoint_of(cluster: CloudCluster) -> Endpoint:
    """Its API server; raises ClusterError while there is none, and for one without https, to which no token may be sent."""
    if cluster.endpoint is None:
        raise ClusterError(
            f"cluster {cluster.name} is {cluster.status} and has no API server yet", "wait until the cloud reports it as ready"
        )
    if not cluster.endpoint.server.startswith("https://"):
        raise ClusterError(
            f"the cloud returned {cluster.endpoint.server!r} as the API server of {cluster.name}, which is not an https address"
        )
    return cluster.endpoint
