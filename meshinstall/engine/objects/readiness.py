"""Judges whether live objects are ready, and why not; pure.

Rules of sigs.k8s.io/cli-utils pkg/kstatus/status/core.go, except that a
Service of type LoadBalancer is Current only when it has an address.
"""

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from meshinstall.model.facts import Facts, ObjectKey, key_of
from meshinstall.model.foreign_text import line
from meshinstall.model.release import Manifest, ReleaseKey

_WATCHED = ("Deployment", "DaemonSet", "StatefulSet", "ReplicaSet", "Service")
# Kinds that are scaled to a number of pods.
SCALED = frozenset({"Deployment", "StatefulSet", "ReplicaSet"})
# A kubelet that has not read a ConfigMap or Secret yet: it looks again after some seconds (kubernetes: pkg/kubelet/util/manager).
_BUSY = re.compile(r"failed to sync \w+ cache")
# A container that waits for one of these will wait for ever.
_HOPELESS = {
    "InvalidImageName",
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "SignatureValidationFailed",
}
_PULLS = {"ErrImagePull", "ImagePullBackOff"}
# A registry that answered: no such image, or not for you (containerd core/remotes/docker, distribution's error codes).
_REFUSED = re.compile(
    r"code = NotFound|: not found|(manifest|name|repository)[ _]unknown|authorization failed|unauthorized|40[13] |denied[,:]",
    re.IGNORECASE,
)
_ONE_POD = re.compile(r'pods? "[^"]*" is')
# Seconds that trouble may take to pass by itself: a node comes or a pod goes; a
# registry did not answer, and the kubelet asks again after 10 s.
_UNSCHEDULABLE_GRACE = 20.0
_PULL_GRACE = 15.0
# The event may be of an earlier try.
_REFUSED_GRACE = 5.0
REFUSED_PODS = (
    "change the quota or policy that refuses them, or the values (resources.requests and limits), then run the same command again"
)
_NO_NODE = "label a node so that it fits, or change nodeSelector, affinity or tolerations in the values, then run the same command again"
NO_ROOM = "add or uncordon nodes, or lower resources.requests, then run the same command again"
NO_IMAGE = "check images (hub, tag, pullSecrets) in meshinstall.yaml and that the nodes reach the registry, then run the same command again"
# What an autoscaler says of a pod that it makes a node for: cluster-autoscaler (EKS, AKS, GKE) and Karpenter (EKS, node
# auto-provisioning of AKS); karpenter: pkg/controllers/provisioning/scheduling/events.go.
_NODE_COMES = {"TriggeredScaleUp", "Nominated"}
# Characters of a message of a node or a controller that are passed on.
_LONGEST = 600
# A first crash may be the order in which things start.
_CRASHES_ALLOWED = 2


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why something is not ready; ``hopeless`` when waiting will not help, ``hint`` says what will.

    With a ``grace``, so many seconds after it was first seen; ``key`` is what of it stays the same while its text changes.
    """

    text: str
    hopeless: bool = False
    grace: float = 0.0
    hint: str = ""
    key: str = ""


def watched(manifests: tuple[Manifest, ...], release: ReleaseKey) -> tuple[ObjectKey, ...]:
    """Keys of the objects of a release whose readiness counts."""
    return tuple(key_of(manifest, release.namespace) for manifest in manifests if manifest.get("kind") in _WATCHED)


def pods_wanted(manifest: Manifest, manifests: Iterable[Manifest]) -> int:
    """How many pods a manifest asks for at least, by its autoscaler among the ``manifests`` of its release where there is one."""
    metadata, spec = manifest["metadata"], manifest.get("spec") or {}
    for one in manifests:
        scaler = one.get("spec") or {}
        target = scaler.get("scaleTargetRef") or {}
        is_its = (target.get("kind"), target.get("name")) == (manifest.get("kind"), metadata.get("name"))
        if one.get("kind") == "HorizontalPodAutoscaler" and is_its:
            return _count(scaler.get("minReplicas"))
    return _count(spec.get("replicas"))


def _count(value: Any) -> int:
    return value if isinstance(value, int) else 1


def empty(manifests: tuple[Manifest, ...], release: ReleaseKey) -> frozenset[ObjectKey]:
    """Objects of a release that are to have no pods."""
    return frozenset(key_of(one, release.namespace) for one in manifests if one.get("kind") in SCALED and not pods_wanted(one, manifests))


def release_state(release: ReleaseKey, facts: Facts) -> tuple[str, ...]:
    """Sentences on what of a release is not ready; objects that are gone are drift, not this."""
    manifests = facts.owned.get(release, ())
    may_be_empty = empty(manifests, release)
    keys = [key for key in watched(manifests, release) if key in facts.live]
    return tuple(f"{key}: {wait}" for key in keys if (wait := unready(facts.live[key], key.kind, may_be_empty=key in may_be_empty)))


def unready(live: Manifest, kind: str, *, may_be_empty: bool = False) -> str:
    """What an object waits for; empty when it is Current. No pods are never Current, unless that is wanted (``may_be_empty``)."""
    if "deletionTimestamp" in live["metadata"]:
        return "is being deleted"
    status: Mapping[str, Any] = live.get("status") or {}
    spec: Mapping[str, Any] = live.get("spec") or {}
    if kind == "Service":
        waits = spec.get("type") == "LoadBalancer" and not (status.get("loadBalancer") or {}).get("ingress")
        return "has no load balancer address yet" if waits else ""
    if not is_observed(live):
        return "its controller has not seen the change yet"
    return _on_nodes(live) if kind == "DaemonSet" else _replicated(spec, status, kind, may_be_empty=may_be_empty)


def _on_nodes(live: Manifest) -> str:
    status: Mapping[str, Any] = live.get("status") or {}
    wanted = status.get("desiredNumberScheduled", 0)
    if not wanted:
        return no_node(live)
    return _rolled(wanted, status.get("updatedNumberScheduled", 0), status.get("numberAvailable", 0))


def _replicated(spec: Mapping[str, Any], status: Mapping[str, Any], kind: str, *, may_be_empty: bool) -> str:
    wanted, total = spec.get("replicas", 1), status.get("replicas", 0)
    if not wanted and not may_be_empty:
        return "is scaled to 0 pods"
    # A ReplicaSet has one template.
    updated = total if kind == "ReplicaSet" else status.get("updatedReplicas", 0)
    return _rolled(wanted, updated, status.get("availableReplicas", 0), total)


def no_node(live: Manifest) -> str:
    """That no node takes the pods of a DaemonSet, and what they ask of one."""
    spec = ((live.get("spec") or {}).get("template") or {}).get("spec") or {}
    asks = [f"{name}={value}" for name, value in sorted((spec.get("nodeSelector") or {}).items())]
    asks += ["its node affinity"] if (spec.get("affinity") or {}).get("nodeAffinity") else []
    return (
        f"no node takes it: its pods ask for {' and '.join(asks)}"
        if asks
        else "no node takes it: the cluster has no node, or all have taints"
    )


def without_ready_pod(replicas: Manifest) -> str:
    """That no pod of a ReplicaSet is Ready; empty when one is."""
    ready = (replicas.get("status") or {}).get("readyReplicas")
    return "" if isinstance(ready, int) and ready > 0 else "no pod of the new template is Ready"


def is_observed(live: Manifest) -> bool:
    """Whether the controller of a workload has seen its newest spec; before, its status is of an older one."""
    return bool(live["metadata"].get("generation", 0) <= (live.get("status") or {}).get("observedGeneration", 0))


def pods_of(workload: Manifest) -> str:
    """The label selector of a workload's pods, of all its templates."""
    labels = workload["spec"]["selector"].get("matchLabels") or {}
    return ",".join(f"{name}={value}" for name, value in sorted(labels.items()))


def _rolled(wanted: int, updated: int, available: int, total: int = 0) -> str:
    if updated < wanted:
        return f"{updated} of {wanted} pods have the new version"
    if total > updated:
        return f"pods of the old version still exist: {total - updated}"
    return f"{available} of {wanted} pods are ready" if available < wanted else ""


def newest(owners: list[Manifest], deployment: Manifest) -> Manifest | None:
    """The ReplicaSet of a Deployment's newest template; None while there is none."""
    revision = _revision(deployment)
    return next((owner for owner in owners if _revision(owner) == revision), None)


def _revision(of: Manifest) -> str:
    return str((of["metadata"].get("annotations") or {}).get("deployment.kubernetes.io/revision", ""))


def replica_failure(replicas: Manifest) -> Trouble | None:
    """Pods of a ReplicaSet that may not even be created: quota, admission, limits."""
    for condition in (replicas.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            return Trouble(f"pods are refused: {_told(condition)}", hopeless=True, hint=REFUSED_PODS)
    return None


def without_node(key: ObjectKey, live: Manifest) -> Trouble:
    """A DaemonSet that no node takes: nodes seldom change by themselves so that one does."""
    return Trouble(no_node(live), hopeless=True, grace=_UNSCHEDULABLE_GRACE, hint=_NO_NODE, key=f"{key} has no node")


def creation_failure(key: ObjectKey, events: Iterable[Manifest]) -> Trouble | None:
    """Pods that may not be created, by the events about their owner; the newest decides, as old ones stay for an hour."""
    told = [event for event in events if event.get("reason") in {"FailedCreate", "SuccessfulCreate"}]
    last = max(told, key=lambda event: (_time(event), event["reason"] == "FailedCreate"), default=None)
    if last is None or last["reason"] != "FailedCreate":
        return None
    # Each try has another name for its pod, and of several the server makes one event.
    said = _ONE_POD.sub("a pod is", _told(last).removeprefix("(combined from similar events): "))
    return Trouble(f"pods are refused: {said}", hopeless=True, grace=_REFUSED_GRACE, hint=REFUSED_PODS, key=f"{key} may not have pods")


def _time(event: Manifest) -> str:
    """When an event was last seen; RFC 3339 in UTC, so that text compares as time does."""
    last = (event.get("series") or {}).get("lastObservedTime") or event.get("lastTimestamp") or event.get("eventTime")
    return str(last or event["metadata"].get("creationTimestamp") or "")[:19]


def unschedulable(pod: Manifest) -> Mapping[str, Any] | None:
    """The condition of a pod that fits on no node."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return next((one for one in conditions if one.get("type") == "PodScheduled" and one.get("reason") == "Unschedulable"), None)


def _no_room(name: str, condition: Mapping[str, Any], events: Iterable[Manifest]) -> Trouble:
    for event in events:
        if event.get("reason") in _NODE_COMES:
            # It takes minutes; the run's timeout is the end.
            return Trouble(f"pod {name} does not fit on any node yet; an autoscaler adds a node: {_told(event)}")
    text = f"pod {name} does not fit on any node: {_told(condition)}"
    return Trouble(text, hopeless=True, grace=_UNSCHEDULABLE_GRACE, hint=NO_ROOM, key=f"{name} has no node")


def pod_troubles(pod: Manifest, events: Iterable[Manifest] = ()) -> Iterator[Trouble]:
    """Why a pod is not ready, from its own status; ``events`` are those of a pod that fits on no node."""
    status = pod.get("status") or {}
    if condition := unschedulable(pod):
        yield _no_room(pod["metadata"]["name"], condition, events)
    for container in [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]:
        state = container.get("state") or {}
        waiting = state.get("waiting")
        if waiting and waiting.get("reason") not in {None, "ContainerCreating", "PodInitializing"}:
            yield _waiting(pod["metadata"], container, waiting)


def _waiting(pod: Manifest, container: Mapping[str, Any], waiting: Mapping[str, Any]) -> Trouble:
    if container.get("image") == "auto":
        text = f"pod {pod['name']} has no injected proxy (image: auto): the API server did not call the injection webhook"
        return Trouble(f"{text}; check its namespace for the label istio-injection: disabled", hopeless=True)
    reason = waiting["reason"]
    text = f"pod {pod['name']}, container {container.get('name')}: {reason}"
    if reason == "CrashLoopBackOff":
        name, namespace, inside = (shlex.quote(line(str(one))) for one in (pod["name"], pod.get("namespace"), container.get("name")))
        hint = f"see why: kubectl logs {name} -n {namespace} -c {inside} --previous"
        return Trouble(text + _last_words(container), container.get("restartCount", 0) >= _CRASHES_ALLOWED, hint=hint)
    detail = _told(waiting)
    text += f": {detail}" if detail else ""
    if reason in _PULLS:
        grace = 0 if _REFUSED.search(detail) else _PULL_GRACE
        return Trouble(text, hopeless=True, grace=grace, hint=NO_IMAGE, key=f"{pod['name']} {container.get('name')} has no image")
    return Trouble(text, reason in _HOPELESS and not _BUSY.search(detail))


def _last_words(container: Mapping[str, Any]) -> str:
    last = (container.get("lastState") or {}).get("terminated") or {}
    return "".join(f": {word}" for word in (f"exit code {last['exitCode']}" if "exitCode" in last else "", _told(last)) if word)


def _told(by: Mapping[str, Any]) -> str:
    return str(by.get("message") or "")[:_LONGEST]
