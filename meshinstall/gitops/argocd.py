"""Applications, projects and an ApplicationSet of Argo CD (argo-cd: docs/operator-manual, docs/user-guide/oci.md).

Each site has an Application for each release, by the digest of its chart, and one for each folder of plain objects. Nothing is to be
ignored: what istiod changes at run time no template renders, or a value says it.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from meshinstall.errors import UsageError
from meshinstall.gitops.json_patch import has_null
from meshinstall.gitops.repository import Repository, pinned_chart
from meshinstall.gitops.terms import Files, Item, RenderedRelease, RenderedSite, Step, joined
from meshinstall.model.ownership import ENVIRONMENT
from meshinstall.model.policy_kinds import POLICY_KINDS, group_of
from meshinstall.model.yaml_dump import dump

_NAMESPACE = "argocd"
_API = "argoproj.io/v1alpha1"
_WAVE = "argocd.argoproj.io/sync-wave"
# Of Argo CD itself.
_HOME = {"server": "https://kubernetes.default.svc", "namespace": _NAMESPACE}
_PARENT = "meshinstall"
_REVISION = "HEAD"
_OPTIONS = ["ServerSideApply=true", "SkipDryRunOnMissingResource=true", "FailOnSharedResource=true"]
# A gateway that came before istiod, or a policy before its webhook answers, is tried again for half an hour.
_RETRY = {"limit": 12, "backoff": {"duration": "10s", "factor": 2, "maxDuration": "3m"}}
# Waves leave room for releases that need each other.
_WAVES: Mapping[Step, int] = {step: 10 * number for number, step in enumerate(Step)}
_OBJECTS = (Step.NAMESPACES, Step.TAGS, Step.POLICIES)


def argocd(sites: Sequence[RenderedSite], repository: Repository) -> Files:
    """All files; raises ChartError where a chart cannot be named by digest."""
    shared = (("applicationset.yaml", dump(_application_set(sites, repository))), ("projects/meshinstall.yaml", dump(_parent(repository))))
    _check_names(sites)
    return joined((*shared, *(file for site in sites for file in _site(site, repository))))


def _check_names(sites: Sequence[RenderedSite]) -> None:
    """Raise UsageError where two Applications of one Argo CD would have one name."""
    releases = (f"{site.name}-{release.key.name}" for site in sites for release in site.releases)
    steps = (f"{site.name}-mesh-{step.value[3:]}" for site in sites for step in _OBJECTS)
    found = Counter([*releases, *steps, *(f"mesh-{site.name}" for site in sites)])
    if twice := sorted(name for name, count in found.items() if count > 1):
        raise UsageError(f"two Applications would be called {twice[0]}", "give an environment or a gateway another name")


def application_of(site: RenderedSite, item: Item) -> str:
    """The name of the Application that has an object."""
    return f"{site.name}-{item.release.name if item.release else f'mesh-{item.step.value[3:]}'}"


def application_names(site: RenderedSite) -> tuple[str, ...]:
    """Names of the Applications of a site; the one that makes the others is the first."""
    releases = (release.key.name for release in site.releases)
    steps = (f"mesh-{step.value[3:]}" for step, _ in site.steps() if step in _OBJECTS)
    return (f"mesh-{site.name}", *(f"{site.name}-{name}" for name in (*releases, *steps)))


def _site(site: RenderedSite, repository: Repository) -> Iterator[tuple[str, str]]:
    yield f"projects/{site.name}.yaml", dump(_project(site, repository))
    for release in site.releases:
        yield f"{site.path}/applications/{release.key.name}.yaml", dump(_of_release(site, release))
    for step, items in site.steps():
        if step in _OBJECTS:
            word = step.value[3:]
            yield f"{site.path}/applications/mesh-{word}.yaml", dump(_of_objects(site, step, word, repository))
            yield from ((f"{site.path}/{step.value}/{item.file}", item.content) for item in items)


def _of_release(site: RenderedSite, release: RenderedRelease) -> dict[str, Any]:
    # kubectl, and whatever applies an Application as it does, takes a null for a field to delete: in a text it stays.
    values = {"values": dump(release.values)} if has_null(release.values) else {"valuesObject": dict(release.values)}
    source = {
        "repoURL": pinned_chart(release),
        "path": ".",
        "targetRevision": release.manifest,
        "helm": {"releaseName": release.key.name, **(values if release.values else {})},
    }
    wave = _WAVES[release.step] + site.depth(release)
    # The CRDs are in base: with them every policy would go.
    return _application(site, release.key.name, source, release.key.namespace, _When(wave, release.chart.name != "base"))


def _of_objects(site: RenderedSite, step: Step, word: str, repository: Repository) -> dict[str, Any]:
    source = {"repoURL": repository.url, "path": f"{repository.path}/{site.path}/{step.value}", "targetRevision": _REVISION}
    namespace = site.desired.mesh_namespace
    return _application(site, f"mesh-{word}", source, namespace, _When(_WAVES[step], step is not Step.NAMESPACES))


class _When(NamedTuple):
    """In which wave something is synchronised, and whether what left Git is deleted."""

    wave: int
    prune: bool


def _application(site: RenderedSite, name: str, source: Mapping[str, Any], namespace: str, when: _When) -> dict[str, Any]:
    return {
        "apiVersion": _API,
        "kind": "Application",
        "metadata": {
            "name": f"{site.name}-{name}",
            "namespace": _NAMESPACE,
            "labels": {ENVIRONMENT: site.desired.environment},
            "annotations": {_WAVE: str(when.wave)},
        },
        "spec": {
            "project": site.name,
            "source": dict(source),
            "destination": {"name": site.name, "namespace": namespace},
            "syncPolicy": _sync(prune=when.prune),
        },
    }


def _sync(*, prune: bool) -> dict[str, Any]:
    return {"automated": {"prune": prune, "selfHeal": True}, "syncOptions": list(_OPTIONS), "retry": _RETRY}


def _project(site: RenderedSite, repository: Repository) -> dict[str, Any]:
    """What the Applications of a site may do: these sources, namespaces and kinds, and no others.

    Of policies all kinds: else the first one of a kind waits for whoever may write projects, and the last one can never be deleted.
    """
    rendered = {(group_of(item.key.api_version), item.key.kind, bool(item.key.namespace)) for item in site.items}
    spread = sorted(rendered | {(group, kind, True) for group, kind in POLICY_KINDS})
    kinds = {side: [{"group": group, "kind": kind} for group, kind, inside in spread if inside is side] for side in (True, False)}
    return _app_project(
        site.name,
        f"The mesh of {site.desired.environment} on {site.desired.cloud}",
        sources=sorted({repository.url, *map(pinned_chart, site.releases)}),
        destinations=[{"name": site.name, "namespace": namespace} for namespace in site.namespaces],
        kinds={"clusterResourceWhitelist": kinds[False], "namespaceResourceWhitelist": kinds[True]},
    )


def _parent(repository: Repository) -> dict[str, Any]:
    """What the Application of a whole site may do: make Applications, which their own projects bound."""
    kinds = {"clusterResourceWhitelist": [], "namespaceResourceWhitelist": [{"group": "argoproj.io", "kind": "Application"}]}
    return _app_project(_PARENT, "Applications of meshes", sources=[repository.url], destinations=[_HOME], kinds=kinds)


def _app_project(
    name: str, about: str, *, sources: Sequence[str], destinations: Sequence[Mapping[str, str]], kinds: Mapping[str, Any]
) -> dict[str, Any]:
    spec = {"description": about, "sourceRepos": list(sources), "destinations": [dict(one) for one in destinations], **kinds}
    return {"apiVersion": _API, "kind": "AppProject", "metadata": {"name": name, "namespace": _NAMESPACE}, "spec": spec}


def _application_set(sites: Sequence[RenderedSite], repository: Repository) -> dict[str, Any]:
    elements = [{"name": site.name, "environment": site.desired.environment, "path": f"{repository.path}/{site.path}"} for site in sites]
    template = {
        "metadata": {"name": "mesh-{{.name}}", "labels": {ENVIRONMENT: "{{.environment}}"}},
        "spec": {
            "project": _PARENT,
            "source": {"repoURL": repository.url, "path": "{{.path}}/applications", "targetRevision": _REVISION},
            "destination": _HOME,
            "syncPolicy": _sync(prune=True),
        },
    }
    return {
        "apiVersion": _API,
        "kind": "ApplicationSet",
        "metadata": {"name": "meshes", "namespace": _NAMESPACE},
        "spec": {
            "goTemplate": True,
            "goTemplateOptions": ["missingkey=error"],
            "generators": [{"list": {"elements": elements}}],
            # Who deletes it, or takes a site out of it, does not delete a mesh.
            "syncPolicy": {"preserveResourcesOnDeletion": True},
            "template": template,
        },
    }
