"""Reads what matters only before a change: permissions, nodes and their capacity, image pull secrets."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from meshinstall.engine.objects import capacity
from meshinstall.engine.tasks import gather
from meshinstall.errors import ForbiddenError
from meshinstall.model.desired import Desired
from meshinstall.model.facts import Ask, Inquiry, ObjectKey, Shortage, key_of
from meshinstall.model.paths import object_path
from meshinstall.model.policy_kinds import POLICY_KINDS, group_of
from meshinstall.model.release import Component, Manifest
from meshinstall.ports import Kube

_REVIEWS = object_path("authorization.k8s.io/v1", "selfsubjectaccessreviews")
# What helm does with the charts' objects: those that a newer version no longer has are deleted (helm: pkg/kube/client.go).
# The next plan lists them.
_HELM = ("create", "get", "list", "patch", "delete")
_OURS = ("create", "get", "patch")
_CLUSTER_WIDE = (
    ("", "namespaces", _OURS),
    # They stay when their chart goes (helm.sh/resource-policy: keep).
    ("apiextensions.k8s.io", "customresourcedefinitions", ("create", "get", "list", "patch")),
    ("rbac.authorization.k8s.io", "clusterroles", _HELM),
    ("rbac.authorization.k8s.io", "clusterrolebindings", _HELM),
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations", _HELM),
    ("admissionregistration.k8s.io", "validatingwebhookconfigurations", _HELM),
)
_NAMESPACED = (
    # Helm's records, which it updates and prunes (helm: pkg/storage/driver/secrets.go); one of a helm that was killed is patched.
    ("", "secrets", ("create", "get", "list", "update", "patch", "delete")),
    ("", "configmaps", _HELM),
    ("", "services", _HELM),
    ("", "serviceaccounts", _HELM),
    ("apps", "deployments", _HELM),
    ("autoscaling", "horizontalpodautoscalers", _HELM),
    ("policy", "poddisruptionbudgets", _HELM),
    ("rbac.authorization.k8s.io", "roles", _HELM),
    ("rbac.authorization.k8s.io", "rolebindings", _HELM),
    # Why something is not ready yet.
    ("", "pods", ("list",)),
    ("apps", "replicasets", ("list",)),
)
_NODE_AGENTS = (("apps", "daemonsets", _HELM),)
_MESH_ONLY = (
    ("coordination.k8s.io", "leases", _OURS),
    ("security.istio.io", "peerauthentications", _OURS),
    # Dry runs that prove the webhooks (engine/mesh/webhook_answers.py).
    ("", "pods", ("create",)),
    ("networking.istio.io", "gateways", ("create",)),
)
# Those of an istiod that goes, of which there is none without revisions (engine/staging/retire.py).
_RETIRING = (("coordination.k8s.io", "leases", ("list", "delete")),)
# Nodes whose pods are listed at most; a node has about a hundred.
_NODES = 10


async def inquire(desired: Desired, kube: Kube, gone: Iterable[ObjectKey] = ()) -> Inquiry:
    """Ask everything; an administrator costs one review. ``gone`` are policies that no file describes any more."""
    denied = () if await _allowed(kube, Ask("*", "*", "*")) else await _denied(desired, kube, gone)
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
        await _shortages(desired, kube, usable),
    )


async def _shortages(desired: Desired, kube: Kube, nodes: list[Manifest]) -> tuple[Shortage, ...]:
    """Pods for which there is no room; none where more nodes than are looked at could have it, or pods may not be listed.

    Pods are listed node by node, the emptiest by its allocatable first, until all is placed: never all pods of a cluster.
    """
    try:
        wanted = capacity.needs(desired, await _pods_there(desired, kube))
        usable = [node for node in nodes if any(need.may_use(node) for need in wanted)]
        takes = {node["metadata"]["name"]: node for node in sorted(usable, key=capacity.allocatable, reverse=True)}
        left = wanted
        free: dict[str, capacity.Room] = {}
        for name, node in list(takes.items())[:_NODES]:
            if not left:
                break
            on_it = [pod async for pod in kube.list(object_path("v1", "pods"), fields=f"spec.nodeName={name}")]
            free[name] = capacity.room_on(node, on_it)
            left = capacity.unplaced(wanted, free, takes)
    except ForbiddenError:
        return ()
    # More nodes than were looked at may have room.
    return () if len(takes) > _NODES else tuple(_shortage(need, free, takes) for need in left)


def _shortage(need: capacity.Need, free: Mapping[str, capacity.Room], nodes: Mapping[str, Manifest]) -> Shortage:
    told = tuple(f"{name} has {room}" for name, room in free.items() if need.may_use(nodes[name]))
    return Shortage(need.release, need.pods, str(need.each), told)


async def _pods_there(desired: Desired, kube: Kube) -> Mapping[str, int]:
    """How many pods each release has on a node already."""
    spaces = {release.key.namespace for release in desired.releases}
    found = await gather(spaces, lambda space: _instances(kube, space))
    return Counter(name for names in found.values() for name in names)


async def _instances(kube: Kube, space: str) -> list[str]:
    pods = kube.list(object_path("v1", "pods", space), fields="spec.nodeName!=", metadata_only=True)
    return [capacity.release_of(pod) async for pod in pods]


async def _denied(desired: Desired, kube: Kube, gone: Iterable[ObjectKey]) -> tuple[Ask, ...]:
    spaces = [namespace.name for namespace in desired.namespaces]
    has_agents = any(release.component in {Component.CNI, Component.ZTUNNEL} for release in desired.releases)
    namespaced = (*_NAMESPACED, *(_NODE_AGENTS if has_agents else ()))
    asks = [Ask(verb, group, resource) for group, resource, verbs in _CLUSTER_WIDE for verb in verbs]
    asks += [Ask(verb, group, resource, space) for group, resource, verbs in namespaced for verb in verbs for space in spaces]
    asks += [Ask(verb, group, resource) for group, resource in _policies(desired, gone) for verb in _HELM]
    mesh_only = (*_MESH_ONLY, *(_RETIRING if desired.revision else ()))
    asks += [Ask(verb, group, resource, desired.mesh_namespace) for group, resource, verbs in mesh_only for verb in verbs]
    answers = await gather(asks, lambda ask: _allowed(kube, ask))
    return tuple(ask for ask in asks if not answers[ask])


def _policies(desired: Desired, gone: Iterable[ObjectKey]) -> list[tuple[str, str]]:
    """Group and resource of each kind that files describe or described."""
    keys = (*(key_of(one.manifest) for one in desired.layered or ()), *gone)
    kinds = {(group_of(key.api_version), key.kind) for key in keys}
    return [(group, POLICY_KINDS[group, kind].plural) for group, kind in sorted(kinds)]


async def _allowed(kube: Kube, ask: Ask) -> bool:
    attributes = {"verb": ask.verb, "group": ask.group, "resource": ask.resource, "namespace": ask.namespace}
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": {"resourceAttributes": attributes}}
    answer = await kube.create(_REVIEWS, body)
    return bool((answer.get("status") or {}).get("allowed"))


def _is_ready(status: dict[str, object]) -> bool:
    conditions = status.get("conditions")
    return isinstance(conditions, list) and any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


def _pull_secrets(values: Mapping[str, Any]) -> Iterable[str]:
    """Names of a release's own (maps, as pods have them) and of ``global`` (names); what has another shape names no Secret."""
    shared = values.get("global")
    for holder in (values, shared if isinstance(shared, dict) else {}):
        listed = holder.get("imagePullSecrets")
        for item in listed if isinstance(listed, list | tuple) else ():
            name = item.get("name") if isinstance(item, Mapping) else item
            if name and isinstance(name, str):
                yield name
