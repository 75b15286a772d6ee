"""Plans the tags of a revision: objects of ours between istiod and the gateways, compared as those of releases are; pure.

A tag is two objects: its webhooks, and a Service by which istiod and istioctl know it. Either is applied by the server, so that it moves
from one revision to another at once.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from meshinstall.engine.objects.field_names import names_of
from meshinstall.engine.objects.field_paths import ABSENT, correction
from meshinstall.engine.plan.drift import Edit, FieldEdit, edit_of
from meshinstall.model.desired import Desired
from meshinstall.model.facts import Facts, ObjectKey, key_of
from meshinstall.model.ownership import ENVIRONMENT, MANAGED_BY, PROFILE, is_ours
from meshinstall.model.plan import Action, Change, ObjectStep, ReleaseStep
from meshinstall.model.release import Component, Manifest
from meshinstall.model.secrets import pair

_OURS = frozenset({MANAGED_BY, ENVIRONMENT, PROFILE})


def tag_steps(desired: Desired, facts: Facts) -> tuple[ObjectStep, ...]:
    """What to do for each object of each tag; after istiod, whose webhooks they lead to."""
    needs = (f"namespace/{desired.mesh_namespace}", str(desired.istiod.key) if desired.istiod else "")
    return tuple(_step(manifest, facts, needs, desired.revision_origin) for manifest in _wanted(facts))


def tag_edits(facts: Facts) -> Iterator[Edit]:
    """How the tags that are there differ from what they should be."""
    for manifest in _wanted(facts):
        edit = edit_of(facts, manifest)
        if edit and not edit.is_gone:
            yield edit


def after_tags(releases: tuple[ReleaseStep, ...], tags: tuple[ObjectStep, ...]) -> tuple[tuple[ReleaseStep, ...], tuple[ReleaseStep, ...]]:
    """The releases before the tags, and the gateways, which need them; without tags all are as they were."""
    names = tuple(step.name for step in tags)
    before = tuple(step for step in releases if step.component is not Component.GATEWAY or not tags)
    gateways = (step for step in releases if step.component is Component.GATEWAY and tags)
    return before, tuple(replace(step, needs=(*step.needs, *names)) for step in gateways)


def removed_tags(facts: Facts) -> tuple[ObjectStep, ...]:
    """The tags of ours, to delete before istiod: the API server refuses every pod for which a webhook does not answer."""
    found = sorted(key for key, live in facts.tags.items() if is_ours(live))
    return tuple(ObjectStep(name=step_name(key), action=Action.DELETE, manifest=_stub(key, facts.tags[key])) for key in found)


def _wanted(facts: Facts) -> Iterator[Manifest]:
    """Our labels on what somebody else made would have down delete it."""
    for manifest in facts.wanted_tags:
        live = facts.live.get(key_of(manifest))
        yield manifest if live is None or is_ours(live) else _unlabelled(manifest)


def _unlabelled(manifest: Manifest) -> Manifest:
    labels = {name: value for name, value in manifest["metadata"]["labels"].items() if name not in _OURS}
    return {**manifest, "metadata": {**manifest["metadata"], "labels": labels}}


def _step(manifest: Manifest, facts: Facts, needs: tuple[str, ...], origin: str) -> ObjectStep:
    step = ObjectStep(name=step_name(key_of(manifest)), action=Action.APPLY, needs=needs, manifest=manifest)
    edit = edit_of(facts, manifest)
    if edit is None or not (edit.is_gone or edit.fields or edit.ours):
        return replace(step, action=Action.KEEP)
    if edit.is_gone:
        return replace(step, reasons=("does not exist",))
    fields = (*edit.fields, *edit.ours)
    changes = tuple(_change(field, origin) for field in fields)
    return replace(step, reasons=edit.sentences(), changes=changes, patch=_patch(facts.live[edit.key], edit.ours))


def _change(field: FieldEdit, origin: str) -> Change:
    before, after = (None if value is ABSENT else value for value in (field.live, field.wanted))
    return Change(field.name, *pair(before, after, *names_of(field.path)), "" if field.wanted is ABSENT else origin)


def _patch(live: Manifest, added: tuple[FieldEdit, ...]) -> Mapping[str, Any]:
    """What takes away what somebody added: applying leaves it."""
    found = correction(live, [(field.path, field.wanted) for field in added])
    version = live["metadata"].get("resourceVersion")
    metadata = {**found.get("metadata", {}), **({"resourceVersion": version} if version else {})}
    return {**found, "metadata": metadata} if found else {}


def step_name(key: ObjectKey) -> str:
    """The name of the step for an object: ``Kind/namespace/name``."""
    return "/".join(filter(None, (key.kind, key.namespace, key.name)))


def _stub(key: ObjectKey, live: Manifest) -> dict[str, Any]:
    metadata = {"name": key.name, **({"namespace": key.namespace} if key.namespace else {})}
    uid = live["metadata"].get("uid")
    return {"apiVersion": key.api_version, "kind": key.kind, "metadata": {**metadata, **({"uid": uid} if uid else {})}}
