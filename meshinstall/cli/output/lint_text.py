"""What ``lint`` found, as people, editors and programs read it."""

from collections.abc import Iterator
from typing import Any

from meshinstall.engine.report.lint import Linted, Mistake
from meshinstall.errors import Problem
from meshinstall.model.finding import Severity
from meshinstall.model.foreign_text import for_log

SCHEMA = "meshinstall.dev/lint/v1"


def lint_text(found: Linted) -> str:
    """``file:line:column: severity: text``, one line for each problem, and a last line that counts."""
    return for_log("\n".join([*map(_line, found.mistakes), _summary(found)]))


def lint_json(found: Linted) -> dict[str, Any]:
    """The document that docs/schemas/lint.json describes."""
    return {
        "schema": SCHEMA,
        "sites": [{"environment": site.environment, "cloud": site.cloud} for site in found.sites],
        "problems": [
            {
                "severity": one.severity,
                "source": one.problem.source,
                "line": one.problem.line,
                "column": one.problem.column,
                "text": one.problem.text,
                "hint": one.problem.hint,
                "sites": [{"environment": site.environment, "cloud": site.cloud} for site in one.sites],
            }
            for one in found.mistakes
        ],
        "chartsRead": found.chart_error is None,
    }


def _line(one: Mistake) -> str:
    problem = one.problem
    hint = f" ({problem.hint})" if problem.hint else ""
    return str(Problem(problem.source, problem.line, problem.column, f"{one.severity}: {problem.text}{hint}"))


def _summary(found: Linted) -> str:
    counts = ", ".join(_counts(found)) or "no problems"
    return f"{counts}; checked: {', '.join(map(str, found.sites))}" if found.sites else counts


def _counts(found: Linted) -> Iterator[str]:
    for severity, noun in ((Severity.ERROR, "error"), (Severity.WARNING, "warning"), (Severity.INFO, "note")):
        if count := sum(one.severity is severity for one in found.mistakes):
            yield f"{count} {noun}{'s' if count > 1 else ''}"
