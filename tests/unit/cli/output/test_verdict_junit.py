"""A verdict in JUnit's words."""

from dataclasses import replace
from xml.etree import ElementTree as ET

from meshinstall.cli.output.verdict_junit import verdict_junit
from meshinstall.model.mesh import Dataplane
from meshinstall.model.verdict import Evidence, Outcome, PortVerdict, Source
from tests.unit.cli.verdicts import HOSTILE, VERDICT


def parsed(document: str) -> ET.Element:
    return ET.fromstring(document)  # noqa: S314 - our own


def test_each_port_is_a_test_case_and_what_is_not_proven_is_an_error() -> None:
    root = parsed(verdict_junit(VERDICT))
    assert root.attrib == {"name": "meshinstall verify", "tests": "4", "failures": "1", "errors": "1"}
    cases = {case.get("name"): case for case in root.iter("testcase")}
    assert list(cases) == ["Deployment api port 8080", "Deployment api port 9090", "Deployment slow port 8080", "Deployment web port 8080"]
    failure = cases["Deployment web port 8080"].find("failure")
    assert failure is not None
    assert failure.get("message") == "MTL001 policy: PERMISSIVE lets plaintext in (PeerAuthentication shop/default)"
    assert failure.text == f"{failure.get('message')}\nMTL010 client: clients send plaintext (shop/web-0)"
    assert cases["Deployment slow port 8080"].find("error") is not None
    assert [child.tag for child in cases["Deployment api port 8080"]] == ["system-out"]


def test_names_that_xml_forbids_are_still_a_document() -> None:
    evidence = (Evidence(Source.WIRE, Outcome.FAIL, HOSTILE),)
    root = parsed(verdict_junit(replace(VERDICT, ports=(PortVerdict(HOSTILE, HOSTILE, 0, Dataplane.NONE, Outcome.FAIL, evidence),))))
    case = next(root.iter("testcase"))
    assert "<script>" in str(case.get("name"))
    assert "every other port" in str(case.get("name"))
    assert "\x1b" not in str(case.get("classname"))
