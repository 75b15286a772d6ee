"""A verdict for people: problems first, each with how to fix it, and nothing of the cluster's can reach the terminal."""

from dataclasses import replace

import pytest

from meshinstall.cli.output.verdict_text import by_workload, headline, verdict_text
from meshinstall.model.mesh import Dataplane, ExternalService, Place, Port
from meshinstall.model.verdict import Evidence, Outcome, PortVerdict, Source, Verdict
from tests.unit.cli.verdicts import HOSTILE, NOON, STRICT, VERDICT


def test_one_line_for_each_workload_problems_first() -> None:
    lines = verdict_text(VERDICT).splitlines()
    assert lines[:4] == [
        "VERDICT     WORKLOAD              PORTS      MODE        SERVER       CLIENTS",
        "FAIL        shop/Deployment web   8080       PERMISSIVE  MTL001       MTL010",
        "NOT PROVEN  shop/Deployment slow  8080       STRICT      MTL011       -",
        "PASS        shop/Deployment api   8080,9090  STRICT      on the wire  -",
    ]


def test_every_finding_says_how_to_fix_it_in_lines_to_copy() -> None:
    text = verdict_text(VERDICT)
    assert "✗ MTL001 PeerAuthentication shop/default lets plaintext in\n    Deployment web port 8080\n" in text
    assert "    fix:\nkubectl apply -f - <<'EOF'\nkind: PeerAuthentication\nEOF\n" in text


def test_every_finding_ends_with_the_address_of_its_section() -> None:
    text = verdict_text(VERDICT)
    assert "EOF\n    see docs/checks.md#mtl001\n! MTL011" in text
    assert "\n    shop/slow-0\n    see docs/checks.md#mtl011\n\n" in text


def test_what_is_outside_and_what_was_not_seen_is_said() -> None:
    text = " ".join(verdict_text(VERDICT).split())
    assert "Outside the mesh, by namespace (pods): legacy (3); they reach in plaintext: shop/Deployment web:8080." in text
    assert "ServiceEntries lead out of the mesh, which is not judged: pay.example (443 TLS, 80 HTTP)." in text
    assert "? not seen: secrets in istio-system: forbidden" in text
    assert "the first to expire is shop/api-0 on 2026-11-22" in text
    assert "Live probes: 4 ports probed" in text


def test_the_last_line_is_the_verdict() -> None:
    assert verdict_text(VERDICT).splitlines()[-1] == "FAIL: mTLS on kind-dev, 1 FAIL, 1 NOT PROVEN, 2 PASS of 4 workload ports."


@pytest.mark.parametrize(
    ("outcomes", "expected"),
    [
        ((), Outcome.NOT_PROVEN),
        ((Outcome.PASS,), Outcome.PASS),
        ((Outcome.PASS, Outcome.NOT_PROVEN), Outcome.NOT_PROVEN),
        ((Outcome.PASS, Outcome.NOT_PROVEN, Outcome.FAIL), Outcome.FAIL),
    ],
)
def test_nothing_to_judge_proves_nothing(outcomes: tuple[Outcome, ...], expected: Outcome) -> None:
    tried = (Evidence(Source.WIRE, Outcome.PASS, "plaintext was refused"),)
    ports = tuple(PortVerdict("a", "Pod b", number, Dataplane.SIDECAR, outcome, tried) for number, outcome in enumerate(outcomes))
    verdict = Verdict(NOON, "c", ports)
    assert verdict.outcome is expected
    assert headline(verdict).startswith(expected)


@pytest.mark.parametrize("seen", [(), (Evidence(Source.WIRE, Outcome.NOT_PROVEN, "the probe did not answer"),)])
def test_a_mesh_of_which_no_port_was_tried_is_not_proven(seen: tuple[Evidence, ...]) -> None:
    gateway = PortVerdict("edge", "Deployment gateway", 443, Dataplane.GATEWAY, Outcome.PASS, seen)
    assert Verdict(NOON, "c", (gateway,)).outcome is Outcome.NOT_PROVEN


def test_many_workloads_that_passed_are_counted_by_namespace() -> None:
    ports = tuple(PortVerdict(f"team-{at % 2}", f"Deployment w{at}", 80, Dataplane.SIDECAR, Outcome.PASS, STRICT) for at in range(40))
    lines = verdict_text(replace(VERDICT, ports=ports)).splitlines()
    assert lines[1:3] == ["PASS     team-0: 20 workloads", "PASS     team-1: 20 workloads"]


def test_a_workload_is_as_bad_as_its_worst_port() -> None:
    one, two = VERDICT.ports[0], replace(VERDICT.ports[1], outcome=Outcome.FAIL)
    assert [port.port for port in by_workload((one, two))[0]] == [8080, 9090]
    assert "FAIL     shop/Deployment api  8080,9090" in verdict_text(replace(VERDICT, ports=(one, two)))


def test_what_a_cluster_says_cannot_move_the_cursor() -> None:
    hostile = PortVerdict(
        HOSTILE, HOSTILE, 1, Dataplane.NONE, Outcome.FAIL, (Evidence(Source.WIRE, Outcome.FAIL, HOSTILE, HOSTILE, HOSTILE),)
    )
    external = ExternalService(Place(HOSTILE, HOSTILE), (HOSTILE,), (Port(1, HOSTILE, HOSTILE),))
    text = verdict_text(replace(VERDICT, ports=(hostile,), external=(external,), gaps=(HOSTILE,), cluster=HOSTILE))
    assert "\x1b" not in text
    assert "\x00" not in text


def test_colours_mark_outcomes_only_when_asked_for() -> None:
    plain, coloured = verdict_text(VERDICT), verdict_text(VERDICT, coloured=True)
    assert "\x1b" not in plain
    assert coloured.splitlines()[1].startswith("\x1b[31m\x1b[1mFAIL\x1b[0m   ")


def test_a_table_that_is_too_wide_puts_its_last_columns_below_each_row() -> None:
    gateway = PortVerdict(
        "istio-ingress",
        "Deployment istio-ingress",
        443,
        Dataplane.GATEWAY,
        Outcome.PASS,
        (Evidence(Source.PROXY, Outcome.PASS, "its own"),),
    )
    lines = verdict_text(replace(VERDICT, ports=(*VERDICT.ports, gateway))).splitlines()
    assert max(map(len, lines[:9])) <= 80
    assert lines[:9] == [
        "VERDICT     WORKLOAD                                PORTS      MODE",
        "FAIL        shop/Deployment web                     8080       PERMISSIVE",
        "            SERVER MTL001; CLIENTS MTL010",
        "NOT PROVEN  shop/Deployment slow                    8080       STRICT",
        "            SERVER MTL011",
        "PASS        istio-ingress/Deployment istio-ingress  443",
        "            SERVER certificate, configuration",
        "PASS        shop/Deployment api                     8080,9090  STRICT",
        "            SERVER on the wire",
    ]


def test_a_mesh_without_a_workload_says_so() -> None:
    own = PortVerdict(
        "meshinstall-probe-1", "Pod target", 8080, Dataplane.SIDECAR, Outcome.PASS, (Evidence(Source.WIRE, Outcome.PASS, "x"),), ours=True
    )
    text = " ".join(verdict_text(replace(VERDICT, ports=(own,))).split())
    assert "Judged: only the target that verify made for itself: the mesh has no workload." in text
