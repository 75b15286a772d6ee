"""Finds foreign objects that keep ``down`` from deleting a namespace: whatever kinds the API server has, not a list of ours."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import anyio

from meshinstall.engine.observe.api_kinds import Resource, deletable
from meshinstall.engine.tasks import gather
from meshinstall.errors import ClusterError, UnauthorizedError
from meshinstall.model.facts import ObjectKey
from meshinstall.model.istio import OWN_CA_SECRET, ROOT_CERTIFICATES
from meshinstall.model.ownership import RUN_OBJECT, is_ours, made_by_us, owner_of
from meshinstall.model.paths import object_path
from meshinstall.model.release import Manifest, ReleaseKey, ReleaseRecord, ReleaseStatus
from meshinstall.ports import Kube, Releases

# What whoever makes it keeps in it is gone for good with it, even where an operator owns it.
_DATA = frozenset({"secrets", "configmaps", "persistentvolumeclaims"})
# What Kubernetes writes by itself: records of what happened, and the addresses behind a Service, which is looked at itself.
_RECORDS = frozenset({"events", "events.events.k8s.io", "endpoints"})
# Kubernetes' own, Istio's own (security/pkg/pki/ca/ca.go), ours, and what a list of metadata does not tell: the types of Secrets.
_NOBODYS = {
    "configmaps": ("kube-root-ca.crt", *ROOT_CERTIFICATES),
    "secrets": (OWN_CA_SECRET,),
    "serviceaccounts": ("default",),
    "leases.coordination.k8s.io": (RUN_OBJECT,),
}
_FIELDS = {"secrets": "type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token"}
# Istiods choose a leader by ConfigMaps with this note and by Leases, all of such names (istio: pilot/pkg/leaderelection/leaderelection.go;
# k8s.io/client-go: tools/leaderelection/resourcelock).
_LEADER, _LEASES, _ISTIOS = "control-plane.alpha.kubernetes.io/leader", "leases.coordination.k8s.io", "istio-"
_ISTIO = ".istio.io"
_POLICIES = "peerauthentications.security.istio.io"
# On what the AWS Load Balancer Controller makes for a Service or an Ingress, and removes with it: those are looked at themselves
# (aws-load-balancer-controller: pkg/deploy/tracking/provider.go).
_BALANCERS, _STACKS = "targetgroupbindings.elbv2.k8s.aws", frozenset({"service.k8s.aws/stack-name", "ingress.k8s.aws/stack-name"})
# Lists that are asked for at a time, and foreign objects that are named.
_AT_ONCE = 16
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Going:
    """What a removal takes away: these releases and objects, and with ``crds`` every object of Istio's kinds, by the user's own word."""

    releases: frozenset[ReleaseKey]
    crds: bool
    objects: frozenset[ObjectKey] = frozenset()


async def why_kept(kube: Kube, releases: Releases, going: Going, namespaces: Collection[str]) -> dict[str, str]:
    """Which of these namespaces hold something that is not of this installation, or might; each with the reason in words."""
    if not namespaces:
        return {}
    records = await releases.newest(namespaces)
    served = await deletable(kube)
    kinds = [kind for kind in served if kind.name not in _RECORDS and not (going.crds and kind.name.endswith(_ISTIO))]
    here = frozenset((kind.group, kind.kind) for kind in served)
    if not kinds:
        return dict.fromkeys(namespaces, "cannot tell what it contains: the API server does not list its kinds")
    limit = anyio.CapacityLimiter(_AT_ONCE)
    deleted = {(key.kind, key.namespace, key.name) for key in going.objects}

    async def look(question: tuple[str, Resource]) -> list[str] | ClusterError:
        namespace, kind = question
        path = object_path(kind.group_version, kind.plural, namespace)
        try:
            async with limit:
                items = [item async for item in kube.list(path, fields=_FIELDS.get(kind.name, ""), metadata_only=True)]
        except UnauthorizedError:
            raise
        except ClusterError as error:
            return error
        left = [item for item in items if (kind.kind, namespace, item["metadata"]["name"]) not in deleted]
        return [f"{kind.plural}/{item['metadata']['name']}" for item in left if _is_strange(item, kind.name, going.releases, here)]

    answers = await gather([(namespace, kind) for namespace in namespaces for kind in kinds], look)
    return {
        namespace: reason
        for namespace in namespaces
        if (reason := _releases(namespace, records.values(), going) or _reason([(kind, answers[namespace, kind]) for kind in kinds]))
    }


def _releases(namespace: str, records: Iterable[ReleaseRecord], going: Going) -> str:
    for record in records:
        if record.key.namespace == namespace and record.key not in going.releases and record.status is not ReleaseStatus.UNINSTALLED:
            return f"it contains release {record.key}, {_not_ours(record)}"
    return ""


def _not_ours(record: ReleaseRecord) -> str:
    return "which is no longer in the configuration" if made_by_us(record) else "which meshinstall did not install"


def _reason(answers: list[tuple[Resource, list[str] | ClusterError]]) -> str:
    found = [name for _, answer in answers if isinstance(answer, list) for name in answer]
    if found:
        more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
        return f"it contains foreign objects: {', '.join(found[:_SHOWN])}{more}"
    unknown = (
        f"cannot tell whether it contains foreign {kind.plural}: {answer.message}"
        for kind, answer in answers
        if not isinstance(answer, list)
    )
    return next(unknown, "")


def _is_strange(item: Manifest, kind: str, ours: Collection[ReleaseKey], here: Collection[tuple[str, str]]) -> bool:
    """``here`` are the kinds of objects in namespaces, by group: an owner of another one is nowhere looked at."""
    metadata = item["metadata"]
    if metadata["name"] in _NOBODYS.get(kind, ()) or is_of_leaders(metadata, kind):
        return False
    if kind == _BALANCERS and not _STACKS.isdisjoint(metadata.get("labels") or {}):
        return False
    # Anybody may write our label: it counts on what runs of ours make in namespaces.
    if owner_of(metadata) in ours or (is_ours(item) and (kind == _POLICIES or (kind, metadata["name"]) == ("configmaps", RUN_OBJECT))):
        return False
    owners = [(str(one.get("apiVersion", "")).rpartition("/")[0], one.get("kind")) for one in metadata.get("ownerReferences") or ()]
    return kind in _DATA or not owners or not all(owner in here for owner in owners)


def is_of_leaders(metadata: Manifest, kind: str) -> bool:
    """Whether istiods choose a leader by it; ``kind`` is as kubectl names it."""
    if not metadata["name"].startswith(_ISTIOS):
        return False
    return kind == _LEASES or (kind == "configmaps" and _LEADER in (metadata.get("annotations") or {}))
