"""Chooses the preflight checks of a managed cluster by its cloud."""

from collections.abc import Sequence

from meshinstall.model.cluster import Cloud, CloudCluster
from meshinstall.model.desired import Desired
from meshinstall.model.finding import Finding
from meshinstall.model.release import Manifest


def judge(cluster: CloudCluster, nodes: Sequence[Manifest], desired: Desired) -> tuple[Finding, ...]:
    """Findings on a managed cluster; ``nodes`` is empty where they cannot be asked."""
    match cluster.cloud:
        case Cloud.AKS:
            from meshinstall.checks.clouds import aks

            return aks.judge(cluster, nodes, desired)
        case Cloud.EKS:
            from meshinstall.checks.clouds import eks

            return eks.judge(cluster, nodes, desired)
        case Cloud.GKE:
            from meshinstall.checks.clouds import gke

            return gke.judge(cluster, nodes, desired)
        case Cloud.LOCAL:
            return ()
