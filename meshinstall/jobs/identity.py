"""Who a pod is in each cloud and in the cluster, without a secret: annotations, labels, and what has to be done once by hand."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from meshinstall.errors import UsageError
from meshinstall.jobs.terms import NAME, EksIdentity, Job
from meshinstall.model.cluster_ref import Cloud

Subject = Mapping[str, Any]
_RBAC = "rbac.authorization.k8s.io"


@dataclass(frozen=True, slots=True)
class Identity:
    """Of a ServiceAccount: ``subject`` is who its requests come from, as RBAC names it; ``once`` are commands that nobody else runs."""

    subject: Subject
    annotations: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    once: tuple[str, ...] = ()
    # Only the API server of a local cluster is asked with the ServiceAccount's token.
    uses_token: bool = False


def pod_identity(job: Job, namespace: str) -> Identity:
    """Who the pods of a CronJob are; raises UsageError where something of it is missing."""
    match job.cluster.cloud:
        case Cloud.EKS:
            return _eks(job, namespace)
        case Cloud.AKS:
            return _aks(job, namespace)
        case Cloud.GKE:
            return _gke(job, namespace)
        case Cloud.LOCAL:
            return Identity({"kind": "ServiceAccount", "name": NAME, "namespace": namespace}, uses_token=True)


def _eks(job: Job, namespace: str) -> Identity:
    name, region = job.cluster.name or "CLUSTER", job.cluster.selectors.get("region") or "REGION"
    # Where the environment has a role to assume, that is who the cluster sees.
    seen = job.cluster.selectors.get("role_arn") or job.principal
    where = ("--cluster-name", name, "--region", region)
    entry = _line("aws", "eks", "create-access-entry", *where, "--principal-arn", seen, "--kubernetes-groups", NAME)
    group = {"kind": "Group", "name": NAME, "apiGroup": _RBAC}
    if job.identity is EksIdentity.IRSA:
        return Identity(group, annotations={"eks.amazonaws.com/role-arn": job.principal}, once=(entry,))
    whose = ("--namespace", namespace, "--service-account", NAME, "--role-arn", job.principal)
    return Identity(group, once=(_line("aws", "eks", "create-pod-identity-association", *where, *whose), entry))


def _aks(job: Job, namespace: str) -> Identity:
    if not job.object_id:
        raise UsageError(
            "--object-id is missing: an AKS cluster knows a managed identity by it",
            "az identity show --name IDENTITY --resource-group GROUP --query principalId",
        )
    group, name = job.cluster.selectors.get("resource_group") or "GROUP", job.cluster.name or "CLUSTER"
    show = _line("az", "aks", "show", "--name", name, "--resource-group", group, "--query", "oidcIssuerProfile.issuerUrl", "-o", "tsv")
    subject = f"system:serviceaccount:{namespace}:{NAME}"
    make = _line("az", "identity", "federated-credential", "create", "--name", NAME, "--identity-name", "IDENTITY")
    more = _line("--resource-group", group, "--subject", subject, "--audiences", "api://AzureADTokenExchange")
    return Identity(
        {"kind": "User", "name": job.object_id, "apiGroup": _RBAC},
        annotations={"azure.workload.identity/client-id": job.principal},
        labels={"azure.workload.identity/use": "true"},
        once=(f'{make} {more} --issuer "$({show})"',),
    )


def _gke(job: Job, namespace: str) -> Identity:
    project = job.cluster.selectors.get("project") or "PROJECT"
    member = f"serviceAccount:{project}.svc.id.goog[{namespace}/{NAME}]"
    role = ("--role", "roles/iam.workloadIdentityUser", "--member", member)
    # The last of a chain is the one that acts.
    chain = job.cluster.selectors.get("impersonate_service_account") or job.principal
    return Identity(
        {"kind": "User", "name": chain.rpartition(",")[2].strip(), "apiGroup": _RBAC},
        annotations={"iam.gke.io/gcp-service-account": job.principal},
        once=(_line("gcloud", "iam", "service-accounts", "add-iam-policy-binding", job.principal, *role),),
    )


def _line(*words: str) -> str:
    return shlex.join(words)
