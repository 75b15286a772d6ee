"""What four probes prove together; a single one that is not as it should be keeps a port from passing."""

from itertools import product

import pytest

from meshinstall.checks.mtls.wire import Names, live, untried, wire_evidence
from meshinstall.model.mesh import Place
from meshinstall.model.verdict import Outcome
from meshinstall.model.wire import Answer, Probe, Probing, Seen, WireTarget

SERVER = "spiffe://cluster.local/ns/shop/sa/web"
NAMES = Names(frozenset({SERVER}), ("cluster.local",))
CLIENT = "spiffe://cluster.local/ns/probe/sa/default"
RIGHT = {
    Probe.PLAINTEXT: Seen(Probe.PLAINTEXT, Answer.REFUSED),
    Probe.ANONYMOUS: Seen(Probe.ANONYMOUS, Answer.REFUSED),
    Probe.FOREIGN: Seen(Probe.FOREIGN, Answer.REFUSED),
    Probe.MESHED: Seen(Probe.MESHED, Answer.SERVED, identity=SERVER, client_identity=CLIENT),
}


def judged(*differ: Seen, without: Probe | None = None, names: Names = NAMES) -> list[tuple[Outcome, str]]:
    seen = {**RIGHT, **{one.probe: one for one in differ}}
    seen.pop(without, None)  # type: ignore[arg-type]
    return [(found.outcome, found.code) for found in wire_evidence(tuple(seen.values()), names, "Pod shop/web-0")]


def test_all_four_as_they_should_be() -> None:
    assert judged() == [(Outcome.PASS, "")]


@pytest.mark.parametrize("probe", Probe)
def test_a_probe_that_was_not_tried_proves_nothing(probe: Probe) -> None:
    assert judged(without=probe) == [(Outcome.NOT_PROVEN, "MTL054")]


@pytest.mark.parametrize(
    ("probe", "answer"),
    [(probe, answer) for probe, answer in product(Probe, Answer) if answer not in {RIGHT[probe].answer, Answer.SERVED}],
)
def test_an_answer_that_says_nothing_proves_nothing(probe: Probe, answer: Answer) -> None:
    assert judged(Seen(probe, answer)) == [(Outcome.NOT_PROVEN, "MTL054")]


@pytest.mark.parametrize(("probe", "code"), [(Probe.PLAINTEXT, "MTL050"), (Probe.ANONYMOUS, "MTL051"), (Probe.FOREIGN, "MTL052")])
def test_who_must_not_get_in(probe: Probe, code: str) -> None:
    assert judged(Seen(probe, Answer.SERVED)) == [(Outcome.FAIL, code)]


@pytest.mark.parametrize(
    ("identity", "client", "expected"),
    [
        ("spiffe://cluster.local/ns/shop/sa/api", CLIENT, (Outcome.FAIL, "MTL053")),
        (SERVER, "spiffe://elsewhere/ns/probe/sa/default", (Outcome.FAIL, "MTL053")),
        (SERVER, "spiffe://cluster.local.elsewhere/ns/probe/sa/default", (Outcome.FAIL, "MTL053")),
        ("", CLIENT, (Outcome.NOT_PROVEN, "MTL054")),
        (SERVER, "", (Outcome.NOT_PROVEN, "MTL054")),
    ],
)
def test_both_sides_say_who_they_are(identity: str, client: str, expected: tuple[Outcome, str]) -> None:
    assert judged(Seen(Probe.MESHED, Answer.SERVED, identity=identity, client_identity=client)) == [expected]


def test_without_a_name_to_expect_nobody_is_wrong() -> None:
    assert judged(names=Names(frozenset(), ())) == [(Outcome.NOT_PROVEN, "MTL054")]


def test_a_violation_is_told_beside_what_is_not_proven() -> None:
    found = judged(Seen(Probe.PLAINTEXT, Answer.SERVED), Seen(Probe.FOREIGN, Answer.SILENT))
    assert found == [(Outcome.FAIL, "MTL050"), (Outcome.NOT_PROVEN, "MTL054")]


def test_probes_with_the_same_answer_are_told_together() -> None:
    silent = tuple(Seen(probe, Answer.SILENT) for probe in Probe)
    assert [found.text for found in wire_evidence(silent, NAMES, "")] == [
        "plaintext, anonymous TLS, foreign certificate, meshed client: no answer in time"
    ]


def test_long_words_of_the_other_side_are_cut() -> None:
    found = wire_evidence((Seen(Probe.PLAINTEXT, Answer.SERVED, "x" * 5000), *tuple(RIGHT.values())[1:]), NAMES, "")
    assert len(found[0].text) < 300


TARGET = WireTarget(Place("shop", "web-0"), "10.0.0.1", 80)


@pytest.mark.parametrize(
    ("probing", "why", "how"),
    [
        (Probing(skipped="--read-only"), "not probed: --read-only", "not run: --read-only"),
        (Probing(problem="forbidden"), "could not be probed: forbidden", "0 ports probed with 0 connections; forbidden"),
        (Probing({TARGET: tuple(RIGHT.values())}), "not among the ports that were probed", "1 port probed with 4 connections"),
    ],
)
def test_why_a_port_was_not_tried(probing: Probing, why: str, how: str) -> None:
    assert untried(probing).text == why
    assert untried(probing).outcome == Outcome.NOT_PROVEN
    assert live(probing) == how
