"""Checks configuration without a cluster: every environment on every cloud that it is written for, and its values against the charts."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from meshinstall.config.documents import Project
from meshinstall.config.lockfile import Lock
from meshinstall.config.resolve import Resolution, resolve_all
from meshinstall.config.schema import check_values
from meshinstall.engine.observe.version import settle_version
from meshinstall.engine.tasks import gather
from meshinstall.errors import ChartError, Problem
from meshinstall.model.chart import ChartFiles
from meshinstall.model.cluster import Cloud
from meshinstall.model.desired import Desired
from meshinstall.model.finding import Severity
from meshinstall.model.release import ChartRef
from meshinstall.model.request import Request
from meshinstall.ports import Charts


@dataclass(frozen=True, slots=True)
class Site:
    """An environment on a cloud; without a cloud where neither a file nor an option names one."""

    environment: str
    cloud: Cloud | None

    def __str__(self) -> str:
        """As people write it."""
        return f"{self.environment} ({self.cloud})" if self.cloud else self.environment


@dataclass(frozen=True, slots=True)
class Mistake:
    """A problem, how severe it is, and the sites that have it."""

    problem: Problem
    severity: Severity
    sites: tuple[Site, ...]


@dataclass(frozen=True, slots=True)
class Linted:
    """Every problem, in the order of files and lines; ``chart_error`` is why values were not held against the charts.

    ``desired`` is what each site wants, of those that could be resolved.
    """

    sites: tuple[Site, ...]
    mistakes: tuple[Mistake, ...]
    chart_error: ChartError | None = None
    desired: tuple[Desired, ...] = ()

    @property
    def has_errors(self) -> bool:
        """Whether anything of it stops ``up``."""
        return any(mistake.severity is Severity.ERROR for mistake in self.mistakes)


def only_errors(problems: tuple[Problem, ...]) -> Linted:
    """What is left to say where the files could not be understood."""
    return Linted((), _joined(Mistake(problem, Severity.ERROR, ()) for problem in problems))


def find_sites(project: Project, environments: Iterable[str], cloud: Cloud | None) -> tuple[Site, ...]:
    """The sites of these environments: on ``cloud`` alone when it is given, else on every cloud that the environment is written for."""
    return tuple(site for name in environments for site in _sites(project, name, cloud))


def written_environments(project: Project, cloud: Cloud | None) -> tuple[str, ...]:
    """Environments of meshinstall.yaml, those that can be on ``cloud`` when it is given; every environment where the file has none."""
    found = project.settings.environments
    if not found:
        return project.environments
    return tuple(name for name, one in found.items() if cloud is None or cloud in (one.cloud, *one.clouds) or not (one.cloud or one.clouds))


def _sites(project: Project, name: str, cloud: Cloud | None) -> Iterator[Site]:
    found = project.settings.environments.get(name)
    clouds = (cloud,) if cloud or found is None else tuple(found.clouds) or (found.cloud,)
    yield from (Site(name, each) for each in clouds)


async def lint(request: Request, project: Project, sites: tuple[Site, ...], charts: Charts, pins: Lock) -> Linted:
    """Resolve every site and check its values; changes nothing and asks only the source of the charts."""
    resolved = {site: resolve_all(replace(request, environment=site.environment, cloud=site.cloud), project) for site in sites}
    try:
        resolved = {site: await _settled(one, pins, charts) for site, one in resolved.items()}
        wanted = [chart for one in resolved.values() for chart in _charts(one, pins)]
        files = await gather(dict.fromkeys(wanted), charts.read)
    except ChartError as error:
        return Linted(sites, _joined(_found(resolved, {}, pins)), error)
    desired = tuple(one.desired for one in resolved.values() if one.desired)
    return Linted(sites, _joined(_found(resolved, files, pins)), desired=desired)


async def _settled(found: Resolution, pins: Lock, charts: Charts) -> Resolution:
    """With the version that a minor stands for, of which the charts are read."""
    return replace(found, desired=await settle_version(found.desired, pins, charts)) if found.desired else found


def _charts(found: Resolution, pins: Lock) -> Iterator[ChartRef]:
    yield from (pins.pin(release.chart) for release in found.desired.releases) if found.desired else ()


def _found(resolved: dict[Site, Resolution], files: dict[ChartRef, ChartFiles], pins: Lock) -> Iterator[Mistake]:
    for site, one in resolved.items():
        yield from (Mistake(problem, Severity.ERROR, (site,)) for problem in one.problems)
        if one.desired:
            yield from _in_values(site, one.desired, files, pins)


def _in_values(site: Site, desired: Desired, files: dict[ChartRef, ChartFiles], pins: Lock) -> Iterator[Mistake]:
    for finding in desired.warnings:
        source, mark, line = finding.origin.rpartition(":")
        place = (source, int(line)) if mark and line.isdecimal() else (finding.origin, 0)
        yield Mistake(Problem(*place, min(place[1], 1), f"{finding.title}: {finding.detail}", finding.hint), finding.severity, (site,))
    for release in desired.releases:
        if chart := files.get(pins.pin(release.chart)):
            verdict = check_values(release.component, chart, release.values)
            yield from (Mistake(problem, Severity.ERROR, (site,)) for problem in verdict.errors)
            yield from (Mistake(problem, Severity.WARNING, (site,)) for problem in (*verdict.warnings, *verdict.doubts))


def _joined(mistakes: Iterable[Mistake]) -> tuple[Mistake, ...]:
    """Each problem once, with all its sites, by file and line."""
    found: dict[tuple[Problem, Severity], tuple[Site, ...]] = {}
    for one in mistakes:
        key = (one.problem, one.severity)
        found[key] = tuple(dict.fromkeys((*found.get(key, ()), *one.sites)))
    joined = (Mistake(problem, severity, sites) for (problem, severity), sites in found.items())
    return tuple(sorted(joined, key=lambda one: (one.problem.source, one.problem.line, one.problem.column)))
