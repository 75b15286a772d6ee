"""Finds the version that a minor such as 1.31 stands for: the lock file decides, else what runs, else the source.

Requests: none where the version is written in full or a lock file is there; else Helm's records in the mesh's namespace, and on a
fresh cluster one list of versions for each chart.
"""

from dataclasses import replace

from meshinstall.config.lockfile import Lock
from meshinstall.config.version_choice import Chosen, chart_names, of_cluster, of_lock, of_source, with_version
from meshinstall.engine.tasks import gather
from meshinstall.model.desired import Desired
from meshinstall.model.version import is_full
from meshinstall.ports import Charts, Releases


async def settle_version(desired: Desired, lock: Lock, charts: Charts, releases: Releases | None = None) -> Desired:
    """The mesh with a full version and why it is this one; raises ChartError or ClusterError.

    Without ``releases`` no cluster is asked: the version is that of a fresh one.
    """
    minor = desired.istio_version
    if is_full(minor) or not desired.releases:
        return desired
    if found := of_lock(minor, chart_names(desired), lock) or (releases and await _running(desired, releases)):
        return with_version(desired, found)
    chosen = await newest_of_source(desired, charts)
    fresh = "" if releases else f", on a fresh cluster; where a {minor}.x runs, that stays"
    return with_version(desired, replace(chosen, why=f"{chosen.why}{fresh}"))


async def settle_removal(desired: Desired, releases: Releases) -> Desired:
    """The same for what is only removed: no chart is needed, so that a minor of which nothing runs stays as it is."""
    chosen = None if is_full(desired.istio_version) else await _running(desired, releases)
    return with_version(desired, chosen) if chosen else desired


async def newest_of_source(desired: Desired, charts: Charts) -> Chosen:
    """The newest version at which the source has every chart of the mesh; raises ChartError."""
    wanted = {release.chart.name: release.chart for release in desired.releases}
    offered = await gather(wanted, lambda name: charts.versions(wanted[name]))
    return of_source(desired.istio_version, offered, next(iter(wanted.values())).source)


async def _running(desired: Desired, releases: Releases) -> Chosen | None:
    records = await releases.newest([desired.mesh_namespace])
    return of_cluster(desired.istio_version, desired.istiod.key if desired.istiod else None, records.values())
