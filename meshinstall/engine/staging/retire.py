"""Removes the istiods that an upgrade left behind, once nothing leads to them."""

from collections.abc import Iterable

from meshinstall.engine.session import Session
from meshinstall.engine.staging.steps import keep_namespace
from meshinstall.model.desired import Desired
from meshinstall.model.mesh_position import PlaneAt
from meshinstall.model.ownership import made_by_us
from meshinstall.model.paths import object_path
from meshinstall.model.plan import Action, ObjectStep, Plan, ReleaseStep
from meshinstall.model.release import ChartRef, Component, ReleaseKey, ReleaseRecord, readable

# Leases of one revision, which Helm does not know (istio: pilot/pkg/leaderelection, names with a revision at their end).
_LEASES = ("istio-gateway-status-leader", "istio-gateway-deployment")


async def removal_of(planes: Iterable[PlaneAt], desired: Desired, session: Session) -> tuple[Plan, tuple[str, ...]]:
    """The plan that removes the releases of these istiods, and those that are not ours to remove, in words. Raises ClusterError."""
    wanted = list(planes)
    keys = [ReleaseKey(plane.place.namespace, plane.release) for plane in wanted if plane.release]
    records = readable(await session.releases.newest([desired.mesh_namespace]), keys)
    ours = [record for record in records.values() if made_by_us(record) or record.status.is_pending]
    names = {record.key.name for record in ours}
    theirs = tuple(f"istiod {plane.place} was not installed by meshinstall" for plane in wanted if plane.release not in names)
    leases = await _leases([plane.revision for plane in wanted if plane.release in names], desired, session)
    steps = tuple(_step(record) for record in ours)
    after = tuple(step.name for step in steps)
    return Plan(
        environment=desired.environment,
        cluster=desired.cluster.name,
        profile=desired.profile,
        istio_version=desired.istio_version,
        mesh_namespace=desired.mesh_namespace,
        steps=(keep_namespace(desired.mesh_namespace), *steps, *(_lease(item, desired.mesh_namespace, after) for item in leases)),
    ), theirs


def _step(record: ReleaseRecord) -> ReleaseStep:
    return ReleaseStep(
        name=str(record.key),
        action=Action.UNINSTALL,
        reasons=("nothing leads to it any more",),
        release=record.key,
        component=Component.ISTIOD,
        chart=ChartRef(record.chart, record.version, ""),
        revision=record.revision,
        repair=record.status.is_pending,
    )


async def _leases(revisions: Iterable[str], desired: Desired, session: Session) -> list[tuple[str, str]]:
    names = {f"{lease}-{revision}" for lease in _LEASES for revision in revisions}
    path = object_path("coordination.k8s.io/v1", "leases", desired.mesh_namespace)
    found = [item["metadata"] async for item in session.kube.list(path, metadata_only=True)]
    return [(metadata["name"], metadata.get("uid", "")) for metadata in found if metadata["name"] in names]


def _lease(lease: tuple[str, str], namespace: str, after: tuple[str, ...]) -> ObjectStep:
    name, uid = lease
    metadata = {"name": name, "namespace": namespace, **({"uid": uid} if uid else {})}
    manifest = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": metadata}
    return ObjectStep(name=f"Lease/{namespace}/{name}", action=Action.DELETE, needs=after, manifest=manifest)
