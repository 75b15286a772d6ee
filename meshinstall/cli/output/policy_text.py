"""What ``policy check`` found, as people, editors and programs read it."""

from collections.abc import Iterator
from typing import Any

from meshinstall.engine.report.dry_run import Outcome, Tried
from meshinstall.engine.report.policies import Checked
from meshinstall.errors import Problem
from meshinstall.model.codes import address
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.foreign_text import for_log

SCHEMA = "meshinstall.dev/policy-check/v1"


def policy_text(found: Checked) -> str:
    """``file:line:column: severity CODE: text``, one line for each, what to do below it, and a last line that counts."""
    return for_log("\n".join([*_lines(found), _summary(found)]))


def policy_json(found: Checked) -> dict[str, Any]:
    """The document that docs/schemas/policy-check.json describes."""
    return {
        "schema": SCHEMA,
        "objects": len(found.read),
        "problems": [_problem_json(one) for one in found.problems],
        "findings": [_finding_json(one) for one in found.findings],
        "schemasRead": found.chart_error is None,
        **({} if found.tried is None else {"dryRun": [_tried_json(one) for one in found.tried]}),
    }


def _problem_json(one: Problem) -> dict[str, Any]:
    return {"source": one.source, "line": one.line, "column": one.column, "text": one.text, "hint": one.hint}


def _finding_json(one: Finding) -> dict[str, Any]:
    source, line, column = _place(one)
    place = {"source": source, "line": line, "column": column}
    return {"code": one.code, "severity": one.severity, "object": one.object, **place, "text": one.title, "hint": one.hint}


def _tried_json(one: Tried) -> dict[str, Any]:
    line, column = one.place
    place = {"source": one.policy.source, "line": line, "column": column}
    return {"object": str(one.policy), **place, "outcome": one.outcome, "text": one.text, "warnings": list(one.warnings)}


def _place(one: Finding) -> tuple[str, int, int]:
    source, line, column = one.origin.rsplit(":", 2)
    return source, int(line), int(column)


def _lines(found: Checked) -> Iterator[str]:
    for problem in found.problems:
        yield str(Problem(problem.source, problem.line, problem.column, f"error: {problem.text}"))
        if problem.hint:
            yield f"    {problem.hint}"
    for one in sorted(found.findings, key=_place):
        yield f"{one.origin}: {one.severity} {one.code}: {one.object}: {one.title}"
        yield f"    {one.hint}"
        yield f"    see {address(one.code)}"
    for tried in found.tried or ():
        yield from _tried_lines(tried)


def _tried_lines(one: Tried) -> Iterator[str]:
    line, column = one.place
    how = "error: dry run" if one.outcome is Outcome.REFUSED else "dry run"
    said = f"{how}: {one.policy}: {one.outcome}{f': {one.text}' if one.text else ''}"
    yield str(Problem(one.policy.source, line, column, said))
    yield from (f"    the API server warns: {warning}" for warning in one.warnings)


def _summary(found: Checked) -> str:
    tried = [one.outcome for one in found.tried or ()]
    counts = {Severity.ERROR: len(found.problems) + tried.count(Outcome.REFUSED), Severity.WARNING: 0, Severity.INFO: 0}
    for one in found.findings:
        counts[one.severity] += 1
    nouns = ((Severity.ERROR, "error"), (Severity.WARNING, "warning"))
    told = [f"{counts[kind]} {noun}{'s' if counts[kind] > 1 else ''}" for kind, noun in nouns if counts[kind]]
    told += [f"{unproven} not proven"] if (unproven := tried.count(Outcome.NOT_PROVEN)) else []
    objects = f"{len(found.read)} object{'' if len(found.read) == 1 else 's'}"
    dry_run = "" if found.tried is None else f"; dry run of {len(tried)}: {tried.count(Outcome.ACCEPTED)} accepted"
    return f"{', '.join(told) or 'no problems'} in {objects}{dry_run}"
