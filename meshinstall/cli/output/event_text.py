"""Events of a run as people read them."""

from collections import Counter
from collections.abc import Sequence

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
from meshinstall.model.foreign_text import command, for_log, line
from meshinstall.model.gate import Gate, GateOutcome
from meshinstall.model.plan import Action, ReleaseStep, Step
from meshinstall.model.release import Component
from meshinstall.model.tally import ProxyGroup, ProxyTally, Requests

# Lines of evidence of a check, and groups of proxies, that are shown.
_EVIDENCE, _GROUPS = 10, 6


def event_text(event: Event) -> str:
    """One line for an event, of a gate several; empty for what needs no word."""
    return _stage_text(event) if isinstance(event, StageEvent) else _run_text(event)


def _run_text(event: RunEvent) -> str:
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


def _stage_text(event: StageEvent) -> str:
    match event:
        case StageStarted(stage=stage, number=number, of=of, does=does):
            text = f"stage {number} of {of}, {stage}: {line(does)}"
        case StageWaiting(stage=stage, reason=reason):
            text = f"  {stage}: … {line(reason)}"
        case GateJudged(gate=gate):
            text = gate_text(gate)
        case ProxiesCounted(tally=tally):
            text = f"  proxies: {tally_text(tally)}"
        case RequestsMade(requests=requests, total=total):
            text = "\n".join([f"  own requests: {_requests(requests, total)}", *(f"    {line(one)}" for one in requests.failures)])
        case StageEnded(stage=stage, seconds=seconds, end=end, why=why):
            sign = "✓" if end == "done" else "✗"
            text = f"{sign} stage {stage}: {end} after {seconds:.1f} s{f': {line(why)}' if why else ''}"
    return text


def gate_text(gate: Gate) -> str:
    """A gate in lines: its outcome, what was judged, and the evidence of what did not pass."""
    passed = [check.name for check in gate.checks if check.outcome is GateOutcome.PASS]
    told = f": {line(', '.join(passed))}" if passed else ""
    lines = [f"  gate {gate.outcome}: {line(gate.stage)} ({gate.seconds:.1f} s){told}"]
    for check in gate.checks:
        if check.outcome is not GateOutcome.PASS:
            lines += [
                f"    {check.outcome} {check.name}: {line(check.words)}",
                *(f"      {line(one)}" for one in check.evidence[:_EVIDENCE]),
            ]
    return "\n".join(lines)


def tally_text(tally: ProxyTally) -> str:
    """How many proxies are of which version and revision, in one line."""
    parts = [_group(one) for one in tally.groups[:_GROUPS]] or ["none"]
    parts += [f"{sum(one.count for one in tally.groups[_GROUPS:])} of other versions"] if len(tally.groups) > _GROUPS else []
    rest = f"; {tally.not_ready} {'pod is' if tally.not_ready == 1 else 'pods are'} not ready" if tally.not_ready else ""
    return f"{', '.join(parts)}{rest}{'' if tally.is_whole else '; not all pods could be listed'}"


def _group(group: ProxyGroup) -> str:
    of = f"of {line(group.version)}" if group.version else "of an unknown version"
    return f"{group.count} {of} ({f'revision {line(group.revision)}' if group.revision else 'no istiod lists them'})"


def _requests(requests: Requests, total: Requests) -> str:
    failed = f", {requests_failed(total)}" if total.failed else ""
    all_of_it = f"; {total.asked} in this run{failed}" if total.asked > requests.asked else ""
    return f"{requests.asked}, {requests_failed(requests)}{all_of_it}"


def requests_failed(requests: Requests) -> str:
    """How many failed, in words."""
    return f"{requests.failed or 'none'} failed"


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
