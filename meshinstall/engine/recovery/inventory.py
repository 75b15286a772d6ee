"""Counts what a cluster has, before a drill and after it: every object that is not made of another one, whatever its kind.

Requests: one that lists the kinds, and for each kind one list of metadata.
"""

from dataclasses import dataclass

import anyio

from meshinstall.checks.scout import check
from meshinstall.engine.observe.api_kinds import Resource, deletable
from meshinstall.engine.session import Session
from meshinstall.engine.tasks import gather
from meshinstall.errors import ClusterError, UnauthorizedError
from meshinstall.model.gate import GateCheck, GateOutcome
from meshinstall.model.paths import KINDS, object_path
from meshinstall.model.release import Manifest

# Kinds that a mesh without doubt consists of: whoever may not list them may make none.
_SURE = {
    "Namespace": "v1",
    "CustomResourceDefinition": "apiextensions.k8s.io/v1",
    "MutatingWebhookConfiguration": "admissionregistration.k8s.io/v1",
    "ValidatingWebhookConfiguration": "admissionregistration.k8s.io/v1",
    "ClusterRole": "rbac.authorization.k8s.io/v1",
    "ClusterRoleBinding": "rbac.authorization.k8s.io/v1",
    "Deployment": "apps/v1",
    "DaemonSet": "apps/v1",
    "Service": "v1",
    "ServiceAccount": "v1",
    "Role": "rbac.authorization.k8s.io/v1",
    "RoleBinding": "rbac.authorization.k8s.io/v1",
    "ConfigMap": "v1",
}
# What Kubernetes writes by itself, all the time: records, addresses, who is alive, and for each version of a group one object; and what
# networks write of each pod, and take back some time after it (cilium: pkg/k8s/apis/cilium.io; calico: libcalico-go/lib/apis/v3).
_RESTLESS = frozenset(
    {
        "apiservices.apiregistration.k8s.io",
        "blockaffinities.crd.projectcalico.org",
        "certificatesigningrequests.certificates.k8s.io",
        "ciliumendpoints.cilium.io",
        "ciliumendpointslices.cilium.io",
        "ciliumidentities.cilium.io",
        "ciliumnodes.cilium.io",
        "endpoints",
        "events",
        "events.events.k8s.io",
        "ipamblocks.crd.projectcalico.org",
        "ipamhandles.crd.projectcalico.org",
        "leases.coordination.k8s.io",
        "nodes",
    }
)
_AT_ONCE = 16
_NAME = "taken away again"
# Objects of a list that are named.
_SHOWN = 20


@dataclass(frozen=True, slots=True)
class Inventory:
    """Objects by kind, namespace and name; ``kinds`` are those that were listed, ``unread`` those that may not be."""

    objects: frozenset[str]
    kinds: int = 0
    unread: frozenset[str] = frozenset()


async def take_inventory(session: Session) -> Inventory:
    """What is there now; raises ClusterError where a kind of the mesh's may not be listed."""
    sure = {Resource(version, KINDS[kind][0], kind) for kind, version in _SURE.items()}
    others = {one for one in await deletable(session.kube, everywhere=True) if one.name not in _RESTLESS}
    others -= {one for one in others if one.name in {known.name for known in sure}}
    limit = anyio.CapacityLimiter(_AT_ONCE)

    async def names_of(kind: Resource) -> list[str] | None:
        try:
            async with limit:
                path = object_path(kind.group_version, kind.plural)
                listed = session.kube.list(path, metadata_only=True)
                return [_named(kind, one) async for item in listed if not (one := item["metadata"]).get("ownerReferences")]
        except ClusterError as error:
            if kind in sure or isinstance(error, UnauthorizedError):
                raise
            return None

    found = await gather(sorted(sure | others), names_of)
    return Inventory(
        frozenset(name for names in found.values() for name in names or ()),
        len(found),
        frozenset(kind.name for kind, names in found.items() if names is None),
    )


def _named(kind: Resource, metadata: Manifest) -> str:
    return "/".join(filter(None, (kind.kind, metadata.get("namespace", ""), metadata["name"])))


def judged(before: Inventory | None, after: Inventory, kept: dict[str, str]) -> GateCheck:
    """Whether the cluster is as it was; somebody else may have made something meanwhile, and that is named, too.

    ``kept`` are namespaces of the drill that stay, each with the reason.
    """
    lines = tuple(f"namespace {name} stays: {why}" for name, why in sorted(kept.items()))
    if kept:
        return check(_NAME, GateOutcome.FAIL, f"{len(kept)} namespaces of the drill hold something else by now", lines)
    if before is None:
        return check(
            _NAME, GateOutcome.NOT_PROVEN, "the mesh is gone; what was there before it is not known, as another run began the drill"
        )
    left, gone = sorted(after.objects - before.objects), sorted(before.objects - after.objects)
    lines = (*(f"left: {one}" for one in left[:_SHOWN]), *(f"gone: {one}" for one in gone[:_SHOWN]))
    if left or gone:
        return check(_NAME, GateOutcome.FAIL, f"{len(left)} objects are there that were not, {len(gone)} are gone", lines)
    if unread := before.unread | after.unread:
        lines = tuple(f"not listed: {one}" for one in sorted(unread)[:_SHOWN])
        return check(_NAME, GateOutcome.NOT_PROVEN, f"{len(unread)} kinds of objects could not be listed", lines)
    return check(_NAME, GateOutcome.PASS, f"nothing is left: the same {len(before.objects)} objects of {before.kinds} kinds as before")
