"""How an upgrade ended, as people and programs read it."""

import json
from typing import Any

from meshinstall.engine.event_json import gate_json
from meshinstall.engine.staging.terms import End, Result
from meshinstall.model.foreign_text import for_log, line

SCHEMA = "meshinstall.dev/upgrade-result/v1"
# Lines of what is left to others that are shown.
_MOST = 40
_GO_ON, _BACK = "meshinstall upgrade continue", "meshinstall upgrade rollback"
_BACK_AGAIN = f"continue the way back: {_BACK}"
_NEXT = {
    End.HELD: f"{_GO_ON}; or take it back: {_BACK}",
    End.NOT_PROVEN: f"see why (meshinstall verify), then {_GO_ON}; or take it back: {_BACK}",
    End.UNDONE: f"the stages before it stand; fix the cause and {_GO_ON}; or take all of it back: {_BACK}",
    End.FAILED: f"what it changed is still there; take it back: {_BACK}",
}


def result_text(result: Result) -> str:
    """For people: the end, why, what is left to others, and what to do next."""
    plan = result.plan
    what = f"{'Way back' if result.is_back else 'Upgrade'} of environment {plan.environment} to Istio {plan.target}"
    if result.end is End.DONE:
        lines = [f"{what}: done."] if plan.stages else [f"{what}: nothing to do."]
    else:
        lines = [f"{what}: {result.end} at stage {result.stage}{f': {line(result.why)}' if result.why else ''}."]
    lines += [f"  {line(one)}" for one in result.left[:_MOST]]
    lines += [f"  and {len(result.left) - _MOST} more: -o json lists them all"] if len(result.left) > _MOST else []
    lines += [f"Next: {_BACK_AGAIN if result.is_back else _NEXT[result.end]}"] if result.end in _NEXT else []
    lines += ["", *(line(one) for one in result.to_write)] if result.end is End.DONE and result.to_write else []
    return for_log("\n".join(lines))


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
    }
    return json.dumps(found, default=str)
