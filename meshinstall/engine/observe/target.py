"""Says which cluster this is, so that a saved plan runs nowhere else."""

from meshinstall.engine.session import Session
from meshinstall.errors import ForbiddenError
from meshinstall.model.cluster import Cloud
from meshinstall.model.paths import object_path
from meshinstall.model.plan import Target

# What names a cluster to its cloud, and not how its caller logs in.
_PLACE = ("region", "location", "project", "subscription", "resource_group")


async def find_target(session: Session) -> Target:
    """The cluster of a session: one request, for the namespace kube-system. Raises ClusterError."""
    try:
        live = await session.kube.get(object_path("v1", "namespaces", name="kube-system"))
    except ForbiddenError:
        live = None
    uid = str(((live or {}).get("metadata") or {}).get("uid") or "")
    if session.cloud is None:
        return Target(Cloud.LOCAL, session.cluster, {}, session.server, uid)
    found = session.cloud.cluster
    told = {"location": found.location, **found.selectors}
    return Target(found.cloud, found.name, {name: str(told[name]) for name in _PLACE if told.get(name)}, session.server, uid)
