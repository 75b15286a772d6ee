"""Events of a run as people read them."""

from collections import Counter
from collections.abc import Sequence

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
from meshinstall.model.foreign_text import command, for_log, line
from meshinstall.model.plan import Action, ReleaseStep, Step
from meshinstall.model.release import Component


def event_text(event: Event) -> str:
    """One line for an event; empty for what needs no word."""
    match event:
        case RunStarted(run=run):
            text = f"run {run} begins"
        case StepStarted(step=step):
            text = f"  {step.name}: {step.action}"
        case StepWaiting(step=step, reason=reason):
            text = f"  {step.name}: … {line(reason)}"
        case StepDone(step=step, seconds=seconds, detail=detail):
            text = f"✓ {step.name}: done in {seconds:.1f} s{f', {line(detail)}' if detail else ''}"
        case StepEnded(step=step, seconds=seconds, reason=reason):
            text = f"✗ {step.name}: stopped after {seconds:.1f} s: {command(reason)}"
        case LockWaiting(reason=reason):
            text = f"  … {line(reason)}"
        case RunEnded(seconds=seconds, failure=failure):
            text = "" if failure else f"done in {seconds:.1f} s"
        case Verifying(doing=doing, seconds=seconds):
            text = f"  verify: … {line(doing)} ({seconds:.1f} s)"
        case ProxiesOlder(text=told):
            text = f"! {line(told)}"
    return text


def summarise(event: Event, done: list[StepDone]) -> str:
    """Keep the steps that are ``done``; when their run ends well, what it did in one line, and the addresses of gateways."""
    if isinstance(event, RunStarted):
        done.clear()
    elif isinstance(event, StepDone):
        done.append(event)
    elif isinstance(event, RunEnded) and not event.failure:
        return summary_text(done)
    return ""


def summary_text(done: Sequence[StepDone]) -> str:
    """What a run did, in one line, and the addresses of gateways."""
    counts = Counter(event.step.action for event in done if event.step.action is not Action.KEEP)
    lines = [", ".join(f"{count} {action}" for action, count in counts.items())]
    lines += [f"gateway {event.step.name}: {line(event.detail)}" for event in done if event.detail and _is_gateway(event.step)]
    return for_log("\n".join(lines))


def _is_gateway(step: Step) -> bool:
    return isinstance(step, ReleaseStep) and step.component is Component.GATEWAY
