"""What the pages say of files of this repository: each link leads to one, and a test that is named beside a link is in that file."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")))
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")
TEST = re.compile(r"`(test_\w+)`")


def links(page: Path) -> Iterator[tuple[Path, list[str]]]:
    """Where each link of a page leads, and the tests that are named between it and the next one."""
    for line in page.read_text().splitlines():
        found = list(LINK.finditer(line))
        ends = [*(match.start() for match in found[1:]), len(line)]
        for one, after in zip(found, ends, strict=False):
            yield page.parent / one[1], TEST.findall(line[one.end() : after])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_named_tests_are_in_them(page: Path) -> None:
    assert [str(file) for file, _ in links(page) if not file.exists()] == []
    named = [(file, name) for file, names in links(page) for name in names]
    assert [f"{file}: {name}" for file, name in named if f"def {name}(" not in file.read_text()] == []


def test_pages_name_tests() -> None:
    assert sum(len(names) for page in PAGES for _, names in links(page)) > 10
