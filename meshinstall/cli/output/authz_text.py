"""What ``authz test`` found, as people and programs read it; of what was tried on a cluster nothing is undecided, but NOT PROVEN."""

from collections.abc import Iterable, Iterator
from typing import Any
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from meshinstall.errors import ExitStatus, safe
from meshinstall.model.authz import ByProxy, Outcome, Tried
from meshinstall.model.foreign_text import for_log, line

SCHEMA = "meshinstall.dev/authz-test/v1"
PASS, FAIL, UNDECIDED, NOT_PROVEN = "PASS", "FAIL", "UNDECIDED", "NOT PROVEN"


def result_of(one: Tried, *, live: bool = False) -> str:
    """PASS, FAIL, or UNDECIDED where files do not tell, which is NOT PROVEN on a cluster."""
    if one.verdict.outcome is Outcome.UNDECIDED:
        return NOT_PROVEN if live else UNDECIDED
    return PASS if one.is_met else FAIL


def status_of(tried: Iterable[Tried]) -> ExitStatus:
    """0 when every row passes, 4 when one fails, 5 when none fails and one is undecided."""
    results = {result_of(one) for one in tried}
    return ExitStatus.VIOLATION if FAIL in results else ExitStatus.NOT_PROVEN if UNDECIDED in results else ExitStatus.DONE


def authz_text(tried: tuple[Tried, ...], *, live: bool = False) -> str:
    """A line for each row, with what decides below it, and a last line that counts."""
    return for_log("\n".join([*_lines(tried, live=live), _summary(tried, live=live)]))


def _lines(tried: Iterable[Tried], *, live: bool) -> Iterator[str]:
    width = len(NOT_PROVEN if live else UNDECIDED)
    for one in tried:
        row, result = one.expectation, result_of(one, live=live)
        yield f"{result:<{width}} {row.place}: {row.name}: {_said(one, live=live)}{_by(one)}"
        yield from (f"{'':<{width}} {text}" for text in (_why(one), *map(line, one.notes)))


def _said(one: Tried, *, live: bool) -> str:
    expected, outcome = one.expectation.expected, one.verdict.outcome
    if one.is_met:
        return expected
    return f"expected {expected}, is {'unknown' if live and outcome is Outcome.UNDECIDED else outcome}"


def _by(one: Tried) -> str:
    """How many proxies say so, where they were asked."""
    if not one.proxies:
        return ""
    count = sum(proxy.verdict.outcome is one.verdict.outcome for proxy in one.proxies)
    return f" by {count} of {len(one.proxies)} {'proxy' if len(one.proxies) == 1 else 'proxies'}"


def _why(one: Tried) -> str:
    verdict = one.verdict
    return line(": ".join(text for text in (verdict.place, verdict.policy, verdict.reason) if text))


def _summary(tried: tuple[Tried, ...], *, live: bool) -> str:
    results = [result_of(one, live=live) for one in tried]
    counts = ((PASS, "passed"), (FAIL, "failed"), (UNDECIDED, "undecided"), (NOT_PROVEN, "not proven"))
    return ", ".join(f"{results.count(name)} {word}" for name, word in counts if name == PASS or results.count(name))


def authz_json(tried: tuple[Tried, ...], *, live: bool = False) -> dict[str, Any]:
    """The document that docs/schemas/authz-test.json describes."""
    return {"schema": SCHEMA, "live": live, "cases": [_case_json(one, live=live) for one in tried]}


def _case_json(one: Tried, *, live: bool) -> dict[str, Any]:
    row, verdict = one.expectation, one.verdict
    return {
        "name": row.name,
        "place": row.place,
        "result": result_of(one, live=live),
        "expected": row.expected,
        "outcome": verdict.outcome,
        "reason": verdict.reason,
        "policy": verdict.policy,
        "policyPlace": verdict.place,
        "proxies": [_proxy_json(proxy) for proxy in one.proxies],
        "notes": list(one.notes),
    }


def _proxy_json(one: ByProxy) -> dict[str, str]:
    return {"name": one.proxy, "outcome": one.verdict.outcome, "reason": one.verdict.reason, "policy": one.verdict.policy}


def authz_junit(tried: tuple[Tried, ...], *, live: bool = False) -> str:
    """JUnit XML: what fails is a failure, what is undecided or not proven an error; characters that XML forbids are replaced."""
    results = [result_of(one, live=live) for one in tried]
    errors = len(results) - results.count(PASS) - results.count(FAIL)
    totals = {"tests": str(len(tried)), "failures": str(results.count(FAIL)), "errors": str(errors)}
    suites = Element("testsuites", {"name": "meshinstall authz test", **totals})
    suite = SubElement(suites, "testsuite", {"name": "authorization", **totals})
    for one, result in zip(tried, results, strict=True):
        row = one.expectation
        case = SubElement(suite, "testcase", classname=safe(row.place.rpartition(":")[0]), name=safe(row.name))
        if result == PASS:
            SubElement(case, "system-out").text = safe("\n".join((_why(one), *one.notes)))
        else:
            message = f"{row.place}: {_said(one, live=live)}"
            kind = "failure" if result == FAIL else "error"
            SubElement(case, kind, message=safe(message)).text = safe("\n".join((_why(one), *one.notes)))
    indent(suites)
    return tostring(suites, encoding="unicode", xml_declaration=True) + "\n"
