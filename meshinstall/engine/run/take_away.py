"""Takes away what a restore made beside a mesh: labels of namespaces, objects of the Gateway API, the CA, and namespaces of its own.

Istio's own objects go with its CRDs, and the mesh itself by ``down``.
"""

from collections.abc import Collection, Iterable

from meshinstall.engine.observe.namespace_contents import Going, is_of_leaders, why_kept
from meshinstall.engine.run import waiting
from meshinstall.engine.session import Session
from meshinstall.model.facts import key_of
from meshinstall.model.istio import OWN_CA_SECRET
from meshinstall.model.ownership import RESTORED, is_ours, summary_path
from meshinstall.model.paths import object_path, path_of
from meshinstall.model.policy_kinds import GATEWAY_API, group_of
from meshinstall.model.release import Manifest
from meshinstall.model.restoring import Restoration

_ISTIOS = "istio.io/"


async def take_labels(session: Session, wanted: Restoration, mesh: Collection[str]) -> None:
    """Take Istio's labels from namespaces that were there before, as far as the restore alone wrote them: no new pod gets a proxy.

    Those of the ``mesh`` bear the mark and the labels by which they are known, and keep them until it is gone.
    """
    for name in sorted(wanted.namespaces.keys() - set(mesh)):
        live = await session.kube.get(object_path("v1", "namespaces", name=name))
        if live is not None and not _is_made(live, wanted):
            await _unlabel(session, live)


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
    """Delete the CA that came along, which has the drill's mark; one without it is somebody else's, even if it is the same."""
    path = object_path("v1", "secrets", secret["metadata"]["namespace"], secret["metadata"]["name"])
    live = await session.kube.get(path)
    mark = secret["metadata"]["labels"][RESTORED]
    if live is not None and (live["metadata"].get("labels") or {}).get(RESTORED) == mark:
        await session.kube.delete(path, uid=live["metadata"].get("uid", ""))


async def take_records(session: Session, namespace: str, names: Iterable[str]) -> None:
    """Delete those of these ConfigMaps in a namespace that stays which our runs and istiods write for themselves."""
    for name in sorted(names):
        path = object_path("v1", "configmaps", namespace, name)
        live = await session.kube.get(path)
        if live is not None and ((path == summary_path(namespace) and is_ours(live)) or is_of_leaders(live["metadata"], "configmaps")):
            await session.kube.delete(path, uid=live["metadata"].get("uid", ""))


async def take_own_ca(session: Session, namespace: str) -> None:
    """Delete the CA that an istiod without another made for itself."""
    await session.kube.delete(object_path("v1", "secrets", namespace, OWN_CA_SECRET))


async def take_classes(session: Session, names: Iterable[str]) -> None:
    """Delete those of these GatewayClasses that istiod made (istio: pilot/pkg/config/kube/gateway/gatewayclass.go)."""
    for name in sorted(names):
        path = object_path(f"{GATEWAY_API}/v1", "gatewayclasses", name=name)
        live = await session.kube.get(path)
        if live is not None and str((live.get("spec") or {}).get("controllerName", "")).startswith(_ISTIOS):
            await session.kube.delete(path, uid=live["metadata"].get("uid", ""))


async def find_marked(session: Session, wanted: Restoration) -> list[Manifest]:
    """Metadata of the namespaces with the mark of this restore; raises ClusterError."""
    path = object_path("v1", "namespaces")
    return [item["metadata"] async for item in session.kube.list(path, labels=f"{RESTORED}={wanted.mark}", metadata_only=True)]


async def take_namespaces(session: Session, wanted: Restoration, mesh: Collection[str]) -> dict[str, str]:
    """Delete the namespaces that the restore made; those that hold something else stay, each with the reason.

    Of the ``mesh``, which is gone, one may have been there before: it loses what the restore wrote on it.
    """
    spared = set()
    for name in sorted(mesh):
        live = await session.kube.get(object_path("v1", "namespaces", name=name))
        if live is not None and not is_ours(live):
            spared.add(name)
            await _unlabel(session, live)
    made = [one for one in await find_marked(session, wanted) if one["name"] not in spared]
    names = [one["name"] for one in made]
    kept = await why_kept(session.kube, session.releases, Going(frozenset(), crds=True), names)
    going = [one for one in made if one["name"] not in kept]
    for one in going:
        await session.kube.delete(object_path("v1", "namespaces", name=one["name"]), uid=one.get("uid", ""))
    await _until_gone(session, going)
    return kept


async def _unlabel(session: Session, live: Manifest) -> None:
    """What is applied no longer goes, unless somebody else wants it, too."""
    if "deletionTimestamp" not in live["metadata"]:
        name = live["metadata"]["name"]
        await session.kube.apply(
            object_path("v1", "namespaces", name=name), {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        )


async def _until_gone(session: Session, metadata: Iterable[Manifest]) -> None:
    for one in metadata:
        await waiting.until_gone(session.kube, object_path("v1", "namespaces", name=one["name"]), _nobody, one.get("uid", ""))


def _is_made(live: Manifest, wanted: Restoration) -> bool:
    return bool((live["metadata"].get("labels") or {}).get(RESTORED) == wanted.mark)


def _nobody(_: str) -> None:
    """Hears nothing: a removal tells what it waits for by its time."""
