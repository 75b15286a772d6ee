"""Finds out whether what an environment accepts is about the mesh that is there."""

from meshinstall.engine.session import Session
from meshinstall.errors import ForbiddenError
from meshinstall.model.acceptance import Acceptance
from meshinstall.model.desired import Desired
from meshinstall.model.facts import key_of
from meshinstall.model.ownership import ENVIRONMENT, is_ours
from meshinstall.model.paths import path_of


async def acceptance_in_force(desired: Desired, session: Session) -> Acceptance | None:
    """The acceptance, while its day has not passed, on a mesh whose policy a run of ours made for this environment; else None."""
    accepted = desired.acceptance
    if accepted is None or not accepted.holds(session.now().date()):
        return None
    for policy in desired.policies:
        key = key_of(policy.manifest)
        if f"{key.kind} {key.namespace}/{key.name}" != accepted.policy:
            continue
        try:
            live = await session.kube.get(path_of(key))
        except ForbiddenError:
            return None
        if live and is_ours(live) and (live["metadata"].get("labels") or {}).get(ENVIRONMENT) == desired.environment:
            return accepted
    return None
