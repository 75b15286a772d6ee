"""Plans and events as people and programs read them."""

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict
from typing import Any, TextIO

from meshinstall.cli.options import Output
from meshinstall.cli.output.event_text import event_text, summarise
from meshinstall.cli.output.plan_diff import diff_json, diff_lines, summary_json, summary_lines, wrapped
from meshinstall.engine.event_json import change_json, event_json
from meshinstall.engine.events import Emit, Event, RunEnded, StageEnded, StageStarted, StepDone
from meshinstall.model.codes import CHECKS, address
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.foreign_text import for_log, line, whole
from meshinstall.model.plan import Action, Change, ObjectStep, Plan, ReleaseStep, Step, SweepStep
from meshinstall.model.trial import How

SCHEMA = "meshinstall.dev/plan/v1"
_SIGNS = {
    Action.INSTALL: "+",
    Action.APPLY: "+",
    Action.UPGRADE: "~",
    Action.WAIT: "…",
    Action.KEEP: "=",
    Action.RESTORE: "~",
    Action.UNINSTALL: "-",
    Action.DELETE: "-",
}
# Reasons that begin with a verb tell of the step's own object.
_OF_IT = ("is ", "does ", "was ", "differs ")


def plan_text(plan: Plan, *, diff: bool = False, allowed: frozenset[str] = frozenset()) -> str:
    """A plan for people: one line a step, its reasons and changed values below it; with ``diff`` every object that changes.

    ``allowed`` are names given to ``--allow``: their findings stay, and are marked as allowed.
    """
    lines = [f"Plan for environment {plan.environment} on {plan.cluster}: Istio {plan.istio_version}, profile {plan.profile}"]
    lines += [f"Version: {plan.istio_choice}"] if plan.istio_choice else []
    lines += [f"Cluster: {plan.target}", ""] if plan.target else [""]
    for step in plan.steps:
        lines += _step_lines(step)
    lines += ["", "What this means:", *summary_lines(plan.summary)] if plan.summary else []
    lines += ["", *diff_lines(plan.diff)] if diff and plan.diff else []
    lines += ["", *_trial_lines(plan)] if plan.trials else []
    # What stops a run stands last, where a person looks first.
    told = sorted(plan.findings, key=lambda finding: finding.severity is Severity.ERROR and not allowed_by(finding, allowed))
    lines += ["", *(finding_line(finding, allowed_by(finding, allowed)) for finding in told)] if told else []
    count = len(plan.pending)
    stopping = [finding for finding in plan.refusals if not allowed_by(finding, allowed)]
    stops = ", ".join(dict.fromkeys(finding.code for finding in stopping)) if count else ""
    steps = f"{count} of {len(plan.steps)} steps to do." if count else "Nothing to do."
    lines += ["", f"{steps} None of them is done unless this is allowed: {stops}." if stops else steps]
    return for_log("\n".join(lines))


def plan_json(plan: Plan) -> dict[str, Any]:
    """A plan for programs: the document that docs/schemas/plan.json describes."""
    return {
        "schema": SCHEMA,
        "environment": plan.environment,
        "cluster": plan.cluster,
        "profile": plan.profile,
        "istioVersion": plan.istio_version,
        **({"istioChoice": plan.istio_choice} if plan.istio_choice else {}),
        "digest": plan.digest,
        **({"target": asdict(plan.target)} if plan.target else {}),
        "pending": len(plan.pending),
        "steps": [_step_json(step) for step in plan.steps],
        "objects": [
            {"object": str(trial.key), "release": str(trial.release) if trial.release else None, "tried": trial.how, "why": trial.why}
            for trial in plan.trials
        ],
        "summary": summary_json(plan.summary),
        "diff": diff_json(plan.diff),
        "findings": [finding_json(finding) for finding in plan.findings],
    }


def finding_json(finding: Finding) -> dict[str, Any]:
    """A finding of a plan, for programs."""
    named = {"code": finding.code, "severity": finding.severity, "title": finding.title, "detail": finding.detail, "object": finding.object}
    return named | {"origin": finding.origin, "hint": finding.hint}


def dump(document: object) -> str:
    """One JSON document for stdout, readable, with an escape for each character that a terminal could act on."""
    text = json.dumps(document, indent=2, default=str, ensure_ascii=False)
    return "".join(char if char == "\n" or char.isprintable() else json.dumps(char)[1:-1] for char in text)


@contextmanager
def plain(stream: TextIO | None = None) -> Iterator[Emit]:
    """Write one line for each event, and a summary after a run: for CI, and wherever no terminal is."""
    stream = stream or sys.stderr
    done: list[StepDone] = []
    # A stage has runs of its own, and says itself when it is done: "done" alone would be read as the end of the upgrade.
    in_stage = False

    def tell(event: Event) -> None:
        nonlocal in_stage
        in_stage = isinstance(event, StageStarted) or (in_stage and not isinstance(event, StageEnded))
        summary = summarise(event, done)
        if in_stage and isinstance(event, RunEnded):
            return
        if text := event_text(event):
            stream.write(for_log(text) + "\n")
        if summary:
            stream.write(summary + "\n")
        stream.flush()

    yield tell


@contextmanager
def json_lines(stream: TextIO | None = None) -> Iterator[Emit]:
    """Write one JSON object for each event."""
    stream = stream or sys.stdout

    def tell(event: Event) -> None:
        stream.write(json.dumps(event_json(event), default=str) + "\n")
        stream.flush()

    yield tell


def progress(output: Output) -> AbstractContextManager[Emit]:
    """Progress as the place allows it: JSON when asked for, live on a terminal, plain lines elsewhere."""
    if output is Output.JSON:
        return json_lines()
    if not sys.stderr.isatty() or os.environ.get("CI"):
        return plain()
    from meshinstall.cli.output.live import live

    return live()


def _step_lines(step: Step) -> list[str]:
    chart = f"  {step.chart.name} {step.chart.version} {step.chart.digest[:19]}" if isinstance(step, ReleaseStep) else ""
    lines = [f"{_SIGNS[step.action]} {step.action:<9} {step.name}{chart}".rstrip()]
    lines += [f"      because {'it ' if reason.startswith(_OF_IT) else ''}{reason}" for reason in step.reasons]
    return [*lines, *(text for change in step.changes for text in wrapped(_change_line(change), " " * 6))]


def _change_line(change: Change) -> str:
    after = "(no longer set)" if change.after is None and not change.origin else whole(change.after)
    before = "" if change.before is None else f"{whole(change.before)} → "
    return f"{change.path}: {before}{after}{f'   ({change.origin})' if change.origin else ''}"


def _trial_lines(plan: Plan) -> list[str]:
    """How many objects were tried and how, and why the others were not."""
    count = Counter(trial.how for trial in plan.trials)
    told = ", ".join(f"{count[how]} {how}" for how in How if count[how])
    left = dict.fromkeys((trial.why, str(trial.key)) for trial in plan.trials if trial.how is How.NOT_TRIED)
    changing = "1 object changes" if len(plan.trials) == 1 else f"{len(plan.trials)} objects change"
    lines = [f"{changing}. Tried before with the API server: {told}."]
    return lines + [f"  not tried: {name}: {line(why)}" for why, name in left]


def allowed_by(finding: Finding, allowed: frozenset[str]) -> str:
    """The name by which a finding that would stop a run was allowed; empty when it was not."""
    name = CHECKS[finding.code].allow if finding.severity is Severity.ERROR and finding.code in CHECKS else ""
    return name if name in allowed else ""


def finding_line(finding: Finding, allowed: str = "") -> str:
    """A finding in lines: what, in detail, where, what to do; ``allowed`` is the name that let it pass."""
    kind = f"allowed (--allow {allowed})" if allowed else finding.severity
    parts = [f"{kind} {finding.code}: {finding.title}"]
    parts += [f"    {text}" for text in (finding.detail, finding.origin and f"written in {finding.origin}", finding.hint) if text]
    return "\n".join([*parts, f"    see {address(finding.code)}"])


def _step_json(step: Step) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": step.name,
        "action": step.action,
        "reasons": list(step.reasons),
        "needs": list(step.needs),
        "changes": [change_json(change) for change in step.changes],
    }
    match step:
        case ReleaseStep(release=release, component=component, chart=chart, revision=revision, repair=repair):
            chart_json = {"name": chart.name, "version": chart.version, "source": chart.source, "digest": chart.digest}
            found |= {
                "kind": "release",
                "namespace": release.namespace,
                "release": release.name,
                "component": component,
                "chart": chart_json,
            }
            found |= {"revision": revision, "repair": repair}
        case ObjectStep(manifest=manifest):
            found |= {"kind": str(manifest["kind"]), "manifest": manifest}
        case SweepStep(objects=objects):
            found |= {"kind": "sweep", "objects": [{"object": str(key), "uid": uid} for key, uid in objects]}
    return found
