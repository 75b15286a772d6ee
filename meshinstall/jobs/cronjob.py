"""A CronJob that upgrades the mesh of its cluster at night, with its account, its rights and its files."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from meshinstall.errors import UsageError
from meshinstall.jobs.files import files_map, files_volume
from meshinstall.jobs.identity import Identity, pod_identity
from meshinstall.jobs.rbac import rights
from meshinstall.jobs.terms import NAME, Job, check_image, check_job, check_namespace, check_reach
from meshinstall.model.release import Manifest

FOLDER = "/etc/meshinstall"
# What the pod may write: caches, the journal, helm's kubeconfig; gone with the pod.
_SCRATCH = "/tmp"  # noqa: S108 - of the pod alone
_USER = 65532
# Seconds: helm ends within four of a signal; a job that was missed by more than half an hour waits for the next night.
_GRACE, _LATE = 30, 1800
# No proxy: its requests go to the API server, and a sidecar would keep the pod from ending.
_OUTSIDE = {"sidecar.istio.io/inject": "false", "istio.io/dataplane-mode": "none"}
_ABOUT = {"app.kubernetes.io/name": NAME}


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a job runs and what it works on: ``mesh`` are the mesh's namespaces, in ``workloads`` it may restart what has a proxy."""

    namespace: str
    image: str
    mesh: tuple[str, ...]
    workloads: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rendered:
    """Objects in the order in which they are applied, and commands that somebody runs once."""

    objects: tuple[Manifest, ...]
    once: tuple[str, ...]


def cronjob(job: Job, place: Place, files: Mapping[str, str]) -> Rendered:
    """All of it; ``files`` are the project's texts by their paths. Raises UsageError for what cannot be."""
    check_job(job)
    check_reach(job.cluster)
    _check_place(place)
    who = pod_identity(job, place.namespace)
    carried = files_map(files, place.namespace)
    account: Manifest = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {**_named(place.namespace), **({"annotations": dict(who.annotations)} if who.annotations else {})},
        "automountServiceAccountToken": who.uses_token,
    }
    volume = files_volume(files, carried["metadata"]["name"])
    night: Manifest = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": _named(place.namespace),
        "spec": _spec(job, place, who, volume),
    }
    return Rendered((account, *rights(who.subject, place.mesh, place.workloads), carried, night), who.once)


def _check_place(place: Place) -> None:
    check_image(place.image)
    check_namespace("--namespace", place.namespace)
    for name in place.workloads:
        check_namespace("--workloads", name)
    if place.namespace in {*place.mesh, *place.workloads}:
        raise UsageError(
            f"--namespace {place.namespace}: the job would work on its own namespace", "give it one of its own, such as meshinstall"
        )


def _named(namespace: str) -> dict[str, Any]:
    return {"name": NAME, "namespace": namespace, "labels": dict(_ABOUT)}


def _spec(job: Job, place: Place, who: Identity, volume: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "schedule": job.schedule,
        "timeZone": job.zone,
        "concurrencyPolicy": "Forbid",
        "startingDeadlineSeconds": _LATE,
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 7,
        "jobTemplate": {
            "metadata": {"labels": dict(_ABOUT)},
            "spec": {
                "backoffLimit": 0,
                "activeDeadlineSeconds": job.deadline,
                # A drained node is no failure: the next pod continues where this one was ended.
                "podFailurePolicy": {"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]},
                "template": {"metadata": {"labels": {**_ABOUT, **_OUTSIDE, **who.labels}}, "spec": _pod(job, place, who, volume)},
            },
        },
    }


def _pod(job: Job, place: Place, who: Identity, volume: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "serviceAccountName": NAME,
        "automountServiceAccountToken": who.uses_token,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": _GRACE,
        "enableServiceLinks": False,
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(job, place)],
        "volumes": [dict(volume), {"name": "scratch", "emptyDir": {"sizeLimit": "1Gi"}}],
    }


def _container(job: Job, place: Place) -> dict[str, Any]:
    return {
        "name": NAME,
        "image": place.image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["meshinstall"],
        "args": list(job.arguments),
        "env": [
            {"name": "HOME", "value": f"{_SCRATCH}/home"},
            {"name": "MESHINSTALL_CONFIG", "value": f"{FOLDER}/meshinstall.yaml"},
            {"name": "PYTHONDONTWRITEBYTECODE", "value": "1"},
        ],
        "resources": {"requests": {"cpu": "250m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [
            {"name": "files", "mountPath": FOLDER, "readOnly": True},
            {"name": "scratch", "mountPath": _SCRATCH},
        ],
    }
