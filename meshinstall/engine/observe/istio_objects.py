"""Lists objects of Istio by the label that its charts give them, and finds those that helm has lost."""

from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from typing import Any

from meshinstall.model.facts import ObjectKey
from meshinstall.model.ownership import owner_of
from meshinstall.model.paths import KINDS, object_path
from meshinstall.model.release import ReleaseKey
from meshinstall.ports import Kube

_CLUSTER_WIDE = (
    ("admissionregistration.k8s.io/v1", "MutatingWebhookConfiguration"),
    ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"),
    ("rbac.authorization.k8s.io/v1", "ClusterRole"),
    ("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
)
_WORKLOADS = frozenset({"Deployment", "DaemonSet"})
_NAMESPACED = (("apps/v1", "Deployment"), ("apps/v1", "DaemonSet"), ("v1", "Service"))
_ISTIO = "app.kubernetes.io/part-of=istio"

Orphans = Mapping[ObjectKey, tuple[str, ReleaseKey]]


async def istio_objects(kube: Kube, namespaces: Iterable[str]) -> AsyncIterator[tuple[ObjectKey, Mapping[str, Any]]]:
    """Key and metadata of what the charts make for the whole cluster, and of workloads and Services in these namespaces."""
    places = [(*kind, "") for kind in _CLUSTER_WIDE] + [(*kind, namespace) for namespace in namespaces for kind in _NAMESPACED]
    for version, kind, namespace in places:
        async for item in kube.list(object_path(version, KINDS[kind][0], namespace), labels=_ISTIO, metadata_only=True):
            metadata = item["metadata"]
            yield ObjectKey(version, kind, namespace, metadata["name"]), metadata


async def orphans(kube: Kube, lost: Collection[ReleaseKey], namespaces: Iterable[str]) -> Orphans:
    """What is left of releases of which helm has no record, with uid and release.

    helm forgets a release although some of its objects could not be deleted (helm: pkg/action/uninstall.go). While a workload of the
    release is there, or a record that another storage driver of helm wrote, nothing of it is an orphan.
    """
    found = [(key, metadata) async for key, metadata in istio_objects(kube, namespaces)] if lost else []
    at_work = {owner_of(metadata) for key, metadata in found if key.kind in _WORKLOADS}
    gone = {release for release in lost if release not in at_work and not await _has_record(kube, release)}
    return {key: (metadata.get("uid", ""), owner) for key, metadata in found if (owner := owner_of(metadata)) in gone and owner is not None}


async def _has_record(kube: Kube, release: ReleaseKey) -> bool:
    """Whether helm's driver for ConfigMaps has a record (helm: pkg/storage/driver/cfgmaps.go)."""
    path = object_path("v1", "configmaps", release.namespace)
    return any([True async for _ in kube.list(path, labels=f"owner=helm,name={release.name}", metadata_only=True)])
