"""Finds the run that holds the lock of a mesh, from its Lease. Clocks of machines are never compared."""

from collections.abc import Callable
from dataclasses import replace

import anyio

from meshinstall.engine.observe.looks import get_or_none
from meshinstall.engine.session import Session
from meshinstall.model.ownership import lease_path
from meshinstall.model.release import Manifest
from meshinstall.model.status import Holder

# Seconds: how long a lock of another machine is watched, which a run renews every two, and between two looks.
_WATCHED = 5.0
_LOOK = 1.0


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
