"""Finds the ConfigMaps that istiods put into every namespace and that no chart owns, and who else needs them."""

from collections.abc import Collection

from meshinstall.engine.mesh.control_planes import control_planes, of_kube
from meshinstall.model.facts import ObjectKey
from meshinstall.model.istio import ROOT_CERTIFICATES
from meshinstall.model.ownership import owner_of
from meshinstall.model.paths import object_path
from meshinstall.model.release import ReleaseKey
from meshinstall.ports import Kube


async def root_certificates(kube: Kube) -> tuple[tuple[ObjectKey, str], ...]:
    """Each with its uid, by namespace; raises ClusterError."""
    path = object_path("v1", "configmaps")
    found = [
        item["metadata"] for name in ROOT_CERTIFICATES async for item in kube.list(path, fields=f"metadata.name={name}", metadata_only=True)
    ]
    keys = {ObjectKey("v1", "ConfigMap", metadata["namespace"], metadata["name"]): metadata.get("uid", "") for metadata in found}
    return tuple(sorted(keys.items()))


async def other_istiods(kube: Kube, ours: Collection[ReleaseKey]) -> list[str]:
    """Control planes that are not of these releases, in words: their proxies read the root certificates. Raises ClusterError."""
    planes = await control_planes(of_kube(kube))
    found = [plane.istiod.place for plane in planes.found if owner_of(plane.item["metadata"]) not in ours]
    return [*(f"Deployment {place.namespace}/{place.name}" for place in found), *(f"that of webhook {name}" for name in planes.elsewhere)]
