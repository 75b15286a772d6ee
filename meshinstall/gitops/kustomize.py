"""Folders of kustomize: what is equal on all sites in ``base``, the rest in an overlay for each site.

There is no transformer: namespaces, prefixes and labels of kustomize change names of Istio's objects and not what refers to them, and its
merge patches replace whole lists. A patch is JSON Patch, and begins with a test.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from meshinstall.gitops.json_patch import Operation, has_null, operations
from meshinstall.gitops.terms import Files, Item, RenderedSite, Step, joined
from meshinstall.model.facts import ObjectKey
from meshinstall.model.policy_kinds import group_of
from meshinstall.model.yaml_dump import dump

_FILE = "kustomization.yaml"
# Changed fields of an object beyond which an overlay has the whole of it, which is easier to read.
_FEW = 8
# From overlays/ENVIRONMENT/CLOUD/STEP.
_UP = "../../../.."


@dataclass(frozen=True, slots=True)
class _Shared:
    """An object that is on all sites: as it is in the base, and what each site changes in it."""

    item: Item
    patches: Sequence[Sequence[Operation]]


def kustomize(sites: Sequence[RenderedSite]) -> Files:
    """For ``kustomize build overlays/ENVIRONMENT/CLOUD``, or one step of it."""
    sites = sorted(sites, key=lambda site: site.path)
    shared = {one.item.key: one for one in _shared(sites)}
    base = [(f"base/{path}", text) for path, text in _base(list(shared.values()))]
    overlays = ((f"overlays/{site.path}/{path}", text) for index, site in enumerate(sites) for path, text in _overlay(site, index, shared))
    return joined((*base, *overlays))


def _shared(sites: Sequence[RenderedSite]) -> Iterator[_Shared]:
    """Objects of all sites that are the same, or differ so little that patches are shorter than the objects."""
    by_site = [{item.key: item for item in site.items} for site in sites]
    for key in by_site[0]:
        items = [items[key] for items in by_site if key in items]
        if len(items) < len(sites) or len({(item.step, item.text) for item in items}) > 1:
            continue
        most = Counter(item.content for item in items).most_common(1)[0][0]
        first = next(item for item in items if item.content == most)
        patches = [tuple(operations(first.manifest, item.manifest)) for item in items]
        if all(_is_short(patch, item) for patch, item in zip(patches, items, strict=True)):
            yield _Shared(first, patches)


def _is_short(patch: Sequence[Operation], item: Item) -> bool:
    # kustomize ends with a panic where a null is tested in a list.
    if any(has_null(one.get("value", "")) for one in patch):
        return False
    return len([one for one in patch if one["op"] != "test"]) <= _FEW and len(dump(list(patch))) < len(item.content)


def _base(shared: Sequence[_Shared]) -> Iterator[tuple[str, str]]:
    for step in Step:
        items = sorted((one.item for one in shared if one.item.step is step), key=lambda item: item.file)
        if items:
            yield f"{step.value}/{_FILE}", _kustomization([item.file for item in items])
            yield from ((f"{step.value}/{item.file}", item.content) for item in items)


def _overlay(site: RenderedSite, index: int, shared: dict[ObjectKey, _Shared]) -> Iterator[tuple[str, str]]:
    steps = []
    for step, items in site.steps():
        steps.append(step.value)
        own = [item for item in items if item.key not in shared]
        common = [shared[item.key] for item in items if item.key in shared]
        patched = [(one.item, one.patches[index]) for one in common if one.patches[index]]
        resources = [*([f"{_UP}/base/{step.value}"] if common else []), *(item.file for item in own)]
        patches = [{"path": f"patches/{item.file}", "target": _target(item.key)} for item, _ in patched]
        yield f"{step.value}/{_FILE}", _kustomization(resources, patches)
        yield from ((f"{step.value}/{item.file}", item.content) for item in own)
        yield from ((f"{step.value}/patches/{item.file}", dump(list(patch))) for item, patch in patched)
    yield _FILE, _kustomization(steps)


def _kustomization(resources: Sequence[str], patches: Sequence[dict[str, Any]] = ()) -> str:
    about = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
    return dump({**about, "resources": list(resources), **({"patches": list(patches)} if patches else {})})


def _target(key: ObjectKey) -> dict[str, str]:
    """One object: kustomize reads each of these as a regular expression, anchored at both ends."""
    group = group_of(key.api_version)
    told = {"group": group, "version": key.api_version.rpartition("/")[2], "kind": key.kind, "name": key.name, "namespace": key.namespace}
    return {name: re.escape(value).replace(r"\-", "-") for name, value in told.items() if value}
