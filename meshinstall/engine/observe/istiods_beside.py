"""Finds the istiods of ours that the configuration does not name: a mesh in the middle of an upgrade has one, or after it."""

from collections.abc import Iterator
from dataclasses import replace

from meshinstall.model.desired import Desired, Release
from meshinstall.model.ownership import made_by_us
from meshinstall.model.release import Component, ReleaseKey, ReleaseRecord, ReleaseStatus
from meshinstall.model.revision import istiod_release
from meshinstall.ports import Releases


async def with_istiods_beside(desired: Desired, releases: Releases) -> Desired:
    """The same for a removal, which takes them too: their proxies have no gateway and no tag after it. Raises ClusterError."""
    istiod = desired.istiod
    if istiod is None:
        return desired
    records = await releases.newest([desired.mesh_namespace])
    known = {release.key for release in desired.releases}
    beside = {key: record for key, record in records.items() if key not in known and _is_one_of_ours(record, desired.mesh_namespace)}
    return replace(desired, releases=tuple(_with(desired, istiod, beside))) if beside else desired


def _with(desired: Desired, istiod: Release, beside: dict[ReleaseKey, ReleaseRecord]) -> Iterator[Release]:
    """Gateways go before every istiod, whichever they have."""
    for release in desired.releases:
        has_istiod = release.component is not Component.ISTIOD and istiod.key in release.needs
        yield replace(release, needs=(*release.needs, *beside)) if has_istiod else release
        if release is istiod:
            for key, record in beside.items():
                yield replace(istiod, key=key, chart=replace(istiod.chart, version=record.version))


def _is_one_of_ours(record: ReleaseRecord, namespace: str) -> bool:
    if record.chart != istiod_release("") or record.key.namespace != namespace or record.problem:
        return False
    if record.status is ReleaseStatus.UNINSTALLED:
        return False
    # When it is killed or fails, helm writes its own words over ours: then the name must be one that we give.
    is_named = record.key.name == istiod_release(str(record.values.get("revision") or ""))
    return made_by_us(record) or (record.status is not ReleaseStatus.DEPLOYED and is_named)
