"""``meshinstall verify`` on a real mesh: what is wrong is named, what its finding advises mends it, and only then it is PASS.

The mesh is looked at three times: clean, with every fault at once, and mended. Each fault has a namespace of its own.
"""

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

import pytest

from testbed.cluster import Cluster
from testbed.waiting import until
from tests.cluster.mesh import Shell, namespace
from tests.cluster.meshinstall_run import Done, Program, meshinstall
from tests.cluster.verify_mesh import (
    Said,
    audit,
    blocked,
    certificate_has_ended,
    hang,
    mend,
    plaintext_rule,
    policy,
    ready,
    verify,
    way_out,
    workload,
)

pytestmark = pytest.mark.cluster

EXCLUDE = "traffic.sidecar.istio.io/excludeInboundPorts"
# A certificate that ends soon when nobody renews it.
SHORT = {"proxy.istio.io/config": json.dumps({"proxyMetadata": {"SECRET_TTL": "20s"}})}
WEB = "Deployment web"
OTHERS = (WEB, None)


class Fault(NamedTuple):
    """What must be found in a namespace: the code about an object, words of it, and the ports that fail."""

    code: str
    object: str
    words: str
    failed: tuple[int | None, ...] = (8080, None)


FAULTS: Mapping[str, Fault] = {
    "lax": Fault("MTL001", "PeerAuthentication lax/default", "PERMISSIVE accepts plaintext"),
    "hole": Fault("MTL003", "PeerAuthentication hole/web", "DISABLE, for this port only, turns mutual TLS off", (8080,)),
    "rules": Fault("MTL010", "DestinationRule rules/web", "clients send plaintext to port 80 of Service rules/web", (8080,)),
    "bare": Fault("MTL020", "Deployment bare/web", "it has no proxy: it started before its namespace was labelled", (8080,)),
    "past": Fault("MTL021", "Deployment past/web", "bypasses its proxy (excludeInboundPorts", (8080,)),
    "two": Fault("MTL001", "PeerAuthentication two/z-old", "PERMISSIVE accepts plaintext"),
    "stale": Fault("MTL030", "Deployment stale/web", "still accepts plaintext although the policy is STRICT: it "),
    "ended": Fault("MTL040", "Deployment ended/web", "its certificate has expired"),
}
SPACES = ("sound", "blocked", *(name for name in FAULTS if name != "bare"))


class Look(NamedTuple):
    """A verdict and the files that were written with it."""

    said: Said
    html: str
    junit: str


@pytest.fixture(scope="module")
def shell(own_module_cluster: Cluster, build_part: Callable[[str], Path]) -> Shell:
    """A person's shell."""
    return Shell(own_module_cluster, (build_part("kubectl"),))


@pytest.fixture(scope="module")
def program(own_module_cluster: Cluster) -> Program:
    """Meshinstall for the control plane alone."""
    return meshinstall(own_module_cluster).having("--profile", "minimal")


@pytest.fixture(scope="module")
def installed(program: Program) -> Done:
    """A STRICT mesh and what ``up`` said."""
    return program.up()


@pytest.fixture(scope="module")
def clean(installed: Done, program: Program, shell: Shell) -> Said:
    """The first look: nothing is wrong with any workload."""
    assert installed.status == 0
    shell.apply(*(namespace(name, **{"istio-injection": "enabled"}) for name in SPACES))
    shell.apply(*(one for name in SPACES for one in workload(name, **(SHORT if name == "ended" else {}))))
    shell.apply(way_out("sound"))
    ready(shell, *SPACES)
    return verify(Program(program.env))


@pytest.fixture(scope="module")
def looker(clean: Said, program: Program) -> Program:
    """Meshinstall on the mesh with workloads; ``verify`` needs no profile."""
    assert clean.document
    return Program(program.env)


@pytest.fixture(scope="module")
def partial(looker: Program, shell: Shell, tmp_path_factory: pytest.TempPathFactory) -> tuple[Look, Said]:
    """The second look, at everything and at the namespace ``blocked`` alone."""
    shell.apply(way_out("past", location="MESH_INTERNAL"))
    _open_stale(looker, shell)
    hang(shell, "ended")
    hang(shell, "stale")
    shell.apply(policy("stale", "default", {"mtls": {"mode": "STRICT"}}), policy("two", "z-old", {"mtls": {"mode": "PERMISSIVE"}}))
    shell.apply(policy("lax", "default", {"mtls": {"mode": "PERMISSIVE"}}), plaintext_rule("rules"))
    hole = {"selector": {"matchLabels": {"app": "web"}}, "portLevelMtls": {"8080": {"mode": "DISABLE"}}}
    shell.apply(policy("hole", "web", hole), namespace("bare"), *workload("bare"))
    annotate = {"spec": {"template": {"metadata": {"annotations": {EXCLUDE: "8080"}}}}}
    shell.ok("kubectl", "patch", "deployment", "web", "-n", "past", "--type", "merge", "-p", json.dumps(annotate))
    ready(shell, "past", "bare")
    shell.apply(namespace("bare", **{"istio-injection": "enabled"}))
    until(lambda: certificate_has_ended(shell, "ended"), 60, lambda: "the certificate of ended/web does not end")
    # By now a later second than that of the older one.
    shell.apply(policy("two", "a-new", {"mtls": {"mode": "STRICT"}}))
    folder = tmp_path_factory.mktemp("verdict")
    with blocked(shell, "blocked", 8080):
        said = verify(looker, "--html", str(folder / "verify.html"), "--junit", str(folder / "verify.xml"))
        alone = verify(looker, "--namespace", "blocked")
    return Look(said, (folder / "verify.html").read_text(), (folder / "verify.xml").read_text()), alone


def _open_stale(looker: Program, shell: Shell) -> None:
    """Make the proxy of ``stale`` accept plaintext, and wait until it does."""
    shell.apply(policy("stale", "default", {"mtls": {"mode": "PERMISSIVE"}}))
    seen = ("--namespace", "stale", "--read-only")
    until(
        lambda: "accepts plaintext" in verify(looker, *seen).evidence("stale", 8080, "proxy"), 60, lambda: "the policy never reached stale"
    )


@pytest.fixture(scope="module")
def ill(partial: tuple[Look, Said]) -> Look:
    """The second look, with every fault there."""
    return partial[0]


@pytest.fixture(scope="module")
def mended(ill: Look, looker: Program, shell: Shell) -> Said:
    """The third look, when everything was done that the findings advise."""
    for fault in FAULTS.values():
        mend(shell, ill.said.finding(fault.code, fault.object)["hint"])
    shadowed = ill.said.finding("MTL004", "PeerAuthentication two/a-new")["hint"]
    mend(shell, shadowed.partition("then: ")[2])
    ready(shell, *(name for name in FAULTS if name not in {"lax", "hole", "rules", "two"}))
    shell.ok("kubectl", "delete", "serviceentry", "pay", "-n", "past")
    said = verify(looker)
    shell.ok("kubectl", "delete", "namespace", "blocked", *FAULTS, "--wait=false")
    return said


def test_up_ends_with_the_verdict_of_what_it_saw_on_the_wire(installed: Done) -> None:
    table, _, rest = installed.out.partition("VERDICT  WORKLOAD")[2].partition("\n\n")
    # A column that does not fit stands below its row, after its name.
    words = " ".join(table.split())
    assert re.search(r"PASS meshinstall-probe-\S+ \S+ other,8080 STRICT (SERVER )?on the wire;? (CLIENTS )?PASS$", words), words
    assert "Live probes: 1 port probed with 4 connections" in rest
    assert rest.rstrip().endswith("PASS: mTLS on testbed-" + rest.rpartition("testbed-")[2].rstrip())


def test_a_clean_mesh_passes_on_the_wire(clean: Said) -> None:
    assert clean.outcome == "PASS"
    # The certificate that ends soon is said to be late, and no more.
    assert clean.codes() <= {"MTL041"}
    assert clean.document["notSeen"] == []
    for name in SPACES:
        assert clean.ports(name) == {(WEB, 8080): "PASS", OTHERS: "PASS"}
        words = (
            f"refused plaintext, anonymous TLS, foreign certificate; served a meshed client as spiffe://cluster.local/ns/{name}/sa/default"
        )
        assert clean.evidence(name, 8080, "wire") == words


def test_what_leads_out_of_the_mesh_is_listed(clean: Said, ill: Look) -> None:
    ports = [{"number": 443, "protocol": "TLS"}]
    for said in (clean, ill.said):
        assert said.document["external"] == [{"object": "ServiceEntry sound/pay", "hosts": ["pay.example"], "ports": ports}]


def test_what_belongs_to_the_mesh_and_is_no_pod_is_not_proven(ill: Look) -> None:
    assert ill.said.ports("past")["ServiceEntry pay", 443] != "PASS"
    assert ill.said.finding("MTL018", "ServiceEntry past/pay")["severity"] == "warning"


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_named_with_its_object_and_workload(ill: Look, name: str) -> None:
    fault = FAULTS[name]
    found = ill.said.finding(fault.code, fault.object)
    assert found["severity"] == "error"
    assert fault.words in found["detail"]
    # A proxy whose agent hangs is behind its policy; nothing else opens it.
    assert "another object opens it" not in found["detail"]
    failed = {port for (workload_name, port), verdict in ill.said.ports(name).items() if (workload_name, verdict) == (WEB, "FAIL")}
    assert failed == set(fault.failed)
    assert ill.said.outcome == "FAIL"


@pytest.mark.parametrize("name", FAULTS)
def test_what_a_finding_advises_mends_the_fault(mended: Said, name: str) -> None:
    fault = FAULTS[name]
    assert fault.code not in mended.codes()
    assert mended.ports(name) == {(WEB, 8080): "PASS", OTHERS: "PASS"}
    assert mended.evidence(name, 8080, "wire").startswith("refused plaintext")
    assert mended.outcome == "PASS"


def test_of_two_policies_in_one_scope_the_newer_is_said_to_have_no_effect(ill: Look) -> None:
    found = ill.said.finding("MTL004", "PeerAuthentication two/a-new")
    assert found["severity"] == "warning"
    assert "PERMISSIVE of two/z-old" in found["detail"]
    assert ill.said.evidence("two", 8080, "policy") == "PERMISSIVE accepts plaintext beside mutual TLS"


def test_faults_elsewhere_do_not_touch_a_sound_workload(ill: Look) -> None:
    assert ill.said.ports("sound") == {(WEB, 8080): "PASS", OTHERS: "PASS"}


def test_what_the_network_drops_is_not_proven(partial: tuple[Look, Said]) -> None:
    for said in (partial[0].said, partial[1]):
        assert said.ports("blocked") == {(WEB, 8080): "NOT PROVEN", OTHERS: "PASS"}
        assert said.finding("MTL054", "Deployment blocked/web")["severity"] == "warning"
        assert "no connection within 2 s" in said.evidence("blocked", 8080, "wire")
    # Nothing else keeps that namespace from passing, and no other is looked at.
    assert partial[1].outcome == "NOT PROVEN"
    assert {port["namespace"].partition("-probe")[0] for port in partial[1].document["ports"]} == {"blocked", "meshinstall"}


def test_the_page_is_well_formed_and_holds_the_verdict(ill: Look) -> None:
    class Page(HTMLParser):
        """Elements that are open, and all text."""

        def __init__(self) -> None:
            super().__init__()
            self.open: list[str] = []
            self.text = ""

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            assert not [value for name, value in attrs if name in {"src", "href"} and not (value or "").startswith("#")]
            self.open += [] if tag in {"meta", "br", "link", "input", "hr", "col", "circle", "rect", "line", "path"} else [tag]

        def handle_endtag(self, tag: str) -> None:
            if self.open and self.open[-1] == tag:
                self.open.pop()

        def handle_data(self, data: str) -> None:
            self.text += data

    page = Page()
    page.feed(ill.html)
    assert page.open == []
    for wanted in ("FAIL", *(fault.code for fault in FAULTS.values()), *(fault.object for fault in FAULTS.values())):
        assert wanted in page.text


def test_the_junit_file_holds_every_port_with_its_verdict(ill: Look) -> None:
    suites = ET.fromstring(ill.junit)  # noqa: S314 - written by the program under test
    verdicts = [port["verdict"] for port in ill.said.document["ports"]]
    assert (suites.get("tests"), suites.get("failures"), suites.get("errors")) == tuple(
        map(str, (len(verdicts), verdicts.count("FAIL"), verdicts.count("NOT PROVEN")))
    )
    (case,) = suites.findall(".//testcase[@classname='lax'][@name='Deployment web port 8080']")
    (failure,) = case.findall("failure")
    assert "MTL001" in (failure.text or "")


def test_read_only_creates_nothing_and_proves_nothing(mended: Said, looker: Program, shell: Shell) -> None:
    assert mended.outcome == "PASS"
    with audit(shell) as created:
        said = verify(looker, "--read-only", "--namespace", "sound")
    assert created == []
    assert said.ports("sound") == {(WEB, 8080): "NOT PROVEN", OTHERS: "PASS"}
    assert said.outcome == "NOT PROVEN"
    assert said.codes() == {"MTL055"}
    assert said.document["liveProbes"] == "not run: not asked for (--read-only)"


@pytest.mark.parametrize("name", ["sond", "istio-system"])
def test_a_namespace_with_nothing_to_judge_proves_nothing(looker: Program, name: str) -> None:
    said = verify(looker, "--namespace", name)
    assert said.outcome == "NOT PROVEN"
    assert said.finding("MTL027", f"Namespace {name}")["severity"] == "warning"


@pytest.mark.parametrize(("sample", "outcome", "tried"), [("0", "NOT PROVEN", "1 port probed"), ("1", "PASS", "2 ports probed")])
def test_a_sample_bounds_what_is_tried_beside_our_own(looker: Program, shell: Shell, sample: str, outcome: str, tried: str) -> None:
    with audit(shell) as created:
        said = verify(looker, "--namespace", "sound", "--sample", sample)
    assert said.outcome == outcome
    assert said.document["liveProbes"].startswith(tried)
    assert said.ports("sound") == {(WEB, 8080): outcome, OTHERS: "PASS"}
    # All that was created is gone with one namespace.
    (own,) = [one.split()[1] for one in created if one.startswith("namespaces ")]
    assert {one.partition("/")[0] for one in created if "/" in one} == {own}
