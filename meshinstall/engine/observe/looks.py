"""Looks that may stay without an answer."""

from meshinstall.errors import ClusterError
from meshinstall.model.release import Manifest
from meshinstall.ports import Kube


async def get_or_none(kube: Kube, path: str) -> Manifest | None:
    """The object at a path; None where there is none, and where it cannot be read."""
    try:
        return await kube.get(path)
    except ClusterError:
        return None
