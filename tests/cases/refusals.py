"""docs/clouds: what each cloud says and what to do; ``python -m tests.cases.refusals`` writes the tables anew and leaves the rest."""

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from meshinstall.adapters.aks import refusals as aks
from meshinstall.adapters.cloud.refusals import Refusal
from meshinstall.adapters.eks import refusals as eks
from meshinstall.adapters.gke import refusals as gke

DOCS = Path(__file__).parents[2] / "docs/clouds"
# The table of each cloud's page, by the name of the page.
TABLES: Mapping[str, Iterable[Refusal]] = {"aks": aks.TABLE, "eks": eks.TABLE, "gke": gke.TABLE}
_TABLE = re.compile(r"(<!-- refusals: scripts/golden writes this table -->\n).*?(<!-- end of refusals -->\n)", re.DOTALL)


def text(page: str, table: Iterable[Refusal]) -> str:
    """The page with its table written anew; raises ValueError where it has none."""
    if len(_TABLE.findall(page)) != 1:
        raise ValueError("the page has no place for one table of refusals")
    return _TABLE.sub(lambda match: match[1] + "".join(f"{line}\n" for line in _lines(table)) + match[2], page)


def _lines(table: Iterable[Refusal]) -> Iterator[str]:
    yield "| if it says | it means | do |"
    yield "|---|---|---|"
    for kind in table:
        said = ", ".join(f"`{code}`" for code in kind.codes) + (f" with “{kind.says}”" if kind.says else "")
        yield f"| {said} | {kind.means} | {kind.do} ([page]({kind.page})) |"


if __name__ == "__main__":
    for name, table in TABLES.items():
        file = DOCS / f"{name}.md"
        file.write_text(text(file.read_text(), table))
