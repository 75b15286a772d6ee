"""Whom STRICT for the whole mesh would refuse, as the mesh is now: what is known, what was counted, and what is not known; pure."""

from collections.abc import Iterable, Iterator

from meshinstall.checks.mtls.callers import caller_findings, callers_text
from meshinstall.checks.mtls.cut_off import refused
from meshinstall.checks.mtls.judge import judge_view
from meshinstall.checks.mtls.plaintext_history import history_text
from meshinstall.checks.mtls.view import View
from meshinstall.checks.words import some
from meshinstall.model.foreign_text import line
from meshinstall.model.mesh import Dataplane, MeshFacts, Mode
from meshinstall.model.verdict import Outcome, PortVerdict
from meshinstall.model.wire import Probing

# Lines of those whom objects name.
_MOST = 20


def refused_by_strict(facts: MeshFacts) -> tuple[str, ...]:
    """One line for each thing that is known, of the ports that accept plaintext now, and one for what could not be seen."""
    return tuple(map(line, _lines(facts)))


def is_strict_already(facts: MeshFacts, namespaces: Iterable[str]) -> bool:
    """Whether policies of their own already make every port STRICT of all who are in the mesh in these ``namespaces``.

    Gateways and pods without a proxy have no mode. What could not be read may be anything.
    """
    ports = _judged(View.of(facts))
    modes = [port.mode for port in ports if port.dataplane in {Dataplane.SIDECAR, Dataplane.AMBIENT}]
    return not facts.gaps and set(namespaces) <= {port.namespace for port in ports} and all(mode == Mode.STRICT for mode in modes)


def _judged(view: View) -> tuple[PortVerdict, ...]:
    return judge_view(view, Probing(skipped="only planned"), "").ports


def _lines(facts: MeshFacts) -> Iterator[str]:
    view = View.of(facts)
    ports = [port for port in _judged(view) if port.server is not Outcome.PASS]
    if facts.gaps:
        yield f"could not be read: {some(facts.gaps)}"
    if any(pod.dataplane is Dataplane.AMBIENT for pod in facts.pods):
        yield "what ztunnel counts was not asked"
    told = list(refused(view, ports))
    yield from told[:_MOST]
    if len(told) > _MOST:
        yield f"and {len(told) - _MOST} more such lines: meshinstall verify shows all"
    if facts.callers and facts.callers.asked:
        yield callers_text(facts.callers)
    if called := [f"{finding.title} ({finding.detail})" for finding in caller_findings(facts.callers)]:
        yield some(called)
    if facts.history:
        yield history_text(facts.history)
        if facts.history.plaintext:
            yield f"received plaintext then: {some(f'{place} (about {count})' for place, count in facts.history.plaintext)}"
