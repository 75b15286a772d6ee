"""A verdict as people read it: one line for each workload, problems first, then how to fix each."""

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

import typer

from meshinstall.checks.mtls.callers import callers_text
from meshinstall.checks.words import first
from meshinstall.cli.output.tables import fitting
from meshinstall.cli.output.verdict_words import accepted_text, basis, clients_text
from meshinstall.model.codes import address
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.foreign_text import for_log
from meshinstall.model.mesh import ExternalService
from meshinstall.model.verdict import Evidence, FailOn, Outcome, PortVerdict, Source, Verdict

_WIDTH = 80
_RANK = {Outcome.FAIL: 0, Outcome.NOT_PROVEN: 1, Outcome.PASS: 2}
_COLOURS = {Outcome.FAIL: typer.colors.RED, Outcome.NOT_PROVEN: typer.colors.YELLOW, Outcome.PASS: typer.colors.GREEN}
_SIGNS = {Severity.ERROR: "✗", Severity.WARNING: "!", Severity.INFO: "·"}
# Workloads that passed and are worth a line of their own; more are counted by namespace.
_MOST_PASSED = 20
# Namespaces and gaps that are named.
_MOST_NAMED = 10


def verdict_text(verdict: Verdict, *, coloured: bool = False) -> str:
    """The whole verdict; lines are at most 80 characters where they need not be copied."""
    lines = [*_table(verdict.ports), ""] if verdict.ports else ["There is no workload of a mesh to judge.", ""]
    lines += [line for finding in verdict.findings for line in (*finding_lines(finding), f"    see {address(finding.code)}")]
    lines += [""] if verdict.findings else []
    lines += _outside(verdict)
    lines += _external(verdict)
    lines += _certificates(verdict)
    lines += [line for gap in verdict.gaps[:_MOST_NAMED] for line in _wrapped(f"? not seen: {gap}")]
    lines += [f"? and {len(verdict.gaps) - _MOST_NAMED} more that were not seen"] if len(verdict.gaps) > _MOST_NAMED else []
    lines += _wrapped(f"Judged: {basis(verdict)}") if verdict.ports else []
    lines += _wrapped(f"Live probes: {verdict.live}") if verdict.live else []
    lines += _wrapped(f"Clients: {clients_text(verdict.clients)}") if verdict.clients else []
    lines += _wrapped(f"Before: {verdict.history}.") if verdict.history else []
    lines += _wrapped(f"Now: {callers_text(verdict.callers)}.") if verdict.callers else []
    lines += _wrapped(f"Accepted: {accepted_text(verdict)}.") if verdict.acceptance else []
    text = for_log("\n".join([*lines, "", headline(verdict)]))
    return _paint(text) if coloured else text


def headline(verdict: Verdict) -> str:
    """One sentence: the outcome and how many ports say so."""
    counts = {outcome: sum(port.under(verdict.fail_on) is outcome for port in verdict.ports) for outcome in Outcome}
    said = ", ".join(f"{counts[outcome]} {outcome}" for outcome in _RANK if counts[outcome])
    alone = "" if verdict.fail_on is FailOn.ANY else f" ({verdict.fail_on} alone)"
    accepted = f", accepted until {verdict.acceptance.until}" if verdict.acceptance and verdict.counted is Outcome.PASS else ""
    return f"{verdict.outcome}{accepted}: mTLS on {verdict.cluster}{alone}, {said or 'no port'} of {len(verdict.ports)} workload ports."


def by_workload(ports: Iterable[PortVerdict]) -> list[tuple[PortVerdict, ...]]:
    """The ports of each workload together, the worst workloads first."""
    ordered = sorted(ports, key=lambda port: (port.namespace, port.workload, port.port))
    groups = [tuple(group) for _, group in groupby(ordered, key=lambda port: (port.namespace, port.workload))]
    return sorted(groups, key=lambda group: (_RANK[worst(group)], group[0].namespace, group[0].workload))


def worst(ports: Sequence[PortVerdict]) -> Outcome:
    """The worst outcome of some ports."""
    return min((port.outcome for port in ports), key=_RANK.__getitem__)


def finding_lines(finding: Finding) -> Iterator[str]:
    """A finding, where it is, and how to fix it; what is to be copied is never wrapped."""
    yield from _wrapped(" ".join(part for part in (_SIGNS[finding.severity], finding.code, finding.title) if part))
    for text in (finding.detail, finding.object if finding.object not in finding.title else ""):
        if text:
            yield from _wrapped(f"    {text}", "    ")
    if "\n" in finding.hint:
        # From the margin: indented YAML and here-documents cannot be copied.
        yield from ("    fix:", *finding.hint.splitlines())
    elif finding.hint:
        yield f"    fix: {finding.hint}"


def _table(ports: Iterable[PortVerdict]) -> list[str]:
    groups = by_workload(ports)
    passed = [group for group in groups if worst(group) is Outcome.PASS]
    shown = groups if len(passed) <= _MOST_PASSED else [group for group in groups if worst(group) is not Outcome.PASS]
    rows: list[tuple[str, ...]] = [("VERDICT", "WORKLOAD", "PORTS", "MODE", "SERVER", "CLIENTS")]
    rows += [_row(group) for group in shown]
    if len(shown) < len(groups):
        for namespace, found in groupby(passed, key=lambda group: group[0].namespace):
            rows.append((Outcome.PASS, f"{namespace}: {len(list(found))} workloads", "", "", "", ""))
    return fitting(rows)


def _row(ports: Sequence[PortVerdict]) -> tuple[str, ...]:
    outcome = worst(ports)
    telling = [port for port in ports if port.outcome is outcome]
    modes = dict.fromkeys(port.mode for port in ports if port.mode)
    numbers = ",".join(str(port.port) if port.port else "other" for port in ports)
    sides = (_side(telling, outcome, clients=False), _side(telling, outcome, clients=True))
    return outcome, f"{ports[0].namespace}/{ports[0].workload}", numbers, "/".join(modes), *sides


def _side(ports: Sequence[PortVerdict], outcome: Outcome, *, clients: bool) -> str:
    """What was seen of servers or of their clients: what proves it, or the codes."""
    found = [one for port in ports for one in port.evidence if (one.source is Source.CLIENT) == clients]
    bad = list(dict.fromkeys(one.code or one.source for one in found if one.outcome is outcome))
    if not found:
        return "-"
    if outcome is not Outcome.PASS and bad:
        return ", ".join(bad)
    reached = min((one.outcome for one in found), key=_RANK.__getitem__)
    return _proof(found) if reached is Outcome.PASS and not clients else reached


def _proof(evidence: Iterable[Evidence]) -> str:
    """How much of what passed was tried; a gateway's ports are open by design and are not."""
    return "on the wire" if any(one.source is Source.WIRE for one in evidence) else "certificate, configuration"


def _outside(verdict: Verdict) -> Iterator[str]:
    open_ports = sorted({port for one in verdict.outside for port in one.reachable})
    names = [f"{one.namespace} ({one.pods})" for one in verdict.outside if one.pods]
    if names:
        reach = f"reach in plaintext: {', '.join(open_ports[:_MOST_NAMED])}" if open_ports else "reach nothing of the mesh in plaintext"
        yield from _wrapped(f"Outside the mesh, by namespace (pods): {first(names, _MOST_NAMED)}; they {reach}.")


def _external(verdict: Verdict) -> Iterator[str]:
    """Hosts that ServiceEntries lead to: encrypting what goes there is not the mesh's own doing."""
    hosts = [f"{host} ({external_ports(one)})" for one in verdict.external for host in one.hosts]
    if hosts:
        yield from _wrapped(f"ServiceEntries lead out of the mesh, which is not judged: {first(hosts, _MOST_NAMED)}.")


def external_ports(service: ExternalService) -> str:
    """Its ports and what clients speak there."""
    return ", ".join(f"{port.number} {port.protocol}" for port in service.ports) or "any port"


def _certificates(verdict: Verdict) -> Iterator[str]:
    if verdict.certificates:
        name, first = min(verdict.certificates, key=lambda pair: pair[1].not_after)
        yield from _wrapped(
            f"Certificates: {len(verdict.certificates)} seen, the first to expire is {name} on {first.not_after:%Y-%m-%d %H:%M} UTC."
        )


def _wrapped(text: str, indent: str = "    ") -> list[str]:
    lead = text[: len(text) - len(text.lstrip())]
    return textwrap.wrap(
        text.strip(), _WIDTH, initial_indent=lead, subsequent_indent=lead or indent, break_long_words=False, break_on_hyphens=False
    )


def _paint(text: str) -> str:
    """The words of outcomes in their colours, where they begin a line."""
    return "\n".join(next((_begin(line, outcome) for outcome in Outcome if line.startswith(outcome)), line) for line in text.split("\n"))


def _begin(line: str, outcome: Outcome) -> str:
    return typer.style(outcome, fg=_COLOURS[outcome], bold=True) + line.removeprefix(outcome)
