"""Finds values that change nothing: a release rendered without one has the same objects."""

from collections.abc import Iterator

from meshinstall.config import bundled
from meshinstall.config.chart_layers import chart_path, chart_view
from meshinstall.engine.rehearsal.blame import lacking
from meshinstall.engine.rehearsal.rehearse import Rehearsal
from meshinstall.engine.rehearsal.rendering import Rendering, try_render
from meshinstall.engine.session import Session
from meshinstall.engine.tasks import gather
from meshinstall.model.chart import ChartFiles
from meshinstall.model.desired import Desired, Release
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.plan import Plan, ReleaseStep
from meshinstall.model.stack import ValuesStack
from meshinstall.model.values import CHART_KINDS, KeyPath, value_at

# Renderings of one release for this.
_MOST = 12
_NOTE = {"original-values", "merged-values"}
_ABSENT = object()


async def idle_values(plan: Plan, rehearsal: Rehearsal, desired: Desired, session: Session) -> tuple[Finding, ...]:
    """Of the values that a plan changes those of the user's that change nothing; raises ChartError."""
    releases = {release.key: release for release in desired.releases}
    steps = [step for step in plan.pending if isinstance(step, ReleaseStep) and step.name in rehearsal.renderings]
    found = [(step, releases[step.release], await _idle(step, releases[step.release], rehearsal, session)) for step in steps]
    return tuple(_finding(step, release, path) for step, release, paths in found for path in paths)


async def _idle(step: ReleaseStep, release: Release, rehearsal: Rehearsal, session: Session) -> list[KeyPath]:
    """Of a release; the chart is read only where a user wrote something that changes."""
    written = {change.path for change in step.changes if change.origin and not bundled.is_bundled(change.origin)}
    if not written:
        return []
    paths = list(_asked(written, release, await session.charts.read(step.chart)))[:_MOST]
    rendered = _effect(rehearsal.renderings[step.name])
    others = await gather(paths, lambda path: try_render(step, lacking(release.values, [path]), rehearsal.ground, session))
    return [path for path in paths if _effect(others[path]) == rendered]


def _asked(written: set[str], release: Release, files: ChartFiles) -> Iterator[KeyPath]:
    """What was written and is not what the chart has anyway."""
    view = chart_view(release.component, files, release.values)
    chart = ValuesStack(tuple(layer for layer in view.layers if layer.kind in CHART_KINDS)).effective()
    for path, spoken in release.values.winners().items():
        if ".".join(path) in written and value_at(chart, chart_path(release.component, path), _ABSENT) != spoken.value:
            yield path


def _effect(made: object) -> object:
    """The objects but the note of the values themselves, which istiod's chart keeps for people (templates/configmap-values.yaml)."""
    if not isinstance(made, Rendering):
        return made
    return [one for one in made.objects if one["kind"] != "ConfigMap" or set(one.get("data") or ()) - _NOTE], made.crds


def _finding(step: ReleaseStep, release: Release, path: KeyPath) -> Finding:
    origin = str(release.values.explain(path)[-1].origin)
    title = f"{step.name}: {'.'.join(path)} changes nothing"
    detail = "the objects are the same without it"
    return Finding("CFG004", Severity.WARNING, title, detail, f"release {step.name}", origin, "remove it, or check how the key is written")
