"""Finds what each value does, by rendering a release without it: the fields that come from it, or that it changes nothing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from meshinstall.config import bundled
from meshinstall.config.chart_layers import chart_path, chart_view
from meshinstall.engine.rehearsal.blame import lacking
from meshinstall.engine.rehearsal.rehearse import Rehearsal
from meshinstall.engine.rehearsal.rendering import Rendering, try_render
from meshinstall.engine.session import Session
from meshinstall.engine.tasks import gather
from meshinstall.errors import HelmError
from meshinstall.model.chart import ChartFiles
from meshinstall.model.desired import Desired, Release
from meshinstall.model.facts import Facts
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.plan import Plan, ReleaseStep
from meshinstall.model.release import ReleaseRecord
from meshinstall.model.stack import ValuesStack
from meshinstall.model.values import CHART_KINDS, KeyPath, value_at

# Renderings of one release for this.
_MOST = 12
_NOTE = {"original-values", "merged-values"}
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Effects:
    """What each changed value of a release does: where it is written and the rendering without it; and those that change nothing.

    ``by_chart`` is the new version of the chart with the values of before; None where the version stays, or cannot be rendered so.
    """

    without: tuple[tuple[str, Rendering], ...] = ()
    idle: tuple[KeyPath, ...] = ()
    by_chart: Rendering | None = None


async def effects(plan: Plan, facts: Facts, rehearsal: Rehearsal, desired: Desired, session: Session) -> dict[str, Effects]:
    """By step; raises ChartError."""
    releases = {release.key: release for release in desired.releases}
    steps = {step.name: step for step in plan.pending if isinstance(step, ReleaseStep) and step.name in rehearsal.renderings}
    return {
        name: replace(
            await _effects(step, releases[step.release], rehearsal, session),
            by_chart=await _by_chart(step, facts.releases.get(step.release), rehearsal, session),
        )
        for name, step in steps.items()
    }


def idle_values(found: Mapping[str, Effects], desired: Desired) -> tuple[Finding, ...]:
    """Of the values that a plan changes those of the user's that change nothing."""
    releases = {str(release.key): release for release in desired.releases}
    return tuple(_finding(name, releases[name], path) for name, one in found.items() for path in one.idle)


async def _effects(step: ReleaseStep, release: Release, rehearsal: Rehearsal, session: Session) -> Effects:
    """Of a release; the chart is read only where a user wrote something that changes, and where fields are told by their origin."""
    changing = {change.path: bundled.is_bundled(change.origin) for change in step.changes if change.origin}
    told = {path for path, of_ours in changing.items() if step.revision or not of_ours}
    if not told:
        return Effects()
    asked = list(_asked(told, release, await session.charts.read(step.chart)))
    # What the user wrote comes first.
    paths = sorted(asked, key=lambda path: changing[".".join(path)])[:_MOST]
    others = await gather(paths, lambda path: try_render(step, lacking(release.values, [path]), rehearsal.ground, session))
    rendered = _objects(rehearsal.renderings[step.name])
    idle = tuple(path for path in paths if not changing[".".join(path)] and _objects(others[path]) == rendered)
    return Effects(tuple((_origin(release, path), made) for path, made in others.items() if isinstance(made, Rendering)), idle)


async def _by_chart(step: ReleaseStep, record: ReleaseRecord | None, rehearsal: Rehearsal, session: Session) -> Rendering | None:
    """What the chart's new version changes by itself: values that are new, differ or are no longer set have no part in it."""
    if record is None or record.version == step.chart.version:
        return None
    if not step.changes:
        return rehearsal.renderings[step.name]
    made = await try_render(step, record.values, rehearsal.ground, session)
    return made if isinstance(made, Rendering) else None


def _asked(written: set[str], release: Release, files: ChartFiles) -> Iterator[KeyPath]:
    """What was written and is not what the chart has anyway."""
    view = chart_view(release.component, files, release.values)
    chart = ValuesStack(tuple(layer for layer in view.layers if layer.kind in CHART_KINDS)).effective()
    for path, spoken in release.values.winners().items():
        if ".".join(path) in written and value_at(chart, chart_path(release.component, path), _ABSENT) != spoken.value:
            yield path


def _objects(made: Rendering | HelmError) -> object:
    """The objects but the note of the values themselves, which istiod's chart keeps for people (templates/configmap-values.yaml)."""
    if not isinstance(made, Rendering):
        return made
    return [one for one in made.objects if one["kind"] != "ConfigMap" or set(one.get("data") or ()) - _NOTE], made.crds


def _origin(release: Release, path: KeyPath) -> str:
    return str(release.values.origin(path))


def _finding(name: str, release: Release, path: KeyPath) -> Finding:
    title = f"{name}: {'.'.join(path)} changes nothing"
    detail = "the objects are the same without it"
    hint = "remove it, or check how the key is written"
    return Finding("CFG004", Severity.WARNING, title, detail, f"release {name}", _origin(release, path), hint)
