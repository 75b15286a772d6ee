"""Proof that istiod's webhooks answer: the API server is asked to call them.

istiod can be Ready before port 15017 listens, and a firewall between the API
server and the nodes (EKS security groups, GKE private clusters) shows nowhere
else. Dry-run requests change nothing.
"""

from meshinstall.errors import ClusterError
from meshinstall.model.paths import object_path
from meshinstall.ports import Kube

FIREWALL = (
    "the API server must reach istiod's pods on port 15017: on EKS allow it from the cluster security group to the nodes, "
    "on GKE private clusters add tcp:15017 to the master's firewall rule"
)


async def webhook_trouble(kube: Kube, namespace: str) -> str:
    """What of the webhooks does not work yet; empty when both answered."""
    return await _validation_trouble(kube, namespace) or await _injection_trouble(kube, namespace)


async def _validation_trouble(kube: Kube, namespace: str) -> str:
    """Ask for a Gateway without servers, which only istiod knows to be wrong."""
    body = {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": {"name": "meshinstall-proof", "namespace": namespace},
        "spec": {"selector": {"meshinstall.dev/proof": "none"}},
    }
    try:
        await kube.create(object_path("networking.istio.io/v1", "gateways", namespace), body, dry_run=True)
    except ClusterError as error:
        return "" if "denied the request" in error.message else f"validation webhook: {error.message}"
    # While it cannot be called its failurePolicy, Ignore, lets everything pass.
    return "validation webhook: istiod does not reject an invalid object yet"


async def _injection_trouble(kube: Kube, namespace: str) -> str:
    """Ask for a pod that wants a sidecar."""
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "meshinstall-proof", "namespace": namespace, "labels": {"sidecar.istio.io/inject": "true"}},
        "spec": {"containers": [{"name": "proof", "image": "proof"}]},
    }
    try:
        pod = await kube.create(object_path("v1", "pods", namespace), body, dry_run=True)
    except ClusterError as error:
        return f"injection webhook: {error.message}"
    containers = [*(pod["spec"].get("initContainers") or ()), *pod["spec"]["containers"]]
    if any(container["name"] == "istio-proxy" for container in containers):
        return ""
    return "injection webhook: a pod that asks for a sidecar gets none"
