"""Kustomizations whose transformers and merge patches change what Istio's objects mean; pure.

Sources: kustomize, api/internal/konfig/builtinpluginconsts (what a namespace, a prefix and a suffix are written into: names and namespaces
of objects, and no field of Istio's), api/types/kustomization.go; a strategic merge patch of a kind without a schema replaces lists.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from posixpath import dirname, join, normpath
from typing import Any

from meshinstall.checks.policies.reading import finding, items, table, texts, word
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.policy_kinds import POLICY_KINDS, SECURITY
from meshinstall.model.policy_object import PolicyObject
from meshinstall.model.values import KeyPath
from meshinstall.model.yaml_text import load

GROUP = "kustomize.config.k8s.io"
FILES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_HINT = "write it into the objects themselves, or as a JSON Patch (RFC 6902) that begins with a test"


def kustomized(objects: Iterable[PolicyObject], root: str) -> Iterator[Finding]:
    """What each Kustomization makes of Istio's objects among these; ``root`` is the namespace whose policies are for the whole mesh."""
    by_source: dict[str, list[PolicyObject]] = {}
    for one in objects:
        by_source.setdefault(normpath(one.source), []).append(one)
    for one in (one for some in by_source.values() for one in some if _is_kustomization(one)):
        policies = list(_inside(one, by_source))
        found = (*_moved(one, policies, root), *_renamed(one, policies), *_merged(one, by_source))
        # A Kustomization has no name: its file says which it is.
        yield from (replace(each, object=one.kind) for each in found)


def patch_sources(objects: Iterable[PolicyObject]) -> frozenset[str]:
    """The files that are patches of a Kustomization: a part of an object, which is none by itself."""
    return frozenset(path for one in objects if _is_kustomization(one) for _, path in _patch_files(one))


def _is_kustomization(one: PolicyObject) -> bool:
    return one.group == GROUP and one.kind in {"Kustomization", "Component"}


def _is_istios(one: PolicyObject) -> bool:
    return (one.group, one.kind) in POLICY_KINDS


def _inside(one: PolicyObject, by_source: Mapping[str, list[PolicyObject]]) -> Iterator[PolicyObject]:
    """Istio's objects that a Kustomization has, by its resources and theirs, each once; what is not among the files is not known."""
    seen, waiting = {id(one)}, [one]
    while waiting:
        for other in _named_by(waiting.pop(), by_source):
            if id(other) in seen:
                continue
            seen.add(id(other))
            if _is_istios(other):
                yield other
            elif _is_kustomization(other):
                waiting.append(other)


def _named_by(one: PolicyObject, by_source: Mapping[str, list[PolicyObject]]) -> Iterator[PolicyObject]:
    for field in ("resources", "components", "bases"):
        for path in (_beside(one, name) for name in texts(one.manifest.get(field))):
            for source in (path, *(join(path, file) for file in FILES)):
                yield from by_source.get(source, ())


def _beside(one: PolicyObject, name: str) -> str:
    return normpath(join(dirname(one.source), name))


def _moved(one: PolicyObject, policies: Iterable[PolicyObject], root: str) -> Iterator[Finding]:
    target = word(one.manifest.get("namespace"))
    # What says no namespace is to get one.
    said = [policy for policy in policies if word(table(policy.manifest.get("metadata")).get("namespace"))]
    moved = [policy for policy in said if target and policy.namespace != target]
    wide = [policy for policy in moved if policy.group == SECURITY and policy.namespace == root and not policy.spec.get("selector")]
    where = (one, ("namespace",))
    for policy in wide:
        title = f"{policy} is for the whole mesh, and namespace: {target} makes it one for {target} alone"
        yield finding(
            "POL060", Severity.ERROR, where, title, "take it out of this Kustomization, which changes the namespace of all it has"
        )
    if others := [policy for policy in moved if policy not in wide]:
        title = f"namespace: {target} moves {_named(others)}: the hosts and identities that they and others name stay those of before"
        yield finding("POL060", Severity.WARNING, where, title, "write the namespace into the objects themselves")


def _renamed(one: PolicyObject, policies: Iterable[PolicyObject]) -> Iterator[Finding]:
    found = list(policies)
    for field in ("namePrefix", "nameSuffix"):
        text = word(one.manifest.get(field))
        if text and found:
            title = f"{field}: {text} renames Services and service accounts, and not the hosts and principals in {_named(found)}"
            yield finding("POL061", Severity.WARNING, (one, (field,)), title, "give the objects their names themselves")


def _named(policies: list[PolicyObject]) -> str:
    return f"{policies[0]}{f' and {len(policies) - 1} more' if len(policies) > 1 else ''}"


def _merged(one: PolicyObject, by_source: Mapping[str, list[PolicyObject]]) -> Iterator[Finding]:
    for path, patch in _patches(one, by_source):
        group, kind = word(patch.get("apiVersion")).rpartition("/")[0], word(patch.get("kind"))
        lists = [".".join(place) for place in _lists(patch.get("spec"), ("spec",))] if (group, kind) in POLICY_KINDS else []
        if lists:
            title = f"a merge patch of this {kind} replaces {', '.join(lists)} as a whole: what the base has in it is gone"
            yield finding("POL062", Severity.WARNING, (one, path), title, _HINT)


def _patches(one: PolicyObject, by_source: Mapping[str, list[PolicyObject]]) -> Iterator[tuple[KeyPath, Mapping[str, Any]]]:
    """Every merge patch with its place; one that is written as a list of operations is none."""
    for path, source in _patch_files(one):
        yield from ((path, other.manifest) for other in by_source.get(source, ()))
    for field in ("patches", "patchesStrategicMerge"):
        for index, entry in enumerate(items(one.manifest.get(field))):
            text = entry if isinstance(entry, str) else table(entry).get("patch")
            if isinstance(text, str) and "\n" in text:
                yield (field, str(index)), table(_read(text))


def _patch_files(one: PolicyObject) -> Iterator[tuple[KeyPath, str]]:
    for field in ("patches", "patchesStrategicMerge"):
        for index, entry in enumerate(items(one.manifest.get(field))):
            name = entry if isinstance(entry, str) else word(table(entry).get("path"))
            if name and "\n" not in name:
                yield (field, str(index)), _beside(one, name)


def _read(text: str) -> Any:
    try:
        return load(text, aliases=False)
    except ValueError:
        return None


def _lists(value: Any, path: KeyPath) -> Iterator[KeyPath]:
    if isinstance(value, list):
        yield path
    for key, inner in value.items() if isinstance(value, dict) else ():
        yield from _lists(inner, (*path, str(key)))
