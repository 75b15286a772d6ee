"""How a restore ended, as people and programs read it."""

import json
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from meshinstall.cli.output.plan_diff import wrapped
from meshinstall.engine.event_json import change_json, check_json
from meshinstall.engine.recovery.terms import REMOVAL, Result
from meshinstall.model.foreign_text import for_log, line, whole
from meshinstall.model.gate import GateCheck, GateOutcome
from meshinstall.model.plan import Change

SCHEMA = "meshinstall.dev/restore/v1"
_WIDTH = 80
# Values of a release that are shown.
_MOST = 10


def values_lines(values: Mapping[str, tuple[Change, ...]]) -> list[str]:
    """Where the values here differ from those of the snapshot: another cloud, region or version."""
    lines = []
    for name, changes in sorted(values.items()):
        lines.append(f"  {line(name)}:")
        lines += [text for one in changes[:_MOST] for text in wrapped(line(_value(one)), " " * 4)]
        lines += [f"    and {len(changes) - _MOST} more"] if len(changes) > _MOST else []
    return lines


def _value(one: Change) -> str:
    before, after = ("(not set)" if value is None else whole(value) for value in (one.before, one.after))
    return f"{one.path}: {before} → {after}{f'   ({one.origin})' if one.origin else ''}"


def restore_text(result: Result, width: int = _WIDTH) -> str:
    """For people: each part that was compared, the phases, what is left to do, and the outcome last."""
    lines = [f"Snapshot: {line(result.content.which)}", ""]
    for one in (*result.checks, *(result.removed or ())):
        lines += _check(one, width, is_accepted=one.name in result.accepted and one not in result.counted)
    lines += ["", "Time:", *_times(result)]
    lines += ["", "Values that are not the snapshot's:", *values_lines(result.values)] if result.values else []
    lines += ["", "Left to do:", *(f"  {line(one)}" for one in result.left)] if result.left else []
    what = "Drill" if result.removed is not None else "Restore"
    return for_log("\n".join([*lines, "", f"{what}: {result.outcome}"]))


def _times(result: Result) -> Iterator[str]:
    yield from (f"  {one.seconds:7.1f} s  {one.name}" for one in result.phases if one.name != REMOVAL)
    yield f"  {result.seconds:7.1f} s  recovery"
    yield from (f"  {one.seconds:7.1f} s  {one.name}" for one in result.phases if one.name == REMOVAL)


def _check(one: GateCheck, width: int, *, is_accepted: bool) -> Iterator[str]:
    """What is as it was needs no evidence here; commands in it are not broken."""
    said = f"{one.outcome:<10}  {line(one.name)}: {line(one.words)}{' (accepted)' if is_accepted else ''}"
    yield from textwrap.wrap(said, width, subsequent_indent=" " * 12, break_long_words=False, break_on_hyphens=False)
    if one.outcome is not GateOutcome.PASS:
        yield from (f"{' ' * 12}{line(text)}" for text in one.evidence)


def restore_json(result: Result) -> dict[str, Any]:
    """For programs: docs/schemas/restore.json describes it."""
    return {
        "schema": SCHEMA,
        "snapshot": {"digest": f"sha256:{result.content.digest}", "which": result.content.which},
        "environment": result.plan.environment,
        "cluster": result.plan.cluster,
        "istioVersion": result.plan.istio_version,
        "drill": result.removed is not None,
        "outcome": result.outcome,
        "verdict": result.verdict.outcome if result.verdict else None,
        "checks": [check_json(one) for one in result.checks],
        "removed": None if result.removed is None else [check_json(one) for one in result.removed],
        "accepted": sorted(result.accepted),
        "phases": [{"name": one.name, "seconds": round(one.seconds, 3)} for one in result.phases],
        "seconds": round(result.seconds, 3),
        "values": {name: [change_json(one) for one in changes] for name, changes in sorted(result.values.items())},
        "left": list(result.left),
    }


def restore_line(result: Result) -> str:
    """The last line after those of the events."""
    return json.dumps(restore_json(result), default=str)
