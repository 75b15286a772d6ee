"""Every code that the sources can emit has a record and a section, and every record is emitted and explained."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshinstall.checks.control_plane.judge import judge
from meshinstall.model import codes as registry
from meshinstall.model.codes import CHECKS, Phase, address
from meshinstall.model.finding import Finding, Severity
from tests.cases import checks, codes, plans, verdicts

ROOT = Path(__file__).parents[2]
PAGE = codes.FILE.read_text()
CODE = re.compile(r"(PRE|CFG|EKS|AKS|GKE|CHK|MTL|POL)\d{3}")


def trees() -> Iterator[ast.AST]:
    for file in sorted((ROOT / "meshinstall").rglob("*.py")):
        if file != Path(registry.__file__):
            yield ast.parse(file.read_text())


def emitted() -> set[str]:
    strings = (node.value for tree in trees() for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    return {match[0] for text in strings for match in [CODE.fullmatch(text)] if match}


def literal_findings() -> Iterator[tuple[str, Severity]]:
    """The codes and severities of calls that spell out both, as ``Finding("PRE001", Severity.ERROR, ...)``."""
    calls = (node for tree in trees() for node in ast.walk(tree) if isinstance(node, ast.Call))
    for call in calls:
        match call.args[:2]:
            case [ast.Constant(value=str(code)), ast.Attribute(value=ast.Name(id="Severity"), attr=severity)] if CODE.fullmatch(code):
                yield code, Severity[severity]


def findings_of_cases() -> Iterator[Finding]:
    for name in plans.names():
        yield from plans.load(name).plan().findings
    for name in verdicts.names():
        yield from verdicts.load(name).verdict().findings
    for name in checks.names():
        yield from (finding for result in judge(checks.load(name)) for finding in result.findings)


def test_every_code_that_the_sources_emit_has_a_record_and_every_record_is_emitted() -> None:
    assert emitted() == set(CHECKS)


def test_no_code_is_put_together_from_parts() -> None:
    parts = re.compile(r"(PRE|CFG|EKS|AKS|GKE|CHK|MTL|POL)\d{0,2}")
    strings = (node.value for tree in trees() for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str))
    assert [text for text in strings if parts.fullmatch(text)] == []


def test_every_code_has_one_section_and_every_section_has_a_code() -> None:
    sections = re.findall(rf"^##+ ({CODE.pattern})$", PAGE, re.MULTILINE)
    found = [section[0] for section in sections]
    assert sorted(found) == sorted(CHECKS)


def test_the_page_has_the_table_of_every_phase_once() -> None:
    assert sorted(codes.tables(PAGE)) == sorted(Phase)


def test_the_tables_in_the_page_are_those_of_the_registry() -> None:
    assert codes.text(PAGE) == PAGE, "scripts/golden rewrites docs/checks.md"


def test_no_title_stands_for_two_codes_of_a_phase() -> None:
    titles = [(check.phase, check.title) for check in CHECKS.values()]
    assert len(titles) == len(set(titles))


def test_a_finding_has_a_severity_that_its_record_allows() -> None:
    spelt = set(literal_findings())
    assert len(spelt) > len(CHECKS) // 2
    seen = {(finding.code, finding.severity) for finding in findings_of_cases()}
    assert {(code, severity) for code, severity in spelt | seen if severity not in CHECKS[code].severities} == set()


@pytest.mark.parametrize("code", CHECKS)
def test_the_address_of_a_code_is_an_anchor_of_a_page_that_is_there(code: str) -> None:
    page, anchor = address(code).split("#")
    headings = re.findall(r"^#+ (.+)$", (ROOT / page).read_text(), re.MULTILINE)
    # GitHub and every Markdown renderer make anchors of headings by this rule.
    assert [heading.lower() for heading in headings].count(anchor) == 1
