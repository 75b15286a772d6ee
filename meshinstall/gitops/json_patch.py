"""Makes the JSON Patch (RFC 6902) that turns one object into another, each change behind a test of what was there."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

Operation = Mapping[str, Any]


def operations(before: Any, after: Any, path: str = "") -> Iterator[Operation]:
    """What to do, maps key by key and lists of one length item by item; nothing where both are the same."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        yield from _of_maps(before, after, path)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from operations(old, new, f"{path}/{index}")
    elif not _is_same(before, after):
        yield {"op": "test", "path": path, "value": before}
        yield {"op": "replace", "path": path, "value": after}


def has_null(value: Any) -> bool:
    """Whether a value is null, or has one in it."""
    if isinstance(value, Mapping | list):
        return any(map(has_null, value.values() if isinstance(value, Mapping) else value))
    return value is None


def _is_same(before: Any, after: Any) -> bool:
    # In JSON true is not 1, and to Kubernetes 1 is not 1.0.
    return json.dumps(before, sort_keys=True) == json.dumps(after, sort_keys=True)


def _of_maps(before: Mapping[str, Any], after: Mapping[str, Any], path: str) -> Iterator[Operation]:
    for key in sorted({*before, *after}):
        inner = f"{path}/{key.replace('~', '~0').replace('/', '~1')}"
        if key not in after:
            yield {"op": "test", "path": inner, "value": before[key]}
            yield {"op": "remove", "path": inner}
        elif key not in before:
            yield {"op": "add", "path": inner, "value": after[key]}
        else:
            yield from operations(before[key], after[key], inner)
