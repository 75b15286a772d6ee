"""Plans and events as people and programs read them."""

import io
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshinstall.cli.output.event_text import event_text
from meshinstall.cli.output.printers import dump, json_lines, plain, plan_json, plan_text
from meshinstall.engine.events import Event, RunEnded, RunStarted, StepDone, StepEnded, StepStarted, StepWaiting
from meshinstall.errors import safe
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.plan import Change, Plan
from tests.cases import plans

PLAN = plans.load("value-changed").plan()
STEP = PLAN.pending[0]
EVENTS: tuple[Event, ...] = (
    RunStarted("run-1", PLAN),
    StepStarted(STEP),
    StepWaiting(STEP, "helm upgrade"),
    StepDone(STEP, 1.26, "192.0.2.7"),
    RunEnded("run-1", 2),
)


def test_what_stops_a_run_stands_last_and_the_last_line_names_it() -> None:
    stops, beside = Finding("PRE031", Severity.ERROR, "refused"), Finding("PRE002", Severity.INFO, "not known")
    lines = plan_text(replace(PLAN, findings=(stops, beside))).splitlines()
    places = [next(number for number, line in enumerate(lines) if code in line) for code in ("PRE002", "PRE031")]
    assert places == sorted(places)
    assert lines[-1].endswith(" steps to do. None of them is done unless this is allowed: PRE031.")
    assert plan_text(replace(PLAN, findings=(beside,))).splitlines()[-1].endswith(" steps to do.")


def changing(*changes: Change) -> Plan:
    return replace(PLAN, steps=(replace(STEP, changes=changes),))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (Change("a.b", None, 1, "x.yaml:2"), "a.b: 1   (x.yaml:2)"),
        (Change("a.b", 1, 2, "x.yaml:2"), "a.b: 1 → 2   (x.yaml:2)"),
        (Change("a.b", "on", True, "--set"), 'a.b: "on" → true   (--set)'),
        (Change("a.b", 1, None), "a.b: 1 → (no longer set)"),
        (Change("a.b", 1, None, "x.yaml:2"), "a.b: 1 → null   (x.yaml:2)"),
        (Change("a.b", False, ["é"], "x.yaml:2"), 'a.b: false → ["é"]   (x.yaml:2)'),
    ],
)
def test_a_changed_value_is_told_with_its_layer(change: Change, line: str) -> None:
    assert f"      {line}" in plan_text(changing(change)).splitlines()


@given(st.text() | st.lists(st.text(" abc/:", max_size=400), max_size=4))
def test_no_value_is_cut_in_what_a_person_is_asked_about(value: object) -> None:
    text = plan_text(changing(Change("a", "before", value, "f:1")))
    lines = text[text.index("      a: ") :].split("(f:1)")[0].split("\n")
    shown = lines[0][6:] + "".join(line.removeprefix(" " * 10) for line in lines[1:])
    # A space may come between two colons: CI reads some lines as commands.
    after, wanted = (json.loads(text.replace(" ", "")) for text in (shown.partition(" → ")[2], json.dumps(value)))
    assert after == wanted


def test_no_value_of_before_is_cut_either() -> None:
    text = plan_text(changing(Change("hub", f"{'registry.example/' * 20}the-end", "new", "f:1")))
    assert "the-end" in text


def test_the_document_has_whole_values() -> None:
    document = json.loads(dump(plan_json(changing(Change("a", None, "x" * 500, "f:1")))))
    assert document["steps"][0]["changes"] == [{"path": "a", "before": None, "after": "x" * 500, "origin": "f:1"}]
    assert document["digest"].startswith("sha256:")


@pytest.mark.parametrize("hostile", ["\x1b[2J", "\x07", "\r", "\u202e", "\x9b31m"])
def test_what_a_cluster_says_cannot_drive_the_terminal(hostile: str) -> None:
    assert hostile not in safe(f"a{hostile}b")
    reworded = replace(PLAN, steps=(replace(STEP, reasons=(f"does{hostile}",)),))
    assert hostile not in plan_text(reworded)
    stream = io.StringIO()
    with plain(stream) as tell:
        tell(StepEnded(STEP, 1, hostile))
    assert hostile not in stream.getvalue()


def test_plain_progress_is_a_line_an_event() -> None:
    stream = io.StringIO()
    with plain(stream) as tell:
        for event in EVENTS:
            tell(event)
    assert (
        stream.getvalue()
        == """\
run run-1 begins
  istio-system/istiod: upgrade
  istio-system/istiod: … helm upgrade
✓ istio-system/istiod: done in 1.3 s, 192.0.2.7
done in 2.0 s
1 upgrade
"""
    )


def test_a_run_that_failed_is_told_by_its_step_alone() -> None:
    assert event_text(StepEnded(STEP, 2, "it broke")) == "✗ istio-system/istiod: stopped after 2.0 s: it broke"
    assert event_text(RunEnded("run-1", 2, "it broke")) == ""


def test_json_progress_is_an_object_a_line() -> None:
    stream = io.StringIO()
    with json_lines(stream) as tell:
        for event in EVENTS:
            tell(event)
    found = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in found] == ["run-started", "step-started", "step-waiting", "step-done", "run-ended"]
    assert {line["schema"] for line in found} == {"meshinstall.dev/event/v1"}


def test_what_was_allowed_is_shown_as_allowed_and_stops_nothing() -> None:
    stops, other = Finding("PRE031", Severity.ERROR, "refused"), Finding("PRE024", Severity.ERROR, "in use")
    text = plan_text(replace(PLAN, findings=(stops, other)), allowed=frozenset({"strict", "eol"}))
    assert "\nallowed (--allow strict) PRE024: in use\n" in text
    assert "\nerror PRE031: refused\n" in text
    assert text.endswith("None of them is done unless this is allowed: PRE031.")
    assert plan_text(replace(PLAN, findings=(other,)), allowed=frozenset({"strict"})).endswith(" steps to do.")
