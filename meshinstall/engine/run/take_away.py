"""Takes away what a restore made beside a mesh: labels of namespaces, objects of the Gateway API, the CA, and namespaces of its own.

Istio's own objects go with its CRDs, and the mesh itself by ``down``.
"""

from collections.abc import Iterable

from meshinstall.engine.observe.namespace_contents import Going, why_kept
from meshinstall.engine.run import waiting
from meshinstall.engine.session import Session
from meshinstall.model.facts import key_of
from meshinstall.model.ownership import RESTORED
from meshinstall.model.paths import object_path, path_of
from meshinstall.model.policy_kinds import GATEWAY_API, group_of
from meshinstall.model.release import Manifest
from meshinstall.model.restoring import Restoration


async def take_labels(session: Session, wanted: Restoration) -> None:
    """Take Istio's labels from namespaces that were there before, as far as the restore alone wrote them: no new pod gets a proxy."""
    for name in sorted(wanted.namespaces):
        path = object_path("v1", "namespaces", name=name)
        live = await session.kube.get(path)
        if live is not None and "deletionTimestamp" not in live["metadata"] and not _is_made(live, wanted):
            # What is applied no longer goes, unless somebody else wants it, too.
            await session.kube.apply(path, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})


async def take_objects(session: Session, wanted: Restoration) -> None:
    """Delete the objects of the Gateway API that the snapshot had, and wait until they are gone: their gateways go with them."""
    for one in reversed(wanted.objects):
        if group_of(str(one.manifest["apiVersion"])) != GATEWAY_API:
            continue
        path = path_of(key_of(one.manifest))
        if live := await session.kube.get(path):
            await session.kube.delete(path, uid=live["metadata"].get("uid", ""))
            await waiting.until_gone(session.kube, path, _nobody, live["metadata"].get("uid", ""))


async def take_authority(session: Session, secret: Manifest) -> None:
    """Delete the CA that came along; another one is somebody else's."""
    path = object_path("v1", "secrets", secret["metadata"]["namespace"], secret["metadata"]["name"])
    live = await session.kube.get(path)
    if live is not None and live.get("data") == secret["data"]:
        await session.kube.delete(path, uid=live["metadata"].get("uid", ""))


async def take_namespaces(session: Session, wanted: Restoration) -> dict[str, str]:
    """Delete the namespaces that the restore made; those that hold something else stay, each with the reason."""
    path = object_path("v1", "namespaces")
    made = [item["metadata"] async for item in session.kube.list(path, labels=f"{RESTORED}={wanted.mark}", metadata_only=True)]
    names = [one["name"] for one in made]
    kept = await why_kept(session.kube, session.releases, Going(frozenset(), crds=True), names)
    going = [one for one in made if one["name"] not in kept]
    for one in going:
        await session.kube.delete(object_path("v1", "namespaces", name=one["name"]), uid=one.get("uid", ""))
    await _until_gone(session, going)
    return kept


async def _until_gone(session: Session, metadata: Iterable[Manifest]) -> None:
    for one in metadata:
        await waiting.until_gone(session.kube, object_path("v1", "namespaces", name=one["name"]), _nobody, one.get("uid", ""))


def _is_made(live: Manifest, wanted: Restoration) -> bool:
    return bool((live["metadata"].get("labels") or {}).get(RESTORED) == wanted.mark)


def _nobody(_: str) -> None:
    """Hears nothing: a removal tells what it waits for by its time."""
