"""Sources, HelmReleases and Kustomizations of Flux (fluxcd: helm-controller docs/spec/v2, source-controller docs/spec/v1).

Releases have the names and places that ``up`` gives them, always written, as Flux uninstalls a release whose name or place changes.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from meshinstall.gitops.json_patch import has_null
from meshinstall.gitops.repository import Repository, pinned_chart
from meshinstall.gitops.terms import Files, RenderedRelease, RenderedSite, Step, joined
from meshinstall.model.yaml_dump import dump

NAMESPACE = "flux-system"
# What `flux bootstrap` calls the repository that a cluster is kept by.
_SOURCE = {"kind": "GitRepository", "name": "flux-system"}
_INTERVAL, _RETRY, _TIMEOUT = "10m", "1m", "10m"
_HISTORY = 10
# A failed install is repeated: Flux's own remedy would uninstall it, and a gateway would lose its address.
_AGAIN = {"strategy": {"name": "RetryOnFailure", "retryInterval": _RETRY}}
_LAYER = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
_RELEASES = (Step.CONTROL_PLANE, Step.GATEWAYS)
_FILE = "kustomization.yaml"


def flux(sites: Sequence[RenderedSite], repository: Repository) -> Files:
    """All files; raises ChartError where a chart cannot be named by digest."""
    return joined(file for site in sites for file in _site(site, repository))


def _site(site: RenderedSite, repository: Repository) -> Iterator[tuple[str, str]]:
    steps = [(step, dict(_files(site, step))) for step in Step]
    before: list[str] = []
    for step, files in steps:
        if not files:
            continue
        name = _named(step)
        yield f"{site.path}/flux/{name}.yaml", dump(_kustomization(name, step, f"./{repository.path}/{site.path}/{step.value}", before))
        yield f"{site.path}/{step.value}/{_FILE}", dump(_resources(sorted(files)))
        yield from ((f"{site.path}/{step.value}/{file}", text) for file, text in files.items())
        before = [name]
    names = [f"{_named(step)}.yaml" for step, files in steps if files]
    yield f"{site.path}/flux/{_FILE}", dump(_resources(names))


def kustomization_names(site: RenderedSite) -> tuple[str, ...]:
    """Names of the Kustomizations of a site."""
    there = {*(release.step for release in site.releases), *(step for step, _ in site.steps() if step is not Step.CRDS)}
    return tuple(_named(step) for step in Step if step in there)


def _named(step: Step) -> str:
    return f"mesh-{step.value[3:]}"


def _files(site: RenderedSite, step: Step) -> Iterator[tuple[str, str]]:
    """What is in a step: of releases what makes Flux install them, else the objects."""
    if step in _RELEASES:
        releases = [release for release in site.releases if release.step is step]
        charts = {release.chart: release for release in releases}
        yield from ((f"chart-{chart.name}.yaml", dump(_chart(release))) for chart, release in charts.items())
        for release in releases:
            yield f"release-{release.key.name}.yaml", dump(_release(site, release))
            if has_null(release.values):
                yield f"values-{release.key.name}.yaml", dump(_values(release))
    elif step is not Step.CRDS:
        # The CRDs are in the release of base.
        yield from ((item.file, item.content) for item in site.items if item.step is step)


def _resources(files: Sequence[str]) -> dict[str, Any]:
    return {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": list(files)}


def _kustomization(name: str, step: Step, path: str, before: Sequence[str]) -> dict[str, Any]:
    spec = {
        **({"dependsOn": [{"name": one} for one in before]} if before else {}),
        "interval": _INTERVAL,
        "retryInterval": _RETRY,
        "timeout": _TIMEOUT,
        "sourceRef": _SOURCE,
        "path": path,
        "prune": step is not Step.NAMESPACES,
        "wait": True,
        # Who deletes it does not delete a mesh.
        "deletionPolicy": "Orphan",
    }
    return _object("kustomize.toolkit.fluxcd.io/v1", "Kustomization", name, spec)


def _chart(release: RenderedRelease) -> dict[str, Any]:
    spec = {
        "interval": _INTERVAL,
        "url": pinned_chart(release),
        "ref": {"digest": release.manifest},
        "layerSelector": {"mediaType": _LAYER, "operation": "copy"},
    }
    return _object("source.toolkit.fluxcd.io/v1", "OCIRepository", _source_name(release), spec)


def _source_name(release: RenderedRelease) -> str:
    return f"istio-chart-{release.chart.name}"


def _release(site: RenderedSite, release: RenderedRelease) -> dict[str, Any]:
    # Gateways are in a step of their own, and need no release of it but each other.
    beside = {one.key for one in site.releases if one.step is release.step}
    needs = [{"name": need.name} for need in release.needs if need in beside]
    spec = {
        **({"dependsOn": needs} if needs else {}),
        "interval": _INTERVAL,
        "timeout": _TIMEOUT,
        "chartRef": {"kind": "OCIRepository", "name": _source_name(release)},
        "releaseName": release.key.name,
        "targetNamespace": release.key.namespace,
        "storageNamespace": release.key.namespace,
        "maxHistory": _HISTORY,
        "install": _AGAIN,
        "upgrade": _AGAIN,
        "driftDetection": {"mode": "enabled"},
        **_given(release),
    }
    return _object("helm.toolkit.fluxcd.io/v2", "HelmRelease", release.key.name, spec)


def _given(release: RenderedRelease) -> Mapping[str, Any]:
    # What applies a HelmRelease may take a null for a field to delete: in the text of a ConfigMap it stays.
    if has_null(release.values):
        return {"valuesFrom": [{"kind": "ConfigMap", "name": _values_name(release)}]}
    return {"values": dict(release.values)} if release.values else {}


def _values_name(release: RenderedRelease) -> str:
    return f"{release.key.name}-values"


def _values(release: RenderedRelease) -> dict[str, Any]:
    metadata = {"name": _values_name(release), "namespace": NAMESPACE, "labels": {"reconcile.fluxcd.io/watch": "Enabled"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"values.yaml": dump(release.values)}}


def _object(api_version: str, kind: str, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE}, "spec": dict(spec)}
