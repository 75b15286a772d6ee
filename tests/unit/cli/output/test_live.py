"""The board on a terminal: what runs, how long, what it waits for and since when."""

import re
import time

import pytest

from meshinstall.cli.output.live import live
from meshinstall.engine.events import RunEnded, RunStarted, StepDone, StepStarted, StepWaiting
from tests.cases import plans


def test_a_step_shows_how_long_it_runs_and_since_when_it_waits(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    plan = plans.load("unready").plan()
    [step] = plan.pending
    with live() as emit:
        emit(RunStarted("r", plan))
        emit(StepStarted(step))
        time.sleep(1.1)
        emit(StepWaiting(step, "1 of 2 pods are ready"))
        time.sleep(0.6)
        emit(StepDone(step, 1.7))
        emit(RunEnded("r", 1.7))
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err)
    assert f"… {step.name} 0 s" in text
    assert re.search(rf"… {step.name} [12] s  waits [01] s: 1 of 2 pods are ready", text), text
    assert f"✓ {step.name}: done in 1.7 s" in text


def test_a_reason_that_is_longer_than_the_line_is_shown_whole(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "60")
    plan = plans.load("unready").plan()
    [step] = plan.pending
    with live() as emit:
        emit(RunStarted("r", plan))
        emit(StepStarted(step))
        emit(StepWaiting(step, f"pod p, container c: ErrImagePull: {'x' * 100} the end"))
        time.sleep(0.6)
        emit(StepDone(step, 1.7))
        emit(RunEnded("r", 1.7))
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err)
    assert "the end" in text
