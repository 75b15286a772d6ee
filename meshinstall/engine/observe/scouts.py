"""Finds the scouts of gateways (engine/upgrade/scout.py) in a cluster: a run that was killed leaves them."""

from collections.abc import Iterable

from meshinstall.engine.tasks import gather
from meshinstall.model.facts import ObjectKey
from meshinstall.model.ownership import SCOUT, is_ours
from meshinstall.model.paths import object_path
from meshinstall.model.release import Manifest
from meshinstall.ports import Kube

_APPS = "apps/v1"


async def scouts_in(kube: Kube, namespace: str) -> list[Manifest]:
    """The Deployments of scouts in a namespace, whichever run made them; raises ClusterError."""
    found = kube.list(object_path(_APPS, "deployments", namespace), labels=SCOUT, metadata_only=True)
    return [item async for item in found if is_ours(item)]


async def scouts(kube: Kube, namespaces: Iterable[str]) -> tuple[tuple[ObjectKey, str], ...]:
    """The same of several namespaces, each with its uid; raises ClusterError."""
    found = await gather(sorted(set(namespaces)), lambda name: scouts_in(kube, name))
    items = [item["metadata"] for name in sorted(found) for item in found[name]]
    return tuple((ObjectKey(_APPS, "Deployment", one["namespace"], one["name"]), one.get("uid", "")) for one in items)
