"""docs/checks.md: the tables of codes, written from the registry; ``python -m tests.cases.codes`` rewrites them and leaves the rest."""

import re
from collections.abc import Iterator
from pathlib import Path

from meshinstall.model.codes import CHECKS, PAGE, Check, Phase, address

FILE = Path(__file__).parents[2] / PAGE
_TABLE = re.compile(r"(<!-- codes of (?P<phase>[a-z]+): scripts/golden writes this table -->\n).*?(<!-- end of codes -->\n)", re.DOTALL)


def text(page: str) -> str:
    """The page with every table written anew."""
    return _TABLE.sub(lambda match: f"{match[1]}{table(Phase(match['phase']))}{match[3]}", page)


def tables(page: str) -> list[str]:
    """The phases that have a table in the page."""
    return [match["phase"] for match in _TABLE.finditer(page)]


def table(phase: Phase) -> str:
    """The table of one phase, in Markdown."""
    return "".join(f"{line}\n" for line in _lines(phase))


def _lines(phase: Phase) -> Iterator[str]:
    checks = [check for check in CHECKS.values() if check.phase is phase]
    allows = any(check.allow for check in checks)
    names = ["code", "severity", "must hold" if phase is Phase.CHECK else "finding", *(["`--allow`"] if allows else [])]
    yield f"| {' | '.join(names)} |"
    yield f"|{'---|' * len(names)}"
    yield from (_row(check, allows=allows) for check in checks)


def _row(check: Check, *, allows: bool) -> str:
    cells = [f"[{check.code}](#{address(check.code).rpartition('#')[2]})", ", ".join(check.severities), check.title]
    cells += [f"`{check.allow}`" if check.allow else ""] if allows else []
    return f"| {' | '.join(cells)} |".replace("  ", " ")


if __name__ == "__main__":
    FILE.write_text(text(FILE.read_text()))
