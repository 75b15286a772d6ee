"""What a person reads while an upgrade runs, and at its end."""

import pytest

from meshinstall.cli.output.event_text import event_text
from meshinstall.cli.output.upgrade_result import result_text
from meshinstall.engine.events import GateJudged, StageEnded, StageStarted, StageWaiting
from meshinstall.engine.staging.terms import End, Result
from meshinstall.model.gate import Gate, GateCheck, GateOutcome
from meshinstall.model.istio_version import IstioVersion
from meshinstall.model.mesh_position import MeshPosition
from meshinstall.model.upgrade import Stage, StageName, UpgradePlan

PLAN = UpgradePlan("dev", "c", IstioVersion(1, 31, 0), MeshPosition(), stages=(Stage(StageName.CRDS, "applies CRDs", ()),))


def test_a_stage_is_told_from_its_begin_to_its_end() -> None:
    assert event_text(StageStarted("tags", 5, 8, "moves revision tags")) == "stage 5 of 8, tags: moves revision tags"
    assert event_text(StageWaiting("tags", "restarting a\nb")) == "  tags: … restarting a b"
    assert event_text(StageEnded("tags", 4.04, End.DONE)) == "✓ stage tags: done after 4.0 s"
    assert event_text(StageEnded("tags", 4.0, End.UNDONE, "readiness: no")) == "✗ stage tags: taken back after 4.0 s: readiness: no"


def test_a_gate_names_what_passed_and_gives_evidence_of_what_did_not() -> None:
    passed = GateCheck("roots", GateOutcome.PASS, "all have one root")
    failed = GateCheck("readiness", GateOutcome.FAIL, "1 pod is not ready", ("istiod-1-31-x: crashes\nof it", *map(str, range(20))))
    text = event_text(GateJudged(Gate("control-plane istiod-1-31", (passed, failed), 3.21)))
    lines = text.splitlines()
    assert lines[:3] == [
        "  gate FAIL: control-plane istiod-1-31 (3.2 s): roots",
        "    FAIL readiness: 1 pod is not ready",
        "      istiod-1-31-x: crashes of it",
    ]
    assert len(lines) == 12
    assert event_text(GateJudged(Gate("scout", (passed,), 1.0))) == "  gate PASS: scout (1.0 s): roots"


@pytest.mark.parametrize(
    ("result", "first", "last"),
    [
        (Result(PLAN, End.DONE), "Upgrade of environment dev to Istio 1.31.0: done.", "Upgrade of environment dev to Istio 1.31.0: done."),
        (
            Result(PLAN, End.HELD, "workloads", "restart them", ("Deployment shop/web: 1.30.4 → 1.31.0",)),
            "Upgrade of environment dev to Istio 1.31.0: held at stage workloads: restart them.",
            "Next: meshinstall upgrade continue; or take it back: meshinstall upgrade rollback",
        ),
        (
            Result(PLAN, End.FAILED, "gateways", "no"),
            "Upgrade of environment dev to Istio 1.31.0: failed at stage gateways: no.",
            "Next: what it changed is still there; take it back: meshinstall upgrade rollback",
        ),
        (
            # To continue the upgrade would lead to the newer istiod again.
            Result(PLAN, End.HELD, "workloads", "restart them", is_back=True),
            "Way back of environment dev to Istio 1.31.0: held at stage workloads: restart them.",
            "Next: continue the way back: meshinstall upgrade rollback",
        ),
    ],
)
def test_the_end_says_where_why_and_what_next(result: Result, first: str, last: str) -> None:
    lines = result_text(result).splitlines()
    assert (lines[0], lines[-1]) == (first, last)


def test_what_the_files_must_say_comes_last_and_a_long_list_is_cut() -> None:
    done = Result(PLAN, End.DONE, to_write=("Write into meshinstall.yaml", '  istio: {version: "1.31.0"}'))
    assert result_text(done).splitlines()[-1] == '  istio: {version: "1.31.0"}'
    many = Result(PLAN, End.HELD, "workloads", left=tuple(f"Deployment shop/w{number}" for number in range(60)))
    assert "  and 20 more: -o json lists them all" in result_text(many).splitlines()
    nothing = Result(UpgradePlan("dev", "c", IstioVersion(1, 31, 0), MeshPosition()), End.DONE)
    assert result_text(nothing) == "Upgrade of environment dev to Istio 1.31.0: nothing to do."
