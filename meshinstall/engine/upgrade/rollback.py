"""Orders the way back: the stages of an upgrade against their order, tags before gateways; pure.

CRDs stay: an older istiod reads those of a newer Istio, and taking fields away would lose what uses them.
"""

from dataclasses import replace

from meshinstall.engine.upgrade.stages import Goal, of_rollback
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.istio_version import IstioVersion
from meshinstall.model.mesh_position import MeshPosition, PlaneAt
from meshinstall.model.upgrade import Hop, Strategy, UpgradePlan, Way

_DOWNGRADE = "PRE006"


def newest(position: MeshPosition) -> IstioVersion | None:
    """The version of the newest istiod; None without one."""
    return max((plane.version for plane in position.planes if plane.version), default=None)


def plane_to_return_to(position: MeshPosition) -> PlaneAt | None:
    """The oldest of several istiods; None where there is no other to go back to."""
    known = [plane for plane in position.planes if plane.version]
    return min(known, key=lambda plane: plane.version or IstioVersion(0, 0, 0)) if len(known) > 1 else None


def plan_rollback(environment: str, cluster: str, position: MeshPosition, target: IstioVersion) -> UpgradePlan:
    """The way back to the istiod that is still there, or in place to ``target``, which then is a downgrade of everything at once."""
    found = UpgradePlan(environment, cluster, target, position)
    before = newest(position)
    if before is None:
        return found
    if back := plane_to_return_to(position):
        strategy = Strategy(Way.CANARY, back.revision, f"back to istiod {back.revision}, which still runs")
    else:
        strategy = Strategy(Way.IN_PLACE, position.planes[0].revision, "no older istiod runs beside it", is_proven=False)
    stages = of_rollback(position, Goal(target, strategy))
    findings = () if strategy.way is Way.CANARY or not stages else (_downgrade(before, target, position.planes[0]),)
    return replace(found, hops=(Hop(before, target, strategy.way),), strategy=strategy, stages=stages, findings=findings)


def _downgrade(before: IstioVersion, target: IstioVersion, plane: PlaneAt) -> Finding:
    detail = "until they are restarted, proxies are newer than their istiod"
    hint = "proxies of before may not understand an older istiod; allow it: --allow downgrade"
    return Finding(
        _DOWNGRADE, Severity.ERROR, f"Istio {before} would be downgraded to {target}", detail, f"Deployment {plane.place}", hint=hint
    )
