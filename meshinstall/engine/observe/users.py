"""Finds who uses a control plane: the proxies that it injected for others."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

from meshinstall.engine.objects.capacity import release_of
from meshinstall.errors import ForbiddenError
from meshinstall.model.desired import Desired
from meshinstall.model.labels import REDIRECTION, STATUS
from meshinstall.model.paths import object_path
from meshinstall.model.release import Component
from meshinstall.ports import Kube

_DEFAULT = "default"


async def proxies_of_others(kube: Kube, desired: Desired) -> dict[str, int] | None:
    """Pods that this mesh's istiod or ztunnel serves, but its own gateways, by namespace; None when pods may not be listed."""
    ours = {str(release.key) for release in desired.releases}
    revisions = {_revision(release.values.merged()) for release in desired.releases if release.component is Component.ISTIOD}
    found: Counter[str] = Counter()
    try:
        async for pod in kube.list(object_path("v1", "pods"), fields="status.phase!=Succeeded,status.phase!=Failed", metadata_only=True):
            notes = pod["metadata"].get("annotations") or {}
            if release_of(pod) not in ours and (_injected_by(notes) in revisions or notes.get(REDIRECTION) == "enabled"):
                found[pod["metadata"]["namespace"]] += 1
    except ForbiddenError:
        return None
    return dict(found)


def _revision(values: Mapping[str, Any]) -> str:
    return str(values.get("revision") or _DEFAULT)


def _injected_by(notes: Mapping[str, Any]) -> str:
    """The revision in the injector's note; empty without one, or where somebody wrote something else there."""
    try:
        status = json.loads(notes.get(STATUS) or "null")
    except (ValueError, TypeError, RecursionError):
        return ""
    return str(status.get("revision") or _DEFAULT) if isinstance(status, dict) else ""
