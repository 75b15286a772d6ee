"""The page of a verdict in a real browser: on a telephone, on a desk and on paper."""

import base64
from pathlib import Path

import pytest

from meshinstall.cli.output.verdict_html import verdict_html
from tests.pages.chromium import CONTRASTS, Tab, show
from tests.unit.cli.verdicts import VERDICT

pytestmark = pytest.mark.tools


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "verify.html"
    path.write_text(verdict_html(VERDICT))
    return path.as_uri()


@pytest.mark.parametrize("width", [320, 390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_and_says_everything(browser: Tab, page: str, width: int, scheme: str) -> None:
    show(browser, page, width, scheme)
    assert browser.value("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    seen = browser.value("document.body.innerText")
    for finding in VERDICT.findings:
        assert finding.title in seen
    assert browser.told("Log.entryAdded") == []
    assert browser.told("Runtime.exceptionThrown") == []


def test_the_page_asks_nobody_for_anything(browser: Tab, page: str) -> None:
    show(browser, page, 1280)
    assert [request["request"]["url"] for request in browser.told("Network.requestWillBeSent")] == [page]


def test_text_can_be_read_in_both_schemes(browser: Tab, page: str) -> None:
    for scheme in ("light", "dark"):
        show(browser, page, 1280, scheme)
        assert browser.value(CONTRASTS) == [], scheme


def test_paper_shows_what_is_folded_on_the_screen(browser: Tab, page: str, tmp_path: Path) -> None:
    show(browser, page, 1280)
    folded = "document.querySelector('details:not([open]) td').checkVisibility()"
    assert browser.value(folded) is False
    browser.do("Emulation.setEmulatedMedia", media="print", features=[])
    assert browser.value(folded) is True
    paper = tmp_path / "verify.pdf"
    paper.write_bytes(base64.b64decode(browser.do("Page.printToPDF")["data"]))
    assert paper.read_bytes().startswith(b"%PDF")
