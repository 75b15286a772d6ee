"""Asks every istiod for its proxies: which are in sync, and of which version they are."""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from meshinstall.engine.mesh.syncz import Sync, better, read_sync
from meshinstall.engine.objects.json_fields import MalformedError
from meshinstall.engine.session import Session
from meshinstall.engine.tasks import gather
from meshinstall.errors import ClusterError
from meshinstall.model.istio import ISTIOD_SELECTOR
from meshinstall.model.mesh import Place, SyncState
from meshinstall.model.paths import object_path
from meshinstall.model.release import Manifest
from meshinstall.model.status import Proxies, ProxyVersion, StaleProxy

_BEHIND = frozenset({SyncState.STALE, SyncState.REJECTED})


async def ask_proxies(session: Session, namespace: str) -> Proxies:
    """Each istiod knows its own proxies only, so that all are asked; one that does not answer leaves the numbers unknown."""
    try:
        pods = session.kube.list(object_path("v1", "pods", namespace), labels=ISTIOD_SELECTOR, fields="status.phase=Running")
        names = [pod["metadata"]["name"] async for pod in pods if "deletionTimestamp" not in pod["metadata"]]
        if not names:
            return Proxies(unknown="no istiod is running")
        answers = await gather(names, lambda name: session.istiod.syncz(namespace, name))
        return count_proxies((record for records in answers.values() for record in records), session.now())
    except ClusterError as error:
        return Proxies(unknown=error.message)
    except MalformedError as error:
        return Proxies(unknown=f"istiod's answer cannot be understood: {error}")


def count_proxies(records: Iterable[Manifest], now: datetime) -> Proxies:
    """Judge records of ``/debug/syncz``; raises MalformedError for what is not one."""
    found: dict[Place, Sync] = {}
    for proxy, sync in (read_sync(record, now) for record in records):
        if better(found.get(proxy), sync):
            found[proxy] = sync
    in_sync = sum(sync.state is SyncState.SYNCED for sync in found.values())
    stale = [StaleProxy(f"{place.name}.{place.namespace}", sync.words) for place, sync in found.items() if sync.state in _BEHIND]
    versions = Counter((place.namespace, sync.version) for place, sync in found.items())
    counted = tuple(ProxyVersion(namespace, version, count) for (namespace, version), count in sorted(versions.items()))
    return Proxies(len(found), in_sync, tuple(sorted(stale, key=lambda proxy: proxy.name)), versions=counted)
