"""Reads who keeps a mesh: the metadata of its objects, helm's records, and the engines' own objects.

Requests: one list for each kind and namespace of the mesh, of metadata alone; Helm's records; one list for each kind of an engine.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from meshinstall.engine.handover.own_objects import APPLICATION, KUSTOMIZATION, RELEASE, SET
from meshinstall.engine.tasks import gather
from meshinstall.gitops.terms import RenderedSite
from meshinstall.model.facts import ObjectKey, policy_key
from meshinstall.model.paths import object_path, path_of, resource_of
from meshinstall.model.policy_kinds import PolicyKey
from meshinstall.model.release import Manifest, ReleaseKey, ReleaseRecord, ReleaseStatus, readable
from meshinstall.ports import Kube, Releases

_KINDS: Mapping[str, tuple[str, str]] = {
    APPLICATION: ("argoproj.io/v1alpha1", "applications"),
    SET: ("argoproj.io/v1alpha1", "applicationsets"),
    KUSTOMIZATION: ("kustomize.toolkit.fluxcd.io/v1", "kustomizations"),
    RELEASE: ("helm.toolkit.fluxcd.io/v2", "helmreleases"),
}


@dataclass(frozen=True, slots=True)
class Ownership:
    """What was read; see Scene."""

    live: Mapping[PolicyKey, Manifest]
    records: Mapping[ReleaseKey, ReleaseRecord]
    owned: Mapping[str, tuple[Manifest, ...] | None]


async def read_ownership(site: RenderedSite, kube: Kube, releases: Releases) -> Ownership:
    """Raises ClusterError for what cannot be read: nobody hands over what they do not see."""
    keys = [item.key for item in site.items if resource_of(item.key)]
    places = {key._replace(name="", namespace=key.namespace) for key in keys}
    lists = await gather(places, lambda place: _metadata(kube, place))
    live = {name: one for place in places for name, one in lists[place].items()}
    found = readable(await releases.newest(site.namespaces), [release.key for release in site.releases])
    records = {key: one for key, one in found.items() if one.status is not ReleaseStatus.UNINSTALLED}
    return Ownership(live, records, await gather(_KINDS, lambda kind: _owned(kube, *_KINDS[kind])))


async def _metadata(kube: Kube, place: ObjectKey) -> dict[PolicyKey, Manifest]:
    items = kube.list(path_of(place), metadata_only=True)
    return {policy_key(place._replace(name=str(item["metadata"]["name"]))): item async for item in items}


async def _owned(kube: Kube, version: str, plural: str) -> tuple[Manifest, ...] | None:
    served = await kube.get(f"/apis/{version}")
    names = {str(one.get("name", "")) for one in (served or {}).get("resources") or ()}
    return tuple([item async for item in kube.list(object_path(version, plural))]) if plural in names else None
