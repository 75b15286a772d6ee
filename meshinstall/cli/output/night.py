"""How a night ended: in one line, for programs, as JUnit XML, and as Markdown of a pipeline's summary."""

from datetime import UTC, datetime
from typing import Any
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from meshinstall.cli.output.plan_markdown import code
from meshinstall.engine.event_json import gate_json
from meshinstall.errors import safe
from meshinstall.model.foreign_text import for_log, line
from meshinstall.model.gate import Gate, GateOutcome
from meshinstall.model.night import Night, NightEnd
from meshinstall.model.windows import time_words

SCHEMA = "meshinstall.dev/night/v1"
# Names of what is left to others, in one line and in a summary; -o json has all.
_FEW, _MANY = 3, 40
_FAILURES = frozenset({NightEnd.REFUSED, NightEnd.UNDONE, NightEnd.FAILED})
_ERRORS = frozenset({NightEnd.NOT_PROVEN, NightEnd.INTERRUPTED})
_SKIPPED = frozenset({NightEnd.OUTSIDE, NightEnd.PAUSED, NightEnd.LEFT, NightEnd.CHANGES})
_TAGS = {GateOutcome.FAIL: "failure", GateOutcome.NOT_PROVEN: "error"}


def night_line(night: Night) -> str:
    """``night dev on prod-eu: Istio 1.31.0 → 1.31.1, done (84 s)``, always one line."""
    return for_log(line(f"{_where(night)}: {_what(night)} ({night.seconds:.0f} s)"))


def _where(night: Night) -> str:
    """A cluster that was not opened may have no name yet."""
    return f"night {night.environment}{f' on {night.cluster}' if night.cluster else ''}"


def _what(night: Night) -> str:
    if night.end is NightEnd.OUTSIDE:
        opens = night.next_open
        return f"{night.end}, which open next on {time_words(opens)}" if opens else f"{night.end}, and no next opening was found"
    versions = f"Istio {night.before} → {night.target}, " if night.target not in {"", night.before} else _at(night)
    stage = f" at stage {night.stage}" if night.stage else ""
    left = (
        f": {', '.join(night.left[:_FEW])}{f' and {len(night.left) - _FEW} more' if len(night.left) > _FEW else ''}" if night.left else ""
    )
    why = f": {night.why}" if night.why else ""
    more = f"; and {len(night.passed) - _FEW} more" if len(night.passed) > _FEW else ""
    passed = f"; not taken: {'; '.join(night.passed[:_FEW])}{more}" if night.passed and night.end is not NightEnd.REFUSED else ""
    return f"{versions}{night.end}{stage}{why}{left}{passed}"


def _at(night: Night) -> str:
    return f"Istio {night.before}, " if night.before else ""


def night_json(night: Night) -> dict[str, Any]:
    """The same for programs; what was not seen is null."""
    sight = night.sight
    return {
        "schema": SCHEMA,
        "environment": night.environment,
        "cluster": night.cluster,
        "began": night.began.isoformat(),
        "seconds": round(night.seconds, 3),
        "end": night.end,
        "exitStatus": int(night.status),
        "before": night.before,
        "target": night.target,
        "stage": night.stage,
        "why": night.why,
        "left": list(night.left),
        "passed": list(night.passed),
        "nextOpen": night.next_open.isoformat() if night.next_open else None,
        "stages": [{"name": one.name, "seconds": round(one.seconds, 3), "end": one.end, "why": one.why} for one in night.stages],
        "gates": [gate_json(gate) for gate in night.gates],
        "proxies": [{"version": one.version, "revision": one.revision, "count": one.count} for one in sight.proxies] if sight else None,
        "certificates": [{"subject": one.subject, "expires": one.expires.isoformat()} for one in sight.certificates] if sight else None,
        "supportEnds": {name: day.isoformat() if day else None for name, day in sight.support_ends} if sight else None,
        "gaps": list(sight.gaps) if sight else None,
    }


def night_junit(night: Night) -> str:
    """One test case for the night and one for each gate; what is left to others and what waits is skipped, NOT PROVEN is an error."""
    cases = [_night_case(night), *(_gate_case(gate) for gate in night.gates)]
    totals = {
        "tests": str(len(cases)),
        "failures": str(sum(case.find("failure") is not None for case in cases)),
        "errors": str(sum(case.find("error") is not None for case in cases)),
        "skipped": str(sum(case.find("skipped") is not None for case in cases)),
    }
    suites = Element("testsuites", {"name": "meshinstall upgrade --nightly", **totals})
    began = night.began.astimezone(UTC)
    said = {"name": _legal(_where(night)), "timestamp": f"{began:%Y-%m-%dT%H:%M:%S}", "time": f"{night.seconds:.3f}"}
    suite = SubElement(suites, "testsuite", {**said, **totals})
    suite.extend(cases)
    indent(suites)
    return tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _night_case(night: Night) -> Element:
    case = Element("testcase", classname="night", name="result", time=f"{night.seconds:.3f}")
    words = _legal(night_line(night))
    if night.end in _FAILURES | _ERRORS:
        tag = "failure" if night.end in _FAILURES else "error"
        SubElement(case, tag, message=words).text = _legal("\n".join((night.why, *night.left)))
    elif night.end in _SKIPPED:
        SubElement(case, "skipped", message=words)
    else:
        SubElement(case, "system-out").text = words
    return case


def _gate_case(gate: Gate) -> Element:
    case = Element("testcase", classname="gate", name=_legal(gate.stage), time=f"{gate.seconds:.3f}")
    told = [f"{check.outcome} {check.name}: {check.words}" for check in gate.checks]
    bad = [words for check, words in zip(gate.checks, told, strict=True) if check.outcome is not GateOutcome.PASS]
    if tag := _TAGS.get(gate.outcome):
        SubElement(case, tag, message=_legal(bad[0] if bad else gate.outcome)).text = _legal("\n".join(told))
    else:
        SubElement(case, "system-out").text = _legal("\n".join(told))
    return case


def night_markdown(night: Night) -> str:
    """A section of a summary; words of a cluster are code, in which no markup is looked for."""
    where = f" on {code(night.cluster)}" if night.cluster else ""
    lines = [f"### Night of {code(night.environment)}{where}: {night.end}", "", code(line(night_line(night))), ""]
    if night.stages:
        lines += ["| stage | seconds | end | why |", "|---|---|---|---|"]
        lines += [f"| {_cell(one.name)} | {one.seconds:.0f} | {_cell(one.end)} | {_cell(one.why)} |" for one in night.stages]
        lines += [""]
    lines += [f"- {code(line(one))}" for one in night.left[:_MANY]]
    lines += [f"- and {len(night.left) - _MANY} more"] if len(night.left) > _MANY else []
    if night.sight:
        proxies = (f"{one.count} of {one.version or 'unknown'} ({one.revision})" for one in night.sight.proxies)
        lines += ["", f"Proxies: {code(line(', '.join(proxies)) or 'none')}"]
    return safe("\n".join(lines)) + "\n\n"


def _cell(text: str) -> str:
    return code(line(text).replace("|", "¦")) if text else ""


def _legal(text: str) -> str:
    return safe(text, kept="\n\t")


def days_until(end: datetime, now: datetime) -> float:
    """Days, negative once it is over."""
    return (end - now).total_seconds() / 86400
