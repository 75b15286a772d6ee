"""Whom STRICT for the whole mesh would refuse, as the mesh is now: what is known, what was counted, and what is not known; pure."""

from collections.abc import Iterator

from meshinstall.checks.mtls.callers import caller_findings, callers_text
from meshinstall.checks.mtls.cut_off import refused
from meshinstall.checks.mtls.judge import judge
from meshinstall.checks.mtls.plaintext_history import history_text
from meshinstall.checks.mtls.view import View
from meshinstall.checks.words import some
from meshinstall.model.foreign_text import plain
from meshinstall.model.mesh import MeshFacts
from meshinstall.model.verdict import Outcome
from meshinstall.model.wire import Probing


def refused_by_strict(facts: MeshFacts) -> tuple[str, ...]:
    """One line for each thing that is known, of the ports that accept plaintext now, and one for what could not be seen."""
    return tuple(map(plain, _lines(facts)))


def _lines(facts: MeshFacts) -> Iterator[str]:
    ports = [port for port in judge(facts, Probing(skipped="only planned"), "").ports if port.server is not Outcome.PASS]
    yield from refused(View.of(facts), ports)
    called = [f"{finding.title}: {finding.detail}" for finding in caller_findings(facts.callers)]
    if facts.callers and facts.callers.asked:
        yield from called or (callers_text(facts.callers),)
    if facts.history:
        yield history_text(facts.history)
        if facts.history.plaintext:
            yield f"received plaintext then: {some(f'{place} (about {count})' for place, count in facts.history.plaintext)}"
    if facts.gaps:
        yield f"not known: {some(facts.gaps)}"
