"""Refuses to touch a release that somebody changed since the plan was made; pure."""

from meshinstall.engine.run.undoing import PLAN_AGAIN
from meshinstall.errors import PlanRefusedError
from meshinstall.model.ownership import made_by_us
from meshinstall.model.plan import Action, ReleaseStep
from meshinstall.model.release import ReleaseRecord, ReleaseStatus


def is_gone(record: ReleaseRecord | None) -> bool:
    """Whether there is nothing to uninstall."""
    return record is None or record.status is ReleaseStatus.UNINSTALLED


def refuse_if_overtaken(step: ReleaseStep, record: ReleaseRecord | None) -> None:
    """Raise PlanRefusedError unless the newest record is the one that the step was planned for: it would undo what came since.

    A release to remove that is gone by now is no reason to stop.
    """
    removes = step.action is Action.UNINSTALL
    if removes and is_gone(record):
        return
    if removes and record and record.status is ReleaseStatus.DEPLOYED and not made_by_us(record):
        raise PlanRefusedError(f"release {step.release} was installed by somebody else since the plan was made", PLAN_AGAIN)
    revision, is_pending = (record.revision, record.status.is_pending) if record else (0, False)
    if (revision, is_pending) != (step.revision, step.repair):
        now = f"revision {revision}, {record.status}" if record else "not installed"
        raise PlanRefusedError(
            f"release {step.release} has changed since the plan was made: it was at revision {step.revision}, now it is {now}",
            PLAN_AGAIN,
        )
