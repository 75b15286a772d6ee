"""What counts as ready, and which trouble of a pod will not pass by itself."""

from typing import Any

import pytest

from meshinstall.engine.readiness import Trouble, pod_troubles, replica_failure, unready


def deployment(wanted: int | None = 2, generation: int = 1, **status: Any) -> dict[str, Any]:
    spec = {} if wanted is None else {"replicas": wanted}
    return {"metadata": {"generation": generation}, "spec": spec, "status": {"observedGeneration": 1, **status}}


def service(kind: str, *ingress: dict[str, str]) -> dict[str, Any]:
    return {"metadata": {}, "spec": {"type": kind}, "status": {"loadBalancer": {"ingress": list(ingress)}}}


@pytest.mark.parametrize(
    ("live", "kind", "waits_for"),
    [
        (deployment(replicas=2, updatedReplicas=2, availableReplicas=2), "Deployment", ""),
        (deployment(0), "Deployment", ""),
        (deployment(None), "Deployment", "0 of 1 pods are of the new version"),
        (deployment(generation=2, replicas=2, updatedReplicas=2, availableReplicas=2), "Deployment", "was not looked at yet"),
        (deployment(replicas=2, updatedReplicas=1, availableReplicas=2), "Deployment", "1 of 2 pods are of the new version"),
        (deployment(replicas=3, updatedReplicas=2, availableReplicas=3), "Deployment", "pods of the old version are still there: 1"),
        (deployment(replicas=2, updatedReplicas=2, availableReplicas=1), "Deployment", "1 of 2 pods are ready"),
        ({"metadata": {"generation": 1}, "spec": {}}, "Deployment", "was not looked at yet"),
        ({"metadata": {"deletionTimestamp": "2026-11-21T12:00:00Z"}}, "Deployment", "is being deleted"),
        (deployment(desiredNumberScheduled=3, updatedNumberScheduled=3, numberAvailable=3), "DaemonSet", ""),
        (deployment(desiredNumberScheduled=0), "DaemonSet", ""),
        (
            deployment(desiredNumberScheduled=3, updatedNumberScheduled=2, numberAvailable=3),
            "DaemonSet",
            "2 of 3 pods are of the new version",
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


def container(reason: str = "", message: str = "", image: str = "istio/pilot", restarts: int = 0, exit_code: int | None = None) -> Any:
    last = {} if exit_code is None else {"terminated": {"exitCode": exit_code}}
    waiting = {"waiting": {"reason": reason, "message": message}} if reason else {"running": {}}
    return {"name": "c", "image": image, "restartCount": restarts, "state": waiting, "lastState": last}


def pod(*containers: Any, **status: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p"}, "status": {"containerStatuses": list(containers), **status}}


@pytest.mark.parametrize(
    ("statuses", "trouble"),
    [
        (container("ErrImagePull", "404"), Trouble("pod p, container c: ErrImagePull: 404")),
        (container("ImagePullBackOff", "back-off"), Trouble("pod p, container c: ImagePullBackOff: back-off", hopeless=True)),
        (container("InvalidImageName"), Trouble("pod p, container c: InvalidImageName", hopeless=True)),
        (
            container("CreateContainerConfigError", "secret x not found"),
            Trouble("pod p, container c: CreateContainerConfigError: secret x not found", hopeless=True),
        ),
        (container("CrashLoopBackOff", restarts=1, exit_code=255), Trouble("pod p, container c: CrashLoopBackOff: exit code 255")),
        (
            container("CrashLoopBackOff", restarts=2, exit_code=0),
            Trouble("pod p, container c: CrashLoopBackOff: exit code 0", hopeless=True),
        ),
        (
            container("ErrImagePull", image="auto"),
            Trouble(
                "pod p was not injected (image: auto): the injection webhook did not see it; "
                "is its namespace labelled istio-injection: disabled?",
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
    found = pod(initContainerStatuses=[container("ImagePullBackOff")])
    assert [trouble.hopeless for trouble in pod_troubles(found)] == [True]


def test_a_pod_that_fits_nowhere_says_so() -> None:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes: Insufficient cpu"}
    assert list(pod_troubles(pod(conditions=[condition]))) == [Trouble("pod p fits on no node: 0/3 nodes: Insufficient cpu", hopeless=True)]


@pytest.mark.parametrize(("status", "refused"), [("True", True), ("False", False)])
def test_pods_that_may_not_be_created(status: str, refused: bool) -> None:  # noqa: FBT001 - a column of the table
    live = deployment(conditions=[{"type": "ReplicaFailure", "status": status, "message": "exceeded quota"}])
    assert replica_failure(live) == (Trouble("pods are refused: exceeded quota", hopeless=True) if refused else None)
