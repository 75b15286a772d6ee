"""The page of a verdict holds everything, asks nobody for anything and cannot be written to by a cluster."""

import re
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser

from meshinstall.cli.output.verdict_html import verdict_html
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.mesh import Dataplane, ExternalService, Place, Port
from meshinstall.model.verdict import Evidence, Outcome, Outside, PortVerdict, Source
from tests.unit.cli.verdicts import HOSTILE, NOON, VERDICT, certificate

# Attributes by which a page loads something or runs something.
_LOADING = {"src", "srcset", "href", "xlink:href", "action", "data", "background", "poster"}


class Page(HTMLParser):
    """Collects what a browser would: elements, attributes and text; fails on elements that are not closed in order."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""
        self._open: list[str] = []
        self.feed(document)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note an element that begins."""
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag != "meta":
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """It ends what began last."""
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep the text."""
        self.text += data


def test_the_page_says_all_that_the_verdict_says() -> None:
    text = Page(verdict_html(VERDICT)).text
    assert [code for code in ("mtl001", "mtl011") if f"See docs/checks.md#{code}" not in text] == []
    for port in VERDICT.ports:
        assert f"{port.namespace} / {port.workload}" in text
        for evidence in port.evidence:
            assert evidence.text in text
            assert evidence.object in text
    for finding in VERDICT.findings:
        assert finding.code in text
        assert finding.title in text
        assert finding.hint in text
    assert "secrets in istio-system: forbidden" in text
    assert "shop/Deployment web:8080" in text
    assert "2026-11-22" in text


def test_the_page_loads_nothing_and_runs_nothing() -> None:
    document = verdict_html(VERDICT)
    page = Page(document)
    assert not {"script", "link", "img", "iframe", "object", "embed", "base", "form"} & set(page.tags)
    assert not {name for name in page.attributes if name in _LOADING or name.startswith("on")}
    assert not re.search(r"url\(|@import|https?://", document)


def test_what_a_cluster_says_stays_text() -> None:
    evidence = (Evidence(Source.WIRE, Outcome.FAIL, HOSTILE, HOSTILE, HOSTILE),)
    port = PortVerdict(HOSTILE, HOSTILE, 1, Dataplane.NONE, Outcome.FAIL, evidence, (Place(HOSTILE, HOSTILE),), HOSTILE)
    finding = Finding(HOSTILE, Severity.ERROR, HOSTILE, HOSTILE, HOSTILE, HOSTILE, HOSTILE)
    hostile = replace(
        VERDICT,
        cluster=HOSTILE,
        ports=(port,),
        findings=(finding,),
        outside=(Outside(HOSTILE, 1, (HOSTILE,)),),
        external=(ExternalService(Place(HOSTILE, HOSTILE), (HOSTILE,), (Port(1, HOSTILE, HOSTILE),)),),
        certificates=((HOSTILE, certificate(1)),),
        live=HOSTILE,
        gaps=(HOSTILE,),
    )
    document = verdict_html(hostile)
    assert set(Page(document).tags) <= set(Page(verdict_html(VERDICT)).tags)
    assert "<script" not in document
    assert "\x1b" not in document
    assert "\x00" not in document


def test_bars_tell_what_has_ended_and_what_is_near() -> None:
    ended = replace(certificate(1), not_after=NOON - timedelta(hours=1))
    document = verdict_html(
        replace(VERDICT, certificates=(("a", ended), ("b", certificate(59, authority=True)), ("c", certificate(61, authority=True))))
    )
    assert re.findall(r'class="(bar[^"]*)"', document) == ["bar over", "bar near", "bar"]


def test_only_what_passed_is_folded_away() -> None:
    assert verdict_html(VERDICT).count("<details>") == 1
    assert verdict_html(VERDICT).count('<details open="open">') == 2
