"""A gateway that an earlier run moved and did not prove: what is wrong with it at the start of the next run excuses nothing."""

from dataclasses import replace

import pytest

from meshinstall.checks.moving.in_hand import unexcused
from meshinstall.model.gate import Snapshot
from meshinstall.model.mesh import SyncState
from meshinstall.model.verdict import Outcome
from tests.unit.checks.moving.gate_worlds import (
    CONNECTED,
    FAIL,
    GATE,
    MOVED_GATE,
    MTLS,
    PASS,
    READY,
    UNPROVEN,
    WEB,
    bad,
    gate,
    moving,
    only,
    outcome,
    proxies,
    with_rows,
    with_workload,
)

MOVED = moving(gateways=(GATE,))


def test_a_gateway_that_is_well_passes() -> None:
    assert outcome(unexcused(MOVED_GATE, [GATE]), MOVED_GATE, MOVED) is PASS


@pytest.mark.parametrize(("row", "found"), [(Outcome.FAIL, FAIL), (Outcome.NOT_PROVEN, UNPROVEN)])
def test_a_row_that_an_earlier_run_left_is_judged(row: Outcome, found: object) -> None:
    left = with_rows(MOVED_GATE, bad(GATE, row))
    assert outcome(left, left, MOVED) is PASS
    assert only(gate(unexcused(left, [GATE]), left, MOVED), MTLS).outcome is found


@pytest.mark.parametrize(
    ("left", "name"),
    [
        (with_workload(MOVED_GATE, GATE, proxies=(proxies("1-31", "1.31.0", SyncState.REJECTED),)), CONNECTED),
        (with_workload(MOVED_GATE, GATE, ready=1), READY),
    ],
)
def test_so_are_its_proxies_and_pods(left: Snapshot, name: str) -> None:
    assert outcome(left, left, MOVED) is PASS
    assert only(gate(unexcused(left, [GATE]), left, MOVED), name).outcome is FAIL


def test_containers_that_were_started_again_before_do_not_count() -> None:
    left = with_workload(MOVED_GATE, GATE, restarts=3)
    assert outcome(unexcused(left, [GATE]), left, MOVED) is PASS
    assert outcome(unexcused(left, [GATE]), with_workload(left, GATE, restarts=4), MOVED) is FAIL


def test_all_else_is_as_it_was() -> None:
    left = with_rows(MOVED_GATE, bad(WEB))
    assert outcome(unexcused(left, [GATE]), left, MOVED) is PASS
    assert unexcused(left, []) is left
    assert replace(unexcused(left, [GATE]), workloads=left.workloads, verdict=left.verdict) == left
