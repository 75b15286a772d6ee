"""Renders every site as ``up`` would install it on a cluster where nothing is yet: it asks none, and takes pinned charts alone."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from meshinstall import catalog
from meshinstall.config.documents import Project
from meshinstall.config.lockfile import Lock
from meshinstall.engine.observe.tags import render_tags
from meshinstall.engine.rehearsal.rendered_secrets import HINT, told
from meshinstall.engine.rehearsal.rendering import Rendering, read_rendering
from meshinstall.engine.report.lint import Site, lint
from meshinstall.engine.tasks import gather
from meshinstall.errors import ChartError, ConfigError, Problem
from meshinstall.gitops.terms import LOCK_HINT, Item, RenderedRelease, RenderedSite, Step, check_name
from meshinstall.model.desired import Desired, Release
from meshinstall.model.facts import ObjectKey, key_of
from meshinstall.model.finding import Severity
from meshinstall.model.foreign_text import line
from meshinstall.model.ownership import audit_labels, labelled, policy_labels
from meshinstall.model.paths import resource_of
from meshinstall.model.release import ChartRef, Component, Manifest, ReleaseKey
from meshinstall.model.request import Request
from meshinstall.model.secrets import secrets, shape
from meshinstall.model.trial import Ground
from meshinstall.ports import Charts, Helm

_CRD, _CRD_VERSION = "CustomResourceDefinition", "apiextensions.k8s.io/v1"
_HOOK = "helm.sh/hook"


@dataclass(frozen=True, slots=True)
class Means:
    """What rendering needs of the outside world; ``pins`` are those of meshinstall.lock."""

    charts: Charts
    pins: Lock
    helm: Helm


async def render_sites(request: Request, project: Project, sites: tuple[Site, ...], means: Means) -> tuple[RenderedSite, ...]:
    """Every site, by its path. Raises ConfigError for all mistakes in files, values and rendered objects, ChartError and HelmError."""
    found = await lint(request, project, sites, means.charts, means.pins)
    if found.has_errors:
        raise ConfigError(tuple(one.problem for one in found.mistakes if one.severity is Severity.ERROR))
    if found.chart_error:
        raise found.chart_error
    rendered = [await _render(one, means) for one in found.desired]
    if problems := tuple(problem for site in rendered for problem in _secrets(site)):
        raise ConfigError(problems)
    return tuple(sorted(rendered, key=lambda site: site.path))


async def _render(desired: Desired, means: Means) -> RenderedSite:
    check_name("environment", desired.environment)
    ground = Ground(catalog.newest_kubernetes(desired.istio_version))
    pinned = {release.key: _pinned(release.chart, means.pins) for release in desired.releases}
    releases = {release.key: release for release in desired.releases}

    async def rendering(key: ReleaseKey) -> Rendering:
        archive = await means.charts.fetch(pinned[key])
        return read_rendering(key, await means.helm.template(key, archive, releases[key].values.merged(), ground))

    made = await gather(releases, rendering)
    tags = await render_tags(desired, pinned[desired.istiod.key], ground, means.charts, means.helm) if desired.istiod else ()
    items = (
        *(_item(Step.NAMESPACES, one) for one in _namespaces(desired)),
        *(item for key, release in releases.items() for item in _of_release(release, made[key])),
        *(_item(Step.TAGS, one) for one in tags),
        *(_item(Step.POLICIES, labelled(one.manifest, audit_labels(desired))) for one in desired.policies),
        *(_item(Step.POLICIES, labelled(one.manifest, policy_labels(desired))) for one in desired.layered or ()),
    )
    releases_told = tuple(
        RenderedRelease(one.key, _step(one), pinned[one.key], one.values.merged(), one.needs, _manifest(one.chart, means.pins))
        for one in desired.releases
    )
    return RenderedSite(desired, releases_told, items)


def _manifest(chart: ChartRef, pins: Lock) -> str:
    """The digest by which the source of a chart knows it; a mirror may know the same archive by another one."""
    pinned = pins.pinned(chart.name, chart.version)
    is_there = pinned is not None and pinned.source.rstrip("/") == chart.source.rstrip("/")
    return pins.manifests.get((chart.name, chart.version), "") if is_there else ""


def _pinned(chart: ChartRef, pins: Lock) -> ChartRef:
    if pins.pinned(chart.name, chart.version) is None:
        raise ChartError(
            f"chart {chart.name} {chart.version} is not in meshinstall.lock, and what is rendered would be another thing tomorrow",
            LOCK_HINT,
        )
    return pins.pin(chart)


def _namespaces(desired: Desired) -> Iterator[Manifest]:
    for one in desired.namespaces:
        yield {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": one.name, "labels": {**one.labels, **audit_labels(desired)}},
        }


def _step(release: Release) -> Step:
    return Step.GATEWAYS if release.component is Component.GATEWAY else Step.CONTROL_PLANE


def _of_release(release: Release, rendering: Rendering) -> Iterator[Item]:
    for name, text in rendering.crds.items():
        yield Item(Step.CRDS, ObjectKey(_CRD_VERSION, _CRD, "", name), text=f"{text.strip()}\n", release=release.key)
    for manifest in rendering.objects:
        where = f"chart {release.chart.name} {release.chart.version}"
        if _HOOK in ((manifest.get("metadata") or {}).get("annotations") or {}):
            raise ChartError(
                f"{where} has a hook, {line(str(key_of(manifest)))}, which only helm runs", "use a chart without hooks, or `up`"
            )
        yield replace(_item(_step(release), _in_namespace(manifest, release, where)), release=release.key)


def _in_namespace(manifest: Manifest, release: Release, where: str) -> Manifest:
    """With the namespace that helm gives an object without one."""
    key = key_of(manifest)
    resource = resource_of(key)
    if key.namespace or (resource and not resource[1]):
        return manifest
    if resource is None:
        hint = "write its namespace into the chart"
        raise ChartError(f"cannot tell whether {line(str(key))} of {where} lives in a namespace", hint)
    return {**manifest, "metadata": {**manifest["metadata"], "namespace": release.key.namespace}}


def _item(step: Step, manifest: Manifest) -> Item:
    """Without labels and annotations that are empty, which are none to Kubernetes; some readers of the files drop them."""
    metadata = {name: value for name, value in manifest["metadata"].items() if value or name not in {"labels", "annotations"}}
    return Item(step, key_of(manifest), {**manifest, "metadata": metadata})


def _secrets(site: RenderedSite) -> Iterable[Problem]:
    """A problem for each object that holds what looks like a secret; no message contains it."""
    for item in site.items:
        found = next(secrets(item.manifest), "") if item.manifest else item.text if shape(item.text) else ""
        if found:
            yield Problem(site.path, 0, 0, told(found, line(str(item.key))), HINT)
