"""Finds the run that holds the lock of a mesh, from its Lease, and tells what runs left behind."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import anyio

from meshinstall.engine.observe.looks import get_or_none
from meshinstall.engine.session import Session
from meshinstall.errors import ClusterError
from meshinstall.model.ownership import HOLDER, PROBES, lease_path
from meshinstall.model.paths import object_path
from meshinstall.model.release import Manifest
from meshinstall.model.status import Holder

# Seconds: how long a lock of another machine is watched, which a run renews every two, and between two looks.
_WATCHED = 5.0
_LOOK = 1.0
# How old what a run made for a moment is before it is nobody's, whoever made it.
_FORGOTTEN = timedelta(minutes=20)


async def other_run(session: Session, namespace: str) -> Holder | None:
    """Another run that may be at work on the mesh of ``namespace``; None without one, and where the Lease cannot be read."""
    found = holder(await get_or_none(session.kube, lease_path(namespace)), session.is_dead, session.is_alive)
    return None if found is None or found.is_dead or found.who == session.who else found


async def watched_holder(session: Session, path: str) -> Holder | None:
    """Who holds the lock; one of whom nothing is known lives if the lock changes while it is watched, as for whoever wants it."""
    lease = await get_or_none(session.kube, path)
    found = holder(lease, session.is_dead, session.is_alive)
    if found is None or found.is_dead or found.is_alive:
        return found
    with anyio.move_on_after(_WATCHED):
        while True:
            await anyio.sleep(_LOOK)
            now = await get_or_none(session.kube, path)
            if now and now.get("spec") != (lease or {}).get("spec"):
                seen = holder(now, session.is_dead, session.is_alive)
                return seen and replace(seen, is_alive=not seen.is_dead)
    return found


async def probes_of_run(session: Session, namespace: str) -> str:
    """The namespace of the probes of the run that holds the lock of a mesh, or held it last; empty without one.

    Their name alone could be a tenant's: only who holds the lock writes the uid beside it. A Lease that cannot be read names none.
    """
    try:
        lease = await session.kube.get(lease_path(namespace)) or {}
        name, _, uid = str((lease.get("metadata", {}).get("annotations") or {}).get(PROBES, "")).partition("/")
        if not name or not uid:
            return ""
        live = await session.kube.get(object_path("v1", "namespaces", name=name)) or {}
    except ClusterError:
        return ""
    return name if live.get("metadata", {}).get("uid") == uid else ""


def holder(lease: Manifest | None, is_dead: Callable[[str], bool], is_alive: Callable[[str], bool]) -> Holder | None:
    """Who holds the lock, as far as this machine knows; None when nobody does. Clocks of machines are never compared."""
    spec = (lease or {}).get("spec") or {}
    who = spec.get("holderIdentity")
    if not lease or not who:
        return None
    since = spec.get("acquireTime")
    what = (lease["metadata"].get("annotations") or {}).get("meshinstall.dev/run", "")
    began = f"{str(since).partition('.')[0]}Z" if since else "an unknown time"
    return Holder(who, began, what, is_dead(who), is_alive(who))


def is_left(item: Manifest, session: Session) -> bool:
    """Whether what a run made for a moment is nobody's: the run is dead, or could not last so long."""
    metadata = item["metadata"]
    maker = (metadata.get("annotations") or {}).get(HOLDER, "")
    created = metadata.get("creationTimestamp")
    age = session.now() - datetime.fromisoformat(created) if created else timedelta()
    return session.is_dead(maker) or age > _FORGOTTEN
