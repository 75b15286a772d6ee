"""Lists the kinds that the API server serves."""

from collections.abc import Collection

from meshinstall.engine.tasks import gather
from meshinstall.ports import Kube


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
