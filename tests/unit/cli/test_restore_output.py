"""What a restore prints: for a terminal, for programs, and as a page."""

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from meshinstall.cli.output.restore_html import restore_html
from meshinstall.cli.output.restore_text import restore_line, restore_text
from meshinstall.model.gate import GateCheck, GateOutcome
from tests.fake_kube import NOON
from tests.unit.cli.restores import DRILLED, HOSTILE

SCHEMA = json.loads((Path(__file__).parents[3] / "docs/schemas/restore.json").read_text())


def test_a_terminal_gets_lines_of_80_but_for_commands() -> None:
    lines = restore_text(DRILLED).splitlines()
    assert [line for line in lines[1:] if len(line) > 80 and "kubectl" not in line] == []
    assert any(line.strip().startswith("kubectl rollout restart -n shop deployment/a-workload") for line in lines)
    assert lines[-1] == "Drill: FAIL"


def test_what_was_accepted_is_marked_and_does_not_count() -> None:
    only = replace(DRILLED, checks=tuple(one for one in DRILLED.checks if one.name == "trust"))
    assert only.outcome is GateOutcome.PASS
    assert "FAIL        trust: it did not come along (accepted)" in restore_text(only)


def test_evidence_is_shown_of_what_is_not_as_it_was() -> None:
    text = restore_text(DRILLED)
    assert "VirtualService shop/web is not there" in text
    assert "added: route x" not in text


def test_the_recovery_time_is_without_the_removal() -> None:
    lines = [line.split() for line in restore_text(DRILLED).splitlines() if line.endswith(("recovery", "removal"))]
    assert lines == [["9.8", "s", "recovery"], ["15.0", "s", "removal"]]


@pytest.mark.parametrize("removed", [None, (GateCheck("taken away again", GateOutcome.NOT_PROVEN, "it is gone"),)])
def test_programs_get_what_the_schema_says(removed: tuple[GateCheck, ...] | None) -> None:
    document = json.loads(restore_line(replace(DRILLED, removed=removed)))
    jsonschema.validate(document, SCHEMA)
    assert document["drill"] is (removed is not None)


def test_a_page_forges_nothing() -> None:
    page = restore_html(DRILLED, NOON)
    assert HOSTILE not in page
    assert "&lt;script&gt;" in page
    assert "<h1>Drill of environment" in page
