"""Finds the run that holds the lock of a mesh, from its Lease."""

from collections.abc import Callable
from datetime import datetime, timedelta

from meshinstall.engine.session import Session
from meshinstall.errors import ClusterError
from meshinstall.model.ownership import lease_path
from meshinstall.model.release import Manifest
from meshinstall.model.status import Holder


async def other_run(session: Session, namespace: str) -> Holder | None:
    """Another run that is at work on the mesh of ``namespace``; None without one, and where the Lease cannot be read."""
    try:
        lease = await session.kube.get(lease_path(namespace))
    except ClusterError:
        return None
    found = holder(lease, session.now(), session.is_dead)
    return None if found is None or found.is_dead or found.who == session.who else found


def holder(lease: Manifest | None, now: datetime, is_dead: Callable[[str], bool]) -> Holder | None:
    """Who holds the lock; None when nobody does."""
    spec = (lease or {}).get("spec") or {}
    who = spec.get("holderIdentity")
    if not lease or not who:
        return None
    renewed, since = spec.get("renewTime"), spec.get("acquireTime")
    is_over = renewed is not None and now > datetime.fromisoformat(renewed) + timedelta(seconds=spec.get("leaseDurationSeconds", 0))
    what = (lease["metadata"].get("annotations") or {}).get("meshinstall.dev/run", "")
    return Holder(who, f"{since.partition('.')[0]}Z" if since else "an unknown time", what, is_dead(who) or is_over)
