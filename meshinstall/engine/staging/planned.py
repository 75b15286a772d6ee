"""From files and a cluster to an upgrade that can be run: its plan, and the desired mesh with the names that the plan gives it."""

from collections.abc import Callable
from dataclasses import dataclass

from meshinstall.engine.observe.cloud import explaining
from meshinstall.engine.observe.upgrade import observe_upgrade
from meshinstall.engine.observe.version import settle_version
from meshinstall.engine.session import Session
from meshinstall.engine.upgrade.plan import plan_upgrade
from meshinstall.engine.upgrade.rollback import newest, plan_rollback, plane_to_return_to
from meshinstall.engine.upgrade.waves import with_waves
from meshinstall.errors import PlanRefusedError, UsageError
from meshinstall.model.desired import Desired
from meshinstall.model.foreign_text import in_lines
from meshinstall.model.istio_version import istio_version
from meshinstall.model.mesh_position import MeshPosition
from meshinstall.model.revision import DEFAULT_REVISION, revision_of
from meshinstall.model.upgrade import UpgradePlan
from meshinstall.model.version import fits

# The desired mesh at a version (None: as the files say), with revisions or without them (None: as the files say).
Resolve = Callable[[str | None, bool | None], Desired]
# In place of a version: that of the newest istiod or CRDs, which come first, where an upgrade that was begun leads to.
NEWEST = "newest"


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, and the desired mesh at its target; ``is_back``: it takes an upgrade back."""

    plan: UpgradePlan
    desired: Desired
    is_back: bool = False


async def plan_from(resolve: Resolve, session: Session, to: str | None = None) -> Planned:
    """Look at the mesh once and plan the way to a version, the files' own by default; raises UsageError where that names none.

    Where an upgrade gives a mesh revisions, or leaves one as it is without them, the desired mesh is that of the files with this changed.
    """
    # What is looked at has the same names at every version.
    position = await observe_upgrade(resolve(None, None), session) if to == NEWEST else None
    written = resolve(newest_of(position) if position else to, None)
    async with explaining(session, written):
        settled = await settle_version(written, session.chart_pins, session.charts, session.releases)
    target = istio_version(settled.istio_version)
    if target is None:
        raise UsageError(f"{settled.istio_version} is not a version of Istio", "name one: --to VERSION")
    position = position or await observe_upgrade(settled, session)
    plan = in_lines(with_waves(plan_upgrade(settled, position, target, session.now().date()), settled))
    if plan.strategy is None or plan.strategy.revision == (settled.revision or DEFAULT_REVISION):
        return Planned(plan, settled)
    _insist_on_name(plan.strategy.revision, str(target))
    desired = resolve(str(target), plan.strategy.revision != DEFAULT_REVISION)
    return Planned(plan, desired)


async def plan_back(resolve: Resolve, session: Session, to: str | None = None) -> Planned:
    """Look at the mesh and plan the way back, to the older istiod that still runs or in place to a version.

    Raises UsageError where neither is there to go back to.
    """
    written = resolve(None, None)
    position = await observe_upgrade(written, session)
    back = plane_to_return_to(position)
    target = back.version if back else istio_version(to or "")
    if target is None:
        hint = "name the version to go back to: --to VERSION (helm history istiod -n istio-system lists them)"
        raise UsageError("no second istiod runs that the mesh could go back to", hint)
    plan = in_lines(with_waves(plan_rollback(written.environment, written.cluster.name, position, target), written))
    _insist_on_name(plan.revision, str(target))
    return Planned(plan, resolve(str(target), plan.revision != DEFAULT_REVISION), is_back=True)


def newest_of(position: MeshPosition) -> str | None:
    """The version of the newest istiod of a mesh, or of its CRDs."""
    found = max((version for version in (newest(position), position.base) if version), default=None)
    return str(found) if found else None


def lines_to_write(planned: Planned, written: Desired) -> tuple[str, ...]:
    """What the files must say for the mesh to stay as it is now; empty where they do."""
    desired = planned.desired
    says_version = fits(desired.istio_version, written.istio_version) or desired.istio_version == written.istio_version
    if says_version and written.revision == desired.revision:
        return ()
    revisions = ", revisions: true" if desired.revision else ", revisions: false" if written.revision else ""
    line = f'  istio: {{version: "{desired.istio_version}"{revisions}}}'
    return (f"Write into meshinstall.yaml what runs now, or plan and up will want something else ({written.version_origin}):", line)


def _insist_on_name(revision: str, version: str) -> None:
    """An istiod by another name was installed by somebody else's means."""
    if revision not in {DEFAULT_REVISION, revision_of(version)}:
        hint = "upgrade it with what installed it, or move what uses it to an istiod of meshinstall's"
        raise PlanRefusedError(f"the istiod that would be upgraded has the revision {revision}, which meshinstall gives to none", hint)
