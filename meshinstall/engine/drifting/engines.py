"""Reads what the engines that keep a mesh say of themselves: one request for each object of theirs, one for each project."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from meshinstall.engine.drifting import argocd, flux
from meshinstall.engine.objects.json_fields import MalformedError, at
from meshinstall.engine.tasks import gather
from meshinstall.errors import ClusterError, UnauthorizedError, UnreachableError
from meshinstall.model.drift import Engine
from meshinstall.model.facts import ObjectKey
from meshinstall.model.foreign_text import plain
from meshinstall.model.ownership import ARGO, FLUX, Keeper
from meshinstall.model.paths import object_path
from meshinstall.model.release import Manifest, ReleaseRecord, ReleaseStatus, without_digest
from meshinstall.ports import Kube

_ARGO_API = "argoproj.io/v1alpha1"
# Objects of engines that are asked for; a mesh has one for each release, and some for its objects.
_MOST = 60
# Argo CD names an Application of another namespace than its own so.
_APART = "_"


@dataclass(frozen=True, slots=True)
class Engines:
    """Each engine by what objects say keeps them; ``items`` are the engines' own objects, ``gaps`` what is not known."""

    found: Mapping[Keeper, Engine] = field(default_factory=dict)
    items: Mapping[Keeper, Manifest] = field(default_factory=dict)
    gaps: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Now:
    """When it is, which commit is compared, and how this cluster's API server is called."""

    time: datetime
    commit: str = ""
    server: str = ""


async def read_engines(marks: Mapping[Keeper, list[ObjectKey]], kube: Kube, now: Now) -> Engines:
    """Every engine that keeps something; raises UnauthorizedError and UnreachableError alone."""
    keepers = sorted(marks)[:_MOST]
    gaps = [f"{len(marks) - _MOST} more objects of engines were not asked for"] if len(marks) > _MOST else []
    items: dict[Keeper, Manifest] = {}
    for keeper, found in (await gather(keepers, lambda one: _tried(_item, one, kube))).items():
        if isinstance(found, str):
            gaps.append(f"{keeper} could not be read: {found}")
        elif found is None:
            gaps.append(f"{keeper} is not in this cluster: another one keeps it, or nothing any more; its status is unknown")
        elif why := _elsewhere(keeper, found, marks[keeper], now.server):
            gaps.append(why)
        else:
            items[keeper] = found
    projects = await _projects([item for keeper, item in items.items() if keeper.engine == ARGO], kube)
    engines = {keeper: _engine(keeper, item, projects, now, gaps) for keeper, item in items.items()}
    unknown = {keeper: Engine(str(keeper), is_known=False) for keeper in marks if keeper not in engines}
    return Engines({**engines, **unknown}, items, tuple(gaps))


async def _tried(ask: Callable[..., object], *given: object) -> Manifest | str | None:
    try:
        return await ask(*given)  # type: ignore[misc,no-any-return] # one of the two below
    except (UnauthorizedError, UnreachableError):
        raise
    except ClusterError as error:
        return plain(error.message)


async def _item(keeper: Keeper, kube: Kube) -> Manifest | None:
    if keeper.engine == FLUX and keeper.namespace:
        version, plural = flux.VERSIONS[keeper.kind]
        return await kube.get(object_path(version, plural, keeper.namespace, keeper.name))
    if keeper.engine != ARGO:
        return None
    # Which namespace Argo CD runs in is nobody's to guess; the server finds one object by its name without sending the others.
    namespace, apart, name = keeper.name.partition(_APART)
    if apart:
        return await kube.get(object_path(_ARGO_API, "applications", namespace, name))
    found = [one async for one in kube.list(object_path(_ARGO_API, "applications"), fields=f"metadata.name={keeper.name}")]
    if len(found) > 1:
        raise ClusterError(f"{len(found)} namespaces have an Application of this name")
    return found[0] if found else None


def _elsewhere(keeper: Keeper, item: Manifest, keys: Iterable[ObjectKey], server: str) -> str:
    """Why an object of an engine is not the one that keeps these; empty where it may be."""
    try:
        if keeper.engine == ARGO:
            argocd.project_of(item)
            if not argocd.is_for_here(item, server):
                return f"{argocd.name_of(item)} is for another cluster: it is unknown what keeps this one"
            if at(item, "status", "resources") and not any(argocd.says_of(item, key) for key in keys):
                return f"{argocd.name_of(item)} names none of the objects that say it keeps them: it is unknown what keeps them"
        elif not flux.is_for_here(item):
            return f"{keeper} installs into another cluster: it is unknown what keeps this one"
    except MalformedError as error:
        return f"{keeper} could not be read: {plain(error)}"
    return ""


async def _projects(applications: Iterable[Manifest], kube: Kube) -> Mapping[tuple[str, str], Manifest | str | None]:
    names = {argocd.project_of(one) for one in applications}
    return await gather(names, lambda name: _tried(kube.get, object_path(_ARGO_API, "appprojects", *name)))


def _engine(keeper: Keeper, item: Manifest, projects: Mapping[tuple[str, str], Manifest | str | None], now: Now, gaps: list[str]) -> Engine:
    try:
        if keeper.engine != ARGO:
            return flux.engine(keeper, item, now.commit)
        name = argocd.project_of(item)
        project = projects.get(name)
        if project is None or isinstance(project, str):
            why = f": {project}" if project else ": it is not there"
            gaps.append(
                f"AppProject {plain('/'.join(name))} of {argocd.name_of(item)} could not be read{why}; its sync windows are unknown"
            )
        return argocd.engine(item, None if isinstance(project, str) else project, now.time, now.commit)
    except MalformedError as error:
        gaps.append(f"{keeper} could not be read: {plain(error)}")
        return Engine(str(keeper), is_known=False)


def of_record(one: ReleaseRecord) -> Engine:
    """What state a release of helm is in."""
    failed = one.status not in {ReleaseStatus.DEPLOYED, ReleaseStatus.SUPERSEDED}
    cause = (f"the release is {one.status}: {plain(one.description)}",) if failed else ()
    chart = f"revision {one.revision}, chart {plain(one.chart)} {plain(without_digest(one.version))}"
    return Engine(f"Helm release {one.key}", str(one.status), chart, cause)
