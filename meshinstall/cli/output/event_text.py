"""Events of a run as people read them."""

from meshinstall.engine.events import Event, RunEnded, RunStarted, StepDone, StepEnded, StepStarted, StepWaiting


def event_text(event: Event) -> str:
    """One line for an event; empty for what needs no word."""
    match event:
        case RunStarted(run=run):
            return f"run {run} begins"
        case StepStarted(step=step):
            return f"  {step.name}: {step.action}"
        case StepWaiting(step=step, reason=reason):
            return f"  {step.name}: … {reason}"
        case StepDone(step=step, seconds=seconds, detail=detail):
            return f"✓ {step.name}: done in {seconds:.1f} s{f', {detail}' if detail else ''}"
        case StepEnded(step=step, seconds=seconds, reason=reason):
            return f"✗ {step.name}: stopped after {seconds:.1f} s: {reason}"
        case RunEnded(seconds=seconds, failure=failure):
            return "" if failure else f"done in {seconds:.1f} s"
