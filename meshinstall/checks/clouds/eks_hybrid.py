"""Checks of EKS hybrid nodes: the API server reaches webhooks on them only through networks that the cluster knows."""

from collections.abc import Iterator, Sequence

from meshinstall.model.cluster import CloudCluster
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.istio import WEBHOOK_PORT
from meshinstall.model.release import Manifest

_PAGE = "https://docs.aws.amazon.com/eks/latest/userguide/hybrid-nodes-webhooks.html"


def is_hybrid(node: Manifest) -> bool:
    """Whether it is a machine outside AWS."""
    return compute_type(node) == "hybrid"


def compute_type(node: Manifest) -> str:
    """What EKS calls a node: fargate, hybrid, auto; empty for an EC2 instance of the account's own."""
    return str((node["metadata"].get("labels") or {}).get("eks.amazonaws.com/compute-type", ""))


def webhooks(cluster: CloudCluster, nodes: Sequence[Manifest]) -> Iterator[Finding]:
    """Whether istiod may come to run where the API server cannot ask its webhooks."""
    hybrid = [node for node in nodes if is_hybrid(node)]
    remote = cluster.details.get("remoteNetworkConfig") or {}
    pods = [cidr for network in remote.get("remotePodNetworks") or () for cidr in network.get("cidrs") or ()]
    if not hybrid:
        return
    alone = len(hybrid) == len(nodes)
    how = f"of {len(nodes)} nodes" if not alone else "nodes, which are all there are,"
    title = f"{len(hybrid)} {how} are hybrid nodes, outside AWS"
    keep = "keep istiod on nodes in AWS: --set 'istiod.nodeSelector.eks\\.amazonaws\\.com/nodegroup=NAME'"
    if pods:
        detail = f"the API server must reach port {WEBHOOK_PORT} of istiod there: {', '.join(pods)} must be routable from the VPC"
        yield Finding("EKS017", Severity.WARNING, title, detail, hint=f"{keep}; {_PAGE}")
        return
    detail = (
        f"the cluster has no remote pod networks: the API server cannot ask istiod's webhooks (port {WEBHOOK_PORT}) when it runs there, "
        "and pods get no sidecar or do not start"
    )
    routable = f"make the pod networks routable and give them to the cluster (remotePodNetworks): {_PAGE}"
    hint = routable if alone else f"{keep}, or {routable}"
    yield Finding("EKS017", Severity.ERROR if alone else Severity.WARNING, title, detail, hint=hint)
