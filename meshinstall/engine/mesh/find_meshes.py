"""Finds the clusters that have a mesh: asks each for its control planes, all at the same time."""

from collections.abc import Callable, Sequence

import anyio
import anyio.to_thread

from meshinstall.engine.mesh.control_planes import control_planes, of_kube
from meshinstall.engine.tasks import gather
from meshinstall.errors import MeshinstallError
from meshinstall.model.cluster import CloudCluster, MeshFound
from meshinstall.model.istio import ISTIOD_CONTAINER, image_tag
from meshinstall.model.release import Manifest
from meshinstall.ports import Kube

# Seconds for one cluster, and how many are asked at a time.
_PATIENCE = 15
_AT_ONCE = 16


async def find_meshes(clusters: Sequence[CloudCluster], reach: Callable[[CloudCluster], Kube]) -> list[MeshFound]:
    """For each cluster the versions of its istiods, or why it could not be asked; ``reach`` is called in threads."""
    limit = anyio.CapacityLimiter(_AT_ONCE)

    async def one(index: int) -> MeshFound:
        cluster = clusters[index]
        if not cluster.ready:
            return MeshFound((), f"the cluster is {cluster.status}")
        async with limit:
            try:
                with anyio.fail_after(_PATIENCE):
                    kube = await anyio.to_thread.run_sync(reach, cluster, abandon_on_cancel=True)
                    planes = await control_planes(of_kube(kube))
                    return MeshFound(tuple(sorted({_version(plane.item) for plane in planes.found})))
            except TimeoutError:
                return MeshFound((), f"no answer within {_PATIENCE} s")
            except MeshinstallError as error:
                return MeshFound((), error.message)

    found = await gather(range(len(clusters)), one)
    return [found[index] for index in range(len(clusters))]


def _version(istiod: Manifest) -> str:
    """The tag of its image; empty when it has none."""
    containers = (((istiod.get("spec") or {}).get("template") or {}).get("spec") or {}).get("containers") or ()
    image = next((str(one.get("image", "")) for one in containers if one.get("name") == ISTIOD_CONTAINER), "")
    return image_tag(image)
