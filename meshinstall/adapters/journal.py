"""One JSON line for each event of a run, in a file of its own that only its owner reads."""

import json
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from meshinstall.engine.events import Event, RunEnded, RunStarted, StepDone, StepEnded, StepStarted, StepWaiting
from meshinstall.model.plan import Change, Plan, ReleaseStep, Step

SCHEMA = "meshinstall.dev/journal/v1"


def default_folder() -> Path:
    """The folder for journals in the user's state."""
    from platformdirs import user_state_path

    return user_state_path("meshinstall") / "runs"


class Journal:
    """A listener that writes events; when it cannot, it says so once and the run goes on."""

    def __init__(self, folder: Path, now: Callable[[], datetime], complain: Callable[[str], None]) -> None:
        self._folder = folder
        self._now = now
        self._complain = complain
        self._path: Path | None = None
        self._early: list[Event] = []
        self._broken = False

    def __call__(self, event: Event) -> None:
        """Write one event; those before the run has its name wait for it."""
        if self._broken:
            return
        if isinstance(event, RunStarted):
            self._path = self._folder / f"{event.run}.jsonl"
        if self._path is None:
            self._early.append(event)
            return
        events, self._early = [*self._early, event], []
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.writelines(json.dumps(self._line(one), default=str) + "\n" for one in events)
        except OSError as error:
            self._broken = True
            self._complain(f"the journal {self._path} cannot be written ({error.strerror}); the run goes on without it")

    def _line(self, event: Event) -> dict[str, Any]:
        return {"schema": SCHEMA, "time": self._now().isoformat(timespec="milliseconds"), **event_json(event)}


def event_json(event: Event) -> dict[str, Any]:
    """An event as a JSON object; values of a release are told only where they change."""
    match event:
        case RunStarted(run=run, plan=plan):
            return {"event": "run-started", "run": run, **_plan(plan)}
        case StepStarted(step=step):
            return {"event": "step-started", **_step(step)}
        case StepWaiting(step=step, reason=reason):
            return {"event": "step-waiting", "step": step.name, "reason": reason}
        case StepDone(step=step, seconds=seconds, detail=detail):
            return {"event": "step-done", "step": step.name, "seconds": round(seconds, 3), "detail": detail}
        case StepEnded(step=step, seconds=seconds, reason=reason):
            return {"event": "step-ended", "step": step.name, "seconds": round(seconds, 3), "reason": reason}
        case RunEnded(run=run, seconds=seconds, failure=failure):
            return {"event": "run-ended", "run": run, "seconds": round(seconds, 3), "failure": failure}


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
