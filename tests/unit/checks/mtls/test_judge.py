"""Every folder of tests/cases/verify: facts and what the wire said make this verdict; and what holds of all verdicts."""

import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshinstall.checks.mtls.findings import OPEN
from meshinstall.checks.mtls.judge import judge, targets
from meshinstall.model.mesh import Dataplane, MeshFacts, Mode, Place
from meshinstall.model.verdict import Outcome, PortVerdict, Source
from meshinstall.model.wire import Probing, WireTarget
from tests.cases import verdicts

DOCS = (Path(__file__).parents[4] / "docs/checks.md").read_text()
CASES = {name: verdicts.load(name) for name in verdicts.names()}
ALL = {name: case.verdict() for name, case in CASES.items()}
STRICT = CASES["strict"]


@pytest.mark.parametrize("name", CASES)
def test_verdict(name: str) -> None:
    expected = {"verdict.txt": (verdicts.FOLDER / name / "verdict.txt").read_text()}
    assert verdicts.rendered(ALL[name]) == expected, "if this is right, run scripts/golden"


def needed(port: PortVerdict) -> set[Source]:
    """What must be seen before a port passes."""
    if port.dataplane is Dataplane.GATEWAY:
        return {Source.COVERAGE, Source.PROXY, Source.CERTIFICATE}
    always = {Source.COVERAGE, Source.POLICY}
    if port.dataplane is Dataplane.SIDECAR:
        always |= {Source.PROXY, Source.CERTIFICATE}
    return always | ({Source.CLIENT, Source.WIRE} if port.port else set())


@pytest.mark.parametrize("name", ALL)
def test_what_passes_was_seen_from_every_side(name: str) -> None:
    for port in ALL[name].ports:
        outcomes = {evidence.outcome for evidence in port.evidence}
        if port.outcome is Outcome.PASS:
            assert outcomes == {Outcome.PASS}
            assert {evidence.source for evidence in port.evidence} == needed(port)
        assert port.outcome is (Outcome.FAIL if Outcome.FAIL in outcomes else port.outcome)


@pytest.mark.parametrize("name", ALL)
def test_every_failure_has_a_finding_that_mends_it_and_a_page(name: str) -> None:
    verdict = ALL[name]
    codes = {finding.code for finding in verdict.findings}
    for port in verdict.ports:
        for evidence in port.evidence:
            assert evidence.outcome is Outcome.PASS or evidence.code in codes or evidence.source in {Source.PROXY, Source.CERTIFICATE}
        assert port.outcome is Outcome.PASS or {evidence.code for evidence in port.evidence} & codes
    for finding in verdict.findings:
        assert finding.hint or finding.severity == "info"
        assert f"## {finding.code}\n" in DOCS
        assert f"[{finding.code}](#{finding.code.lower()})" in DOCS


def test_every_code_is_seen_in_a_case() -> None:
    told = set(re.findall(r"^## (MTL\d+)$", DOCS, re.MULTILINE))
    assert {finding.code for verdict in ALL.values() for finding in verdict.findings} == told
    assert told >= OPEN


@pytest.mark.parametrize("name", ALL)
def test_commands_can_be_pasted(name: str) -> None:
    for finding in ALL[name].findings:
        for line in finding.hint.splitlines():
            if line.startswith(("kubectl", "istioctl")):
                assert all(
                    word in {"|", ">", ";"} or not set(word) & set("$;`\n") or "reboot" in word for word in shlex.split(line, comments=True)
                )
                assert "reboot" not in line or re.search(r"'[^']*reboot[^']*'", line)


def test_problems_come_first() -> None:
    ranks = [(Outcome.FAIL, Outcome.NOT_PROVEN, Outcome.PASS).index(port.outcome) for port in ALL["ambient"].ports]
    assert ranks == sorted(ranks)
    assert set(ranks) == {0, 1, 2}


def test_nothing_to_judge_proves_nothing() -> None:
    assert ALL["nothing"].outcome is Outcome.NOT_PROVEN


def _pod(facts: MeshFacts, number: int, **differs: Any) -> MeshFacts:
    pods = list(facts.pods)
    pods[number] = replace(pods[number], **differs)
    return replace(facts, pods=tuple(pods))


def _proxies(facts: MeshFacts, **differs: Any) -> MeshFacts:
    return replace(facts, proxies={place: replace(proxy, **differs) for place, proxy in facts.proxies.items()})


WEB = next(number for number, pod in enumerate(STRICT.facts.pods) if pod.place.name == "web-1")
BREAKS: list[Callable[[MeshFacts], MeshFacts]] = [
    lambda facts: replace(facts, policies=()),
    lambda facts: replace(facts, policies=tuple(replace(one, mode=Mode.PERMISSIVE) for one in facts.policies)),
    lambda facts: replace(facts, proxies={}),
    lambda facts: replace(
        facts, authorities=(), namespaces={**facts.namespaces, "istio-system": replace(facts.namespaces["shop"], roots=())}
    ),
    lambda facts: replace(facts, control_planes=()),
    lambda facts: replace(facts, control_planes=tuple(replace(one, auto_mtls=False) for one in facts.control_planes)),
    lambda facts: replace(facts, unread=("Pod",)),
    lambda facts: replace(facts, unread=("Service",)),
    lambda facts: replace(facts, unread=("MeshConfig",)),
    lambda facts: _proxies(facts, inbound=()),
    lambda facts: _proxies(facts, certificates=()),
    lambda facts: _proxies(facts, problem="silent"),
    lambda facts: _pod(facts, WEB, dataplane=Dataplane.NONE),
    lambda facts: _pod(facts, WEB, bypassed=(8080,)),
    lambda facts: _pod(facts, WEB, host_network=True),
    lambda facts: _pod(facts, WEB, captured=False),
    lambda facts: _pod(facts, WEB, service_account="other"),
    lambda facts: _pod(facts, WEB, dataplane=Dataplane.AMBIENT, ports=()),
]


@given(st.sets(st.sampled_from(range(len(BREAKS))), min_size=1, max_size=4))
def test_whatever_is_broken_nothing_that_was_not_seen_passes(broken: set[int]) -> None:
    facts = STRICT.facts
    for number in sorted(broken):
        facts = BREAKS[number](facts)
    verdict = judge(facts, STRICT.probing, "kind-dev")
    assert verdict.outcome is not Outcome.PASS
    for port in verdict.ports:
        assert port.outcome is not Outcome.PASS or {evidence.source for evidence in port.evidence} >= needed(port)


@given(st.integers(0, 1000), st.sampled_from(list(CASES)))
def test_the_order_of_facts_decides_nothing(seed: int, name: str) -> None:
    case = CASES[name]
    facts, random = case.facts, Random(seed)  # noqa: S311 - no secret

    def mixed(some: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(random.sample(some, len(some)))

    shuffled = replace(
        facts,
        pods=mixed(facts.pods),
        policies=mixed(facts.policies),
        client_rules=mixed(facts.client_rules),
        services=mixed(facts.services),
        proxies=dict(mixed(tuple(facts.proxies.items()))),
    )
    assert targets(shuffled) == targets(facts)
    assert verdicts.rendered(judge(shuffled, case.probing, "kind-dev", case.asked)) == verdicts.rendered(ALL[name])


def names(case: str, sample: int | None = None) -> list[str]:
    return [f"{target.pod}:{target.port}" for target in targets(CASES[case].facts, sample)]


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("strict", ["shop/web-1:8080", "shop/api-0:9000"]),
        ("permissive-namespace", []),
        ("port-disable", ["shop/web-1:9091", "shop/api-0:9000"]),
        ("excluded-port", ["shop/web-1:8080"]),
        # What cannot be asked may still fail on the wire.
        ("proxy-silent", ["shop/web-1:8080", "shop/api-0:9000"]),
        ("not-running", ["shop/web-1:8080"]),
        ("ambient", ["calm/app-1:8080", "shop/web-1:8080", "shop/api-0:9000"]),
        # What clients do says nothing of the server.
        ("probe-namespace", ["meshinstall-probe-x/target:8080", "shop/web-1:8080", "shop/api-0:9000"]),
        ("nothing", []),
    ],
)
def test_ports_that_are_worth_a_probe(case: str, expected: list[str]) -> None:
    assert names(case) == expected


@pytest.mark.parametrize("sample", [0, 1])
def test_the_probes_own_target_is_no_part_of_a_sample(sample: int) -> None:
    assert names("probe-namespace", sample) == ["meshinstall-probe-x/target:8080", "shop/web-1:8080"][: 1 + sample]


def test_a_sample_goes_round_the_namespaces() -> None:
    facts = CASES["ambient"].facts
    app = next(pod for pod in facts.pods if pod.place.name == "app-1")
    more = replace(facts, pods=(*facts.pods, replace(app, place=Place("calm", "bpp-1"), workload="Deployment bpp")))
    assert [str(target.pod) for target in targets(more, 3)] == ["calm/app-1", "shop/web-1", "calm/bpp-1"]
    assert names("ambient", 0) == []
    assert [str(target.pod) for target in targets(more, 2, {"shop"})] == ["shop/web-1", "shop/api-0"]


def test_a_pod_without_an_address_is_not_probed() -> None:
    facts = _pod(STRICT.facts, WEB, ip="")
    assert [str(target.pod) for target in targets(facts)] == ["shop/web-2", "shop/api-0"]


def test_answers_for_pods_that_are_gone_say_nothing() -> None:
    gone = {WireTarget(Place("shop", "web-9"), target.ip, target.port): seen for target, seen in STRICT.probing.seen.items()}
    assert judge(STRICT.facts, Probing(gone), "kind-dev").outcome is Outcome.NOT_PROVEN


def test_the_same_cause_is_one_finding() -> None:
    assert [finding.code for finding in ALL["permissive-namespace"].findings] == ["MTL001"]


def test_what_lets_plaintext_in_is_what_outsiders_reach() -> None:
    (outside,) = ALL["port-disable"].outside
    assert outside.reachable == ("shop/Deployment web:8080", "shop/Deployment web:9090")
