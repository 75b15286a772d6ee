"""Marks that engines and helm write on the objects that they keep: which are there, and the commands that change them; pure."""

import shlex
from collections.abc import Iterable, Iterator
from itertools import groupby

from meshinstall.engine.handover.claims import claims, letting_go
from meshinstall.engine.handover.terms import MANAGERS, Scene
from meshinstall.gitops.terms import Item, Step
from meshinstall.model.facts import ObjectKey
from meshinstall.model.hand_over import Party
from meshinstall.model.ownership import ENGINE_MARKS, HELM_MANAGER, HELM_NAMESPACE, HELM_RELEASE, MANAGED_BY, MARKS, keeper_of, owner_of
from meshinstall.model.paths import resource_of
from meshinstall.model.policy_kinds import group_of
from meshinstall.model.release import Manifest, ReleaseKey

# What meshinstall itself applies; all else is helm's.
_OURS = frozenset({Step.TAGS.value, Step.POLICIES.value})
# Objects that one command names.
_AT_ONCE = 50


def lacking(scene: Scene, engine: str) -> list[Item]:
    """Objects that carry none of it."""
    return [item for item, live in scene.objects() if not ((keeper := keeper_of(live)) and keeper.engine == engine)]


def marked(scene: Scene, engine: str = "") -> list[ObjectKey]:
    """Objects that carry a mark of this engine, or of any."""
    marks = ENGINE_MARKS.get(engine, MARKS)
    return [item.key for item, live in scene.objects(crds=True) if set(marks) & {*_of(live, "labels"), *_of(live, "annotations")}]


def take_marks(scene: Scene) -> Iterator[str]:
    """Commands of kubectl that take the engines' marks away, by namespace."""
    for part, verb in (("annotations", "annotate"), ("labels", "label")):
        chosen = [(item.key, _of(live, part)) for item, live in scene.objects(crds=True)]
        for marks in dict.fromkeys(found for _, found in chosen if found):
            keys = [key for key, found in chosen if found == marks]
            yield from _by_namespace(scene, keys, verb, [f"{name}-" for name in marks])


def _of(live: Manifest, part: str) -> tuple[str, ...]:
    there = live["metadata"].get(part) or {}
    return tuple(name for name in MARKS if name in there)


def not_helms(scene: Scene) -> list[tuple[ObjectKey, ReleaseKey]]:
    """Objects of a release that helm would not take for its own (helm: pkg/action/validate.go)."""
    return [(item.key, release) for item, live in scene.objects(crds=True) if (release := item.release) and not _is_helms(live, release)]


def _is_helms(live: Manifest, release: ReleaseKey) -> bool:
    labels = live["metadata"].get("labels") or {}
    return labels.get(MANAGED_BY) == HELM_MANAGER and owner_of(live["metadata"]) == release


def give_to_helm(scene: Scene) -> Iterator[str]:
    """Commands of kubectl that write helm's marks, by release and namespace."""
    wanted = not_helms(scene)
    for release in dict.fromkeys(release for _, release in wanted):
        keys = [key for key, one in wanted if one == release]
        yield from _by_namespace(scene, keys, "label", ["--overwrite", f"{MANAGED_BY}={HELM_MANAGER}"])
        notes = [f"{HELM_RELEASE}={release.name}", f"{HELM_NAMESPACE}={release.namespace}"]
        yield from _by_namespace(scene, keys, "annotate", ["--overwrite", *notes])


def unclaimed(scene: Scene) -> list[ObjectKey]:
    """Objects, but namespaces, in which engines own fields, and neither helm nor meshinstall: helm would be refused there."""
    engines, ours = MANAGERS[Party.ARGOCD] | MANAGERS[Party.FLUX], MANAGERS[Party.MESHINSTALL]
    those = ((item, live) for item, live in scene.objects(crds=True) if item.step is not Step.NAMESPACES)
    return [item.key for item, live in those if claims(live, engines) and not claims(live, ours)]


def claim(scene: Scene) -> str:
    """A command that applies what is rendered by the names of helm and of meshinstall. Namespaces are left: they may be somebody's own."""
    steps = [step.value for step, _ in scene.site.steps()]
    made = [step for step in steps if step in _OURS]
    commands = [shlex.join(["meshinstall", "render", *scene.rendering, "--format", "manifests", "--out"]) + ' "$d"']
    for manager, folders in (("helm", [one for one in steps if one not in {*_OURS, Step.NAMESPACES.value}]), ("meshinstall", made)):
        if folders:
            words = ["kubectl", *scene.kubectl, "apply", "--server-side", "--force-conflicts", f"--field-manager={manager}"]
            files = " ".join(f'-f "$d"/{scene.site.path}/{folder}' for folder in folders)
            commands.append(f"{shlex.join(words)} {files}")
    return " && ".join(["d=$(mktemp -d)", *commands])


def claimed(scene: Scene, to: Party) -> list[tuple[Item, Manifest, tuple[int, ...]]]:
    """Objects in which another party still owns fields, though the one that keeps them now owns some: the places of its entries."""
    others = frozenset(name for party, names in MANAGERS.items() if party is not to for name in names)
    both = ((item, live, claims(live, others)) for item, live in scene.objects(crds=True) if claims(live, MANAGERS[to]))
    return [(item, live, places) for item, live, places in both if places]


def take_claims(scene: Scene, to: Party) -> Iterator[str]:
    """Commands of kubectl that take these entries away, by patch and namespace."""
    patches: dict[str, list[ObjectKey]] = {}
    for item, live, places in claimed(scene, to):
        patches.setdefault(letting_go(live, places), []).append(item.key)
    for patch, keys in patches.items():
        yield from _by_namespace(scene, keys, "patch", ["--type=json", "-p", patch])


def _by_namespace(scene: Scene, keys: Iterable[ObjectKey], verb: str, words: Iterable[str]) -> Iterator[str]:
    """``kubectl VERB -n NAMESPACE RESOURCE/NAME … WORDS`` for each namespace; cluster-wide objects have one of their own."""
    for namespace, those in groupby(sorted(keys, key=lambda key: key.namespace), key=lambda key: key.namespace):
        place, names = ["-n", namespace] if namespace else [], list(map(_resource, those))
        for at in range(0, len(names), _AT_ONCE):
            yield shlex.join(["kubectl", *scene.kubectl, verb, *place, *names[at : at + _AT_ONCE], *words])


def _resource(key: ObjectKey) -> str:
    found, group = resource_of(key), group_of(key.api_version)
    plural = found[0] if found else key.kind.lower()
    return f"{plural}{f'.{group}' if group else ''}/{key.name}"
