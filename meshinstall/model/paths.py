"""Paths of the Kubernetes API."""

from collections.abc import Mapping, Sequence
from urllib.parse import quote

from meshinstall.model.facts import ObjectKey
from meshinstall.model.policy_kinds import OTHER_KINDS, POLICY_KINDS, group_of


def object_path(group_version: str, plural: str, namespace: str = "", name: str = "", *rest: str) -> str:
    """The API path of an object or, without ``name``, of its collection."""
    root = f"/api/{group_version}" if "/" not in group_version else f"/apis/{group_version}"
    parts: Sequence[str] = [*(["namespaces", namespace] if namespace else []), plural, *([name] if name else []), *rest]
    return "/".join([root, *(quote(part, safe="") for part in parts)])


# Resources of the kinds that Istio's charts and meshinstall itself use, and whether they live in a namespace.
KINDS: Mapping[str, tuple[str, bool]] = {
    "ClusterRole": ("clusterroles", False),
    "ClusterRoleBinding": ("clusterrolebindings", False),
    "ConfigMap": ("configmaps", True),
    "CustomResourceDefinition": ("customresourcedefinitions", False),
    "DaemonSet": ("daemonsets", True),
    "Deployment": ("deployments", True),
    "EndpointSlice": ("endpointslices", True),
    "HorizontalPodAutoscaler": ("horizontalpodautoscalers", True),
    "Lease": ("leases", True),
    "MutatingWebhookConfiguration": ("mutatingwebhookconfigurations", False),
    "Namespace": ("namespaces", False),
    "NetworkAttachmentDefinition": ("network-attachment-definitions", True),
    "NetworkPolicy": ("networkpolicies", True),
    "PeerAuthentication": ("peerauthentications", True),
    "PodDisruptionBudget": ("poddisruptionbudgets", True),
    "ReplicaSet": ("replicasets", True),
    "ResourceQuota": ("resourcequotas", True),
    "Role": ("roles", True),
    "RoleBinding": ("rolebindings", True),
    "Service": ("services", True),
    "ServiceAccount": ("serviceaccounts", True),
    "StatefulSet": ("statefulsets", True),
    "ValidatingAdmissionPolicy": ("validatingadmissionpolicies", False),
    "ValidatingAdmissionPolicyBinding": ("validatingadmissionpolicybindings", False),
    "ValidatingWebhookConfiguration": ("validatingwebhookconfigurations", False),
}

# What names an item of a list of objects, in the order of trust.
LIST_KEYS = ("name", "containerPort", "port", "mountPath", "key")


def resource_of(key: ObjectKey) -> tuple[str, bool] | None:
    """The resource of a known kind, and whether it lives in a namespace; None for any other."""
    named = (group_of(key.api_version), key.kind)
    policy = POLICY_KINDS.get(named) or OTHER_KINDS.get(named)
    return KINDS.get(key.kind) or ((policy.plural, True) if policy else None)


def path_of(key: ObjectKey) -> str:
    """The API path of an object of a known kind; raises KeyError for any other."""
    found = resource_of(key)
    if found is None:
        raise KeyError(key.kind)
    plural, namespaced = found
    return object_path(key.api_version, plural, key.namespace if namespaced else "", key.name)
