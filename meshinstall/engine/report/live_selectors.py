"""Looks in a cluster for pods that policies select, where the files have no workloads to compare with.

Requests: two for the kinds that are served; one list of pods for each selector, and one of WorkloadEntries where there is no such pod.
"""

from collections.abc import Mapping

from meshinstall.checks.policies.reading import finding, meets
from meshinstall.checks.policies.selectors import Wanted, Workloads, told
from meshinstall.engine.objects.json_fields import at, texts
from meshinstall.engine.objects.mesh_policies import known_mesh
from meshinstall.engine.tasks import gather
from meshinstall.errors import ForbiddenError
from meshinstall.model.desired import Desired
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.paths import object_path
from meshinstall.model.policy_kinds import NETWORKING, POLICY_KINDS
from meshinstall.model.policy_object import PolicyObject
from meshinstall.model.trial import Kinds
from meshinstall.ports import Kube


async def unmatched_selectors(objects: tuple[PolicyObject, ...], desired: Desired | None, kube: Kube) -> tuple[Finding, ...]:
    """Each selector of a policy that no workload of the files and no pod of the cluster meets. Raises ClusterError."""
    workloads = Workloads(known_mesh(objects, desired))
    asked = [(one, wanted) for one in objects if (wanted := workloads.unjudged(one))]
    kinds = await kube.kinds() if asked else {}
    answers = await gather(dict.fromkeys(wanted for _, wanted in asked), lambda wanted: _look(wanted, kinds, kube))
    hint = "select labels of the pods that it is for; nothing is wrong where these come later"
    where = ("spec", "selector")
    return tuple(finding("POL052", Severity.WARNING, (one, where), answers[wanted], hint) for one, wanted in asked if answers[wanted])


async def _look(wanted: Wanted, kinds: Kinds, kube: Kube) -> str:
    """That nothing has the labels, or that it cannot be told; empty where something has."""
    labels, whose = dict(wanted.labels), f" of {wanted.namespace}" if wanted.namespace else ""
    try:
        there = await _has_pod(wanted.namespace, labels, kube) or await _has_machine(wanted.namespace, labels, kinds, kube)
    except ForbiddenError as error:
        return f"cannot tell whether a pod{whose} has {told(labels)}: {error.message}"
    return "" if there else f"its selector matches nothing: neither these files nor the cluster have a pod{whose} with {told(labels)}"


async def _has_pod(namespace: str, labels: Mapping[str, str], kube: Kube) -> bool:
    chosen = ",".join(f"{name}={value}" for name, value in labels.items())
    return any([True async for _ in kube.list(object_path("v1", "pods", namespace), labels=chosen, metadata_only=True)])


async def _has_machine(namespace: str, labels: Mapping[str, str], kinds: Kinds, kube: Kube) -> bool:
    """Whether a WorkloadEntry has them: a machine outside of the cluster."""
    kind = "WorkloadEntry"
    versions = (f"{NETWORKING}/{version}" for version in POLICY_KINDS[NETWORKING, kind].versions)
    version = next((one for one in versions if (one, kind) in kinds), "")
    if not version:
        return False
    path = object_path(version, POLICY_KINDS[NETWORKING, kind].plural, namespace)
    return any([meets(labels, texts(at(item, "spec", "labels"))) async for item in kube.list(path)])
