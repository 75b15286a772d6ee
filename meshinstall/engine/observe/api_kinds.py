"""Lists the kinds that the API server serves."""

from collections.abc import AsyncIterator, Collection, Mapping
from typing import Any, NamedTuple

from meshinstall.engine.tasks import gather
from meshinstall.model.trial import STORED
from meshinstall.ports import Kube


class Resource(NamedTuple):
    """A kind of objects by its path; ``name`` is ``plural.group``, or the plural alone for the core group."""

    group_version: str
    plural: str
    kind: str

    @property
    def name(self) -> str:
        """As kubectl names it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def group(self) -> str:
        """Empty for the core group."""
        return self.group_version.rpartition("/")[0]


# Served by every API server.
_SECRETS = Resource("v1", "secrets", "Secret")


async def served(kube: Kube, crds: Collection[str]) -> dict[str, str]:
    """Map those of ``crds``, by name, that are served to the first version (``group/version``) that has them.

    The API server lists the kinds of established CRDs alone (kubernetes: apiextensions-apiserver,
    customresource_discovery_controller.go), in a few kilobytes where the CRDs themselves are megabytes.
    """
    groups = sorted({name.partition(".")[2] for name in crds})
    found = await gather(groups, lambda group: kube.get(f"/apis/{group}"))
    versions = [(group, version["groupVersion"]) for group in groups for version in (found[group] or {}).get("versions") or ()]
    lists = await gather(versions, lambda version: kube.get(f"/apis/{version[1]}"))
    known: dict[str, str] = {}
    for group, version in versions:
        for resource in (lists[group, version] or {}).get("resources") or ():
            known.setdefault(f"{resource['name']}.{group}", version)
    return {name: version for name, version in known.items() if name in crds}


async def deletable(kube: Kube, *, everywhere: bool = False) -> list[Resource]:
    """Every kind of objects in namespaces that can be listed and deleted, each in the version that its group prefers; raises ClusterError.

    With ``everywhere`` those that are in no namespace, too.
    What can only be read is computed and not stored (metrics.k8s.io). The core group comes first. Empty where not even that is told.
    """
    kinds = (await kube.kinds()).items()
    found = [Resource(version, kind.plural, name) for (version, name), kind in kinds if (kind.namespaced or everywhere) and kind.stored]
    if _SECRETS not in found:
        found = [one async for one in _asked(kube, everywhere=everywhere)]
    if _SECRETS not in found:
        return []
    return sorted({one.name: one for one in reversed(found)}.values(), key=lambda one: ("/" in one.group_version, one))


async def _asked(kube: Kube, *, everywhere: bool) -> AsyncIterator[Resource]:
    """The same of an API server that does not tell all kinds at once (before Kubernetes 1.30): one request for each version."""
    groups = (await kube.get("/apis") or {}).get("groups") or ()
    versions = ["v1", *(version["groupVersion"] for group in groups for version in _preferred(group))]
    lists = await gather(versions, lambda version: kube.get(f"/apis/{version}" if "/" in version else f"/api/{version}"))
    for version in versions:
        for one in (lists[version] or {}).get("resources") or ():
            if (one.get("namespaced") or everywhere) and "/" not in one["name"] and set(one.get("verbs") or ()) >= STORED:
                yield Resource(version, one["name"], one["kind"])


def _preferred(group: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    first = (group.get("preferredVersion") or {}).get("groupVersion")
    return sorted(group.get("versions") or (), key=lambda version: version["groupVersion"] != first)
