"""What counts as ready, and which trouble of a pod will not pass by itself."""

from typing import Any

import pytest

from meshinstall.engine.objects.readiness import (
    Trouble,
    creation_failure,
    empty,
    newest,
    pod_troubles,
    pods_wanted,
    replica_failure,
    unready,
)
from meshinstall.model.facts import ObjectKey
from meshinstall.model.release import ReleaseKey

NO_IMAGE = "check images (hub, tag, pullSecrets) in meshinstall.yaml and that the nodes reach the registry, then run the same command again"
LOGS = "see why: kubectl logs p -n n -c c --previous"
NO_PULL = "p c has no image"
NO_ROOM = "add or uncordon nodes, or lower resources.requests, then run the same command again"

NOWHERE = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes: Insufficient cpu"}


def deployment(wanted: int | None = 2, generation: int = 1, **status: Any) -> dict[str, Any]:
    spec = {} if wanted is None else {"replicas": wanted}
    return {"metadata": {"generation": generation}, "spec": spec, "status": {"observedGeneration": 1, **status}}


def agents(**pods: Any) -> dict[str, Any]:
    return {"metadata": {"generation": 1}, "spec": {"template": {"spec": pods}}, "status": {"observedGeneration": 1}}


def service(kind: str, *ingress: dict[str, str]) -> dict[str, Any]:
    return {"metadata": {}, "spec": {"type": kind}, "status": {"loadBalancer": {"ingress": list(ingress)}}}


@pytest.mark.parametrize(
    ("live", "kind", "waits_for"),
    [
        (deployment(replicas=2, updatedReplicas=2, availableReplicas=2), "Deployment", ""),
        (deployment(0), "Deployment", "is scaled to 0 pods"),
        (deployment(0), "StatefulSet", "is scaled to 0 pods"),
        (deployment(0), "ReplicaSet", "is scaled to 0 pods"),
        (deployment(replicas=2, availableReplicas=2), "ReplicaSet", ""),
        (deployment(replicas=2, availableReplicas=1), "ReplicaSet", "1 of 2 pods are ready"),
        (deployment(None), "Deployment", "0 of 1 pods have the new version"),
        (
            deployment(generation=2, replicas=2, updatedReplicas=2, availableReplicas=2),
            "Deployment",
            "its controller has not seen the change yet",
        ),
        (deployment(replicas=2, updatedReplicas=1, availableReplicas=2), "Deployment", "1 of 2 pods have the new version"),
        (deployment(replicas=3, updatedReplicas=2, availableReplicas=3), "Deployment", "pods of the old version still exist: 1"),
        (deployment(replicas=2, updatedReplicas=2, availableReplicas=1), "Deployment", "1 of 2 pods are ready"),
        ({"metadata": {"generation": 1}, "spec": {}}, "Deployment", "its controller has not seen the change yet"),
        ({"metadata": {"deletionTimestamp": "2026-11-21T12:00:00Z"}}, "Deployment", "is being deleted"),
        (deployment(desiredNumberScheduled=3, updatedNumberScheduled=3, numberAvailable=3), "DaemonSet", ""),
        (deployment(desiredNumberScheduled=0), "DaemonSet", "no node takes it: the cluster has no node, or all have taints"),
        (agents(nodeSelector={"gpu": "yes"}), "DaemonSet", "no node takes it: its pods ask for gpu=yes"),
        (
            agents(nodeSelector={"b": "2", "a": "1"}, affinity={"nodeAffinity": {"x": 1}}),
            "DaemonSet",
            "no node takes it: its pods ask for a=1 and b=2 and its node affinity",
        ),
        (
            deployment(desiredNumberScheduled=3, updatedNumberScheduled=2, numberAvailable=3),
            "DaemonSet",
            "2 of 3 pods have the new version",
        ),
        (deployment(desiredNumberScheduled=3, updatedNumberScheduled=3, numberAvailable=1), "DaemonSet", "1 of 3 pods are ready"),
        (service("LoadBalancer", {"ip": "192.0.2.1"}), "Service", ""),
        (service("LoadBalancer", {"hostname": "lb.example"}), "Service", ""),
        (service("LoadBalancer"), "Service", "has no load balancer address yet"),
        (service("ClusterIP"), "Service", ""),
    ],
)
def test_an_object_is_current_or_says_what_it_waits_for(live: dict[str, Any], kind: str, waits_for: str) -> None:
    assert unready(live, kind) == waits_for


def test_no_pods_are_enough_where_none_are_wanted() -> None:
    assert unready(deployment(0), "Deployment", may_be_empty=True) == ""
    going = unready(deployment(0, replicas=1, updatedReplicas=0), "Deployment", may_be_empty=True)
    assert going == "pods of the old version still exist: 1"


def manifest(kind: str = "Deployment", **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "istiod"}, "spec": spec}


def scaler(kind: str = "Deployment", **spec: Any) -> dict[str, Any]:
    target = {"kind": kind, "name": "istiod"}
    return {"kind": "HorizontalPodAutoscaler", "metadata": {"name": "istiod"}, "spec": {"scaleTargetRef": target, **spec}}


@pytest.mark.parametrize(
    ("manifests", "pods"),
    [
        ([manifest()], 1),
        ([manifest(replicas=3)], 3),
        ([manifest(replicas=0)], 0),
        ([manifest(), scaler(minReplicas=2)], 2),
        ([manifest(), scaler()], 1),
        ([manifest(), scaler(minReplicas=0)], 0),
        ([manifest(replicas=3), scaler("StatefulSet", minReplicas=2)], 3),
    ],
)
def test_the_autoscaler_says_how_many_pods_there_are_at_least(manifests: list[dict[str, Any]], pods: int) -> None:
    assert pods_wanted(manifests[0], manifests) == pods
    release = ReleaseKey("istio-system", "istiod")
    assert bool(empty(tuple(manifests), release)) == (pods == 0)


def event(reason: str, second: int, **more: Any) -> dict[str, Any]:
    return {"metadata": {}, "reason": reason, "lastTimestamp": f"2026-11-21T12:00:{second:02}Z", "message": f"{reason} {second}"} | more


SET = ObjectKey("apps/v1", "DaemonSet", "istio-system", "ztunnel")


def test_a_refusal_reads_the_same_for_every_try() -> None:
    texts = set()
    for name, more in (("a-1x", ""), ("a-2y", "(combined from similar events): ")):
        message = f'{more}Error creating: pods "{name}" is forbidden: exceeded quota: tight'
        found = creation_failure(SET, [event("FailedCreate", 1, message=message)])
        texts.add(found and found.text)
    assert texts == {"pods are refused: Error creating: a pod is forbidden: exceeded quota: tight"}


@pytest.mark.parametrize(
    ("events", "told"),
    [
        ([], None),
        ([event("FailedCreate", 1), event("FailedCreate", 3), event("FailedCreate", 2)], "pods are refused: FailedCreate 3"),
        ([event("FailedCreate", 1), event("SuccessfulCreate", 2)], None),
        ([event("SuccessfulCreate", 2), event("FailedCreate", 2)], "pods are refused: FailedCreate 2"),
        ([event("FailedCreate", 2), event("SuccessfulDelete", 3)], "pods are refused: FailedCreate 2"),
        # A series says when it was last seen; what has neither, when it was made.
        (
            [event("FailedCreate", 1, series={"lastObservedTime": "2026-11-21T12:00:09.5Z"}), event("SuccessfulCreate", 2)],
            "pods are refused",
        ),
        ([{"metadata": {"creationTimestamp": "2026-11-21T12:00:05Z"}, "reason": "SuccessfulCreate"}, event("FailedCreate", 4)], None),
    ],
)
def test_the_newest_event_says_whether_pods_are_refused(events: list[dict[str, Any]], told: str | None) -> None:
    found = creation_failure(SET, events)
    assert (found is None) == (told is None)
    if found and told:
        assert found.text.startswith(told)
        assert found.hopeless
        assert found.grace > 0


def container(reason: str = "", message: str = "", image: str = "istio/pilot", restarts: int = 0, exit_code: int | None = None) -> Any:
    last = {} if exit_code is None else {"terminated": {"exitCode": exit_code}}
    waiting = {"waiting": {"reason": reason, "message": message}} if reason else {"running": {}}
    return {"name": "c", "image": image, "restartCount": restarts, "state": waiting, "lastState": last}


def pod(*containers: Any, **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p", "namespace": "n"}, "status": {"containerStatuses": list(containers), **status}}


@pytest.mark.parametrize(
    ("statuses", "trouble"),
    [
        (container("ErrImagePull", "i/o timeout"), Trouble("pod p, container c: ErrImagePull: i/o timeout", True, 15, NO_IMAGE, NO_PULL)),
        (container("ImagePullBackOff", "x: 500 "), Trouble("pod p, container c: ImagePullBackOff: x: 500 ", True, 15, NO_IMAGE, NO_PULL)),
        (container("InvalidImageName"), Trouble("pod p, container c: InvalidImageName", hopeless=True)),
        (
            container("CreateContainerConfigError", "secret x not found"),
            Trouble("pod p, container c: CreateContainerConfigError: secret x not found", hopeless=True),
        ),
        (
            container("CreateContainerConfigError", "failed to sync configmap cache: timed out waiting for the condition"),
            Trouble("pod p, container c: CreateContainerConfigError: failed to sync configmap cache: timed out waiting for the condition"),
        ),
        (
            container("CrashLoopBackOff", restarts=1, exit_code=255),
            Trouble("pod p, container c: CrashLoopBackOff: exit code 255", hint=LOGS),
        ),
        (
            container("CrashLoopBackOff", "back-off 10s", restarts=2, exit_code=0),
            Trouble("pod p, container c: CrashLoopBackOff: exit code 0", hopeless=True, hint=LOGS),
        ),
        (
            container("ErrImagePull", image="auto"),
            Trouble(
                "pod p has no injected proxy (image: auto): the API server did not call the injection webhook; "
                "check its namespace for the label istio-injection: disabled",
                hopeless=True,
            ),
        ),
    ],
)
def test_a_container_that_waits_says_why(statuses: Any, trouble: Trouble) -> None:
    assert list(pod_troubles(pod(statuses))) == [trouble]


@pytest.mark.parametrize("statuses", [container(), container("ContainerCreating"), container("PodInitializing")])
def test_a_container_that_starts_is_no_trouble(statuses: Any) -> None:
    assert list(pod_troubles(pod(statuses))) == []


def test_a_pod_without_status_is_no_trouble() -> None:
    assert list(pod_troubles({"metadata": {"name": "p"}})) == []


def test_init_containers_count() -> None:
    found = pod(initContainerStatuses=[container("InvalidImageName")])
    assert [trouble.hopeless for trouble in pod_troubles(found)] == [True]


def test_a_pod_that_fits_nowhere_says_so() -> None:
    expected = Trouble(
        "pod p does not fit on any node: 0/3 nodes: Insufficient cpu", hopeless=True, grace=20, hint=NO_ROOM, key="p has no node"
    )
    for events in ([], [{"reason": "FailedScheduling"}, {"reason": "NotTriggerScaleUp"}]):
        assert list(pod_troubles(pod(conditions=[NOWHERE]), events)) == [expected]


@pytest.mark.parametrize(
    ("reason", "message"),
    [("TriggeredScaleUp", "pod triggered scale-up: [{pool 1->2 (max: 3)}]"), ("Nominated", "Pod should schedule on: nodeclaim/a-7x")],
)
def test_a_pod_for_which_an_autoscaler_makes_a_node_is_waited_for(reason: str, message: str) -> None:
    events = [{"reason": "FailedScheduling", "message": "no"}, {"reason": reason, "message": message}]
    found = list(pod_troubles(pod(conditions=[NOWHERE]), events))
    assert found == [Trouble(f"pod p does not fit on any node yet; an autoscaler adds a node: {message}")]


# As containerd 2 says it when the registry answered, and when it did not.
@pytest.mark.parametrize(
    ("message", "grace"),
    [
        ('rpc error: code = NotFound desc = failed to pull and unpack image "r/i:t": failed to resolve image: r/i:t: not found', 0),
        ("failed to resolve image: pull access denied, repository does not exist or may require authorization: authorization failed", 0),
        ("failed to resolve image: unexpected status from HEAD request to https://r/v2/i/manifests/t: 403 Forbidden", 0),
        ("failed to resolve reference: unexpected status: 401 Unauthorized", 0),
        ("reading manifest t in r/i: manifest unknown", 0),
        ("Error response from daemon: denied: requested access to the resource is denied", 0),
        ("failed to resolve image: unexpected status from HEAD request to https://r/v2/i/manifests/t: 500 Internal Server Error", 15),
        ("failed to do request: Head https://r/v2/i/manifests/t: dial tcp: lookup r on 10.0.0.10:53: no such host", 15),
        ("unexpected status from HEAD request to https://r/v2/i/manifests/t: 429 Too Many Requests", 15),
        ("failed to do request: Head https://r/v2/i/manifests/t: dial tcp 10.0.4.1:443: connect: connection refused", 15),
    ],
)
@pytest.mark.parametrize("reason", ["ErrImagePull", "ImagePullBackOff"])
def test_a_registry_that_said_no_is_not_asked_again(reason: str, message: str, grace: float) -> None:
    (trouble,) = pod_troubles(pod(container(reason, message)))
    assert trouble.hopeless is True
    assert trouble.grace == grace


def test_a_message_without_end_is_cut() -> None:
    (trouble,) = pod_troubles(pod(container("CreateContainerError", "x" * 5000)))
    assert len(trouble.text) < 700


@pytest.mark.parametrize(("status", "refused"), [("True", True), ("False", False)])
def test_pods_that_may_not_be_created(status: str, refused: bool) -> None:  # noqa: FBT001 - a column of the table
    found = replica_failure({"status": {"conditions": [{"type": "ReplicaFailure", "status": status, "message": "exceeded quota"}]}})
    assert (found.text, found.hopeless) == ("pods are refused: exceeded quota", True) if refused and found else found is None


def replicas(revision: str | None) -> dict[str, Any]:
    return {"metadata": {"annotations": None if revision is None else {"deployment.kubernetes.io/revision": revision}}}


@pytest.mark.parametrize(("there", "chosen"), [(["3", "10", "2"], "10"), (["3", "2"], None), ([], None)])
def test_the_newest_replicas_are_those_of_the_deployments_revision(there: list[str], chosen: str | None) -> None:
    found = newest([replicas(revision) for revision in there], replicas("10"))
    assert found == (None if chosen is None else replicas(chosen))
