"""Resolves a request and the files into the desired mesh."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from meshinstall import catalog
from meshinstall.config import bundled
from meshinstall.config.check import check_version
from meshinstall.config.choice import Choice, choose, cluster
from meshinstall.config.default_revision import with_failure_policy
from meshinstall.config.documents import Project
from meshinstall.config.gateway_conflicts import check_gateway_names
from meshinstall.config.issued import find_providers
from meshinstall.config.layers import add_flags, check_gateways, check_syntax, file_layers
from meshinstall.config.nights import find_windows
from meshinstall.config.own_ca import find_ca
from meshinstall.config.policy_layers import check_mesh_wide, dropped_rules, find_layer_secrets, layers_of, policies_of
from meshinstall.config.removals import settle
from meshinstall.config.revisions import check_unused_tags, find_revisions, with_revision
from meshinstall.config.waves import check_mesh_namespaces, find_waves
from meshinstall.errors import ConfigError, Problem
from meshinstall.model.acceptance import Acceptance
from meshinstall.model.desired import Desired, DesiredNamespace, MtlsMode, Policy, Release
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.foreign_text import line
from meshinstall.model.istio import DEFAULT_DOMAIN
from meshinstall.model.release import ChartRef, Component, ReleaseKey
from meshinstall.model.request import Request
from meshinstall.model.revision import istiod_release
from meshinstall.model.stack import ValuesStack
from meshinstall.model.values import KeyPath, LayerKind, Origin


@dataclass(frozen=True, slots=True)
class Resolution:
    """What should exist, as far as it can be told, and every problem; with a problem nothing of it may be installed."""

    desired: Desired | None
    problems: tuple[Problem, ...]


def resolve(request: Request, project: Project) -> Desired:
    """What should exist; reads the files of ``-f`` and nothing else. Raises ConfigError with every problem."""
    found = resolve_all(request, project)
    if found.problems or found.desired is None:
        raise ConfigError(found.problems)
    return found.desired


def resolve_all(request: Request, project: Project) -> Resolution:
    """The same with the problems as an answer; without a choice only the flags are judged."""
    problems: list[Problem] = []
    choice = choose(request, project, problems)
    if choice is None:
        return Resolution(None, (*problems, *check_flags(request)))
    version, version_origin = _version(request, project, choice)
    problems += _check_version(request)
    revisions = find_revisions(project, choice, version, wanted=request.revisions)
    problems += check_unused_tags(project, choice, revisions)
    slots = _slots(choice, revisions.revision)
    stacks = {name: ValuesStack(file_layers(project, choice, slot.component, name)) for name, slot in slots.items()}
    add_flags(request, choice, stacks, problems)
    problems += check_gateways(choice, stacks)
    stacks = with_revision(revisions, {name: slot.component for name, slot in slots.items()}, stacks, problems)
    stacks = with_failure_policy({name: settle(slot.component, stacks[name], problems) for name, slot in slots.items()})
    charts = _charts(request, project)
    releases = tuple(
        Release(slot.key, slot.component, ChartRef(slot.chart, version, charts), stacks[name], slot.needs) for name, slot in slots.items()
    )
    problems += check_gateway_names(releases)
    problems += _check_acceptance(project, choice)
    found = _desired(request, project, choice, releases, version)
    problems += check_mesh_namespaces(project, choice, frozenset(space.name for space in found.namespaces))
    layers = layers_of(project, choice, releases, problems)
    problems += (*check_mesh_wide(layers, _root_namespace(releases)), *find_layer_secrets(layers))
    found = replace(
        found,
        warnings=(*found.warnings, *dropped_rules(layers)),
        layered=None if project.policies is None else policies_of(layers),
        version_origin=str(version_origin),
        revision=revisions.revision,
        tags=revisions.tags,
        revision_origin=str(revisions.origin or ""),
        waves=find_waves(project, choice),
        windows=find_windows(project, choice),
        identity=find_providers(project, choice),
        ca=find_ca(project, choice, _mesh_setting(releases, "trustDomain") or DEFAULT_DOMAIN),
    )
    return Resolution(found, tuple(problems))


def check_flags(request: Request) -> tuple[Problem, ...]:
    """What is wrong with flags by themselves, whatever the files say."""
    return (*_check_version(request), *check_syntax(request))


def _check_version(request: Request) -> Iterable[Problem]:
    if request.istio_version and (wrong := check_version(request.istio_version)):
        yield Problem("--istio-version", 0, 0, wrong)


@dataclass(frozen=True, slots=True)
class _Slot:
    """A release before its values are known."""

    component: Component
    chart: str
    key: ReleaseKey
    needs: tuple[ReleaseKey, ...]
    order: int = 0


def _slots(choice: Choice, revision: str) -> dict[str, _Slot]:
    """Releases in install order, by the name that users know them by: the component, or the gateway's own."""
    wanted = {name for file in choice.profiles for name in file.profile.components}
    found: dict[str, _Slot] = {}
    for component, spec in catalog.COMPONENTS.items():
        if component in wanted:
            needs = tuple(found[need].key for need in spec.needs if need in found)
            name = istiod_release(revision) if component is Component.ISTIOD else spec.release
            found[component.value] = _Slot(component, spec.chart, ReleaseKey(spec.namespace, name), needs)
    spec = catalog.COMPONENTS[Component.GATEWAY]
    before = tuple(found[need].key for need in spec.needs if need in found)
    for gateway in choice.gateways:
        lower = tuple(slot.key for slot in found.values() if slot.component is Component.GATEWAY and slot.order < gateway.order)
        key = ReleaseKey(gateway.namespace, gateway.name)
        found[gateway.name] = _Slot(Component.GATEWAY, spec.chart, key, (*before, *lower), gateway.order)
    return found


def _version(request: Request, project: Project, choice: Choice) -> tuple[str, Origin]:
    """The Istio that the flag names, else the nearest place in meshinstall.yaml, else the minor that this meshinstall was made for."""
    if request.istio_version:
        return request.istio_version, Origin(LayerKind.FLAG, "--istio-version")
    said = (project.settings.istio, choice.environment.istio, choice.site.istio)
    document = project.document
    for istio, (kind, above) in reversed(list(zip(said, choice.places, strict=False))):
        if istio.version:
            return istio.version, Origin(kind, document.source, *document.place((*above, "istio", "version")))
    return catalog.DEFAULT_ISTIO, Origin(LayerKind.PROJECT, bundled.LABEL)


def _charts(request: Request, project: Project) -> str:
    source, base = (request.charts, request.folder) if request.charts else (project.settings.charts.source, project.folder)
    return source if "://" in source else str(base / Path(source).expanduser())


def _desired(request: Request, project: Project, choice: Choice, releases: tuple[Release, ...], version: str) -> Desired:
    mode, origin = _mtls(project, choice)
    root = _root_namespace(releases)
    policy = {
        "apiVersion": "security.istio.io/v1",
        "kind": "PeerAuthentication",
        "metadata": {"name": "default", "namespace": root},
        "spec": {"mtls": {"mode": mode.value}},
    }
    names = dict.fromkeys((catalog.MESH_NAMESPACE, root, *(release.key.namespace for release in releases)))
    return Desired(
        environment=choice.name,
        cloud=choice.cloud,
        cluster=cluster(request, project, choice),
        profile=choice.profile,
        istio_version=version,
        mesh_namespace=catalog.MESH_NAMESPACE,
        namespaces=tuple(DesiredNamespace(name) for name in names),
        releases=releases,
        policies=(Policy(policy, origin),),
        warnings=tuple(_warnings(releases)),
        acceptance=_acceptance(project, choice, f"PeerAuthentication {root}/default"),
    )


def _mtls(project: Project, choice: Choice) -> tuple[MtlsMode, Origin]:
    """The mode of the environment, else of the profile, else STRICT; and where it was set."""
    if choice.environment.mtls:
        document, path = project.document, ("environments", choice.name, "mtls")
        return choice.environment.mtls, Origin(LayerKind.ENVIRONMENT, document.source, *document.place(path))
    for file in reversed(choice.profiles):
        if file.profile.mtls:
            return file.profile.mtls, Origin(LayerKind.PROFILE, file.document.source, *file.document.place(("mtls",)))
    return MtlsMode.STRICT, Origin(LayerKind.PROFILE, f"{bundled.LABEL} default")


def _accepting(choice: Choice) -> KeyPath:
    return ("environments", choice.name, "accept")


def _check_acceptance(project: Project, choice: Choice) -> Iterable[Problem]:
    accept, (mode, origin) = choice.environment.accept, _mtls(project, choice)
    if accept and mode is MtlsMode.STRICT:
        said = f" ({origin})" if origin.line else ""
        text, hint = f"accept is for mtls: PERMISSIVE, but mTLS is STRICT{said}", "add mtls: PERMISSIVE, or remove accept"
        yield project.document.problem(_accepting(choice), text, hint)
    elif accept and not accept.reason.strip():
        yield project.document.problem((*_accepting(choice), "reason"), "reason must say why plaintext is accepted")


def _acceptance(project: Project, choice: Choice, policy: str) -> Acceptance | None:
    if not (accept := choice.environment.accept):
        return None
    document, path = project.document, _accepting(choice)
    origin = Origin(LayerKind.ENVIRONMENT, document.source, *document.place(path))
    return Acceptance(accept.until, line(accept.reason), str(origin), policy)


def _root_namespace(releases: Iterable[Release]) -> str:
    """Where istiod looks for mesh-wide policies (chart istiod: templates/configmap.yaml)."""
    return _mesh_setting(releases, "rootNamespace") or catalog.MESH_NAMESPACE


def _mesh_setting(releases: Iterable[Release], name: str) -> str:
    """What the values of istiod say in ``meshConfig``, empty where they say nothing."""
    istiod = next((release for release in releases if release.component is Component.ISTIOD), None)
    mesh = istiod.values.merged().get("meshConfig") if istiod else None
    return str((mesh.get(name) if isinstance(mesh, dict) else None) or "")


def _warnings(releases: Iterable[Release]) -> Iterable[Finding]:
    for release in releases:
        said = release.values.winners().get(("meshConfig", "enableAutoMtls"))
        if said and said.value is False:
            yield Finding(
                "CFG002",
                Severity.WARNING,
                "automatic mTLS is off",
                "proxies send plaintext unless a DestinationRule says otherwise; STRICT workloads then refuse them",
                str(release.key),
                str(said.origin),
                "remove meshConfig.enableAutoMtls",
            )
