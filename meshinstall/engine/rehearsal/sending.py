"""How helm and meshinstall send an object; pure.

Helm 4 applies by the server what it installed so; all else is created, or patched by what changed since the last revision (helm:
pkg/kube/client.go). The patch here holds every wanted field, which has the same effect as one that leaves out what is so already.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from meshinstall.model.facts import ObjectKey
from meshinstall.model.ownership import HELM_MANAGER, HELM_NAMESPACE, HELM_RELEASE, MANAGED_BY, owner_of
from meshinstall.model.paths import object_path
from meshinstall.model.release import Manifest, ReleaseKey
from meshinstall.model.trial import ApiKind, Attempt, Write

# Kinds of all other groups are custom: helm patches them without knowledge of their lists.
_BUILT_IN = (
    "",
    "admissionregistration.k8s.io",
    "apps",
    "autoscaling",
    "batch",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "scheduling.k8s.io",
)
# Lists whose items are merged by this key, so that one which is left out must be taken away by name (k8s.io/api: patchMergeKey).
_MERGE_KEYS = {
    "containers": "name",
    "initContainers": "name",
    "env": "name",
    "volumes": "name",
    "volumeMounts": "mountPath",
    "imagePullSecrets": "name",
    "webhooks": "name",
}


def owned(manifest: Manifest, release: ReleaseKey, *, namespaced: bool) -> dict[str, Any]:
    """The object with what helm writes on everything that it makes (helm: pkg/action/validate.go)."""
    metadata = dict(manifest.get("metadata") or {})
    metadata["labels"] = {**(metadata.get("labels") or {}), MANAGED_BY: HELM_MANAGER}
    owner = {HELM_RELEASE: release.name, HELM_NAMESPACE: release.namespace}
    metadata["annotations"] = {**(metadata.get("annotations") or {}), **owner}
    if namespaced:
        metadata.setdefault("namespace", release.namespace)
    return {**manifest, "metadata": metadata}


def is_foreign(live: Manifest, release: ReleaseKey) -> bool:
    """Whether helm would refuse an object that is there already, because it is not this release's."""
    metadata = live["metadata"]
    return owner_of(metadata) != release or (metadata.get("labels") or {}).get(MANAGED_BY) != HELM_MANAGER


def path_to(key: ObjectKey, kind: ApiKind) -> str:
    """The API path of an object of a kind that is served."""
    return object_path(key.api_version, kind.plural, key.namespace if kind.namespaced else "", key.name)


class Standing(NamedTuple):
    """What helm finds: whether it applies by the server, whether the object exists, and what the last revision had."""

    by_server: bool
    exists: bool = False
    before: Manifest | None = None


def attempt(key: ObjectKey, kind: ApiKind, wanted: Manifest, standing: Standing) -> Attempt:
    """What helm sends for ``wanted``."""
    path = path_to(key, kind)
    if standing.by_server:
        return Attempt(Write.APPLY, path, wanted)
    if not standing.exists:
        return Attempt(Write.CREATE, path.rpartition("/")[0], wanted)
    if key.api_version.rpartition("/")[0] in _BUILT_IN:
        return Attempt(Write.STRATEGIC_MERGE, path, _patch(wanted, standing.before or {}, strategic=True))
    return Attempt(Write.MERGE, path, _patch(wanted, standing.before or {}, strategic=False))


def elsewhere(key: ObjectKey, kind: ApiKind, wanted: Manifest, namespace: str, standing: Standing) -> Attempt:
    """The same object as a new one in a namespace that exists, under a name that nothing there has."""
    name = trial_name(key)
    moved = {**wanted, "metadata": {**wanted["metadata"], "name": name, "namespace": namespace}}
    return attempt(key._replace(name=name, namespace=namespace), kind, moved, standing)


def trial_name(key: ObjectKey) -> str:
    """The name of an object where it is tried in another namespace."""
    return f"{key.name[:40].rstrip('.-')}-meshinstall-trial"


def _patch(wanted: Mapping[str, Any], before: Mapping[str, Any], *, strategic: bool) -> dict[str, Any]:
    """``wanted``, and null for what the last revision had and this one has not."""
    patch: dict[str, Any] = {key: None for key in before if key not in wanted}
    for key, value in wanted.items():
        under = before.get(key)
        if isinstance(value, Mapping):
            patch[key] = _patch(value, under if isinstance(under, Mapping) else {}, strategic=strategic)
        elif strategic and key in _MERGE_KEYS and isinstance(value, list) and isinstance(under, list):
            patch[key] = _patch_list(value, under, _MERGE_KEYS[key])
        else:
            patch[key] = value
    return patch


def _patch_list(wanted: list[Any], before: list[Any], name: str) -> list[Any]:
    old = {item.get(name): item for item in before if isinstance(item, Mapping)}
    here = {item.get(name) for item in wanted if isinstance(item, Mapping)}
    kept = [_patch(item, old.get(item.get(name), {}), strategic=True) if isinstance(item, Mapping) else item for item in wanted]
    return [*kept, *({"$patch": "delete", name: gone} for gone in old if gone not in here)]
