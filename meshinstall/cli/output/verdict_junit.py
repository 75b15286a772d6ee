"""A verdict as JUnit XML, which pipelines show: one test case for each workload port.

FAIL is a failure; what the environment accepts until a day is skipped. NOT PROVEN is an error, the word of JUnit for a test that
could not be carried out; a pipeline that only looks at the totals stays red.
"""

from xml.etree.ElementTree import Element, SubElement, indent, tostring

from meshinstall.errors import safe
from meshinstall.model.verdict import Evidence, Outcome, PortVerdict, Verdict

_TAGS = {Outcome.FAIL: "failure", Outcome.NOT_PROVEN: "error"}


def verdict_junit(verdict: Verdict) -> str:
    """The XML document; characters that XML forbids are replaced."""
    accepted = verdict.accepted
    totals = {
        "tests": str(len(verdict.ports)),
        "failures": str(sum(port.outcome is Outcome.FAIL for port in verdict.ports) - len(accepted)),
        "errors": str(sum(port.outcome is Outcome.NOT_PROVEN for port in verdict.ports)),
        **({"skipped": str(len(accepted))} if accepted else {}),
    }
    suites = Element("testsuites", {"name": "meshinstall verify", **totals})
    said = {"name": _legal(f"mTLS on {verdict.cluster}"), "timestamp": f"{verdict.at:%Y-%m-%dT%H:%M:%S}"}
    suite = SubElement(suites, "testsuite", {**said, **totals})
    for port in verdict.ports:
        _case(suite, port, f"accepts plaintext, {verdict.acceptance}" if port in accepted else "")
    indent(suites)
    return tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _case(suite: Element, port: PortVerdict, accepted: str) -> None:
    name = f"{port.workload} port {port.port}" if port.port else f"{port.workload} every other port"
    case = SubElement(suite, "testcase", classname=_legal(port.namespace), name=_legal(name))
    if accepted:
        SubElement(case, "skipped", message=_legal(accepted))
    elif tag := _TAGS.get(port.outcome):
        why = [_line(evidence) for evidence in port.evidence if evidence.outcome is not Outcome.PASS]
        SubElement(case, tag, message=_legal(why[0] if why else port.outcome)).text = _legal("\n".join(why))
    else:
        SubElement(case, "system-out").text = _legal("\n".join(_line(evidence) for evidence in port.evidence))


def _line(evidence: Evidence) -> str:
    code = f"{evidence.code} " if evidence.code else ""
    return f"{code}{evidence.source}: {evidence.text}{f' ({evidence.object})' if evidence.object else ''}"


def _legal(text: str) -> str:
    return safe(text, kept="\n\t")
