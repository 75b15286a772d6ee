"""Finds foreign objects that keep ``down`` from deleting a namespace."""

from collections.abc import Collection

from meshinstall.engine.observe.api_kinds import served
from meshinstall.engine.tasks import gather
from meshinstall.errors import ForbiddenError
from meshinstall.model.desired import Desired
from meshinstall.model.facts import Facts
from meshinstall.model.istio import OWN_CA_SECRET, ROOT_CERTIFICATES
from meshinstall.model.ownership import is_ours, owner_of
from meshinstall.model.paths import object_path
from meshinstall.model.release import Manifest, ReleaseKey
from meshinstall.ports import Kube

# What whoever makes it keeps in it is gone for good with it, even where an operator owns it.
_DATA = (("v1", "secrets"), ("v1", "configmaps"), ("v1", "persistentvolumeclaims"))
_KINDS = (
    ("apps/v1", "deployments"),
    ("apps/v1", "daemonsets"),
    ("v1", "services"),
    ("apps/v1", "statefulsets"),
    ("v1", "pods"),
    ("batch/v1", "cronjobs"),
    ("batch/v1", "jobs"),
    *_DATA,
    ("gateway.networking.k8s.io/v1", "gateways"),
    ("gateway.networking.k8s.io/v1", "httproutes"),
)
# Kubernetes' own, Istio's own (security/pkg/pki/ca/ca.go), and what a list of metadata does not tell: the types of Secrets.
_NOBODYS = {"configmaps": ("kube-root-ca.crt", *ROOT_CERTIFICATES), "secrets": (OWN_CA_SECRET,)}
_FIELDS = {"secrets": "type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token"}
# On the ConfigMaps by which istiods choose a leader (k8s.io/client-go: tools/leaderelection/resourcelock).
_LEADER = "control-plane.alpha.kubernetes.io/leader"


async def why_kept(kube: Kube, desired: Desired, facts: Facts, namespaces: Collection[str], *, crds: bool) -> dict[str, str]:
    """Which of these namespaces hold something that is not of this installation, or might; each with the reason in words.

    Where the ``crds`` go, every object of theirs goes by the user's own word.
    """
    ours = {release.key for release in desired.releases}
    istios = await served(kube, facts.crds) if namespaces and not crds else {}
    kinds = (*_KINDS, *((version, name.partition(".")[0]) for name, version in istios.items()))

    async def look(question: tuple[str, str, str]) -> list[str] | ForbiddenError:
        namespace, version, plural = question
        path = object_path(version, plural, namespace)
        try:
            items = [item async for item in kube.list(path, fields=_FIELDS.get(plural, ""), metadata_only=True)]
        except ForbiddenError as error:
            return error
        owned_stays = (version, plural) in _DATA
        return [f"{plural}/{item['metadata']['name']}" for item in items if _is_strange(item, plural, ours, owned_stays=owned_stays)]

    questions = [(namespace, *kind) for namespace in namespaces for kind in kinds]
    answers = await gather(questions, look)
    return {
        namespace: reason
        for namespace in namespaces
        if (reason := _orphan(namespace, facts) or _reason([(kind[1], answers[namespace, *kind]) for kind in kinds]))
    }


def _orphan(namespace: str, facts: Facts) -> str:
    return next(
        (
            f"it contains release {record.key}, which is no longer in the configuration"
            for record in facts.orphans
            if record.key.namespace == namespace
        ),
        "",
    )


def _reason(answers: list[tuple[str, list[str] | ForbiddenError]]) -> str:
    found = [name for _, answer in answers if isinstance(answer, list) for name in answer]
    if found:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        return f"it contains foreign objects: {found[0]}{more}"
    unknown = (
        f"cannot tell whether it contains foreign {plural}: {answer.message}" for plural, answer in answers if not isinstance(answer, list)
    )
    return next(unknown, "")


def _is_strange(item: Manifest, plural: str, ours: Collection[ReleaseKey], *, owned_stays: bool) -> bool:
    metadata = item["metadata"]
    if metadata["name"] in _NOBODYS.get(plural, ()) or _LEADER in (metadata.get("annotations") or {}):
        return False
    if owner_of(metadata) in ours or is_ours(item):
        return False
    return owned_stays or not metadata.get("ownerReferences")
