"""Finds what somebody added to a live object beside what its record says, by the managers of its fields; pure.

Defaults, and what admission adds to Helm's own request, belong to nobody or to Helm, so that they are not seen here.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from meshinstall.engine.objects.field_managers import Owned, is_controller, is_person
from meshinstall.engine.objects.field_paths import ABSENT, REPLICAS, Item, Path, field_at
from meshinstall.engine.plan.compare import is_nothing, list_key
from meshinstall.model.release import Manifest

_NOT_COMPARED = frozenset({"apiVersion", "kind", "status"})
_RESTARTED = "kubectl.kubernetes.io/restartedAt"
# Of an object's own labels and annotations, those by which Istio, a cloud or an admission controller does something else.
_DECIDING = re.compile(
    r"(.+\.)?istio\.io/.+|service\.(beta\.|alpha\.)?kubernetes\.io/.+|cloud\.google\.com/.+|networking\.gke\.io/.+"
    r"|eks\.amazonaws\.com/.+|iam\.gke\.io/.+|azure\.workload\.identity/.+|admissions\.enforcer/.+"
)
_NAMED = frozenset({"labels", "annotations"})


def additions(wanted: Manifest, live: Manifest, owned: Iterable[Owned], is_left: Callable[[str], bool] = is_controller) -> dict[Path, bool]:
    """What has been added, each whole, but by managers that are ``left``; true for what a person added."""
    found: dict[Path, bool] = {}
    for one in owned:
        if is_left(one.editor.name):
            continue
        person = is_person(one.editor.name)
        for leaf in one.paths:
            if _counts(leaf, person=person) and (path := _extra(wanted, live, leaf)):
                found[path] = found.get(path, False) or person
    # A part of what was added whole is not told again.
    return {path: person for path, person in found.items() if not any(path[:length] in found for length in range(1, len(path)))}


def _counts(leaf: Path, *, person: bool) -> bool:
    """Whether a field decides what the object does; the number of pods is their autoscaler's, or another question."""
    if leaf[0] == "metadata":
        return person and leaf[1:2] in {("labels",), ("annotations",)} and bool(_DECIDING.fullmatch(str(leaf[2:3] and leaf[2])))
    return leaf[0] not in _NOT_COMPARED and leaf != REPLICAS and leaf[-1] != _RESTARTED


def _extra(wanted: Manifest, live: Manifest, leaf: Path) -> Path | None:
    """The most of a path that the record does not have; the path itself where there is more in it than the record has."""
    for length in range(1, len(leaf) + 1):
        path = leaf[:length]
        if field_at(live, path) is ABSENT:
            return None
        is_map_of_names = path[-1] in _NAMED and length < len(leaf)
        if field_at(wanted, path) is ABSENT and not is_map_of_names:
            return None if is_nothing(field_at(live, path)) else path
    return leaf if _has_more(field_at(live, leaf), field_at(wanted, leaf)) else None


def _has_more(live: Any, wanted: Any) -> bool:
    if isinstance(live, Mapping) and isinstance(wanted, Mapping):
        return any(not is_nothing(value) if key not in wanted else _has_more(value, wanted[key]) for key, value in live.items())
    if isinstance(live, list) and isinstance(wanted, list):
        return len(live) > len(wanted) or any(_has_more(one, other) for one, other in _pairs(live, wanted))
    return False


def _pairs(live: list[Any], wanted: list[Any]) -> Iterator[tuple[Any, Any]]:
    key = list_key(wanted, live)
    if not key:
        yield from zip(live, wanted, strict=False)
    for item in live if key else ():
        # One that is not wanted has more than nothing.
        other = field_at(wanted, (Item(key, item[key]),))
        yield item, {} if other is ABSENT else other
