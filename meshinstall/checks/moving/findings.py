"""Whether the control plane became less healthy: findings of ``meshinstall check`` that are new, and checks that lost their proof."""

import re
from collections.abc import Iterator

from meshinstall.checks.moving.comparing import Comparing, Tally
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.gate import GateCheck, Snapshot, as_gate
from meshinstall.model.health import CheckResult
from meshinstall.model.revision import DEFAULT_TAG
from meshinstall.model.verdict import Outcome

# What any tenant can bring about, by pods, labels or policies: the proxies that count are judged one by one, the rest is listed.
_OF_TENANTS = frozenset({"CHK006", "CHK007", "CHK010", "CHK012", "CHK014", "CHK017"})
# Which revisions are asked for: tenants choose them, and upgrades take them away.
_REVISIONS = "CHK013"
_SPACE = "namespace "
_DIGITS = re.compile(r"\d+")


def health(comparing: Comparing) -> GateCheck:
    """No error that was not there at the start, and nothing that was proven then is unknown now."""
    tally = Tally("checks of the control plane")
    before, now = {one.code: one for one in comparing.start.checks}, {one.code: one for one in comparing.now.checks}
    known = set(_errors(comparing.start))
    if not now:
        tally.bad(as_gate(Outcome.NOT_PROVEN), "the health of the control plane was not checked")
    for code in sorted(before.keys() | now.keys()):
        _proof(code, before.get(code), now.get(code), comparing, tally)
        for finding in now[code].findings if code in now else ():
            _finding(finding, known, comparing, tally)
    return tally.check("no check of the control plane is worse than at the start")


def _proof(code: str, before: CheckResult | None, now: CheckResult | None, comparing: Comparing, tally: Tally) -> None:
    if now is None:
        tally.bad(as_gate(Outcome.NOT_PROVEN), f"{code} could not be checked: there is no control plane")
    elif now.outcome is Outcome.NOT_PROVEN:
        words = f"{code} {now.title}: {now.reason}"
        was_proven = before is None or before.outcome is Outcome.PASS
        if comparing.require_pass or (was_proven and code not in _OF_TENANTS):
            tally.bad(as_gate(now.outcome), words)
        elif not was_proven:
            tally.tell(f"{words}; it was {before.outcome if before else ''} at the start of this run")
        else:
            tally.tell(words)


def _finding(finding: Finding, known: set[tuple[str, str, str]], comparing: Comparing, tally: Tally) -> None:
    words = f"{finding.code} {finding.title}{f' ({finding.detail})' if finding.detail else ''}"
    if finding.severity is not Severity.ERROR:
        return
    if comparing.require_pass:
        tally.bad(as_gate(Outcome.FAIL), words)
    elif _key(finding) in known:
        tally.tell(f"{words}; it was so at the start of this run")
    elif finding.code in _OF_TENANTS or (finding.code == _REVISIONS and not _lost_revision(finding, comparing)):
        tally.tell(f"{words}; the stage did not cause it")
    else:
        tally.bad(as_gate(Outcome.FAIL), words)


def _lost_revision(finding: Finding, comparing: Comparing) -> bool:
    """Whether a namespace asks for what it asked for at the start, when it was there."""
    before, now = comparing.start.namespaces, comparing.now.namespaces
    if finding.object.startswith(_SPACE):
        name = finding.object.removeprefix(_SPACE)
        return name in before and name in now and before[name].selector == now[name].selector
    return any(space.selector == DEFAULT_TAG == before[name].selector for name, space in now.items() if name in before)


def _errors(seen: Snapshot) -> Iterator[tuple[str, str, str]]:
    for check in seen.checks:
        yield from (_key(finding) for finding in check.findings if finding.severity is Severity.ERROR)


def _key(finding: Finding) -> tuple[str, str, str]:
    """A finding whatever its counts are."""
    return finding.code, finding.object, _DIGITS.sub("0", finding.title)
