"""Plans what a restore makes beside what files describe: namespaces before all else, objects with the policies, then labels; pure.

No label of ours is put on an object: it is somebody's, and a later run that does not know the snapshot has to leave it alone.
"""

from collections.abc import Iterator

from meshinstall.engine.plan.policy_order import Move
from meshinstall.engine.plan.policy_steps import object_step
from meshinstall.model.desired import Desired, DesiredNamespace, Policy
from meshinstall.model.facts import Facts, key_of, policy_key
from meshinstall.model.ownership import RESTORED
from meshinstall.model.plan import Action, Change, ObjectStep
from meshinstall.model.release import Manifest


def marked(namespace: DesiredNamespace, desired: Desired) -> DesiredNamespace:
    """A namespace of the mesh as a restore makes it: with its labels of Istio, and the mesh's own with the mark of the snapshot."""
    wanted = desired.restored
    if wanted is None:
        return namespace
    mark = {RESTORED: wanted.mark} if namespace.name == desired.mesh_namespace else {}
    return DesiredNamespace(namespace.name, {**desired.restored_labels(namespace.name), **mark})


def restored_namespaces(desired: Desired, facts: Facts) -> tuple[ObjectStep, ...]:
    """Those that do not exist, without their labels: nothing in them gets a proxy before its policies are there."""
    wanted = desired.restored
    if wanted is None:
        return ()
    own = {one.name for one in desired.namespaces}
    names = desired.restored_namespaces - own
    return tuple(_made(name, wanted.mark) for name in sorted(names) if facts.namespaces.get(name) is None)


def _made(name: str, mark: str) -> ObjectStep:
    step = f"namespace/{name}"
    return ObjectStep(name=step, action=Action.APPLY, reasons=("does not exist",), manifest=_namespace(name, {RESTORED: mark}))


def _namespace(name: str, labels: dict[str, str]) -> Manifest:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def restored_moves(desired: Desired, facts: Facts, releases: tuple[str, ...]) -> Iterator[Move]:
    """The objects of the snapshot that are not there or not as they were, and the labels of namespaces; ``releases`` come before."""
    wanted = desired.restored
    if wanted is None:
        return
    for one in wanted.objects:
        key = key_of(one.manifest)
        policy = Policy(one.manifest, one.origin)
        step = object_step(policy, one.manifest, policy_key(key).step, releases, facts)
        yield Move(step, facts.policies.get(key), one.manifest)
    own = {one.name for one in desired.namespaces}
    for name, labels in sorted(wanted.namespaces.items()):
        made = None if name in own else _labels(name, dict(labels), wanted.mark, facts, releases)
        if made:
            yield Move(made, facts.namespaces.get(name), made.manifest)


def _labels(name: str, labels: dict[str, str], mark: str, facts: Facts, needs: tuple[str, ...]) -> ObjectStep | None:
    live = facts.namespaces.get(name)
    there = (live["metadata"].get("labels") or {}) if live else {RESTORED: mark}
    changes = tuple(Change(f"metadata.labels.{key}", there.get(key), value) for key, value in labels.items() if there.get(key) != value)
    if not changes:
        return None
    # What is applied replaces what was applied before: the mark of a namespace that a restore made stays.
    kept = {RESTORED: mark} if there.get(RESTORED) == mark else {}
    return ObjectStep(
        name=f"labels/{name}",
        action=Action.APPLY,
        reasons=("its labels are those of before",),
        changes=changes,
        needs=needs,
        manifest=_namespace(name, {**labels, **kept}),
    )
