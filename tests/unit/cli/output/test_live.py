"""The board on a terminal: what runs, how long, what it waits for and since when."""

import re
import sys
import time

import pytest

from meshinstall.cli.output import live as live_output
from meshinstall.cli.output.live import clock, live
from meshinstall.engine.events import (
    GateJudged,
    ProxiesCounted,
    RequestsMade,
    RunEnded,
    RunStarted,
    StageEnded,
    StageStarted,
    StageWaiting,
    StepDone,
    StepStarted,
    StepWaiting,
    Verifying,
)
from meshinstall.engine.staging.terms import End
from meshinstall.model.gate import Gate, GateCheck, GateOutcome
from meshinstall.model.tally import ProxyGroup, ProxyTally, Requests
from tests.cases import plans
from tests.fake_kube import NOON

TALLY = ProxyTally(NOON, (ProxyGroup("default", "1.30.4", 5), ProxyGroup("1-31", "1.31.0", 3)), not_ready=1)
STAGE = StageStarted("gateways", 4, 8, "replaces the gateways one by one", ("Deployment istio-ingress/public",))
GATE = Gate("gateways istio-ingress/public", (GateCheck("readiness and restarts", GateOutcome.PASS, "ok"),), 4.0)


def shown(capsys: pytest.CaptureFixture[str]) -> str:
    """All that was drawn, without the terminal's commands."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of 80 columns."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")


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


@pytest.mark.usefixtures("terminal")
def test_an_upgrade_shows_its_stage_what_was_counted_and_what_it_waits_for(capsys: pytest.CaptureFixture[str]) -> None:
    # The board is drawn anew with each line that stays, and at the end.
    with live() as emit:
        emit(StageWaiting("start", "looking at the mesh before the first stage"))
        emit(ProxiesCounted(TALLY))
        emit(STAGE)
        emit(StageWaiting("gateways", "restarting Deployment shop/web\u202e"))
        emit(RequestsMade(Requests(14), Requests(40, 2)))
        emit(Verifying("trying 3 ports on the wire", 1.0))
    text = shown(capsys).replace("\r", "")
    assert "… upgrade: 0 s" in text
    assert re.search(r"0 s: looking at the mesh before the first stage", text)
    assert re.search(r"… stage 4 of 8, gateways: [01] s; upgrade: [012] s", text)
    assert "proxies: 5 of 1.30.4 (revision default), 3 of 1.31.0 (revision 1-31); 1 pod is\n      not ready" in text
    assert "own requests: 40, 2 failed" in text
    assert "0 s: restarting Deployment shop/web" in text
    assert "0 s: gate: trying 3 ports on the wire" in text
    assert "\u202e" not in text


@pytest.mark.usefixtures("terminal")
def test_what_a_stage_waits_for_does_not_scroll_and_its_runs_are_not_told_as_done(capsys: pytest.CaptureFixture[str]) -> None:
    plan = plans.load("unready").plan()
    [step] = plan.pending
    with live() as emit:
        emit(STAGE)
        emit(RunStarted("r", plan))
        emit(StepStarted(step))
        emit(StepDone(step, 1.7))
        emit(RunEnded("r", 1.7))
        emit(Verifying("looking at the mesh", 0.0))
        emit(GateJudged(GATE))
        emit(StageEnded("gateways", 4.0, End.DONE))
    text = shown(capsys)
    kept = [line for line in text.replace("\r", "\n").splitlines() if line.strip()]
    assert [line for line in kept if not line.startswith("…") and "upgrade:" not in line and not line.startswith("  0 s: ")] == [
        "stage 4 of 8, gateways: replaces the gateways one by one",
        f"✓ {step.name}: done in 1.7 s",
        "  gate PASS: gateways istio-ingress/public (4.0 s): readiness and restarts",
        "✓ stage gateways: done after 4.0 s",
    ]


@pytest.mark.usefixtures("terminal")
def test_the_lines_of_a_gate_that_stay_are_wrapped_below_themselves(capsys: pytest.CaptureFixture[str]) -> None:
    checks = tuple(GateCheck(f"check number {number}", GateOutcome.PASS, "ok") for number in range(12))
    with live() as emit:
        emit(STAGE)
        emit(GateJudged(Gate("gateways", checks, 4.0)))
    lines = [line for line in shown(capsys).replace("\r", "\n").splitlines() if "check number" in line]
    assert len(lines) > 1
    assert all(len(line) <= 80 for line in lines)
    assert all(line.startswith("      ") for line in lines[1:])


class Screen:
    """A terminal: its lines, and the commands that move up, to the left and erase a line."""

    def __init__(self) -> None:
        self.lines = [""]
        self.row = 0

    def read(self, written: str) -> list[str]:
        """What stands there in the end."""
        for part in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", written):
            self._do(part)
        return [line for line in self.lines if line.strip()]

    def _do(self, part: str) -> None:
        if part == "\n":
            self.row += 1
            self.lines += [""] * (self.row - len(self.lines) + 1)
        elif part.endswith("A") and part.startswith("\x1b["):
            self.row -= int(part[2:-1] or 1)
        elif part == "\x1b[2K":
            self.lines[self.row] = ""
        elif not part.startswith("\x1b") and part != "\r":
            self.lines[self.row] += part


@pytest.mark.usefixtures("terminal")
def test_no_line_that_stays_is_drawn_over_however_often_the_board_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(live_output, "_RATE", 5000)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with live() as emit:
            for number in range(200):
                # The board grows by a line, and is smaller again with the gate.
                emit(StageWaiting("gateways", "restarting"))
                emit(GateJudged(Gate(f"gate number {number}.", (), 4.0)))
    finally:
        sys.setswitchinterval(before)
    kept = [line.split(" (")[0] for line in Screen().read(capsys.readouterr().err) if "gate" in line]
    assert kept == [f"  gate NOT PROVEN: gate number {number}." for number in range(200)]


def test_the_colour_is_not_needed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    with live() as emit:
        emit(StageEnded("gateways", 4.0, End.UNDONE, "readiness: no"))
    said = capsys.readouterr().err
    assert "✗ stage gateways: taken back after 4.0 s: readiness: no" in said
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", said)


@pytest.mark.parametrize(("seconds", "said"), [(0.9, "0 s"), (59.9, "59 s"), (60, "1 min 00 s"), (3725, "62 min 05 s")])
def test_times_are_read_at_a_glance(seconds: float, said: str) -> None:
    assert clock(seconds) == said
