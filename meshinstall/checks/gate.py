"""Judges the gate after a stage of an upgrade: what the stage moved, against the same at the start of the run."""

from meshinstall.checks.moving.comparing import Comparing
from meshinstall.checks.moving.findings import health
from meshinstall.checks.moving.rows import mtls
from meshinstall.checks.moving.running import connections, readiness
from meshinstall.checks.moving.trust import roots, webhooks
from meshinstall.model.gate import GateCheck, Moved, Snapshot


def judge_gate(start: Snapshot, now: Snapshot, moved: Moved, *, require_pass: bool) -> tuple[GateCheck, ...]:
    """The checks of one gate.

    FAIL undoes the stage, NOT PROVEN holds it. What was so at the start is listed and does not count, unless ``require_pass``.
    """
    comparing = Comparing(start, now, moved, require_pass)
    return tuple(check(comparing) for check in (readiness, connections, roots, webhooks, health, mtls))
