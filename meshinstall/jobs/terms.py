"""What a job is to be, checked: everything in it becomes a part of YAML, of a shell's command line, or of a GitHub expression."""

import re
from dataclasses import dataclass
from enum import StrEnum

from meshinstall.errors import UsageError
from meshinstall.model.cluster_ref import Cloud, ClusterRef

# Of the ServiceAccount and what is named after it.
NAME = "meshinstall"
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_IMAGE = re.compile(r"[a-z0-9][A-Za-z0-9._:/-]{0,400}@sha256:[0-9a-f]{64}")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_FIELD = re.compile(r"[0-9*/,-]+|[A-Za-z,-]+")
_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*")
# Minutes, hours, days, months, weekdays.
_FIELDS = 5
# Kubernetes starts no job that is younger than its controller looks; GitHub counts minutes.
_SHORTEST = 300
_FORMS = {
    Cloud.EKS: (re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]{1,512}"), "a role's ARN: arn:aws:iam::ACCOUNT:role/NAME"),
    Cloud.AKS: (re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"), "a client ID: 11111111-2222-3333-4444-555555555555"),
    Cloud.GKE: (
        re.compile(r"[a-z0-9-]+@[a-z0-9.:-]+\.gserviceaccount\.com"),
        "a service account's e-mail: NAME@PROJECT.iam.gserviceaccount.com",
    ),
}
_PROVIDER = re.compile(r"projects/\d+/locations/global/workloadIdentityPools/[a-z0-9-]+/providers/[a-z0-9-]+")


class EksIdentity(StrEnum):
    """How a pod of EKS gets a role."""

    POD_IDENTITY = "pod-identity"
    IRSA = "irsa"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """When a job runs, on which cluster, and who it is there; ``deadline`` is in seconds.

    ``principal`` is a role's ARN (eks), a client ID (aks) or a service account's e-mail (gke); ``object_id`` is how an AKS cluster knows
    that client. On ``local`` all three are empty.
    """

    environment: str
    cluster: ClusterRef
    schedule: str
    zone: str
    deadline: int
    principal: str = ""
    object_id: str = ""
    identity: EksIdentity = EksIdentity.POD_IDENTITY

    @property
    def arguments(self) -> tuple[str, ...]:
        """What follows ``meshinstall`` on the command line of a night."""
        return ("upgrade", "--nightly", "--yes", "--cloud", self.cluster.cloud.value, "--env", self.environment)


def check_job(job: Job) -> None:
    """Raise UsageError for what a job cannot be."""
    cloud = job.cluster.cloud
    if not _WORD.fullmatch(job.environment):
        raise UsageError(f"environment {job.environment!r} cannot be named in a job", "use letters, digits, '.', '_' and '-' in its name")
    fields = job.schedule.split()
    if len(fields) != _FIELDS or not all(_FIELD.fullmatch(field) for field in fields):
        raise UsageError(
            f"--schedule {job.schedule!r}: not a schedule of five fields", 'write minute, hour, day, month, weekday: "0 2 * * *"'
        )
    if not _ZONE.fullmatch(job.zone) or job.zone == "Local":
        raise UsageError(f"--time-zone {job.zone!r}: not a time zone", "write it as Europe/Berlin or Etc/UTC")
    if job.deadline < _SHORTEST:
        raise UsageError(f"--deadline: {job.deadline} s are too short for an upgrade", "give it an hour or two: --deadline 2h")
    if cloud is Cloud.LOCAL:
        if job.principal or job.object_id:
            raise UsageError("--principal and --object-id need --cloud aks, eks or gke", "a local cluster knows the ServiceAccount itself")
        return
    form, words = _FORMS[cloud]
    if not form.fullmatch(job.principal):
        raise UsageError(f"--principal {job.principal!r}: not what --cloud {cloud} needs", f"give {words}")
    if job.object_id and (cloud is not Cloud.AKS or not form.fullmatch(job.object_id)):
        raise UsageError(f"--object-id {job.object_id!r}: not an object ID, or not on aks", "az identity show --query principalId")


def check_image(image: str) -> None:
    """Raise UsageError for an image without a digest: whoever may move its tag would be the mesh's root."""
    if not _IMAGE.fullmatch(image):
        raise UsageError(f"--image {image!r} has no digest", "write it as REGISTRY/NAME@sha256:DIGEST: a tag can be moved to another image")


def check_namespace(option: str, name: str) -> None:
    """Raise UsageError for what is not a namespace's name."""
    if not _LABEL.fullmatch(name):
        raise UsageError(f"{option} {name!r}: not a name of a namespace", "use lower-case letters, digits and '-', at most 63")


def check_provider(provider: str) -> None:
    """Raise UsageError for what is not the full name of a workload identity provider of Google."""
    if not _PROVIDER.fullmatch(provider):
        raise UsageError(
            f"--provider {provider!r}: not a workload identity provider",
            "write its full name: projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER",
        )


def check_reach(cluster: ClusterRef) -> None:
    """Raise UsageError where the environment's cluster is reached in a way that only a person's machine has."""
    selectors = cluster.selectors
    told = {"kubeconfig": str(cluster.kubeconfig or ""), "context": cluster.context, "profile": selectors.get("profile", "")}
    if cluster.cloud is Cloud.EKS and selectors.get("login") in {"environment", "instance"}:
        told["login"] = selectors["login"]
    if names := [name for name, value in told.items() if value]:
        raise UsageError(
            f"cluster.{names[0]} of the environment is of a person's machine, and the job has nothing like it",
            "take it out of meshinstall.yaml, or give it on your command lines",
        )
