"""The key ``policies`` of meshinstall.yaml: in its namespaces only the gateways may call, until a policy allows more.

Sources: istio, pilot/pkg/security/authz (an ALLOW without rules denies what no other ALLOW lets through) and pilot/pkg/trustbundle
(cluster.local is the mesh's own trust domain, whatever its name); the gateway chart's templates/_helpers.tpl (its service account).
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from meshinstall import catalog
from meshinstall.config.choice import Choice
from meshinstall.config.documents import Policies, Project
from meshinstall.config.json_patch import grow
from meshinstall.config.layer_files import PolicyFile, PolicyLayer
from meshinstall.config.policy_forms import Form
from meshinstall.config.source import Document
from meshinstall.errors import Problem
from meshinstall.model.desired import Release
from meshinstall.model.istio import DEFAULT_DOMAIN
from meshinstall.model.policy_kinds import SECURITY, PolicyKey
from meshinstall.model.release import Component
from meshinstall.model.values import KeyPath, Origin, value_at

_DENY = "deny-by-default"
_NOTHING, _GATEWAYS = "meshinstall-deny-by-default", "meshinstall-allow-gateways"
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_MOST = 500


def check_baseline(document: Document, policies: Policies, above: KeyPath) -> Iterator[Problem]:
    """What is wrong with the key at one place by itself."""
    at, names = (*above, "policies", "namespaces"), policies.namespaces or ()
    if len(names) > _MOST or len({*names}) < len(names):
        yield document.problem(at, f"policies.namespaces must be at most {_MOST} different names")
        return
    for index, name in enumerate(names):
        if not _NAME.fullmatch(name):
            yield document.problem((*at, str(index)), f"{name!r} is not a valid name of a namespace", "name each: there are no patterns")


def baseline(project: Project, choice: Choice, releases: Sequence[Release], problems: list[Problem]) -> Iterator[Form]:
    """For each of its namespaces, that nobody may call, and that the gateways may: as if the lowest layer had two files."""
    kind, names, at = _written(project, choice)
    if kind != _DENY:
        return
    if not names:
        problems.append(at.problem("policies.baseline has no namespaces", "list in policies.namespaces those that deny by default"))
    gateways = tuple(release for release in releases if release.component is Component.GATEWAY)
    own = {catalog.MESH_NAMESPACE, *(release.key.namespace for release in gateways)}
    accounts = sorted({f"{DEFAULT_DOMAIN}/ns/{release.key.namespace}/sa/{_account(release)}" for release in gateways})
    for name, place in names.items():
        if name in own:
            text = f"{name} is a namespace of the mesh itself: clients from outside have no identity, and gateways would serve nobody"
            problems.append(place.problem(text, "remove it, and write policies for the gateways' own pods"))
            continue
        yield _form(project, (name, _NOTHING), {}, place)
        if accounts:
            yield _form(project, (name, _GATEWAYS), {"rules": [{"from": [{"source": {"principals": accounts}}]}]}, place)


def _written(project: Project, choice: Choice) -> tuple[str, Mapping[str, Origin], Origin]:
    """The nearest baseline, the nearest namespaces, each with its line, and the line of the baseline."""
    document, found = project.document, ""
    names: dict[str, Origin] = {}
    at = Origin(choice.places[0][0], document.source)
    for policies, (kind, above) in zip(_said(project, choice), choice.places, strict=False):
        place = (*above, "policies")
        if policies.baseline is not None:
            found, at = policies.baseline, Origin(kind, document.source, *document.place((*place, "baseline")))
        if policies.namespaces is not None:
            lines = [document.place((*place, "namespaces", str(index))) for index in range(len(policies.namespaces))]
            names = {name: Origin(kind, document.source, *line) for name, line in zip(policies.namespaces, lines, strict=True)}
    return found, names, at


def _said(project: Project, choice: Choice) -> tuple[Policies, ...]:
    return project.settings.policies, choice.environment.policies, choice.site.policies


def _form(project: Project, named: tuple[str, str], spec: Mapping[str, Any], at: Origin) -> Form:
    namespace, name = named
    metadata = {"name": name, "namespace": namespace}
    manifest = {"apiVersion": f"{SECURITY}/v1", "kind": "AuthorizationPolicy", "metadata": metadata, "spec": spec}
    file = PolicyFile(PolicyLayer.BASE, (), Path(project.document.source).name, project.document)
    return Form(file, PolicyKey(SECURITY, "AuthorizationPolicy", namespace, name), at, grow(manifest, lambda _: at))


def _account(release: Release) -> str:
    """The service account of a gateway's pods."""
    values = release.values.merged()

    def written(*path: str) -> Any:
        return value_at(values, path) or value_at(values, ("global", *path))

    own = str(written("name") or release.key.name)
    is_made = value_at(values, ("serviceAccount", "create"), value_at(values, ("global", "serviceAccount", "create"), default=True))
    return str(written("serviceAccount", "name") or (own if is_made else "default"))
