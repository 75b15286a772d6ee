"""Fields that who kept a mesh before still owns: what leaves Git later would stay in the cluster for its sake; pure.

Source: Kubernetes' server-side apply: a field goes when its last owner lets it go (kubernetes.io: Server-Side Apply, field management).
"""

import json
from collections.abc import Iterable

from meshinstall.model.release import Manifest


def claims(live: Manifest, managers: frozenset[str]) -> tuple[int, ...]:
    """Places in ``managedFields`` of entries of these managers, but for what they say of a status."""
    entries = live["metadata"].get("managedFields") or ()
    return tuple(at for at, one in enumerate(entries) if one.get("manager") in managers and one.get("subresource") != "status")


def letting_go(live: Manifest, places: Iterable[int]) -> str:
    """A JSON Patch that takes these entries away, and nothing where others are there by now; the last one first."""
    entries = live["metadata"]["managedFields"]
    operations: list[dict[str, object]] = []
    for at in sorted(places, reverse=True):
        path = f"/metadata/managedFields/{at}"
        operations.append({"op": "test", "path": f"{path}/manager", "value": entries[at]["manager"]})
        operations.append({"op": "remove", "path": path})
    return json.dumps(operations, separators=(",", ":"))
