"""Puts fields of live objects back without helm: each only as it was planned, and in no version of the object that was not looked at."""

from collections.abc import Callable, Iterable

from meshinstall.engine.objects.field_paths import ABSENT, correction, dotted, field_at
from meshinstall.errors import ConflictError, ForbiddenError
from meshinstall.model.facts import ObjectKey
from meshinstall.model.paths import path_of
from meshinstall.model.plan import Mend
from meshinstall.model.release import Manifest
from meshinstall.ports import Kube

# Looks at an object whose status others write at the same time.
_TRIES = 5
_AGAIN = "run the same command again: it makes a new plan"


async def put_back(kube: Kube, mends: Iterable[Mend], tell: Callable[[str], None]) -> None:
    """Put everything back, object by object; raises ConflictError where somebody changed such a field since it was planned."""
    by_key: dict[ObjectKey, list[Mend]] = {}
    for mend in mends:
        by_key.setdefault(mend.key, []).append(mend)
    for key, some in by_key.items():
        fields = [mend for mend in some if not mend.scales]
        if fields:
            tell(f"putting back fields of {key}")
            await _patched(kube, key, fields)
        for mend in some:
            if mend.scales:
                tell(f"scaling {key} to {mend.after}")
                await _scaled(kube, key, mend)


async def _scaled(kube: Kube, key: ObjectKey, mend: Mend) -> None:
    """Through the subresource, as kubectl does; whoever may not may change the object itself."""
    live = await _look(kube, key)
    if field_at(live, mend.path) != mend.before:
        # Somebody has scaled it since.
        return
    try:
        await kube.patch(f"{path_of(key)}/scale", {"spec": {"replicas": mend.after}})
    except ForbiddenError:
        await _patched(kube, key, [mend])


async def _patched(kube: Kube, key: ObjectKey, mends: Iterable[Mend]) -> None:
    for again in reversed(range(_TRIES)):
        live = await _look(kube, key)
        patch = correction(live, [(mend.path, ABSENT if mend.after is None else mend.after) for mend in _still(live, key, mends)])
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


async def _look(kube: Kube, key: ObjectKey) -> Manifest:
    live = await kube.get(path_of(key))
    if live is None:
        raise ConflictError(f"{key} was deleted since the plan was made", _AGAIN)
    return live


def _still(live: Manifest, key: ObjectKey, mends: Iterable[Mend]) -> list[Mend]:
    """Those that are not done yet; raises ConflictError for what is neither as planned nor as wanted."""
    left = []
    for mend in mends:
        found = field_at(live, mend.path)
        now = None if found is ABSENT else found
        if now == mend.after:
            continue
        if now != mend.before:
            raise ConflictError(f"{key} has changed since the plan was made: {dotted(mend.path)}", _AGAIN)
        left.append(mend)
    return left
