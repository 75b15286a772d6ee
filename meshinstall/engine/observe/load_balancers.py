"""Looks in an EKS cluster for the AWS Load Balancer Controller, without which gateways with its annotations get no address."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from meshinstall.engine.tasks import gather
from meshinstall.errors import ClusterError, UnauthorizedError, UnreachableError
from meshinstall.model.cluster import Cloud, CloudCluster, Unread
from meshinstall.model.paths import object_path
from meshinstall.model.release import Manifest
from meshinstall.ports import Kube

# As its chart and its manifests label it, and what it serves.
_LABEL = "app.kubernetes.io/name=aws-load-balancer-controller"
_CLASS_CONTROLLER = "ingress.k8s.aws/alb"
_WEBHOOK_DOMAIN = ".elbv2.k8s.aws"
_CRD = "targetgroupbindings.elbv2.k8s.aws"
# Paths, with what is asked of labels and fields.
_KINDS: Mapping[str, tuple[str, str, str]] = {
    "deployments": (object_path("apps/v1", "deployments"), _LABEL, ""),
    "classes": (object_path("networking.k8s.io/v1", "ingressclasses"), "", ""),
    "webhooks": (object_path("admissionregistration.k8s.io/v1", "mutatingwebhookconfigurations"), "", ""),
    "crds": (object_path("apiextensions.k8s.io/v1", "customresourcedefinitions"), "", f"metadata.name={_CRD}"),
}


async def with_controller(cluster: CloudCluster, kube: Kube) -> CloudCluster:
    """The cluster with ``loadBalancerController`` in its details, or in ``unread`` why it is not known; other clouds as they are."""
    if cluster.cloud is not Cloud.EKS:
        return cluster
    try:
        found = await _look(kube)
    except (UnauthorizedError, UnreachableError):
        raise
    except ClusterError as error:
        return replace(cluster, unread={**cluster.unread, "loadBalancerController": Unread(why=error.in_one_line())})
    return replace(cluster, details={**cluster.details, "loadBalancerController": found})


async def _look(kube: Kube) -> Mapping[str, Any]:
    """Its Deployments with how many pods are available, and what else of it is there."""

    async def listed(kind: str) -> list[Manifest]:
        path, labels, fields = _KINDS[kind]
        return [item async for item in kube.list(path, labels=labels, fields=fields)]

    found = await gather(_KINDS, listed)
    return {
        "deployments": {
            f"{item['metadata'].get('namespace', '')}/{item['metadata']['name']}": (item.get("status") or {}).get("availableReplicas") or 0
            for item in found["deployments"]
        },
        "classes": [
            item["metadata"]["name"] for item in found["classes"] if (item.get("spec") or {}).get("controller") == _CLASS_CONTROLLER
        ],
        "webhooks": [item["metadata"]["name"] for item in found["webhooks"] if _is_its_own(item)],
        "crd": bool(found["crds"]),
    }


def _is_its_own(configuration: Manifest) -> bool:
    return any(str(hook.get("name", "")).endswith(_WEBHOOK_DOMAIN) for hook in configuration.get("webhooks") or ())
