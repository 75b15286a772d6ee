"""The plan of an upgrade: looks at where a mesh is, and plans from there; changes nothing."""

from meshinstall.engine.observe.cloud import explaining
from meshinstall.engine.observe.upgrade import observe_upgrade
from meshinstall.engine.observe.version import settle_version
from meshinstall.engine.session import Session
from meshinstall.engine.upgrade.plan import plan_upgrade
from meshinstall.errors import UsageError
from meshinstall.model.desired import Desired
from meshinstall.model.foreign_text import in_lines
from meshinstall.model.istio_version import istio_version
from meshinstall.model.upgrade import UpgradePlan


async def make_upgrade_plan(desired: Desired, session: Session) -> UpgradePlan:
    """The plan from where the mesh is to the version that ``desired`` names; a minor stands for what ``up`` would take.

    Raises ClusterError, ChartError, and UsageError where it names none.
    """
    async with explaining(session, desired):
        desired = await settle_version(desired, session.chart_pins, session.charts, session.releases)
    target = istio_version(desired.istio_version)
    if target is None:
        raise UsageError(f"{desired.istio_version} is not a version of Istio", "name one: --to VERSION")
    position = await observe_upgrade(desired, session)
    # Names of tenants are in it.
    return in_lines(plan_upgrade(desired, position, target, session.now().date()))
