"""What a cloud says of its cluster, judged beside what the cluster says of itself."""

import anyio.to_thread

from meshinstall.checks.clouds import judge
from meshinstall.engine.session import CloudSide, Session
from meshinstall.errors import ClusterError, ForbiddenError, MeshinstallError
from meshinstall.model.desired import Desired
from meshinstall.model.finding import Finding
from meshinstall.model.paths import object_path
from meshinstall.model.release import Manifest


async def cloud_findings(desired: Desired, session: Session) -> tuple[Finding, ...]:
    """Ask the cloud and the nodes, and judge; nothing for a cluster that only a kubeconfig names."""
    if session.cloud is None:
        return ()
    return await _judged(session.cloud, await _nodes(session), desired)


async def _nodes(session: Session) -> list[Manifest]:
    """The cluster's nodes; none where the caller may not see them, as the permission check says too."""
    try:
        return [node async for node in session.kube.list(object_path("v1", "nodes"))]
    except ForbiddenError:
        return []


async def explained(error: ClusterError, desired: Desired, session: Session) -> ClusterError:
    """The error of a cluster that does not let us in, with what its cloud knows of the reason."""
    if session.cloud is None:
        return error
    try:
        findings = await _judged(session.cloud, [], desired)
    except MeshinstallError:
        # The error that is being explained matters more.
        return error
    lines = [f"{finding.code}: {finding.title}{f' ({finding.hint})' if finding.hint else ''}" for finding in findings]
    return type(error)(error.message, "\n  ".join([error.hint, *lines]))


async def _judged(cloud: CloudSide, nodes: list[Manifest], desired: Desired) -> tuple[Finding, ...]:
    cluster = await anyio.to_thread.run_sync(cloud.provider.inspect, cloud.cluster, abandon_on_cancel=True)
    return judge(cluster, nodes, desired)
