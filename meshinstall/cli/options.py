"""Options that several commands share and that do not belong to a Request."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import typer

from meshinstall.cli.settings import SECONDS_HELP
from meshinstall.errors import UsageError
from meshinstall.model.duration import seconds_of


class Output(StrEnum):
    """How data is printed."""

    TABLE = "table"
    JSON = "json"


class PlanOutput(StrEnum):
    """How a plan is printed."""

    TABLE = "table"
    JSON = "json"
    MARKDOWN = "markdown"


OutputKind = Annotated[Output, typer.Option("-o", "--output", help="How to print data on stdout.")]
PlanOutputKind = Annotated[PlanOutput, typer.Option("-o", "--output", help="How to print the plan; markdown is for a pull request.")]
Seconds = Annotated[float, typer.Option("--timeout", min=1, help=SECONDS_HELP)]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
Allow = Annotated[
    list[str] | None,
    typer.Option(
        "--allow", help="Continue despite this finding; may be repeated. docs/checks.md has the name of each that can be allowed."
    ),
]


def allowed(names: Sequence[str] | None) -> frozenset[str]:
    """The names given to --allow; raises UsageError on an unknown name."""
    from meshinstall.checks.preflight import ALLOWABLE

    known = sorted(set(ALLOWABLE.values()))
    for name in names or ():
        if name not in known:
            raise UsageError(f"--allow {name}: unknown name", f"one of {', '.join(known)}")
    return frozenset(names or ())


def duration(flag: str, told: str) -> float:
    """Seconds of a time such as 90s, 5m or 1h; raises UsageError for anything else."""
    if not (seconds := seconds_of(told)):
        raise UsageError(f"{flag} {told}: not a time up to 24h", "write it as 90s, 5m or 1h")
    return float(seconds)
