"""What the replacement of a workload's pods means: what is down meanwhile, and which pods nothing replaces; pure.

The rules are those of Kubernetes' controllers (kubernetes: pkg/controller/deployment, statefulset, daemon): a rolling update does not
ask a PodDisruptionBudget, only an eviction does.
"""

from meshinstall.model.mesh_position import Carrier, Proxied

# What Kubernetes itself rolls out.
ROLLED_OUT = frozenset({"Deployment", "StatefulSet", "DaemonSet"})
_OTHERS = {
    "Job": "it ends",
    "Pod": "somebody deletes it and makes it again: no controller does",
    "ReplicaSet": "somebody deletes its pods",
}
_SELF = frozenset({Carrier.MANAGED_GATEWAY, Carrier.WAYPOINT})

# Seconds that old and new pods of a gateway serve side by side at most: what is judged meanwhile can be taken back without a gap. Where
# nobody is left to decide, the rollout goes on by itself, and by this number, which nobody else writes, the next run knows it.
HOLD = 307


def is_held(one: Proxied) -> bool:
    """Whether an upgrade holds a gateway, or did so when it was interrupted."""
    return one.rollout.min_ready == HOLD


def kept_until(one: Proxied) -> str:
    """What ends that a workload keeps its old proxies, where no restart of ours does; empty when one does."""
    if one.pinned_image:
        return f"its pod template no longer names the image {one.pinned_image}"
    if one.kind not in ROLLED_OUT:
        return _OTHERS.get(one.kind, f"the controller of {one.kind} replaces its pods")
    rollout = one.rollout
    if rollout.is_paused:
        return f"the {one.kind} is no longer paused"
    if rollout.strategy == "OnDelete":
        return "somebody deletes its pods (OnDelete)"
    return f"its partition no longer keeps {rollout.held} pod{'s' if rollout.held > 1 else ''}" if rollout.held else ""


def meaning(one: Proxied) -> str:
    """What a restart means for those who call a workload; for what nothing replaces, what its pods keep."""
    if until := kept_until(one):
        return f"keeps the old proxy until {until}"
    who = "istiod replaces its pods: " if one.carrier in _SELF else ""
    return f"{who}{down_for(one)}{_budget(one)}"


def is_down(one: Proxied) -> bool:
    """Whether there is a time without any pod that serves."""
    rollout = one.rollout
    if kept_until(one) or not rollout.replicas:
        return False
    if one.kind == "DaemonSet":
        # Each node has one pod, and what is for a node is served by that alone.
        return not rollout.max_surge
    if one.kind == "StatefulSet":
        return rollout.replicas <= max(1, rollout.max_unavailable)
    return rollout.strategy == "Recreate" or rollout.replicas <= rollout.max_unavailable


def down_for(one: Proxied) -> str:
    """What is down while the pods of a workload are replaced, in words."""
    rollout = one.rollout
    if not rollout.replicas:
        return "has no pods now"
    if not is_down(one):
        surge = rollout.max_surge and not rollout.max_unavailable
        return "not down: a new pod is Ready before an old one stops" if surge else "not down: other pods serve meanwhile"
    stop = f"from the stop of the old (up to {rollout.grace} s) until the new are Ready"
    if one.kind == "DaemonSet":
        return f"down on each node in turn, {stop}"
    if rollout.strategy == "Recreate":
        return f"down {stop}: strategy Recreate"
    why = "it has 1 pod" if rollout.replicas == 1 else f"all of its {rollout.replicas} pods may be replaced at once"
    return f"down {stop}: {why}"


def _budget(one: Proxied) -> str:
    budget = one.rollout.budget
    return f"; PodDisruptionBudget {budget} allows no disruption now, and a rollout does not ask it" if budget else ""
