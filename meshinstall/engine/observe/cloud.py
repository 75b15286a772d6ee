"""Reads a managed cluster from its cloud, and judges it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.to_thread

from meshinstall import catalog
from meshinstall.checks.clouds.judge import judge
from meshinstall.engine.observe.load_balancers import with_controller
from meshinstall.engine.session import CloudSide, Session
from meshinstall.errors import ForbiddenError, MeshinstallError, UnauthorizedError, UnreachableError
from meshinstall.model.cluster import Cloud, CloudCluster, ClusterRef
from meshinstall.model.desired import Desired
from meshinstall.model.finding import Finding
from meshinstall.model.paths import object_path
from meshinstall.model.release import Manifest


async def cloud_findings(desired: Desired, session: Session) -> tuple[Finding, ...]:
    """Ask the cloud and the nodes, and judge; nothing for a cluster that only a kubeconfig names."""
    if session.cloud is None:
        return ()
    cluster = await _inspected(session.cloud)
    if cluster.caller:
        session.tell(f"to {cluster.cloud} as {cluster.caller}")
    nodes = await _nodes(session)
    return judge(await with_controller(cluster, session.kube), nodes, desired)


async def _nodes(session: Session) -> list[Manifest]:
    """The cluster's nodes; none where the caller may not see them, as the permission check says too."""
    try:
        return [node async for node in session.kube.list(object_path("v1", "nodes"))]
    except ForbiddenError:
        return []


@asynccontextmanager
async def explaining(session: Session, desired: Desired | None = None) -> AsyncIterator[None]:
    """Adds to the error of a cluster that does not let us in what its cloud knows of the reason."""
    try:
        yield
    except (UnauthorizedError, ForbiddenError, UnreachableError) as error:
        lines = await _reasons(session, desired or _nothing(session))
        if not lines:
            raise
        raise type(error)(error.message, "\n  ".join([error.hint, *lines])) from error


async def _reasons(session: Session, desired: Desired) -> list[str]:
    if session.cloud is None:
        return []
    try:
        cluster = await _inspected(session.cloud)
    except MeshinstallError:
        # The error that is being explained matters more.
        return []
    whose = [f"the cloud was asked as {cluster.caller}"] if cluster.caller else []
    findings = judge(cluster, [], desired)
    return [*(f"{finding.code}: {finding.title}{f' ({finding.hint})' if finding.hint else ''}" for finding in findings), *whose]


def _nothing(session: Session) -> Desired:
    """A look at a mesh wants nothing to be installed: the cluster alone is judged."""
    cloud = session.cloud.cluster.cloud if session.cloud else Cloud.LOCAL
    return Desired(
        environment="",
        cloud=cloud,
        cluster=ClusterRef(cloud, session.cluster),
        profile="",
        istio_version=catalog.DEFAULT_ISTIO,
        mesh_namespace=catalog.MESH_NAMESPACE,
        namespaces=(),
        releases=(),
        policies=(),
    )


async def _inspected(cloud: CloudSide) -> CloudCluster:
    return await anyio.to_thread.run_sync(cloud.provider.inspect, cloud.cluster, abandon_on_cancel=True)
