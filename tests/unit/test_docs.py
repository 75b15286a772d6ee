"""What the pages say of files of this repository: links lead to files and headings, and a test named beside a link is in that file."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted((*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")))
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")
ANCHOR = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)#([^)\s]+)\)")
NO_WORD = re.compile(r"[^\w\- ]")
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


def anchors(page: Path) -> set[str]:
    """The addresses of a page's headings, as GitHub makes them."""
    headings = [line.lstrip("#").strip().lower() for line in page.read_text().splitlines() if line.startswith("#")]
    return {NO_WORD.sub("", heading).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_into_a_page_lead_to_a_heading(page: Path) -> None:
    targets = [(page.parent / file if file else page, anchor) for file, anchor in ANCHOR.findall(page.read_text())]
    lost = [f"{target.name}#{anchor}" for target, anchor in targets if target.suffix == ".md" and anchor not in anchors(target)]
    assert lost == []


def test_pages_name_tests() -> None:
    assert sum(len(names) for page in PAGES for _, names in links(page)) > 10
