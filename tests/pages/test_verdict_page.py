"""The page of a verdict in a real browser: on a telephone, on a desk and on paper."""

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest

from meshinstall.cli.output.verdict_html import verdict_html
from tests.pages.chromium import Tab, tab
from tests.unit.cli.verdicts import VERDICT

pytestmark = pytest.mark.tools


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with tab(tmp_path_factory.mktemp("chromium")) as found:
        for domain in ("Page", "Network", "Runtime", "Log"):
            found.do(f"{domain}.enable")
        yield found


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "verify.html"
    path.write_text(verdict_html(VERDICT))
    return path.as_uri()


def show(browser: Tab, page: str, width: int, scheme: str = "light") -> None:
    browser.events.clear()
    browser.do("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    browser.do("Emulation.setEmulatedMedia", media="", features=[{"name": "prefers-color-scheme", "value": scheme}])
    browser.do("Page.navigate", url=page)
    browser.wait_for("Page.loadEventFired")


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
        assert browser.value(_CONTRASTS) == [], scheme


def test_paper_shows_what_is_folded_on_the_screen(browser: Tab, page: str, tmp_path: Path) -> None:
    show(browser, page, 1280)
    folded = "document.querySelector('details:not([open]) td').checkVisibility()"
    assert browser.value(folded) is False
    browser.do("Emulation.setEmulatedMedia", media="print", features=[])
    assert browser.value(folded) is True
    paper = tmp_path / "verify.pdf"
    paper.write_bytes(base64.b64decode(browser.do("Page.printToPDF")["data"]))
    assert paper.read_bytes().startswith(b"%PDF")


# Texts whose contrast with what is behind them is below 4.5 (WCAG 2.2, 1.4.3).
_CONTRASTS = """
(() => {
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, at) => sum + v * [0.2126, 0.7152, 0.0722][at], 0);
  const behind = node => { for (; node; node = node.parentElement) { const c = parse(getComputedStyle(node).backgroundColor);
    if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
  const bad = [];
  for (const node of document.querySelectorAll('body *:not(svg *)')) {
    if (![...node.childNodes].some(child => child.nodeType === 3 && child.data.trim())) continue;
    const [a, b] = [light(parse(getComputedStyle(node).color)), light(behind(node))].sort((x, y) => y - x);
    if ((a + 0.05) / (b + 0.05) < 4.5) bad.push(node.tagName + '.' + node.className + ' ' + node.textContent.slice(0, 30));
  }
  return bad;
})()
"""
