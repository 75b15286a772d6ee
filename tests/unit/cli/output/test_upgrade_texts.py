"""What a person reads while an upgrade runs, and at its end."""

import io

import pytest

from meshinstall.cli.output.event_text import event_text
from meshinstall.cli.output.printers import plain
from meshinstall.cli.output.upgrade_result import result_text
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
)
from meshinstall.engine.staging.terms import End, Result
from meshinstall.model.gate import Gate, GateCheck, GateOutcome
from meshinstall.model.istio_version import IstioVersion
from meshinstall.model.mesh_position import MeshPosition
from meshinstall.model.tally import Counted, ProxyGroup, ProxyTally, Requests
from meshinstall.model.upgrade import Stage, StageName, UpgradePlan
from tests.cases import plans
from tests.fake_kube import NOON

PLAN = UpgradePlan("dev", "c", IstioVersion(1, 31, 0), MeshPosition(), stages=(Stage(StageName.CRDS, "applies CRDs", ()),))
TALLY = ProxyTally(NOON, (ProxyGroup("default", "1.30.4", 5), ProxyGroup("1-31", "1.31.0", 3)), not_ready=2)


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


def test_proxies_are_told_by_version_and_revision() -> None:
    told = "5 of 1.30.4 (revision default), 3 of 1.31.0 (revision 1-31); 2 pods are not ready"
    assert event_text(ProxiesCounted(TALLY)) == f"  proxies: {told}"
    assert event_text(ProxiesCounted(ProxyTally(NOON))) == "  proxies: none"
    strange = ProxyTally(NOON, (ProxyGroup("", "", 1), ProxyGroup("a\nb", "1.30.4", 2)), is_whole=False)
    assert event_text(ProxiesCounted(strange)) == (
        "  proxies: 1 of an unknown version (no istiod lists them), 2 of 1.30.4 (revision a b); not all pods could be listed"
    )
    many = ProxyTally(NOON, tuple(ProxyGroup("default", f"1.30.{number}", 2) for number in range(9)))
    assert event_text(ProxiesCounted(many)).endswith("2 of 1.30.5 (revision default), 6 of other versions")


def test_requests_are_told_with_those_that_failed() -> None:
    assert event_text(RequestsMade(Requests(14), Requests(14))) == "  own requests: 14, none failed"
    assert event_text(RequestsMade(Requests(14), Requests(40))) == "  own requests: 14, none failed; 40 in this run"
    failed = RequestsMade(Requests(14, 1, ("shop/web-1:80\nis :error",)), Requests(40, 3))
    assert event_text(failed) == "  own requests: 14, 1 failed; 40 in this run, 3 failed\n    shop/web-1:80 is :error"


def test_the_end_tells_what_was_counted_and_when() -> None:
    counted = Counted(TALLY, Requests(40, 3))
    told = "5 of 1.30.4 (revision default), 3 of 1.31.0 (revision 1-31); 2 pods are not ready"
    assert result_text(Result(PLAN, End.DONE, counted=counted)).splitlines()[1:] == [f"Proxies: {told}", "Own requests: 40, 3 failed"]
    # What was done after that gate, the stage taken back, is not counted.
    undone = result_text(Result(PLAN, End.UNDONE, "gateways", counted=counted)).splitlines()
    assert undone[1] == f"Proxies at the last gate: {told}"


def test_on_a_terminal_words_stay_whole_and_each_command_has_a_line() -> None:
    held = Result(
        PLAN, End.HELD, "workloads", "their owners restart them (kubectl rollout restart)", ("Deployment shop/web: 1.30.4 → 1.31.0",)
    )
    assert result_text(held, 80).splitlines() == [
        "Upgrade of environment dev to Istio 1.31.0: held at stage workloads: their",
        "    owners restart them (kubectl rollout restart).",
        "  Deployment shop/web: 1.30.4 → 1.31.0",
        "Next: meshinstall upgrade continue",
        "  or take it back: meshinstall upgrade rollback",
    ]


def test_without_a_terminal_the_end_of_a_run_of_a_stage_is_not_told_as_the_end() -> None:
    plan = plans.load("unready").plan()
    [step] = plan.pending
    stream = io.StringIO()
    with plain(stream) as tell:
        for event in (StageStarted("crds", 1, 1, "x"), RunStarted("r", plan), StepDone(step, 1.0), RunEnded("r", 1.0)):
            tell(event)
        tell(StageEnded("crds", 2.0, End.DONE))
        assert "done in 1.0 s\n1 " not in stream.getvalue()
        assert stream.getvalue().endswith(f"run r begins\n✓ {step.name}: done in 1.0 s\n✓ stage crds: done after 2.0 s\n")
        tell(RunStarted("r", plan))
        tell(StepDone(step, 1.0))
        tell(RunEnded("r", 1.0))
    assert "\ndone in 1.0 s\n1 " in stream.getvalue()
