"""Who gives a workload new pods; pure."""

from meshinstall.model.mesh_position import Carrier, Proxied
from meshinstall.model.proxy_list import RolledBy, Rolling

ROLLED_OUT = frozenset({"Deployment", "StatefulSet", "DaemonSet"})
_NOBODY = {
    "Job": "a Job: it ends by itself",
    "Pod": "a bare pod: delete it and make it again",
    "ReplicaSet": "a ReplicaSet without a Deployment: delete its pods",
    "ReplicationController": "a ReplicationController: delete its pods",
}


def rolling(one: Proxied, *, is_there: bool | None) -> Rolling:
    """Who rolls a workload; ``is_there``: its owner was found, None where owners of this kind could not be read."""
    if one.carrier in {Carrier.MANAGED_GATEWAY, Carrier.WAYPOINT}:
        return Rolling(RolledBy.ISTIOD, "for its Gateway of the Gateway API")
    if one.kind in _NOBODY:
        return Rolling(RolledBy.NOBODY, _NOBODY[one.kind])
    if one.kind not in ROLLED_OUT:
        return Rolling(RolledBy.CONTROLLER, f"{one.kind} is not a kind of Kubernetes: see its own documentation")
    return _rollout(one) if is_there else _unseen(one.kind, is_there)


def _rollout(one: Proxied) -> Rolling:
    if one.rollout.strategy == "OnDelete":
        return Rolling(RolledBy.NOBODY, "OnDelete: delete its pods")
    if one.rollout.is_paused:
        return Rolling(RolledBy.NOBODY, f"the {one.kind} is paused: kubectl rollout resume")
    return Rolling(RolledBy.UPGRADE if one.release else RolledBy.ROLLOUT, _in_the_way(one))


def _unseen(kind: str, is_there: bool | None) -> Rolling:  # noqa: FBT001 - as above
    if is_there is None:
        return Rolling(RolledBy.UNKNOWN, f"{kind}s could not be read")
    return Rolling(RolledBy.NOBODY, f"its {kind} does not exist: delete its pods")


def _in_the_way(one: Proxied) -> str:
    if one.pinned_image:
        return f"its pod template names the image {one.pinned_image}, and keeps it"
    if one.rollout.held:
        return f"its partition keeps {one.rollout.held} pod{'s' if one.rollout.held > 1 else ''}"
    return ""
