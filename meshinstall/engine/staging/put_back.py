"""Says who changed what a stage had made: its gate sees the effect alone, a plan of the same part has the field and its manager."""

from collections.abc import Iterator

from meshinstall.checks.words import first
from meshinstall.engine.planning import make_plan
from meshinstall.engine.session import Session
from meshinstall.engine.staging.injector import switched_on_again
from meshinstall.errors import MeshinstallError
from meshinstall.model.desired import Desired
from meshinstall.model.plan import Action, ObjectStep, Plan, ReleaseStep
from meshinstall.model.release import Manifest

_SHOWN = 3
_NAMESPACE = "Namespace"


async def changed_by_others(made: Desired, session: Session, *, is_switched_off: bool = False) -> str:
    """What of a part that a stage has made is no longer so, and whose change it is; empty where nothing is, or that cannot be seen.

    ``is_switched_off``: this run, or one before it, has switched off the injector of the istiod without a revision.
    """
    try:
        plan = await make_plan(made, session, explains=False)
        again = await switched_on_again(session.kube, made.mesh_namespace) if is_switched_off else ""
    except MeshinstallError:
        # It would only explain what failed, which is told in any case.
        return ""
    return first([*_told(plan), *filter(None, [again])], _SHOWN)


def _told(plan: Plan) -> Iterator[str]:
    for step in plan.pending:
        if (isinstance(step, ReleaseStep) and step.editors) or (isinstance(step, ObjectStep) and _is_tag(step.action, step.manifest)):
            yield from step.reasons


def _is_tag(action: Action, manifest: Manifest) -> bool:
    return action is Action.APPLY and manifest["kind"] != _NAMESPACE
