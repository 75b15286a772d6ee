"""Events as JSON objects, for the journal and for programs: docs/schemas/event.json describes them."""

from typing import Any

from meshinstall.engine.events import (
    Event,
    GateJudged,
    LockWaiting,
    ProxiesCounted,
    ProxiesOlder,
    RequestsMade,
    RunEnded,
    RunEvent,
    RunStarted,
    StageEnded,
    StageEvent,
    StageStarted,
    StageWaiting,
    StepDone,
    StepEnded,
    StepStarted,
    StepWaiting,
    Verifying,
)
from meshinstall.model.gate import Gate, GateCheck
from meshinstall.model.plan import Change, Plan, ReleaseStep, Step
from meshinstall.model.tally import ProxyTally, Requests

SCHEMA = "meshinstall.dev/event/v1"


def event_json(event: Event) -> dict[str, Any]:
    """An event as a JSON object; values of a release are told only where they change."""
    return {"schema": SCHEMA, **(_stage(event) if isinstance(event, StageEvent) else _run(event))}


def _run(event: RunEvent) -> dict[str, Any]:
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
    return content


def _stage(event: StageEvent) -> dict[str, Any]:
    match event:
        case StageStarted(stage=stage, number=number, of=of, does=does, moves=moves):
            return {"event": "stage-started", "stage": stage, "number": number, "of": of, "does": does, "moves": list(moves)}
        case StageWaiting(stage=stage, reason=reason):
            return {"event": "stage-waiting", "stage": stage, "reason": reason}
        case GateJudged(gate=gate):
            return {"event": "gate-judged", **gate_json(gate)}
        case ProxiesCounted(tally=tally):
            return {"event": "proxies-counted", **tally_json(tally)}
        case RequestsMade(requests=requests, total=total):
            return {"event": "requests-made", **requests_json(requests), "total": {"asked": total.asked, "failed": total.failed}}
        case StageEnded(stage=stage, seconds=seconds, end=end, why=why):
            return {"event": "stage-ended", "stage": stage, "seconds": round(seconds, 3), "end": end, "why": why}


def gate_json(gate: Gate) -> dict[str, Any]:
    """A gate with each of its checks."""
    checks = [check_json(one) for one in gate.checks]
    return {"stage": gate.stage, "outcome": gate.outcome, "seconds": round(gate.seconds, 3), "checks": checks}


def check_json(check: GateCheck) -> dict[str, Any]:
    """A check of a gate or of a restore."""
    return {"name": check.name, "outcome": check.outcome, "words": check.words, "evidence": list(check.evidence)}


def tally_json(tally: ProxyTally) -> dict[str, Any]:
    """Proxies by revision and version."""
    groups = [{"revision": one.revision, "version": one.version, "count": one.count} for one in tally.groups]
    return {"at": tally.at.isoformat(timespec="seconds"), "proxies": groups, "notReady": tally.not_ready, "complete": tally.is_whole}


def requests_json(requests: Requests) -> dict[str, Any]:
    """How many requests there were, and the first that failed."""
    return {"asked": requests.asked, "failed": requests.failed, "failures": list(requests.failures)}


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
        "changes": [change_json(change) for change in step.changes],
    }
    if isinstance(step, ReleaseStep):
        found["chart"] = {"name": step.chart.name, "version": step.chart.version, "digest": step.chart.digest}
    return found


def change_json(change: Change) -> dict[str, Any]:
    """A value of a release that changes."""
    return {"path": change.path, "before": change.before, "after": change.after, "origin": change.origin}
