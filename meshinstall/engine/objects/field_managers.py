"""Finds the manager that set a field of a live object: reads ``metadata.managedFields`` (structured-merge-diff's fieldpath); pure."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from meshinstall.model.paths import LIST_KEYS
from meshinstall.model.release import Manifest

# Helm itself, and what Kubernetes writes for its own bookkeeping.
_NOT_EDITORS = frozenset({"helm", "Helm", "meshinstall", "kube-controller-manager"})

# A person at a terminal; the plan shows the edits.
_PEOPLE = re.compile(r"kubectl(-.*)?")
# Set fields of webhooks on purpose, and do so again at once (istio pkg/webhooks; AKS' admission controller).
_HARMLESS = frozenset({"pilot-discovery", "admissionsenforcer"})


def may_be_taken_over(managers: frozenset[str], shown: tuple[str, ...]) -> bool:
    """Whether helm may force its fields on all ``managers``: harmless ones, and people whose edits the plan has ``shown``."""
    return bool(managers) and all(each in _HARMLESS or (each in shown and _PEOPLE.fullmatch(each)) for each in managers)


def editors(live: Manifest, paths: Iterable[str]) -> tuple[str, ...]:
    """Names of the managers, Helm's aside, that own one of ``paths``, something below one, or the whole that one is in; sorted.

    Whoever writes the spec through a subresource (``scale`` of ``kubectl scale``) has it as if there were none: helm conflicts with it too.
    """
    wanted = tuple(paths)
    found = set()
    for entry in live["metadata"].get("managedFields") or ():
        manager, fields = entry.get("manager"), entry.get("fieldsV1")
        if (
            isinstance(manager, str)
            and isinstance(fields, Mapping)
            and entry.get("subresource") != "status"
            and manager not in _NOT_EDITORS
        ):
            owned = tuple(_leaves(fields, ""))
            if any(_touch(path, other) for path in wanted for other in owned):
                found.add(manager)
    return tuple(sorted(found))


def _touch(one: str, other: str) -> bool:
    short, long = sorted((one, other), key=len)
    return long.startswith(short) and long[len(short) : len(short) + 1] in {"", ".", "["}


def _leaves(fields: Mapping[str, Any], path: str) -> Iterator[str]:
    """Paths as ``drift`` writes them; a field that holds no other is owned as a whole."""
    inner = [(name, below) for name, below in fields.items() if name != "." and isinstance(below, Mapping)]
    if not inner and path:
        yield path
    for name, below in inner:
        yield from _leaves(below, _step(path, name))


def _step(path: str, name: str) -> str:
    """``f:spec`` is a field, ``k:{"name":"x"}`` an item of a list; values of sets and indexes are their list's."""
    kind, _, text = name.partition(":")
    if kind == "f":
        return f"{path}.{text}" if path else text
    if kind != "k":
        return path
    try:
        keys = json.loads(text)
    except ValueError:
        return path
    chosen = next((keys[key] for key in LIST_KEYS if key in keys), None) if isinstance(keys, dict) else None
    return path if chosen is None else f"{path}[{chosen}]"
