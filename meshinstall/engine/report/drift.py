"""Finds drift of one site: what Git says, what the engine that keeps it installed, and what is there; changes nothing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from meshinstall.config.documents import Project
from meshinstall.engine.drifting.asking import without_admission
from meshinstall.engine.drifting.engines import Now, of_record, read_engines
from meshinstall.engine.drifting.judging import Look, engines_of, judge
from meshinstall.engine.drifting.live import find_kinds, see
from meshinstall.engine.drifting.remedies import Way
from meshinstall.engine.drifting.states import state_of
from meshinstall.engine.drifting.terms import Differing, Installed, Records, wanted_objects
from meshinstall.engine.objects.release_manifest import crd_texts, objects
from meshinstall.engine.observe.cluster import made_for
from meshinstall.engine.report.lint import Site
from meshinstall.engine.report.render import Means, render_sites
from meshinstall.engine.session import Session
from meshinstall.engine.tasks import gather, soon, task_group
from meshinstall.errors import ClusterError, UnauthorizedError, UnreachableError
from meshinstall.gitops.terms import RenderedSite
from meshinstall.model.desired import Desired
from meshinstall.model.drift import Drift, State
from meshinstall.model.facts import ObjectKey, key_of, policy_key
from meshinstall.model.foreign_text import plain
from meshinstall.model.ownership import made_by_us
from meshinstall.model.paths import resource_of
from meshinstall.model.release import Manifest, ReleaseKey, ReleaseRecord
from meshinstall.model.request import Request
from meshinstall.ports import Kube, Releases


@dataclass(frozen=True, slots=True)
class Asked:
    """One site as Git has it: ``commit`` is empty for the files of a folder, ``source`` names either; ``way`` is how it is reached."""

    request: Request
    project: Project
    means: Means
    source: str
    way: Way
    commit: str = ""


class Compared(NamedTuple):
    """A site as Git has it, and in what the cluster differs."""

    site: RenderedSite
    drift: Drift


class _History(NamedTuple):
    """Helm's records of the site, and what of them is not known."""

    records: Mapping[ReleaseKey, ReleaseRecord]
    gaps: tuple[str, ...] = ()


async def find_drift(asked: Asked, desired: Desired, session: Session, tell: Callable[[str], None]) -> Drift:
    """Everything in which the site differs; raises ConfigError, ChartError and HelmError for Git's side, else ClusterError."""
    return (await compare(asked, desired, session, tell)).drift


async def compare(asked: Asked, desired: Desired, session: Session, tell: Callable[[str], None]) -> Compared:
    """The same, with the site as Git has it."""
    tell("rendering what Git says")
    site = Site(desired.environment, desired.cloud)
    async with task_group() as group:
        rendered = soon(group, render_sites, asked.request, asked.project, (site,), asked.means)
        found_kinds = soon(group, find_kinds, session.kube)
        known = soon(group, _history, desired, session.kube, session.releases)
    (git,) = rendered.value
    # A commit may have other namespaces than the folder.
    is_same = _spaces(git.desired) <= _spaces(desired)
    history = known.value if is_same else await _history(git.desired, session.kube, session.releases)
    wanted, wants = wanted_objects(git), {release.key for release in git.releases}
    kept = {key: one for key, one in history.records.items() if key in wants or made_by_us(one)}
    records, unread = _objects(kept)
    tell(f"comparing {len(wanted)} objects")
    seen = await see(wanted, records, session.kube, found_kinds.value)
    left = await without_admission(seen.differing, session.kube)
    seen.differing = list(left.differing)
    engines = await read_engines(seen.marks, session.kube, Now(session.now(), asked.commit, session.server))
    by_up = any(map(made_by_us, kept.values())) or not seen.compared
    found = judge(Look(git, wanted, records, seen, engines), replace(asked.way, site=git.path, by_up=by_up))
    doubt = [f"it was not asked whether the API server makes differences itself: {plain(left.unasked)}"] if left.unasked else []
    told = {key: of_record(one) for key, one in kept.items() if not one.problem}
    drift = Drift(
        site=git.path,
        cluster=session.cluster,
        source=asked.source,
        at=session.now(),
        engines=engines_of(told, engines, _behind(seen.differing)),
        objects=found,
        unseen=(*history.gaps, *unread, *seen.gaps, *doubt),
        unseen_engines=engines.gaps,
        compared=seen.compared,
        looked_at=seen.looked_at,
    )
    return Compared(git, drift)


def _spaces(desired: Desired) -> set[str]:
    return {namespace.name for namespace in desired.namespaces}


async def _history(desired: Desired, kube: Kube, releases: Releases) -> _History:
    """Namespace by namespace: who may not read one of them may read another."""
    spaces, gaps = _spaces(desired), list[str]()

    async def read(namespace: str) -> Mapping[ReleaseKey, ReleaseRecord]:
        try:
            return await releases.newest([namespace])
        except (UnauthorizedError, UnreachableError):
            raise
        except ClusterError as error:
            gaps.append(f"Helm's records in {plain(namespace)} could not be read: {plain(error.message)}")
            return {}

    try:
        spaces |= set(await made_for(kube, desired))
    except (UnauthorizedError, UnreachableError):
        raise
    except ClusterError as error:
        gaps.append(f"namespaces that meshinstall made could not be listed: {plain(error.message)}")
    found = await gather(sorted(spaces), read)
    return _History({key: record for some in found.values() for key, record in some.items()}, tuple(sorted(gaps)))


def _objects(kept: Mapping[ReleaseKey, ReleaseRecord]) -> tuple[Records, tuple[str, ...]]:
    """What the records say was installed, and those that cannot be read."""
    found: Installed = {}
    crds: dict[str, str] = {}
    gaps: dict[ReleaseKey, str] = {}
    for key, record in kept.items():
        if record.problem:
            gaps[key] = f"Helm's record of {key} could not be read: {plain(record.problem)}"
            continue
        try:
            found |= {policy_key(_key(one, key.namespace)): (key, one) for one in objects(record)}
            crds |= crd_texts(record.manifest)
        except ClusterError as error:
            gaps[key] = f"Helm's record of {key} could not be read: {plain(error.message)}"
    return Records(found, crds, frozenset(gaps)), tuple(gaps.values())


def _key(manifest: Manifest, namespace: str) -> ObjectKey:
    """With the namespace of its release where helm gives it that."""
    key = key_of(manifest, namespace)
    resource = resource_of(key)
    return key if resource is None or resource[1] else key._replace(namespace="")


def _behind(differing: list[Differing]) -> frozenset[ReleaseKey]:
    """Releases of which something that is there is as it was installed, and not as Git says."""
    behind = [one for one in differing if one.recorded is not None and state_of(one, kubectl=False) is State.NOT_APPLIED]
    return frozenset(release for one in behind if (release := one.wanted.item.release) is not None)
