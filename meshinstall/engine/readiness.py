"""Whether live objects are where they should be, in kstatus' words; pure.

Rules of sigs.k8s.io/cli-utils pkg/kstatus/status/core.go, except that a
Service of type LoadBalancer is Current only when it has an address.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from meshinstall.model.facts import Facts, ObjectKey, key_of
from meshinstall.model.release import Manifest, ReleaseKey

_WATCHED = ("Deployment", "DaemonSet", "Service")
# A container that waits for one of these will wait for ever.
_HOPELESS = {
    "ImagePullBackOff",
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
    "CrashLoopBackOff",
    "ErrImageNeverPull",
}
# A first crash may be the order in which things start.
_CRASHES_ALLOWED = 2


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why something is not ready; ``hopeless`` when waiting will not help."""

    text: str
    hopeless: bool = False


def watched(manifests: tuple[Manifest, ...], release: ReleaseKey) -> tuple[ObjectKey, ...]:
    """Keys of the objects of a release whose readiness counts."""
    return tuple(key_of(manifest, release.namespace) for manifest in manifests if manifest.get("kind") in _WATCHED)


def release_state(release: ReleaseKey, facts: Facts) -> tuple[str, ...]:
    """Sentences on what of a release is not ready; objects that are gone are drift, not this."""
    keys = watched(facts.owned.get(release, ()), release)
    return tuple(f"{key}: {wait}" for key in keys if key in facts.live and (wait := unready(facts.live[key], key.kind)))


def unready(live: Manifest, kind: str) -> str:
    """What an object waits for; empty when it is Current."""
    if "deletionTimestamp" in live["metadata"]:
        return "is being deleted"
    status: Mapping[str, Any] = live.get("status") or {}
    spec: Mapping[str, Any] = live.get("spec") or {}
    if kind == "Service":
        waits = spec.get("type") == "LoadBalancer" and not (status.get("loadBalancer") or {}).get("ingress")
        return "has no load balancer address yet" if waits else ""
    if live["metadata"].get("generation", 0) > status.get("observedGeneration", 0):
        return "was not looked at yet"
    if kind == "DaemonSet":
        return _rolled(status.get("desiredNumberScheduled", 0), status.get("updatedNumberScheduled", 0), status.get("numberAvailable", 0))
    return _rolled(spec.get("replicas", 1), status.get("updatedReplicas", 0), status.get("availableReplicas", 0), status.get("replicas", 0))


def _rolled(wanted: int, updated: int, available: int, total: int = 0) -> str:
    if updated < wanted:
        return f"{updated} of {wanted} pods are of the new version"
    if total > updated:
        return f"pods of the old version are still there: {total - updated}"
    return f"{available} of {wanted} pods are ready" if available < wanted else ""


def replica_failure(live: Manifest) -> Trouble | None:
    """Pods that may not even be created: quota, admission, limits."""
    for condition in (live.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            return Trouble(f"pods are refused: {condition.get('message', '')}", hopeless=True)
    return None


def pod_troubles(pod: Manifest) -> Iterator[Trouble]:
    """Why a pod is not ready, from its own status."""
    status = pod.get("status") or {}
    name = pod["metadata"]["name"]
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("reason") == "Unschedulable":
            yield Trouble(f"pod {name} fits on no node: {condition.get('message', '')}", hopeless=True)
    for container in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
        state = container.get("state") or {}
        waiting = state.get("waiting")
        if waiting and waiting.get("reason") not in {None, "ContainerCreating", "PodInitializing"}:
            yield _waiting(name, container, waiting)


def _waiting(pod: str, container: Mapping[str, Any], waiting: Mapping[str, Any]) -> Trouble:
    reason = waiting["reason"]
    if container.get("image") == "auto":
        text = f"pod {pod} was not injected (image: auto): the injection webhook did not see it"
        return Trouble(f"{text}; is its namespace labelled istio-injection: disabled?", hopeless=True)
    last = ((container.get("lastState") or {}).get("terminated") or {}).get("exitCode")
    detail = waiting.get("message") or (f"exit code {last}" if last is not None else "")
    hopeless = reason in _HOPELESS and (reason != "CrashLoopBackOff" or container.get("restartCount", 0) >= _CRASHES_ALLOWED)
    return Trouble(f"pod {pod}, container {container.get('name')}: {reason}{f': {detail}' if detail else ''}", hopeless)
