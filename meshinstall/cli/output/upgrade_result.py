"""How an upgrade ended, as people and programs read it."""

import json
import textwrap
from collections.abc import Iterator
from typing import Any

from meshinstall.cli.output.event_text import requests_failed, tally_text
from meshinstall.engine.event_json import gate_json, requests_json, tally_json
from meshinstall.engine.staging.terms import End, Result
from meshinstall.model.foreign_text import for_log, line

SCHEMA = "meshinstall.dev/upgrade-result/v1"
# Lines of what is left to others that are shown.
_MOST = 40
_GO_ON, _BACK = "meshinstall upgrade continue", "meshinstall upgrade rollback"
_BACK_AGAIN = f"continue the way back: {_BACK}"
_NEXT = {
    End.PAUSED: f"the next night continues; or now: {_GO_ON}; or take it back: {_BACK}",
    End.HELD: f"{_GO_ON}; or take it back: {_BACK}",
    End.NOT_PROVEN: f"see why (meshinstall verify), then {_GO_ON}; or take it back: {_BACK}",
    End.UNDONE: f"the stages before it stand; fix the cause and {_GO_ON}; or take all of it back: {_BACK}",
    End.FAILED: f"what it changed is still there; take it back: {_BACK}",
}


def result_text(result: Result, width: int = 0) -> str:
    """For people: the end, why, what is left to others, and what to do next; with a ``width`` no words are cut at the terminal's edge."""
    plan = result.plan
    what = f"{'Way back' if result.is_back else 'Upgrade'} of environment {plan.environment} to Istio {plan.target}"
    if result.end is End.DONE:
        lines = [f"{what}: done."] if plan.stages else [f"{what}: nothing to do."]
    else:
        lines = [f"{what}: {result.end} at stage {result.stage}{f': {line(result.why)}' if result.why else ''}."]
    lines += _counted(result)
    lines += [f"  {line(one)}" for one in result.left[:_MOST]]
    lines += [f"  and {len(result.left) - _MOST} more: -o json lists them all"] if len(result.left) > _MOST else []
    lines += next_lines(result)
    lines = [part for one in lines for part in _wrapped(one, width)] if width else lines
    lines += ["", *(line(one) for one in result.to_write)] if result.end is End.DONE and result.to_write else []
    return for_log("\n".join(lines))


def next_lines(result: Result) -> list[str]:
    """What to do next, in one line; none where all is done."""
    return [f"Next: {_BACK_AGAIN if result.is_back else _NEXT[result.end]}"] if result.end in _NEXT else []


def _wrapped(told: str, width: int) -> Iterator[str]:
    """A line within a width. Each command that comes next has a line of its own, to be copied."""
    first, *more = told.split("; ") if told.startswith("Next: ") else (told,)
    for one in (first, *(f"  {part}" for part in more)):
        indent = " " * (len(one) - len(one.lstrip()) + 4)
        yield from textwrap.wrap(one, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _counted(result: Result) -> list[str]:
    """What the gates counted; a stage that was taken back, or failed, changed proxies after that."""
    proxies, requests = result.counted.proxies, result.counted.requests
    when = "" if result.end is End.DONE else " at the last gate"
    lines = [f"Proxies{when}: {tally_text(proxies)}"] if proxies else []
    return lines + ([f"Own requests: {requests.asked}, {requests_failed(requests)}"] if requests.asked else [])


def result_line(result: Result) -> str:
    """For programs: the last of the lines of JSON."""
    found: dict[str, Any] = {
        "schema": SCHEMA,
        "environment": result.plan.environment,
        "cluster": result.plan.cluster,
        "target": str(result.plan.target),
        "end": result.end,
        "stage": result.stage,
        "why": result.why,
        "left": list(result.left),
        "toWrite": list(result.to_write),
        "gates": [gate_json(gate) for gate in result.gates],
        "proxies": tally_json(result.counted.proxies) if result.counted.proxies else None,
        "requests": requests_json(result.counted.requests),
    }
    return json.dumps(found, default=str)
