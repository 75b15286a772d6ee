"""The journal of a run: private, a JSON object a line, and never a reason for the run to stop."""

import json
import stat
from pathlib import Path
from typing import Any

from meshinstall.adapters.journal import Journal
from meshinstall.engine.events import Event, RunEnded, RunStarted, StepDone, StepEnded, StepStarted, StepWaiting, Verifying
from tests.cases import plans
from tests.fake_kube import NOON

PLAN = plans.load("value-changed").plan()
STEP = PLAN.pending[0]
EVENTS: tuple[Event, ...] = (
    RunStarted("run-1", PLAN),
    StepStarted(STEP),
    StepWaiting(STEP, "helm upgrade"),
    StepDone(STEP, 1.23456, "192.0.2.7"),
    StepEnded(STEP, 2, "it broke"),
    RunEnded("run-1", 3, "it broke"),
    Verifying("starting the probes", 0.5),
)


def kept(folder: Path) -> list[str]:
    complaints: list[str] = []
    journal = Journal(folder, lambda: NOON, complaints.append)
    for event in EVENTS:
        journal(event)
    return complaints


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "run-1.jsonl").read_text().splitlines()]


def test_every_event_is_a_line(tmp_path: Path) -> None:
    assert kept(tmp_path / "runs") == []
    found = lines(tmp_path / "runs")
    assert [line["event"] for line in found] == [
        "run-started",
        "step-started",
        "step-waiting",
        "step-done",
        "step-ended",
        "run-ended",
        "verifying",
    ]
    assert {line["time"] for line in found} == {"2026-11-21T12:00:00.000+00:00"}
    assert found[1]["changes"][0] == {"path": "pilot.autoscaleMin", "before": 2, "after": 3, "origin": "values/envs/dev.yaml:14"}
    assert found[3]["seconds"] == 1.235


def test_only_its_owner_reads_it(tmp_path: Path) -> None:
    kept(tmp_path / "state" / "runs")
    assert stat.S_IMODE((tmp_path / "state" / "runs").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "state" / "runs" / "run-1.jsonl").stat().st_mode) == 0o600


def test_a_folder_that_cannot_be_written_is_told_once(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    complaints = kept(tmp_path / "file" / "runs")
    assert len(complaints) == 1
    assert complaints[0].endswith("the run continues without it")


def test_a_proof_without_a_run_is_not_kept(tmp_path: Path) -> None:
    Journal(tmp_path / "runs", lambda: NOON, print)(Verifying("starting the probes", 0.5))
    assert not (tmp_path / "runs").exists()
