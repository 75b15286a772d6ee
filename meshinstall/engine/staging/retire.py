"""Removes the istiods that an upgrade left behind, once nothing leads to them."""

from collections.abc import Iterable

from meshinstall.engine.session import Session
from meshinstall.engine.staging import steps
from meshinstall.model.desired import Desired
from meshinstall.model.facts import ObjectKey
from meshinstall.model.mesh_position import PlaneAt
from meshinstall.model.ownership import made_by_us
from meshinstall.model.paths import object_path
from meshinstall.model.plan import Action, Plan, ReleaseStep
from meshinstall.model.release import ChartRef, Component, ReleaseKey, ReleaseRecord, readable

_COORDINATION = "coordination.k8s.io/v1"
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
    releases = tuple(_step(record) for record in ours)
    after = tuple(step.name for step in releases)
    gone = (steps.delete(key, uid, needs=after) for key, uid in leases)
    return steps.plan_of(desired, (steps.keep_namespace(desired.mesh_namespace), *releases, *gone)), theirs


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


async def _leases(revisions: Iterable[str], desired: Desired, session: Session) -> list[tuple[ObjectKey, str]]:
    """Those that are there, each with its uid."""
    names = {f"{lease}-{revision}" for lease in _LEASES for revision in revisions}
    path = object_path(_COORDINATION, "leases", desired.mesh_namespace)
    found = [item["metadata"] async for item in session.kube.list(path, metadata_only=True)]
    gone = (one for one in found if one["name"] in names)
    return [(ObjectKey(_COORDINATION, "Lease", desired.mesh_namespace, one["name"]), one.get("uid", "")) for one in gone]
