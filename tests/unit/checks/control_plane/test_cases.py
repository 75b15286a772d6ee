"""Every case of tests/cases/check is judged as its golden files say."""

import json
from pathlib import Path

import jsonschema
import pytest

from meshinstall.checks.control_plane.judge import RULES, judge
from meshinstall.cli.output.check_text import check_json
from meshinstall.model.finding import Severity
from meshinstall.model.verdict import Outcome
from tests.cases import checks

SCHEMA = json.loads((Path(__file__).parents[4] / "docs/schemas/check.json").read_text())
DOCS = Path(__file__).parents[4] / "docs/checks.md"


@pytest.mark.parametrize("name", checks.names())
def test_a_case_is_judged_as_written(name: str) -> None:
    results = judge(checks.load(name))
    for file, text in checks.rendered(results).items():
        assert text == (checks.FOLDER / name / file).read_text(), f"scripts/golden rewrites {name}/{file}"
    jsonschema.validate(json.loads(json.dumps(check_json(results))), SCHEMA)


def test_every_check_is_seen_to_find_something_and_not_to_be_proven() -> None:
    found = {name: judge(checks.load(name)) for name in checks.names()}
    results = [result for one in found.values() for result in one]
    assert {result.code for result in results if result.findings} == {rule.code for rule in RULES}
    unproven = {result.code for result in (*found["little-permitted"], *found["nothing-listed"]) if result.outcome is Outcome.NOT_PROVEN}
    assert unproven == {rule.code for rule in RULES}
    assert all(result.outcome is Outcome.PASS for result in found["well"])


def test_every_finding_says_what_to_do_and_has_a_section_in_the_docs() -> None:
    text = DOCS.read_text()
    for name in checks.names():
        for result in judge(checks.load(name)):
            assert f"## {result.code}\n" in text
            assert all(finding.hint for finding in result.findings if finding.severity is not Severity.INFO)
            assert all(finding.code == result.code for finding in result.findings)
