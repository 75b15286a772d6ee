"""Checks a whole project, beyond the types of its files: names must exist, and settings must not contradict each other."""

import re
from collections.abc import Iterator, Mapping

from meshinstall import catalog
from meshinstall.config.baseline import check_baseline
from meshinstall.config.documents import Environment, Gateway, Project, Settings, Site, suggestion
from meshinstall.config.identity import check_identity
from meshinstall.config.images import check_images
from meshinstall.config.own_ca import check_ca
from meshinstall.config.revisions import check_tags
from meshinstall.config.source import Document
from meshinstall.config.waves import check_waves
from meshinstall.config.windows import check_windows
from meshinstall.errors import Problem
from meshinstall.model.cluster import CLUSTER_KEYS, Cloud
from meshinstall.model.release import Component
from meshinstall.model.values import KeyPath
from meshinstall.model.version import is_minor

_VERSION = re.compile(r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?")
# RFC 1123, as namespaces are named; a release of Helm may have 53 characters.
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,51}[a-z0-9])?")
_NAME_HINT = "use at most 53 lower-case letters, digits and hyphens"
_COMPONENTS = tuple(Component)
# Keys of a cluster that are written otherwise than they should be are close to one of these.
_CLUSTER_KEYS = ("name", "context", "kubeconfig", *sorted({key for keys in CLUSTER_KEYS.values() for key in keys}))


def check_version(version: str) -> str:
    """Describe what is wrong with an Istio version; empty when it is valid."""
    is_good = _VERSION.fullmatch(version) or is_minor(version)
    return (
        ""
        if is_good
        else f"{version!r} is neither a minor such as {catalog.DEFAULT_ISTIO} nor a full version such as {catalog.EXAMPLE_ISTIO}"
    )


def gateway_names(project: Project) -> tuple[str, ...]:
    """Every gateway that a profile or an environment names."""
    profiles = (file.profile.gateways for files in project.profiles.values() for file in files)
    environments = (environment.gateways for environment in project.settings.environments.values())
    return tuple(sorted({name for gateways in (*profiles, *environments) for name in gateways}))


def check_project(project: Project) -> Iterator[Problem]:
    """Every mistake in files that are well-formed one by one."""
    yield from _check_settings(project)
    for name, environment in project.settings.environments.items():
        yield from _check_environment(project, name, environment)
    for name in project.profiles:
        yield from _check_profile(project, name)
    releases = (*_COMPONENTS, *gateway_names(project))
    for (folder, name), documents in project.values.items():
        for document in documents:
            yield from _check_values_file(document, folder, name, releases)


def _check_settings(project: Project) -> Iterator[Problem]:
    document, settings = project.document, project.settings
    yield from _check_which(document, (), settings)
    yield from _check_profile_name(project, document, ("profile",), settings.profile)


def _check_which(document: Document, path: KeyPath, found: Settings | Environment | Site) -> Iterator[Problem]:
    """Which Istio, whose images, when it is upgraded, whose tokens count, and who signs."""
    if found.istio.version and (wrong := check_version(found.istio.version)):
        yield document.problem((*path, "istio", "version"), wrong)
    yield from check_tags(document, found.istio, path)
    yield from check_images(document, found.images, path)
    yield from check_waves(document, found.upgrade, path)
    yield from check_windows(document, found.upgrade.windows, path)
    yield from check_identity(document, found.identity, path)
    yield from check_baseline(document, found.policies, path)
    yield from check_ca(document, found.ca, path)


def _check_environment(project: Project, name: str, environment: Environment) -> Iterator[Problem]:
    document, path = project.document, ("environments", name)
    if not _LABEL.fullmatch(name):
        yield document.problem(path, f"invalid environment name {name!r}", _NAME_HINT)
    if environment.clouds and (environment.cloud or environment.cluster):
        yield document.problem(
            (*path, "clouds"), f"{name} sets clouds and also cloud or cluster", "use cloud and cluster for one cloud, clouds for several"
        )
    if environment.cluster and not environment.cloud:
        yield document.problem((*path, "cluster"), f"{name} sets cluster but not cloud", f"set cloud to one of: {', '.join(Cloud)}")
    if environment.profile is not None:
        yield from _check_profile_name(project, document, (*path, "profile"), environment.profile)
    yield from _check_gateways(document, (*path, "gateways"), environment.gateways)
    releases = (*_COMPONENTS, *gateway_names(project))
    yield from _check_which(document, path, environment)
    yield from _check_releases(document, (*path, "values"), environment.values, releases)
    yield from _check_cluster(document, (*path, "cluster"), environment.cluster)
    for cloud, site in environment.clouds.items():
        yield from _check_which(document, (*path, "clouds", cloud), site)
        yield from _check_cluster(document, (*path, "clouds", cloud, "cluster"), site.cluster)
        yield from _check_releases(document, (*path, "clouds", cloud, "values"), site.values, releases)


def _check_cluster(document: Document, path: KeyPath, cluster: Mapping[str, str]) -> Iterator[Problem]:
    """Report misspelt keys. A provider may take keys of its own, so only a key that resembles a known key is an error."""
    for key in cluster:
        if key not in _CLUSTER_KEYS and (hint := suggestion(key, _CLUSTER_KEYS)).startswith("did"):
            yield document.problem((*path, key), f"unknown key {key!r}", hint)


def _check_profile(project: Project, name: str) -> Iterator[Problem]:
    for file in project.profiles[name]:
        if file.profile.extends is not None:
            yield from _check_profile_name(project, file.document, ("extends",), file.profile.extends)
            if _extends_itself(project, name, file.profile.extends):
                yield file.document.problem(("extends",), f"the profile {name} extends itself")
        yield from _check_gateways(file.document, ("gateways",), file.profile.gateways)
        yield from _check_releases(file.document, ("values",), file.profile.values, (*_COMPONENTS, *gateway_names(project)))


def _extends_itself(project: Project, name: str, parent: str) -> bool:
    seen: set[str] = set()
    waiting = [parent]
    while waiting:
        current = waiting.pop()
        if current not in seen:
            seen.add(current)
            waiting += [file.profile.extends for file in project.profiles.get(current, ()) if file.profile.extends]
    return name in seen


def _check_profile_name(project: Project, document: Document, path: KeyPath, name: str) -> Iterator[Problem]:
    if name not in project.profiles:
        yield document.problem(path, f"there is no profile {name!r}", suggestion(name, tuple(project.profiles)))


def _check_gateways(document: Document, path: KeyPath, gateways: Mapping[str, Gateway | None]) -> Iterator[Problem]:
    taken = {*_COMPONENTS, *(spec.release for spec in catalog.COMPONENTS.values())}
    for name, gateway in gateways.items():
        if name in taken:
            yield document.problem((*path, name), f"a gateway cannot be named {name}: a component has that name")
        elif not _LABEL.fullmatch(name):
            yield document.problem((*path, name), f"invalid gateway name {name!r}", _NAME_HINT)
        if gateway and gateway.namespace is not None and not _LABEL.fullmatch(gateway.namespace):
            yield document.problem((*path, name, "namespace"), f"invalid namespace name {gateway.namespace!r}", _NAME_HINT)


def _check_values_file(document: Document, folder: str, name: str, releases: tuple[str, ...]) -> Iterator[Problem]:
    if folder == "components":
        if name not in releases:
            yield document.problem((), f"{name} is not a component or a gateway", suggestion(name, releases))
        return
    if folder == "clouds" and name not in tuple(Cloud):
        yield document.problem((), f"{name} is not a cloud", suggestion(name, tuple(Cloud)))
    yield from _check_releases(document, (), document.values, releases)


def _check_releases(document: Document, path: KeyPath, values: Mapping[str, object], releases: tuple[str, ...]) -> Iterator[Problem]:
    for name, value in values.items():
        if name not in releases:
            yield document.problem((*path, name), f"{name} is not a component or a gateway", suggestion(name, releases))
        elif not isinstance(value, Mapping):
            yield document.problem((*path, name), f"{name} must be a map of values")
