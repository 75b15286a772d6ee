"""Objects of a mesh as Git has them and as a cluster has them, for tests of drift."""

from copy import deepcopy
from typing import Any

from meshinstall.engine.drifting.terms import Wanted
from meshinstall.gitops.terms import Step
from meshinstall.model.desired import Policy
from meshinstall.model.values import LayerKind, Origin
from tests.cases.gitops import item

FILE = Origin(LayerKind.ENVIRONMENT, "policies/base/web.yaml", 3, 1)
# Labels of an object that a file of a layer describes.
OURS = {
    "app.kubernetes.io/managed-by": "meshinstall",
    "meshinstall.dev/environment": "dev",
    "meshinstall.dev/profile": "default",
    "meshinstall.dev/policy": "layers",
}
ARGO = {"argocd.argoproj.io/tracking-id": "mesh:security.istio.io/AuthorizationPolicy:shop/web"}


def policy(spec: Any, kind: str = "AuthorizationPolicy", name: str = "web", namespace: str = "shop") -> dict[str, Any]:
    """A policy as it is rendered."""
    metadata = {"name": name, "namespace": namespace, "labels": dict(OURS)}
    return {"apiVersion": "security.istio.io/v1", "kind": kind, "metadata": metadata, "spec": deepcopy(spec)}


def of_file(manifest: dict[str, Any]) -> Wanted:
    """A policy that a file describes."""
    return Wanted(item(manifest, Step.POLICIES), Policy(manifest, FILE))


def of_chart(manifest: dict[str, Any], *beside: dict[str, Any]) -> Wanted:
    """An object that a chart renders, with others of its release."""
    return Wanted(item(manifest), None, (manifest, *beside))


def entry(manager: str, fields: Any, operation: str = "Update", subresource: str = "") -> dict[str, Any]:
    """What Kubernetes records of a manager."""
    told = {"manager": manager, "operation": operation, "time": "2026-11-30T12:00:00Z", "fieldsType": "FieldsV1", "fieldsV1": fields}
    return told | ({"subresource": subresource} if subresource else {})


def live(manifest: dict[str, Any], *entries: dict[str, Any], **annotations: str) -> dict[str, Any]:
    """The same as a cluster has it."""
    made = deepcopy(manifest)
    made["metadata"] |= {"uid": "1", "resourceVersion": "7", "creationTimestamp": "2026-11-30T11:00:00Z", "generation": 1}
    made["metadata"] |= {"managedFields": list(entries)} if entries else {}
    made["metadata"] |= {"annotations": {**made["metadata"].get("annotations", {}), **annotations}} if annotations else {}
    return made
