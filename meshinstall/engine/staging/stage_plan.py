"""The plan of one piece of a stage: that of ``up`` for a part of the mesh, without what was judged for the upgrade as a whole."""

from dataclasses import replace

from meshinstall.engine.planning import refuse
from meshinstall.engine.run.carry_out import Execution, install
from meshinstall.engine.staging.ahead import PlansAhead
from meshinstall.engine.tasks import in_time
from meshinstall.model.desired import Desired
from meshinstall.model.finding import Finding
from meshinstall.model.plan import Plan, ReleaseStep
from meshinstall.model.release import Component

# Of a part of a mesh the rest looks like another's, and going from one version to another is what an upgrade is for: its own plan has
# told all of this (PRE001 to PRE009 of the target, PRE036 to PRE048).
_TOLD = frozenset({"PRE001", "PRE002", "PRE004", "PRE006", "PRE007", "PRE008", "PRE009", "PRE013", "PRE026", "PRE036", "PRE037", "PRE048"})
_CRD_OWNER = "PRE005"


async def make_so(desired: Desired, execution: Execution, allow: frozenset[str], ahead: PlansAhead, *, holds: bool = False) -> Plan:
    """Plan a part of the mesh, or take its plan from those made ahead, and run it.

    Raises PlanRefusedError for what stops it, and what stopped the run. ``holds``: each release is done when one new pod is Ready
    beside those of before.
    """
    async with in_time(execution.seconds, "the plan of the stage was not made"):
        plan = of_stage(await ahead.take(desired), desired, holds=holds)
    refuse(plan, allow)
    if not plan.is_empty:
        await install(plan, desired, execution)
    return plan


def of_stage(plan: Plan, desired: Desired, *, holds: bool = False) -> Plan:
    """The plan with the findings that are about this part alone."""
    has_base = any(release.component is Component.BASE for release in desired.releases)
    steps = tuple(replace(step, holds=True) if holds and isinstance(step, ReleaseStep) else step for step in plan.steps)
    return replace(plan, steps=steps, findings=tuple(one for one in plan.findings if _counts(one, has_base=has_base)))


def _counts(finding: Finding, *, has_base: bool) -> bool:
    return finding.code not in _TOLD and (has_base or finding.code != _CRD_OWNER)
