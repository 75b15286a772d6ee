"""What ``authz test`` found, as people and programs read it."""

from collections.abc import Iterable, Iterator
from typing import Any
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from meshinstall.errors import ExitStatus, safe
from meshinstall.model.authz import Outcome, Tried
from meshinstall.model.foreign_text import for_log

SCHEMA = "meshinstall.dev/authz-test/v1"
PASS, FAIL, UNDECIDED = "PASS", "FAIL", "UNDECIDED"


def result_of(one: Tried) -> str:
    """PASS, FAIL, or UNDECIDED where files do not tell."""
    return UNDECIDED if one.verdict.outcome is Outcome.UNDECIDED else PASS if one.is_met else FAIL


def status_of(tried: Iterable[Tried]) -> ExitStatus:
    """0 when every row passes, 4 when one fails, 5 when none fails and one is undecided."""
    results = {result_of(one) for one in tried}
    return ExitStatus.VIOLATION if FAIL in results else ExitStatus.NOT_PROVEN if UNDECIDED in results else ExitStatus.DONE


def authz_text(tried: tuple[Tried, ...]) -> str:
    """A line for each row, with the rule that decides below it, and a last line that counts."""
    return for_log("\n".join([*_lines(tried), _summary(tried)]))


def _lines(tried: Iterable[Tried]) -> Iterator[str]:
    for one in tried:
        row, result = one.expectation, result_of(one)
        said = row.expected if result == PASS else f"expected {row.expected}, is {one.verdict.outcome}"
        yield f"{result:<9} {row.place}: {row.name}: {said}"
        yield f"          {_why(one)}"


def _why(one: Tried) -> str:
    verdict = one.verdict
    return f"{verdict.place}: {verdict.policy}: {verdict.reason}" if verdict.policy else verdict.reason


def _summary(tried: tuple[Tried, ...]) -> str:
    results = [result_of(one) for one in tried]
    counts = ((PASS, "passed"), (FAIL, "failed"), (UNDECIDED, "undecided"))
    return ", ".join(f"{results.count(name)} {word}" for name, word in counts if name == PASS or results.count(name))


def authz_json(tried: tuple[Tried, ...]) -> dict[str, Any]:
    """The document that docs/schemas/authz-test.json describes."""
    return {"schema": SCHEMA, "cases": [_case_json(one) for one in tried]}


def _case_json(one: Tried) -> dict[str, Any]:
    row, verdict = one.expectation, one.verdict
    return {
        "name": row.name,
        "place": row.place,
        "result": result_of(one),
        "expected": row.expected,
        "outcome": verdict.outcome,
        "reason": verdict.reason,
        "policy": verdict.policy,
        "policyPlace": verdict.place,
    }


def authz_junit(tried: tuple[Tried, ...]) -> str:
    """JUnit XML: what fails is a failure, what is undecided an error; characters that XML forbids are replaced."""
    results = [result_of(one) for one in tried]
    totals = {"tests": str(len(tried)), "failures": str(results.count(FAIL)), "errors": str(results.count(UNDECIDED))}
    suites = Element("testsuites", {"name": "meshinstall authz test", **totals})
    suite = SubElement(suites, "testsuite", {"name": "authorization", **totals})
    for one, result in zip(tried, results, strict=True):
        row = one.expectation
        case = SubElement(suite, "testcase", classname=safe(row.place.rpartition(":")[0]), name=safe(row.name))
        if result == PASS:
            SubElement(case, "system-out").text = safe(_why(one))
        else:
            message = f"{row.place}: expected {row.expected}, is {one.verdict.outcome}"
            SubElement(case, "failure" if result == FAIL else "error", message=safe(message)).text = safe(_why(one))
    indent(suites)
    return tostring(suites, encoding="unicode", xml_declaration=True) + "\n"
