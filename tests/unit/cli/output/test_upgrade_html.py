"""The page of an upgrade has the end, every stage and every gate with its evidence, and cannot be written to by a cluster."""

from dataclasses import replace

import pytest

from meshinstall.cli.output.upgrade_html import upgrade_html
from meshinstall.engine.staging.terms import End, Result
from tests.fake_kube import NOON
from tests.unit.cli.output.test_verdict_html import Page
from tests.unit.cli.upgrades import DONE, HELD, UNDONE

HOSTILE = "</td><script>alert(1)</script>\u202e\x1b[31m"


@pytest.mark.parametrize("result", [DONE, HELD, UNDONE], ids=lambda result: str(result.end))
def test_the_page_says_all_that_the_result_says(result: Result) -> None:
    text = Page(upgrade_html(result, NOON)).text
    assert f"Upgrade of environment dev on eks-1 to Istio 1.31.0, {NOON:%Y-%m-%d %H:%M} UTC" in text
    assert result.end.upper() in text
    for stage in result.plan.stages:
        assert stage.does in text
        assert [move.name for move in stage.moves if move.name not in text] == []
    for gate in result.gates:
        for check in gate.checks:
            assert [told for told in (check.name, check.words, *check.evidence) if told not in text] == []
    assert [one for one in (*result.left, *result.to_write) if one not in text] == []


def test_what_was_not_reached_is_called_not_begun() -> None:
    text = Page(upgrade_html(UNDONE, NOON)).text
    assert "1 of 4 done, 3 gates asked" in text
    assert text.count("not begun") == 2
    assert "4 of 4 done" in Page(upgrade_html(DONE, NOON)).text
    assert "not begun" not in Page(upgrade_html(DONE, NOON)).text
    assert "2 of 4 done" in Page(upgrade_html(HELD, NOON)).text


def test_nothing_to_do_is_a_page_too() -> None:
    page = Page(upgrade_html(Result(replace(DONE.plan, stages=()), End.DONE), NOON))
    assert "There was nothing to do." in page.text


def test_what_a_cluster_says_stays_text() -> None:
    (gate, *_) = UNDONE.gates
    check = replace(gate.checks[0], words=HOSTILE, evidence=(HOSTILE,))
    hostile = replace(UNDONE, why=HOSTILE, left=(HOSTILE,), gates=(replace(gate, checks=(check,)),))
    document = upgrade_html(hostile, NOON)
    page = Page(document)
    assert "script" not in page.tags
    assert "\u202e" not in document
    assert "\x1b" not in document
