"""Judges files of policies without a cluster: their form by Istio's own CRDs, what they hold, and what they do."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from posixpath import normpath

from meshinstall.checks.policies.judge import judge
from meshinstall.checks.policies.kustomizations import kustomized, patch_sources
from meshinstall.checks.policies.published import compare_document, judge_keys, not_read
from meshinstall.checks.policies.reading import Policies
from meshinstall.config.crd_schemas import Schemas, read_schemas
from meshinstall.config.layer_files import layer_of
from meshinstall.config.lockfile import Lock
from meshinstall.config.policy_files import read_objects
from meshinstall.engine.objects.mesh_policies import known_mesh
from meshinstall.engine.observe.version import settle_version
from meshinstall.engine.report.dry_run import Outcome, Tried
from meshinstall.engine.tasks import gather
from meshinstall.errors import ChartError, IdentityError, Problem
from meshinstall.model.desired import Desired
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.identity import IdentityProvider, discovery_of
from meshinstall.model.policy_object import PolicyObject
from meshinstall.model.release import Component
from meshinstall.ports import Charts, Published


@dataclass(frozen=True, slots=True)
class Checked:
    """Mistakes of the files' form, and findings about what they do; ``chart_error`` is why no schema was asked.

    ``read`` are the objects; ``tried`` is what a cluster says of them, None where none was asked.
    """

    read: tuple[PolicyObject, ...]
    problems: tuple[Problem, ...]
    findings: tuple[Finding, ...]
    chart_error: ChartError | None = None
    tried: tuple[Tried, ...] | None = None

    @property
    def has_errors(self) -> bool:
        """Whether anything of it must not be applied."""
        is_refused = any(one.outcome is Outcome.REFUSED for one in self.tried or ())
        return bool(self.problems) or is_refused or any(one.severity is Severity.ERROR for one in self.findings)

    @property
    def is_unproven(self) -> bool:
        """Whether a cluster was asked, and did not judge all of it."""
        return any(one.outcome is Outcome.NOT_PROVEN for one in self.tried or ())


async def check_policies(
    sources: Iterable[Path | PolicyObject], desired: Desired, charts: Charts, pins: Lock, *, knows_mesh: bool
) -> Checked:
    """Judge files and what was read already; ``knows_mesh``: whether ``desired`` is the mesh that they are for, and not only a version.

    Raises UsageError for a path that is not there.
    """
    problems: list[Problem] = []
    given = tuple(sources)
    read = read_objects((one for one in given if isinstance(one, Path)), problems)
    every = (*(one for one in given if isinstance(one, PolicyObject)), *read)
    patches = patch_sources(every)
    objects = tuple(one for one in every if normpath(one.source) not in patches)
    error = None
    try:
        desired = await settle_version(desired, pins, charts)
        schemas = await _schemas(desired, charts, pins)
    except ChartError as missing:
        schemas, error = Schemas({}), missing
    problems += [problem for one in objects for problem in schemas.problems(one)]
    problems += defined_twice(objects, in_layers=True)
    policies = known_mesh(objects, desired) if knows_mesh else Policies(objects)
    found = (*judge(policies), *kustomized(every, policies.root_namespace))
    ordered = tuple(sorted(set(problems), key=lambda one: (one.source, one.line, one.column, one.text)))
    return Checked(objects, ordered, tuple(found), error)


async def compare_published(providers: Iterable[IdentityProvider], published: Published) -> tuple[Finding, ...]:
    """Where what identity providers publish differs from what the configuration says of them."""

    async def compare(provider: IdentityProvider) -> tuple[Finding, ...]:
        found: list[Finding] = []
        for url, judge_body in ((discovery_of(provider.issuer), compare_document), (provider.keys, judge_keys)):
            try:
                found += judge_body(provider, await published.read(url))
            except IdentityError as error:
                found.append(not_read(provider, error.message, error.hint))
        return tuple(found)

    asked = tuple(providers)
    answers = await gather(asked, compare)
    return tuple(one for provider in asked for one in answers[provider])


async def _schemas(desired: Desired, charts: Charts, pins: Lock) -> Schemas:
    base = next((release for release in desired.releases if release.component is Component.BASE), None)
    if base is None:
        raise ChartError("the environment has no base chart, which holds the schemas", "name an environment that installs Istio's CRDs")
    return read_schemas((await charts.read(pins.pin(base.chart))).definitions)


def defined_twice(objects: tuple[PolicyObject, ...], *, in_layers: bool) -> Iterator[Problem]:
    """One object in two places: the one that is applied last wins; ``in_layers``: in two layers it is no mistake, the nearer one wins."""
    seen: dict[tuple[str, ...], PolicyObject] = {}
    for one in objects:
        first = seen.setdefault((one.group, one.kind, one.namespace, one.name, *(layer_of(Path(one.source)) if in_layers else ())), one)
        if first is not one and one.name:
            where = f"{first.source}:{first.place(())[0]}"
            yield Problem(one.source, *one.place(()), f"{one} is also in {where}: the one that is applied last wins")
