"""Questions that are asked only when something is to be changed: permissions, nodes, pull secrets."""

from collections.abc import Iterable, Mapping
from typing import Any

from meshinstall.engine.observe import gather
from meshinstall.model.desired import Desired
from meshinstall.model.facts import Ask, Inquiry
from meshinstall.model.paths import object_path
from meshinstall.ports import Kube

_REVIEWS = object_path("authorization.k8s.io/v1", "selfsubjectaccessreviews")
# What a run writes, by API group: the charts' kinds, Helm's records, our lock and summary.
_CLUSTER_WIDE = (
    ("", "namespaces"),
    ("apiextensions.k8s.io", "customresourcedefinitions"),
    ("rbac.authorization.k8s.io", "clusterroles"),
    ("rbac.authorization.k8s.io", "clusterrolebindings"),
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
)
_NAMESPACED = (
    ("", "secrets"),
    ("", "configmaps"),
    ("", "services"),
    ("", "serviceaccounts"),
    ("", "pods"),
    ("apps", "deployments"),
    ("autoscaling", "horizontalpodautoscalers"),
    ("rbac.authorization.k8s.io", "roles"),
    ("rbac.authorization.k8s.io", "rolebindings"),
)
_MESH_ONLY = (("coordination.k8s.io", "leases"), ("security.istio.io", "peerauthentications"))
_VERBS = ("create", "patch", "list")


async def inquire(desired: Desired, kube: Kube) -> Inquiry:
    """Ask everything; an administrator costs one review."""
    denied = () if await _allowed(kube, Ask("*", "*", "*")) else await _denied(desired, kube)
    nodes = [node async for node in kube.list(object_path("v1", "nodes"))] if not denied else []
    usable = [node for node in nodes if not node["spec"].get("unschedulable") and _is_ready(node.get("status") or {})]
    wanted = {(release.key.namespace, name) for release in desired.releases for name in _pull_secrets(release.values.merged())}
    found = await gather(wanted, lambda one: kube.get(object_path("v1", "secrets", *one)))
    missing = sorted(one for one, secret in found.items() if secret is None)
    spaces = await gather({space for space, _ in missing}, lambda space: kube.get(object_path("v1", "namespaces", name=space)))
    return Inquiry(
        denied,
        len(usable),
        tuple(f"{space}/{name}" for space, name in missing if spaces[space]),
        tuple(f"{space}/{name}" for space, name in missing if not spaces[space]),
    )


async def _denied(desired: Desired, kube: Kube) -> tuple[Ask, ...]:
    spaces = [namespace.name for namespace in desired.namespaces]
    asks = [Ask(verb, *resource) for resource in _CLUSTER_WIDE for verb in _VERBS]
    asks += [Ask(verb, *resource, space) for resource in _NAMESPACED for verb in _VERBS for space in spaces]
    asks += [Ask(verb, *resource, desired.mesh_namespace) for resource in _MESH_ONLY for verb in ("create", "patch")]
    answers = await gather(asks, lambda ask: _allowed(kube, ask))
    return tuple(ask for ask in asks if not answers[ask])


async def _allowed(kube: Kube, ask: Ask) -> bool:
    attributes = {"verb": ask.verb, "group": ask.group, "resource": ask.resource, "namespace": ask.namespace}
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": attributes}}
    answer = await kube.create(_REVIEWS, body)
    return bool((answer.get("status") or {}).get("allowed"))


def _is_ready(status: dict[str, object]) -> bool:
    conditions = status.get("conditions")
    return isinstance(conditions, list) and any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


def _pull_secrets(values: Mapping[str, Any]) -> Iterable[str]:
    shared = values.get("global")
    for holder in (values, shared if isinstance(shared, dict) else {}):
        for item in holder.get("imagePullSecrets") or ():
            yield item["name"] if isinstance(item, dict) else str(item)
