"""Results of checks, as people and programs read them."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby
from typing import Any

from meshinstall.cli.output.verdict_json import finding_json
from meshinstall.cli.output.verdict_text import finding_lines
from meshinstall.model.codes import address
from meshinstall.model.finding import Severity
from meshinstall.model.foreign_text import for_log
from meshinstall.model.health import CheckResult
from meshinstall.model.verdict import Outcome

SCHEMA = "meshinstall.dev/check/v1"


def check_text(results: Iterable[CheckResult]) -> str:
    """One line a check, by category; below it what is wrong and how to fix it."""
    listed = list(results)
    lines: list[str] = []
    for category, group in groupby(listed, key=lambda result: result.category):
        lines += [category, *(line for result in group for line in _lines(result)), ""]
    counts = {outcome: sum(result.outcome is outcome for result in listed) for outcome in Outcome}
    said = ", ".join(f"{count} {outcome}" for outcome, count in counts.items() if count)
    warnings = sum(finding.severity is Severity.WARNING for result in listed for finding in result.findings)
    return for_log("\n".join([*lines, f"{said} of {len(listed)} checks{f', {warnings} warnings' if warnings else ''}."]))


def check_json(results: Iterable[CheckResult]) -> dict[str, Any]:
    """The document that docs/schemas/check.json describes."""
    return {
        "schema": SCHEMA,
        "checks": [
            {
                "code": result.code,
                "category": result.category,
                "title": result.title,
                "result": result.outcome,
                "reason": result.reason,
                "findings": [finding_json(finding) for finding in result.findings],
            }
            for result in results
        ],
    }


def _lines(result: CheckResult) -> Iterator[str]:
    yield f"{_sign(result)} {result.code} {result.title}"
    if result.reason:
        yield f"    NOT PROVEN: {result.reason}"
    for finding in result.findings:
        # Below its check a finding needs no code.
        yield from (f"  {line}" if line.startswith((" ", *"✗!·")) else line for line in finding_lines(replace(finding, code="")))
    if result.findings or result.reason:
        yield f"    see {address(result.code)}"


def _sign(result: CheckResult) -> str:
    if result.outcome is Outcome.NOT_PROVEN:
        return "?"
    if result.outcome is Outcome.FAIL:
        return "✗"
    return "!" if result.worst is Severity.WARNING else "✓"
