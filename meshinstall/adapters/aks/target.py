"""The cluster that a request to Azure is about: its names, and what the request needs."""

import re

from meshinstall.adapters.aks.task import Task
from meshinstall.adapters.aks.words import clean
from meshinstall.errors import UsageError
from meshinstall.model.cluster_ref import ClusterRef

SUBSCRIPTION = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_GROUP = re.compile(r"[\w().-]{1,90}")
_NAME = re.compile(r"[a-zA-Z0-9]([\w-]{0,61}[a-zA-Z0-9])?")
READ = "Microsoft.ContainerService/managedClusters/read"
_USER_ROLE = "Azure Kubernetes Service Cluster User Role"


def read_target(ref: ClusterRef) -> tuple[str, str, str]:
    """Subscription, resource group and name; raises UsageError for a missing or invalid value."""
    subscription, group = ref.selectors.get("subscription", ""), ref.selectors.get("resource_group", "")
    for option, noun, value, pattern, example in (
        ("--subscription", "subscription ID", subscription, SUBSCRIPTION, "az account show --query id -o tsv"),
        ("--resource-group", "resource group name", group, _GROUP, "az aks list -o table"),
        ("--cluster", "cluster name", ref.name, _NAME, "az aks list -o table"),
    ):
        if not value:
            raise UsageError(f"{option} is missing for --cloud aks", f"give it here or in meshinstall.yaml; to find it: {example}")
        if not pattern.fullmatch(value):
            raise UsageError(f"{option} {clean(value)} is not a valid {noun}", f"to find it: {example}")
    return subscription, group, ref.name


def task_on(target: tuple[str, str, str], doing: str, permission: str) -> Task:
    """A request about a cluster, which needs the cluster user role."""
    return Task(doing, permission, _USER_ROLE, cluster_id(*target))


def cluster_id(subscription: str, group: str, name: str) -> str:
    """The Azure resource ID of a cluster."""
    return f"/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.ContainerService/managedClusters/{name}"
