"""How a restore or a drill ended as one self-contained page: for people and for auditors."""

from collections.abc import Iterator
from datetime import datetime

from meshinstall.cli.output.markup import Html, join, tag
from meshinstall.cli.output.page import banner, document, pill, section, terms_table
from meshinstall.cli.output.restore_text import values_lines
from meshinstall.engine.recovery.terms import REMOVAL, Result
from meshinstall.model.gate import GateCheck

_WHOLE = 100.0


def restore_html(result: Result, at: datetime) -> str:
    """The page, as UTF-8 text; ``at`` is when it ended."""
    kind = "Drill" if result.removed is not None else "Restore"
    what = f"{kind} of environment {result.plan.environment} on {result.plan.cluster}"
    header = tag(
        "header", tag("h1", f"{what}, {at:%Y-%m-%d %H:%M} UTC"), banner(result.outcome, _words(result)), terms_table(_terms(result))
    )
    parts = [_compared(result), _time(result), _values(result), _left(result)]
    footer = f"Made by meshinstall restore on {at:%Y-%m-%d at %H:%M:%S} UTC. What is compared is explained in docs/disaster-recovery.md."
    return document(f"{what}: {result.outcome}", header, tag("main", *parts), footer)


def _words(result: Result) -> str:
    bad = [one.name for one in result.counted if one.outcome is not result.outcome.PASS]
    return f"Not as it was, or not seen: {', '.join(bad)}." if bad else f"All is as it was, after {result.seconds:.0f} s."


def _terms(result: Result) -> Iterator[tuple[str, str]]:
    yield "Snapshot", result.content.which
    yield "Digest", f"sha256:{result.content.digest}"
    yield "Istio", result.plan.istio_version
    yield "Recovery time", f"{result.seconds:.1f} s"
    if result.verdict:
        yield "mTLS", f"{result.verdict.outcome} of {len(result.verdict.ports)} ports"
    if result.plan.target:
        yield "Cluster", str(result.plan.target)


def _compared(result: Result) -> Html:
    checks = [(one, one.name in result.accepted) for one in (*result.checks, *(result.removed or ()))]
    head = tag("tr", *(tag("th", name, scope="col") for name in ("Verdict", "Compared", "Seen")))
    table = tag("table", tag("thead", head), tag("tbody", *(_check(one, accepted) for one, accepted in checks)))
    return section("Against the snapshot", tag("div", table, class_="scroll"))


def _check(one: GateCheck, accepted: bool) -> Html:  # noqa: FBT001 - a pair of a list
    evidence = [tag("ul", *(tag("li", text) for text in one.evidence))] if one.evidence else []
    said = f"{one.words} (accepted by name)" if accepted and one.outcome is not one.outcome.PASS else one.words
    return tag("tr", tag("td", pill(one.outcome)), tag("td", one.name), tag("td", said, *evidence))


def _time(result: Result) -> Html:
    whole = result.seconds or 1.0
    shares = [f"{one.seconds * _WHOLE / whole:.0f} %" if one.name != REMOVAL else "afterwards" for one in result.phases]
    rows = [
        tag("tr", tag("th", one.name, scope="row"), tag("td", f"{one.seconds:.1f} s"), tag("td", share))
        for one, share in zip(result.phases, shares, strict=True)
    ]
    head = tag("tr", *(tag("th", name, scope="col") for name in ("Phase", "Time", "Share")))
    return section("Recovery time by phase", tag("div", tag("table", tag("thead", head), tag("tbody", *rows)), class_="scroll"))


def _values(result: Result) -> Html:
    return section("Values that are not the snapshot's", tag("pre", "\n".join(values_lines(result.values)))) if result.values else join()


def _left(result: Result) -> Html:
    return section("Left to do", tag("ul", *(tag("li", one) for one in result.left))) if result.left else join()
