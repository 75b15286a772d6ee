"""The plan of an upgrade: looks at where a mesh is, and plans from there; changes nothing."""

from meshinstall.engine.observe.upgrade import observe_upgrade
from meshinstall.engine.session import Session
from meshinstall.engine.upgrade.plan import plan_upgrade
from meshinstall.errors import UsageError
from meshinstall.model.desired import Desired
from meshinstall.model.foreign_text import in_lines
from meshinstall.model.istio_version import istio_version
from meshinstall.model.upgrade import UpgradePlan


async def make_upgrade_plan(desired: Desired, session: Session) -> UpgradePlan:
    """The plan from where the mesh is to the version that ``desired`` names; raises ClusterError, and UsageError where it names none."""
    target = istio_version(desired.istio_version)
    if target is None:
        raise UsageError(f"the configuration wants Istio {desired.istio_version}, which is not a full version", "name one: --to VERSION")
    position = await observe_upgrade(desired, session)
    # Names of tenants are in it.
    return in_lines(plan_upgrade(desired, position, target, session.now().date()))
