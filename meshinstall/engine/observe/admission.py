"""Asks the API server, by dry run, what it would make of objects that differ: what comes back as it is now is not anybody's edit.

Nothing is asked where nothing differs; else one request for each object, two where managers that nobody knows added to it.
"""

from collections.abc import Iterable
from dataclasses import replace

from meshinstall.engine.objects.field_paths import Path, correction, field_at, merge_patch
from meshinstall.engine.plan.drift import Edit, FieldEdit, drift, edit_of
from meshinstall.engine.tasks import gather
from meshinstall.errors import ClusterError
from meshinstall.model.desired import Desired
from meshinstall.model.facts import Facts, ObjectKey, key_of
from meshinstall.model.paths import path_of
from meshinstall.model.release import Manifest
from meshinstall.ports import Kube


async def with_admission(desired: Desired, facts: Facts, kube: Kube) -> Facts:
    """The facts, with what is changed at admission or set by the server itself; what a dry run may not be asked for stays an edit."""
    edits = {edit.key: edit for release in desired.releases if release.key in facts.releases for edit in drift(facts, release.key)}
    edits |= {edit.key: edit for manifest in facts.wanted_tags if (edit := edit_of(facts, manifest))}
    wanted = {key_of(policy.manifest): policy.manifest for policy in (*desired.policies, *(desired.layered or ()))}
    differing = {key: live for key, live in facts.policies.items() if live and live.get("spec") != wanted[key].get("spec")}

    async def ask(key: ObjectKey) -> frozenset[Path]:
        return await _admitted(kube, facts, edits[key]) if key in edits else await _of_policy(kube, key, facts, wanted[key])

    found = await gather((*edits, *differing), ask)
    return replace(facts, admitted=found) if found else facts


async def _admitted(kube: Kube, facts: Facts, edit: Edit) -> frozenset[Path]:
    if edit.is_gone:
        return frozenset()
    live = facts.live[edit.key]
    groups = [group for group in ((*edit.fields, *edit.ours), edit.strange) if group]
    return frozenset([path for group in groups for path in await _unchanged(kube, edit.key, live, group)])


async def _unchanged(kube: Kube, key: ObjectKey, live: Manifest, fields: Iterable[FieldEdit]) -> list[Path]:
    """Paths of those that come back as they are."""
    patch = correction(live, [(field.path, field.wanted) for field in fields])
    try:
        answer = await kube.patch(path_of(key), patch, dry_run=True)
    except ClusterError:
        return []
    return [field.path for field in fields if field_at(answer, field.path) == field.live]


async def _of_policy(kube: Kube, key: ObjectKey, facts: Facts, wanted: Manifest) -> frozenset[Path]:
    """All of the spec or nothing."""
    live = facts.policies[key] or {}
    try:
        answer = await kube.patch(path_of(key), {"spec": merge_patch(live.get("spec") or {}, wanted.get("spec") or {})}, dry_run=True)
    except ClusterError:
        return frozenset()
    return frozenset({("spec",)}) if answer.get("spec") == live.get("spec") else frozenset()
