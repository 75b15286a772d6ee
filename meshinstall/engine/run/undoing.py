"""Puts fields of live objects back without helm: each only as it was planned, and in no version of the object that was not looked at."""

from collections.abc import Callable, Iterable

from meshinstall.engine.objects.field_paths import ABSENT, correction, dotted, field_at
from meshinstall.errors import ConflictError, ForbiddenError
from meshinstall.model.facts import ObjectKey
from meshinstall.model.ownership import MANAGER
from meshinstall.model.paths import path_of
from meshinstall.model.plan import Undo
from meshinstall.model.release import Manifest
from meshinstall.ports import Kube

# Looks at an object whose status others write at the same time.
_TRIES = 5
PLAN_AGAIN = "run the same command again: it makes a new plan"


async def put_back(kube: Kube, edits: Iterable[Undo], tell: Callable[[str], None]) -> None:
    """Put everything back, object by object; raises ConflictError where somebody changed such a field since it was planned."""
    by_key: dict[ObjectKey, list[Undo]] = {}
    for one in edits:
        by_key.setdefault(one.key, []).append(one)
    for key, some in by_key.items():
        fields = [one for one in some if not one.scales]
        if fields:
            tell(f"putting back fields of {key}")
            await _patched(kube, key, fields)
        for one in some:
            if one.scales:
                tell(f"scaling {key} to {one.after}")
                await _scaled(kube, key, one)
        await disown(kube, key)


async def _scaled(kube: Kube, key: ObjectKey, one: Undo) -> None:
    """Through the subresource, as kubectl does; whoever may not may change the object itself."""
    live = await _look(kube, key)
    if field_at(live, one.path) != one.before:
        # Somebody has scaled it since.
        return
    try:
        await kube.patch(f"{path_of(key)}/scale", {"spec": {"replicas": one.after}})
    except ForbiddenError:
        await _patched(kube, key, [one])


async def _patched(kube: Kube, key: ObjectKey, edits: Iterable[Undo]) -> None:
    for again in reversed(range(_TRIES)):
        live = await _look(kube, key)
        patch = correction(live, [(one.path, ABSENT if one.after is None else one.after) for one in _still(live, key, edits)])
        if not patch:
            return
        version = {"resourceVersion": live["metadata"].get("resourceVersion")}
        try:
            await kube.patch(path_of(key), {**patch, "metadata": {**patch.get("metadata", {}), **version}})
        except ConflictError:
            if not again:
                raise
        else:
            return


async def disown(kube: Kube, key: ObjectKey) -> None:
    """Give up what we own by it: helm's next change of these fields would be a conflict with us, and a failed revision in its history."""
    for _ in range(_TRIES):
        metadata = (await _look(kube, key))["metadata"]
        entries = metadata.get("managedFields") or []
        kept = [entry for entry in entries if (entry.get("manager"), entry.get("operation")) != (MANAGER, "Update")]
        # An empty list changes nothing (kubernetes: Server-Side Apply, Clearing managedFields).
        if not kept or len(kept) == len(entries):
            return
        try:
            await kube.patch(path_of(key), {"metadata": {"managedFields": kept, "resourceVersion": metadata.get("resourceVersion")}})
        except ConflictError:
            continue
        return


async def _look(kube: Kube, key: ObjectKey) -> Manifest:
    live = await kube.get(path_of(key))
    if live is None:
        raise ConflictError(f"{key} was deleted since the plan was made", PLAN_AGAIN)
    return live


def _still(live: Manifest, key: ObjectKey, edits: Iterable[Undo]) -> list[Undo]:
    """Those that are not done yet; raises ConflictError for what is neither as planned nor as wanted."""
    left = []
    for one in edits:
        found = field_at(live, one.path)
        now = None if found is ABSENT else found
        if now == one.after:
            continue
        if now != one.before:
            raise ConflictError(f"{key} has changed since the plan was made: {dotted(one.path)}", PLAN_AGAIN)
        left.append(one)
    return left
