"""Looks whether a release can be uninstalled: helm deletes all that the record names, whoever owns it by now, and runs the record's hooks.

The record is a Secret, which others may be able to write in a namespace that they share with a gateway. What does not carry the mark
that helm gives to its own objects is not the release's, whatever the record says (helm: pkg/action/validate.go, uninstall.go).
"""

from collections.abc import Iterable, Mapping

from meshinstall.checks.words import first
from meshinstall.engine.objects.release_manifest import deleted_objects
from meshinstall.engine.tasks import gather
from meshinstall.errors import ForbiddenError
from meshinstall.model.facts import ObjectKey, key_of
from meshinstall.model.foreign_text import plain
from meshinstall.model.ownership import owner_of
from meshinstall.model.paths import KINDS, object_path
from meshinstall.model.release import Manifest, ReleaseKey, ReleaseRecord
from meshinstall.model.trial import Kinds
from meshinstall.ports import Kube, Releases

# Of the kinds in KINDS: a kind of another group may have another plural.
_GROUPS = frozenset(
    {
        *("", "apps", "autoscaling", "policy", "admissionregistration.k8s.io", "apiextensions.k8s.io", "coordination.k8s.io"),
        *("discovery.k8s.io", "k8s.cni.cncf.io", "networking.k8s.io", "rbac.authorization.k8s.io", "security.istio.io"),
    }
)
_SHOWN = 3


async def strangers(kube: Kube, releases: Releases, records: Mapping[ReleaseKey, ReleaseRecord]) -> dict[ReleaseKey, str]:
    """Releases that helm may not uninstall, each with the reason in words; raises ClusterError."""
    found = await gather(records, lambda key: stranger(kube, releases, records[key]))
    return {key: why for key, why in found.items() if why}


async def stranger(kube: Kube, releases: Releases, record: ReleaseRecord) -> str:
    """Why helm may not uninstall this release; empty where it may. One request for each of its records and objects; raises ClusterError."""
    if why := await releases.rivals(record):
        return plain(why)
    if record.hooks:
        return f"has hooks, which no chart of Istio has, and helm would run them: {plain(first(record.hooks, _SHOWN))}"
    try:
        manifests = deleted_objects(record.manifest)
    except ValueError as error:
        return f"has a record that cannot be read: {plain(error)}"
    return await foreign_objects(kube, manifests, record.key)


async def foreign_objects(kube: Kube, manifests: Iterable[Manifest], release: ReleaseKey) -> str:
    """What of these objects is there and is not the release's, or may not be, in words that follow its name; raises ClusterError."""
    kinds = await kube.kinds()
    paths = dict(_located(key_of(one, release.namespace), kinds) for one in manifests)
    if unknown := [str(key) for key, path in paths.items() if not path]:
        return f"has objects of kinds that cannot be looked at: {plain(first(unknown, _SHOWN))}"
    try:
        live = await gather(paths, lambda key: kube.get(paths[key]))
    except ForbiddenError as error:
        return f"has objects that cannot be looked at: {plain(error.message)}"
    return next((why for key, one in live.items() if one and (why := _whose(key, one, release))), "")


def _whose(key: ObjectKey, live: Manifest, release: ReleaseKey) -> str:
    owner = owner_of(live["metadata"])
    if owner is None:
        return f"names an object that carries no mark of a release: {plain(key)}"
    return f"has objects that belong to release {plain(owner)} now: {plain(key)}" if owner != release else ""


def _located(key: ObjectKey, kinds: Kinds) -> tuple[ObjectKey, str]:
    """An object with its path, which is empty for a kind that is not known; one of the whole cluster is in no namespace."""
    if served := kinds.get((key.api_version, key.kind)):
        plural, namespaced = served.plural, served.namespaced
    elif key.kind in KINDS and key.api_version.rpartition("/")[0] in _GROUPS:
        plural, namespaced = KINDS[key.kind]
    else:
        return key, ""
    found = key if namespaced else key._replace(namespace="")
    return found, object_path(key.api_version, plural, found.namespace, key.name)
