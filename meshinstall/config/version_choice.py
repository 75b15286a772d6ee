"""Chooses the version that a minor such as 1.31 stands for: of the lock file, of what runs, of what the source has; pure."""

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from meshinstall.config import lockfile
from meshinstall.config.lockfile import Lock
from meshinstall.errors import ChartError
from meshinstall.model.desired import Desired
from meshinstall.model.release import ReleaseKey, ReleaseRecord, ReleaseStatus, without_digest
from meshinstall.model.version import fits, is_full, is_prerelease, newest, order

_ISTIOD = "istiod"


@dataclass(frozen=True, slots=True)
class Chosen:
    """A full version, and in words why it is this one: ``which runs``."""

    version: str
    why: str


def chart_names(desired: Desired) -> frozenset[str]:
    """The charts of a mesh."""
    return frozenset(release.chart.name for release in desired.releases)


def with_version(desired: Desired, chosen: Chosen) -> Desired:
    """The mesh with the version that its minor stands for, and the words for people."""
    version = chosen.version
    releases = tuple(replace(release, chart=replace(release.chart, version=version)) for release in desired.releases)
    origin = f": {desired.version_origin}" if desired.version_origin else ""
    words = f"{version}, {chosen.why} ({desired.istio_version}{origin})"
    return replace(desired, istio_version=version, releases=releases, version_choice=words)


def newest_pinned(minor: str, names: AbstractSet[str], lock: Lock) -> str:
    """The newest version at which all the charts are pinned; empty where none has all."""
    return newest(minor, _common({chart.version for chart in lock.charts if chart.name == name} for name in names))


def of_lock(minor: str, names: AbstractSet[str], lock: Lock) -> Chosen | None:
    """The newest version at which all the charts are pinned; None where nothing is pinned. Raises ChartError where no version has all."""
    if not lock.charts:
        return None
    if found := newest_pinned(minor, names, lock):
        return Chosen(found, f"the newest in {lockfile.NAME}")
    text = f"{lockfile.NAME} pins no release {minor}.x of {_all_of(names)}"
    raise ChartError(text, "run `meshinstall lock --update --env NAME`, or name in istio.version a version in full that is pinned")


def of_cluster(minor: str, istiod: ReleaseKey | None, records: Iterable[ReleaseRecord]) -> Chosen | None:
    """The version of the istiod that runs, if it is one of ``minor``: of the release ``istiod`` first, else of any other of the mesh.

    What a run began and did not end counts too, so that the next run ends it and does not begin another.
    """
    found = [
        record
        for record in records
        if not record.problem
        and record.chart == _ISTIOD
        and record.status is not ReleaseStatus.UNINSTALLED
        and fits(_version(record), minor)
    ]
    if not found:
        return None
    record = max(found, key=lambda one: (one.key == istiod, order(_version(one))))
    ended = record.status in {ReleaseStatus.DEPLOYED, ReleaseStatus.SUPERSEDED}
    return Chosen(_version(record), "which runs" if ended else f"which a run began and did not end (release {record.key}: {record.status})")


def of_source(minor: str, offered: Mapping[str, Iterable[str]], source: str) -> Chosen:
    """The newest version at which the source has all the charts; ``offered`` has their versions by name. Raises ChartError."""
    if found := newest(minor, _common(map(set, offered.values()))):
        return Chosen(found, f"the newest of {source}")
    had = sorted({version for versions in offered.values() for version in versions if fits(version, minor)}, key=order)
    only = f"it has {', '.join(had[-8:])}, not each of them for every chart, or before the release" if had else ""
    hint = only or "name a version in full, or another minor; meshinstall takes no pre-release by itself"
    raise ChartError(f"{source} has no release {minor}.x of {_all_of(frozenset(offered))}", hint)


def releases_of(minor: str, offered: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """The releases of a minor that a source has of all the charts, ascending; no pre-release is."""
    return tuple(sorted((one for one in _common(map(set, offered.values())) if fits(one, minor) and not is_prerelease(one)), key=order))


def as_pinned(desired: Desired, lock: Lock) -> Desired:
    """The mesh with the version that the lock file has for its minor; with the minor where it has none."""
    found = "" if is_full(desired.istio_version) else newest_pinned(desired.istio_version, chart_names(desired), lock)
    return with_version(desired, Chosen(found, f"the newest in {lockfile.NAME}")) if found else desired


def as_saved(desired: Desired, version: str) -> Desired:
    """The mesh of a saved plan: a minor stands for the version that was agreed to, if that is one of it."""
    is_of_it = fits(version, desired.istio_version)
    return with_version(desired, Chosen(version, "as in the saved plan")) if is_of_it else desired


def _version(record: ReleaseRecord) -> str:
    return without_digest(record.version)


def _common(sets: Iterable[AbstractSet[str]]) -> AbstractSet[str]:
    found = list(sets)
    return frozenset.intersection(*map(frozenset, found)) if found else frozenset()


def _all_of(names: AbstractSet[str]) -> str:
    ordered = sorted(names)
    return f"chart {ordered[0]}" if len(ordered) == 1 else f"all of the charts {', '.join(ordered)}"
