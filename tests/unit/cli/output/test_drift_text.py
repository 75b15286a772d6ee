"""Drift as people and programs read it: the schema holds, lines fit, and whatever a cluster says stays text."""

import json
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import pytest
from markdown_it import MarkdownIt

from meshinstall.cli.output.drift_text import MARKER, drift_json, drift_markdown, drift_text, status
from meshinstall.errors import ExitStatus
from meshinstall.model.diff import Concern, Consequence
from meshinstall.model.drift import Drift, DriftedField, DriftedObject, Engine, Fix, State, Writer
from meshinstall.model.facts import ObjectKey
from tests.unit.cli.output.test_preview_text import HOSTILE

SCHEMA = json.loads((Path(__file__).parents[4] / "docs" / "schemas" / "drift.json").read_text())
NOTHING = Drift("dev/local", "shop", "commit 0123456789ab", datetime(2026, 12, 1, tzinfo=UTC), compared=5000, looked_at=7000)


def drift(text: str, count: int = 1) -> Drift:
    field = DriftedField(f"spec.{text}", None, text, text, recorded=True, writers=(Writer(text, "Update", text),), origin=text)
    one = DriftedObject(
        ObjectKey("v1", "ConfigMap", "shop", text),
        State.EDITED,
        text,
        text,
        (field,),
        (Consequence(Concern.WEAKER, text),),
        (text,),
        (Fix(f"kubectl delete {text}"), Fix(text, is_command=False)),
    )
    return Drift(text, text, text, NOTHING.at, (Engine(text, text, text, (text,)),), (one,) * count, (text,))


def test_the_exit_status_is_that_of_the_worst() -> None:
    assert status(NOTHING) is ExitStatus.DONE
    assert status(Drift("a", "b", "c", NOTHING.at, unseen=("x",))) is ExitStatus.NOT_PROVEN
    assert status(Drift("a", "b", "c", NOTHING.at, unseen_engines=("x",))) is ExitStatus.DONE
    assert status(drift("x")) is ExitStatus.CHANGES_PENDING


def test_nothing_is_said_in_one_line_and_what_was_not_seen_is_no_proof() -> None:
    assert " ".join(drift_text(NOTHING).splitlines()).endswith(
        "No drift on shop: 5,000 objects of Git compared, 7,000 of the cluster looked at"
    )
    unseen = drift_text(Drift("a", "b", "c", NOTHING.at, unseen=("Secrets could not be listed",)))
    assert "? not seen: Secrets could not be listed" in unseen
    assert "NOT PROVEN" in unseen
    assert "No drift" not in unseen


def test_an_engine_elsewhere_is_told_and_leaves_the_comparison_what_it_is() -> None:
    told = drift_text(Drift("a", "b", "c", NOTHING.at, unseen_engines=("Application mesh is not in this cluster",)))
    assert "? not seen: Application mesh is not in this cluster" in told
    assert "No drift" in told


@pytest.mark.parametrize("text", ["x", *HOSTILE])
def test_documents_are_as_the_schema_says(text: str) -> None:
    for found in (NOTHING, drift(text)):
        jsonschema.validate(json.loads(json.dumps(drift_json(found))), SCHEMA)


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_cluster_says_is_no_markup_and_no_command_of_a_pipeline(text: str) -> None:
    told = drift_markdown(drift(text))
    assert told.startswith(f"{MARKER}\n### ")
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(told)
    inline = [child for token in tokens for child in token.children or ()]
    assert not {child.type for child in inline} & {"html_inline", "image", "link_open"}
    assert [token.content for token in tokens if token.type == "html_block"] == [f"{MARKER}\n"]
    core = " ".join(text.split())
    assert [child.content for child in inline if child.type == "text" and core in child.content] == []
    for line in drift_text(drift(text)).splitlines():
        assert not line.lstrip().startswith(("::", "##["))
        assert line.isprintable()


def test_lines_fit_a_terminal_but_for_what_is_to_be_copied() -> None:
    lines = drift_text(drift("word " * 60)).splitlines()
    assert [line for line in lines if len(line) > 80 and not line.startswith("  fix: ")] == []
    assert "  fix: kubectl delete word word" in "\n".join(lines)


def test_a_comment_holds_as_much_as_fits() -> None:
    told = drift_markdown(drift("x" * 900, 200))
    assert len(told) < 61_000
    assert "see `meshinstall drift`" in told
    assert "and 100 more objects: see -o json" in drift_text(drift("x", 200))
