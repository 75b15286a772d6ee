"""Puts the layers of policies on each other: whole objects are added, replaced and removed; only a patch with tests changes a field."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from meshinstall.config.baseline import baseline
from meshinstall.config.choice import Choice, choose
from meshinstall.config.documents import Project, suggestion
from meshinstall.config.issued import find_providers, with_providers
from meshinstall.config.json_patch import Node, PatchError, bare, copied, node_at, places, run, same
from meshinstall.config.layer_files import PolicyFile, PolicyLayer
from meshinstall.config.policy_forms import Form, patched_problems, understand
from meshinstall.config.secrets import find_secrets
from meshinstall.config.source import Document
from meshinstall.errors import Problem, UsageError
from meshinstall.model.cluster import Cloud
from meshinstall.model.desired import Policy, Release
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.foreign_text import line
from meshinstall.model.ownership import SOURCE
from meshinstall.model.policy_kinds import SECURITY, PolicyKey
from meshinstall.model.policy_object import PolicyObject
from meshinstall.model.request import Request
from meshinstall.model.values import KeyPath, Origin

DROPPED = "CFG006"


@dataclass(frozen=True, slots=True)
class Dropped:
    """A rule of a lower layer that a replacement has not: its place, and that of the list which lacks it."""

    what: str
    before: Origin
    after: Origin


@dataclass(frozen=True, slots=True)
class Said:
    """What one file said of an object: adds, replaces, removes or patches it."""

    layer: PolicyLayer
    verb: str
    at: Origin
    dropped: tuple[Dropped, ...] = ()


@dataclass(slots=True)
class Layered:
    """An object through all layers, lowest first; ``tree`` is None when the last word removes it. ``paths`` are the files that it is of."""

    key: PolicyKey
    said: list[Said] = field(default_factory=list)
    tree: Node | None = None
    paths: list[str] = field(default_factory=list)

    def policy(self) -> Policy | None:
        """The object as it is applied, with the files that it is of; those do not change with every commit, as lines would."""
        if self.tree is None:
            return None
        manifest: dict[str, Any] = bare(self.tree)
        metadata = manifest["metadata"]
        noted = {**metadata, "annotations": {**(metadata.get("annotations") or {}), SOURCE: ", ".join(self.paths)}}
        return Policy({**manifest, "metadata": noted}, self.tree.origin, dict(places(self.tree)))


def check_policies(project: Project) -> Iterator[Problem]:
    """Mistakes in any file of any layer, and objects that two files of one layer name; whichever environment is asked for."""
    problems: list[Problem] = []
    first: dict[tuple[PolicyLayer, tuple[str, ...], PolicyKey], Form] = {}
    for file in project.policies or ():
        problems += _unknown_layer(project, file)
        form = understand(file, problems)
        if form is None:
            continue
        before = first.setdefault((file.layer, file.names, form.key), form)
        if before is not form:
            hint = "in a layer one file says what becomes of an object"
            problems.append(form.at.problem(f"{form.key} is also in {before.at}", hint))
    yield from problems


def _unknown_layer(project: Project, file: PolicyFile) -> Iterator[Problem]:
    names, source = file.names, file.document.source
    environment, cloud = {
        PolicyLayer.BASE: ("", ""),
        PolicyLayer.CLOUDS: ("", names[0] if names else ""),
        PolicyLayer.ENVS: (names[0] if names else "", ""),
        PolicyLayer.SITES: (names[0] if names else "", names[-1] if names else ""),
    }[file.layer]
    if environment and environment not in project.environments:
        yield Problem(source, 0, 0, f"there is no environment {environment!r}", suggestion(environment, project.environments))
    if cloud and cloud not in tuple(Cloud):
        yield Problem(source, 0, 0, f"{cloud} is not a cloud", suggestion(cloud, tuple(Cloud)))


def read_layers(project: Project, request: Request, releases: Sequence[Release]) -> tuple[Layered, ...]:
    """The layers of an environment that was resolved already; none where there is no choice."""
    choice = choose(request, project, [])
    return layers_of(project, choice, releases, []) if choice else ()


def layers_of(project: Project, choice: Choice, releases: Sequence[Release], problems: list[Problem]) -> tuple[Layered, ...]:
    """Every object that a layer of this environment on its cloud names, by kind and name, removed ones too; the baseline is below all."""
    wanted = {
        PolicyLayer.BASE: (),
        PolicyLayer.CLOUDS: (choice.cloud.value,),
        PolicyLayer.ENVS: (choice.name,),
        PolicyLayer.SITES: (choice.name, choice.cloud.value),
    }
    found: dict[PolicyKey, Layered] = {}
    for lowest in baseline(project, choice, releases, problems):
        problems += _say(found, lowest)
    providers = find_providers(project, choice)
    for file in project.policies or ():
        # What is wrong with a file by itself is told when the project is read.
        if file.names == wanted[file.layer] and (form := understand(file, [])):
            problems += _say(found, with_providers(form, providers, problems))
    return tuple(found[key] for key in sorted(found))


def _say(found: dict[PolicyKey, Layered], form: Form) -> Iterable[Problem]:
    one = found.get(form.key)
    below = one.tree if one else None
    if form.tree is None and (one is None or below is None):
        known = tuple(str(key) for key, other in found.items() if other.tree is not None)
        verb = "patches" if form.operations else "removes"
        text = f"{verb} {form.key}, which no lower layer has"
        return (form.at.problem(text, suggestion(str(form.key), known)),)
    one = one or found.setdefault(form.key, Layered(form.key))
    if form.operations and below is not None:
        return _patched(one, form, below)
    verb = "removes" if form.tree is None else "replaces" if below else "adds"
    dropped = tuple(_dropped(below, form.tree)) if below and form.tree else ()
    one.said.append(Said(form.file.layer, verb, form.at, dropped))
    one.tree, one.paths = (copied(form.tree) if form.tree else None), [form.file.path]
    return ()


def _patched(one: Layered, form: Form, below: Node) -> Iterable[Problem]:
    """All operations or none."""
    tree = copied(below)
    for index, operation in enumerate(form.operations):
        try:
            run(tree, operation)
        except PatchError as error:
            at = form.file.document.place(("operations", str(index)))
            against = f" ({error.at})" if error.at else ""
            text = f"{operation.op} /{'/'.join(operation.path)} of {form.key}: {error}{against}"
            hint = "the object below has changed: look at both files, then write the patch again"
            return (Problem(form.at.source, *at, line(text), hint),)
    if problems := patched_problems(form.file, bare(tree)):
        return problems
    one.said.append(Said(form.file.layer, "patches", form.at))
    one.tree = tree
    one.paths.append(form.file.path)
    return ()


def _dropped(before: Node, after: Node) -> Iterator[Dropped]:
    """Entries of the lists of maps in a spec, such as rules, which the replacement has not."""
    old, new = node_at(before, ("spec",)), node_at(after, ("spec",))
    for name, listed in old.value.items() if old and isinstance(old.value, dict) else ():
        if not isinstance(listed.value, list):
            continue
        there = node_at(after, ("spec", name))
        kept = there.value if there and isinstance(there.value, list) else []
        for index, item in enumerate(listed.value):
            if isinstance(item.value, dict) and not any(same(bare(item), bare(one)) for one in kept):
                yield Dropped(f"spec.{name}[{index}]", item.origin, (there or new or after).origin)


def policies_of(layers: Iterable[Layered]) -> tuple[Policy, ...]:
    """The objects that are wanted."""
    return tuple(policy for one in layers if (policy := one.policy()))


def objects_of(layers: Iterable[Layered]) -> tuple[PolicyObject, ...]:
    """The objects that are wanted, as ``policy check`` reads files: each by its own file's lines, those of a patch by the nearest."""
    found = []
    for one in layers:
        if one.tree:
            source = one.tree.origin.source
            own = {path: (at.line, at.column) for path, at in places(one.tree) if at.source == source}
            found.append(PolicyObject(source, bare(one.tree), own))
    return tuple(found)


def find_layer_secrets(layers: Iterable[Layered]) -> Iterator[Problem]:
    """Secrets that only the whole object shows, such as one that a patch puts under the name of a password."""
    for one in objects_of(layers):
        yield from find_secrets(Document(one.source, one.manifest, one.positions))


def dropped_rules(layers: Iterable[Layered]) -> Iterator[Finding]:
    """One for each rule that a replacement drops; not where a higher layer removes the object anyway."""
    for one in layers:
        for said in one.said if one.tree else ():
            for rule in said.dropped:
                title = f"{one.key} is replaced without {rule.what} of the layer below"
                detail = f"{rule.before} is not in {rule.after}"
                hint = "add the rule if it should still hold; to change a field of an object, write a patch with a test"
                yield Finding(DROPPED, Severity.WARNING, title, detail, str(one.key), str(rule.after), hint)


def explained(layers: Iterable[Layered], name: str) -> tuple[Layered, ...]:
    """Those of this namespace and name, all without one; raises UsageError where no layer names it."""
    every = tuple(layers)
    found = tuple(one for one in every if name in {"", f"{one.key.namespace}/{one.key.name}"})
    if name and not found:
        known = tuple(dict.fromkeys(f"{one.key.namespace}/{one.key.name}" for one in every))
        raise UsageError(f"no layer of this environment has a policy {line(name)}", suggestion(name, known) or "name it NAMESPACE/NAME")
    return found


def check_mesh_wide(layers: Iterable[Layered], root: str) -> Iterator[Problem]:
    """The mode of the whole mesh has one home: mtls of the environment."""
    for one in layers:
        if one.tree is None or (one.key.group, one.key.kind, one.key.namespace) != (SECURITY, "PeerAuthentication", root):
            continue
        selects = node_at(one.tree, _SELECTOR)
        if one.key.name == "default" or selects is None or not bare(selects):
            text = f"{one.key} would be for the whole mesh, whose mode is mtls of the environment"
            yield one.tree.origin.problem(text, "remove the file, and write mtls: STRICT or PERMISSIVE into meshinstall.yaml")


_SELECTOR: KeyPath = ("spec", "selector", "matchLabels")
