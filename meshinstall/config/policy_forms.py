"""What a file of a layer says: it has an object, removes one, or patches one; every mistake with its line."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from meshinstall.config.documents import suggestion
from meshinstall.config.json_patch import Node, Operation, PatchError, grow, pointer
from meshinstall.config.layer_files import PolicyFile, PolicyLayer
from meshinstall.config.source import Document
from meshinstall.errors import Problem
from meshinstall.model.foreign_text import plain
from meshinstall.model.ownership import RESERVED
from meshinstall.model.policy_kinds import POLICY_KINDS, SECURITY, PolicyKey, group_of, groups_of
from meshinstall.model.values import KeyPath, LayerKind, Origin

_KINDS: Mapping[PolicyLayer, LayerKind] = {
    PolicyLayer.BASE: LayerKind.PROJECT,
    PolicyLayer.CLOUDS: LayerKind.CLOUD,
    PolicyLayer.ENVS: LayerKind.ENVIRONMENT,
    PolicyLayer.SITES: LayerKind.CLUSTER,
}
_FORMS = (
    "write an object (apiVersion, kind, metadata, spec), remove: {kind, namespace, name}, patch: {...} with operations,"
    " or identity: {namespace, name} with providers"
)
_OBJECT = frozenset({"apiVersion", "kind", "metadata", "spec"})
_METADATA = frozenset({"name", "namespace", "labels", "annotations"})
_NAMING = ("apiVersion", "kind", "namespace", "name")
_WITH_VALUE = frozenset({"test", "add", "replace"})
_WITH_FROM = frozenset({"move", "copy"})
_OPERATIONS = ("test", "add", "replace", "remove", "move", "copy")
_MOST_OPERATIONS = 500
_IDENTITY = frozenset({"identity", "providers", "selector", "targetRefs", "rule"})
# What a provider says of itself.
_OF_PROVIDER = ("issuer", "jwksUri", "jwks", "audiences")
# RFC 1123, as the API server takes names of namespaces and of objects.
_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LINE_ENDS = frozenset("\n\t")


@dataclass(frozen=True, slots=True)
class Form:
    """A file that was understood. ``tree`` is its object, ``operations`` its patch; without either it removes. ``at`` is its line.

    ``providers`` are the identity providers that its object goes by, each with its line; the object has a rule for each, still
    without what the provider says.
    """

    file: PolicyFile
    key: PolicyKey
    at: Origin
    tree: Node | None = None
    operations: tuple[Operation, ...] = ()
    providers: tuple[tuple[str, Origin], ...] = ()


def understand(file: PolicyFile, problems: list[Problem]) -> Form | None:
    """What the file says; None where it has mistakes, which are added to ``problems``."""
    document, before = file.document, len(problems)
    problems += _unprintable(document, document.values, ())
    values = document.values
    if "remove" in values:
        form = _removal(file, problems)
    elif "patch" in values:
        form = _patch(file, problems)
    elif "identity" in values:
        form = _identity(file, problems)
    elif "apiVersion" in values or "kind" in values:
        form = _object(file, problems)
    else:
        problems.append(document.problem((), "is not a policy: apiVersion and kind are missing", _FORMS))
        return None
    return form if len(problems) == before else None


def where(file: PolicyFile, path: KeyPath) -> Origin:
    """Where a value of a file was written, or its nearest written parent."""
    document = file.document
    found = document.place(path)
    return Origin(_KINDS[file.layer], document.source, *(found if found != (0, 0) else min(document.positions.values(), default=(0, 0))))


def _object(file: PolicyFile, problems: list[Problem]) -> Form | None:
    document, values = file.document, file.document.values
    problems += _unknown(document, (), values, _OBJECT, "the cluster writes it")
    metadata = values.get("metadata")
    if not isinstance(metadata, dict):
        problems.append(document.problem(("metadata",), "metadata must be a map with name and namespace"))
        return None
    problems += _unknown(document, ("metadata",), metadata, _METADATA, "the cluster writes it")
    if not isinstance(values.get("spec", {}), dict):
        problems.append(document.problem(("spec",), "spec must be a map"))
    for name in ("labels", "annotations"):
        problems += _marks(document, ("metadata", name), metadata.get(name, {}))
    key = _key(document, {**metadata, "apiVersion": values.get("apiVersion"), "kind": values.get("kind")}, ("metadata",), problems)
    return Form(file, key, where(file, ()), grow(values, lambda path: where(file, path))) if key else None


def _removal(file: PolicyFile, problems: list[Problem]) -> Form | None:
    document, values = file.document, file.document.values
    problems += _unknown(document, (), values, frozenset({"remove"}), "a file that removes an object has remove alone")
    key = _named(document, "remove", problems)
    return Form(file, key, where(file, ("remove",))) if key else None


def _patch(file: PolicyFile, problems: list[Problem]) -> Form | None:
    document, values = file.document, file.document.values
    problems += _unknown(
        document, (), values, frozenset({"patch", "operations"}), "a file that patches an object has patch and operations alone"
    )
    key = _named(document, "patch", problems)
    written = values.get("operations")
    if not isinstance(written, list) or not written:
        problems.append(document.problem(("operations",), "operations must be a list of JSON Patch operations (RFC 6902)"))
        return None
    if len(written) > _MOST_OPERATIONS:
        problems.append(document.problem(("operations",), f"a patch has at most {_MOST_OPERATIONS} operations", "replace the whole object"))
        return None
    found = [_operation(file, ("operations", str(index)), one, problems) for index, one in enumerate(written)]
    operations = tuple(one for one in found if one)
    if operations and operations[0].op != "test":
        hint = "begin with {op: test, path: ..., value: ...}: it says what must be there, so that a change below is not patched blindly"
        problems.append(document.problem(("operations", "0"), "the first operation of a patch must be a test", hint))
    elif all(one.op == "test" for one in operations) and len(operations) == len(written):
        problems.append(document.problem(("operations",), "this patch changes nothing: all its operations are tests"))
    return Form(file, key, where(file, ("patch",)), None, operations) if key else None


def _identity(file: PolicyFile, problems: list[Problem]) -> Form | None:
    """A RequestAuthentication whose issuers are providers of meshinstall.yaml."""
    document, values = file.document, file.document.values
    problems += _unknown(document, (), values, _IDENTITY, f"a file with identity has {', '.join(sorted(_IDENTITY))}")
    metadata, names, rule = values["identity"], values.get("providers"), values.get("rule", {})
    if not isinstance(metadata, dict):
        problems.append(document.problem(("identity",), "identity must name a RequestAuthentication: {namespace, name}"))
        return None
    problems += _unknown(document, ("identity",), metadata, _METADATA, "it is metadata: namespace, name, labels, annotations")
    for name in ("labels", "annotations"):
        problems += _marks(document, ("identity", name), metadata.get(name, {}))
    if not isinstance(names, list) or not names or not all(isinstance(one, str) for one in names) or len({*names}) < len(names):
        problems.append(document.problem(("providers",), "providers must be a list of different names of identity in meshinstall.yaml"))
        return None
    if not isinstance(rule, dict) or any(name in rule for name in _OF_PROVIDER):
        text = f"rule must be a map of what a rule for tokens has besides {', '.join(_OF_PROVIDER)}"
        problems.append(document.problem(("rule",), text, "such as {forwardOriginalToken: true}; the rest is the provider's"))
        return None
    naming = {"apiVersion": f"{SECURITY}/v1", "kind": "RequestAuthentication"}
    key = _key(document, {**metadata, **naming}, ("identity",), problems)
    spec = {name: values[name] for name in ("selector", "targetRefs") if name in values}
    tree = grow(
        {**naming, "metadata": metadata, "spec": {**spec, "jwtRules": [rule] * len(names)}}, lambda path: where(file, _written(path))
    )
    providers = tuple((one, where(file, ("providers", str(index)))) for index, one in enumerate(names))
    return Form(file, key, where(file, ("identity",)), tree, (), providers) if key else None


def _written(path: KeyPath) -> KeyPath:
    """Where a file with identity says what its object has at a path."""
    match path:
        case ("metadata", *rest):
            return ("identity", *rest)
        case ("spec", "jwtRules", index):
            return ("providers", index)
        case ("spec", "jwtRules", _, *rest):
            return ("rule", *rest)
        case ("spec", "jwtRules"):
            return ("providers",)
        case ("spec", *rest) if rest:
            return tuple(rest)
        case _:
            return ("identity",)


def _operation(file: PolicyFile, at: KeyPath, one: Any, problems: list[Problem]) -> Operation | None:
    document = file.document
    if not isinstance(one, dict) or one.get("op") not in _OPERATIONS:
        problems.append(document.problem((*at, "op"), f"op must be one of {', '.join(_OPERATIONS)}"))
        return None
    op: str = one["op"]
    names = {"op", "path"} | ({"value"} if op in _WITH_VALUE else {"from"} if op in _WITH_FROM else set())
    problems += _unknown(document, at, one, frozenset(names), f"{op} has {', '.join(sorted(names))}")
    paths: dict[str, KeyPath] = {}
    for name in sorted(names - {"op", "value"}):
        try:
            paths[name] = pointer(one[name] if isinstance(one.get(name), str) else "")
        except PatchError as error:
            problems.append(document.problem((*at, name), f"{name} {error}"))
    if "value" in names and "value" not in one:
        problems.append(document.problem(at, f"{op} needs a value"))
        return None
    if set(paths) != names - {"op", "value"}:
        return None
    if op != "test" and (fixed := [path for path in paths.values() if _is_fixed(path)]):
        name = "/".join(fixed[0])
        problems.append(document.problem((*at, "path"), f"a patch must not change {name}", "remove the object, and add another one"))
    value = grow(one["value"], lambda path: where(file, (*at, "value", *path))) if "value" in names else None
    return Operation(op, paths["path"], value, paths.get("from", ()))


def _is_fixed(path: KeyPath) -> bool:
    """Whether what names an object, or all of it, is at a path; and what only the cluster writes."""
    return path[0] != "spec" and not (path[0] == "metadata" and path[1:2] in {("labels",), ("annotations",)})


def _named(document: Document, name: str, problems: list[Problem]) -> PolicyKey | None:
    naming = document.values[name]
    if not isinstance(naming, dict):
        problems.append(document.problem((name,), f"{name} must name an object: {{kind, namespace, name}}"))
        return None
    problems += _unknown(document, (name,), naming, frozenset(_NAMING), f"{name} names an object by {', '.join(_NAMING)}")
    return _key(document, naming, (name,), problems)


def _key(document: Document, naming: Mapping[str, Any], at: KeyPath, problems: list[Problem]) -> PolicyKey | None:
    """What names the object; a version is needed for an object, and where several groups have the kind."""
    texts = {name: naming.get(name) for name in _NAMING}
    is_object = at == ("metadata",)
    places = {name: (name,) if is_object and name in {"apiVersion", "kind"} else (*at, name) for name in _NAMING}
    wanted = _NAMING if is_object or texts["apiVersion"] is not None else _NAMING[1:]
    missing = [name for name in wanted if not isinstance(texts[name], str) or not texts[name]]
    problems += [document.problem(places[name], f"{'.'.join(places[name])} is missing or not text") for name in missing]
    if missing:
        return None
    version, kind, namespace, name = (str(texts[one] or "") for one in _NAMING)
    groups = groups_of(kind)
    if not groups:
        hint = suggestion(kind, tuple(dict.fromkeys(name for _, name in POLICY_KINDS)))
        text = f"{plain(kind)} is not a kind of Istio's security, networking or telemetry, or of the Gateway API"
        problems.append(document.problem(places["kind"], text, hint))
        return None
    known = {f"{group}/{one}": group for group in groups for one in POLICY_KINDS[group, kind].versions}
    if version and version not in known:
        problems.append(document.problem(places["apiVersion"], f"{plain(version)} has no {kind}", suggestion(version, tuple(known))))
        return None
    if not version and len(groups) > 1:
        problems.append(document.problem((*at, "kind"), f"{kind} is a kind of {' and of '.join(groups)}", "write its apiVersion too"))
        return None
    for text, form, what in ((namespace, _NAMESPACE, "namespace"), (name, _NAME, "name")):
        if not form.fullmatch(text):
            hint = "lower-case letters, digits and hyphens"
            problems.append(document.problem(places[what], f"{plain(text)!r} is not a valid {what} in Kubernetes", hint))
    return PolicyKey(group_of(version) or groups[0], kind, namespace, name)


def patched_problems(file: PolicyFile, manifest: Mapping[str, Any]) -> tuple[Problem, ...]:
    """What a patch made wrong of its spec, its labels and its annotations."""
    metadata = manifest["metadata"]
    found = [one for name in ("labels", "annotations") for one in _marks(file.document, ("metadata", name), metadata.get(name, {}))]
    if not isinstance(manifest.get("spec", {}), dict):
        found.append(file.document.problem(("operations",), "spec must be a map after the patch"))
    return tuple(Problem(one.source, *file.document.place(("operations",)), one.text, one.hint) for one in found)


def _marks(document: Document, at: KeyPath, marks: Any) -> Iterator[Problem]:
    """Labels or annotations: texts, and none of those that say whose an object is."""
    if not isinstance(marks, dict):
        yield document.problem(at, f"{at[-1]} must be a map of texts")
        return
    for name, value in marks.items():
        if not isinstance(value, str):
            yield document.problem((*at, name), f"{'.'.join(at)}.{plain(name)} must be text", "quote it")
        if name in RESERVED:
            yield document.problem((*at, name), f"{name} is written by meshinstall itself", "remove it from the file")


def _unknown(document: Document, at: KeyPath, found: Mapping[str, Any], known: frozenset[str], hint: str) -> Iterator[Problem]:
    for name in found:
        if name not in known:
            told = suggestion(name, tuple(sorted(known)))
            yield document.problem(
                (*at, name), f"{plain('.'.join((*at, name)))} has no place here", told if told.startswith("did") else hint
            )


def _unprintable(document: Document, value: Any, path: KeyPath) -> Iterator[Problem]:
    """Characters that move a terminal's cursor, or make a text look like another."""
    if isinstance(value, str) and not value.isprintable() and any(not char.isprintable() and char not in _LINE_ENDS for char in value):
        yield document.problem(
            path, f"{plain('.'.join(path))} has a character that does not print", "write it without, or as text that says it"
        )
    inner = value.items() if isinstance(value, dict | Mapping) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        name = str(key)
        if not name.isprintable():
            yield document.problem((*path, name), "has a key with a character that does not print", "write it without")
        yield from _unprintable(document, one, (*path, name))
