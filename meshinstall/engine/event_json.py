"""Events as JSON objects, for the journal and for programs: docs/schemas/event.json describes them."""

from typing import Any

from meshinstall.engine.events import (
    Event,
    LockWaiting,
    ProxiesOlder,
    RunEnded,
    RunStarted,
    StepDone,
    StepEnded,
    StepStarted,
    StepWaiting,
    Verifying,
)
from meshinstall.model.plan import Change, Plan, ReleaseStep, Step

SCHEMA = "meshinstall.dev/event/v1"


def event_json(event: Event) -> dict[str, Any]:
    """An event as a JSON object; values of a release are told only where they change."""
    match event:
        case RunStarted(run=run, plan=plan):
            content = {"event": "run-started", "run": run, **_plan(plan)}
        case StepStarted(step=step):
            content = {"event": "step-started", **_step(step)}
        case StepWaiting(step=step, reason=reason):
            content = {"event": "step-waiting", "step": step.name, "reason": reason}
        case StepDone(step=step, seconds=seconds, detail=detail):
            content = {"event": "step-done", "step": step.name, "seconds": round(seconds, 3), "detail": detail}
        case StepEnded(step=step, seconds=seconds, reason=reason):
            content = {"event": "step-ended", "step": step.name, "seconds": round(seconds, 3), "reason": reason}
        case LockWaiting(reason=reason):
            content = {"event": "lock-waiting", "reason": reason}
        case RunEnded(run=run, seconds=seconds, failure=failure):
            content = {"event": "run-ended", "run": run, "seconds": round(seconds, 3), "failure": failure}
        case Verifying(doing=doing, seconds=seconds):
            content = {"event": "verifying", "doing": doing, "seconds": round(seconds, 3)}
        case ProxiesOlder(text=text):
            content = {"event": "proxies-older", "text": text}
    return {"schema": SCHEMA, **content}


def _plan(plan: Plan) -> dict[str, Any]:
    return {
        "environment": plan.environment,
        "cluster": plan.cluster,
        "profile": plan.profile,
        "istioVersion": plan.istio_version,
        "plan": plan.digest,
        "steps": [step.name for step in plan.pending],
    }


def _step(step: Step) -> dict[str, Any]:
    found: dict[str, Any] = {
        "step": step.name,
        "action": step.action,
        "reasons": step.reasons,
        "changes": [_change(change) for change in step.changes],
    }
    if isinstance(step, ReleaseStep):
        found["chart"] = {"name": step.chart.name, "version": step.chart.version, "digest": step.chart.digest}
    return found


def _change(change: Change) -> dict[str, Any]:
    return {"path": change.path, "before": change.before, "after": change.after, "origin": change.origin}
