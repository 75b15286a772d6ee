"""What a gate counts: proxies by revision and version, and requests of its own with those that failed."""

from typing import Any

import pytest

from meshinstall.engine.gates.counting import connections, proxy_tally, questions
from meshinstall.model.gate import ProxiesSeen, Snapshot, WebhookSeen, WorkloadSeen
from meshinstall.model.mesh import Dataplane, SyncState
from meshinstall.model.place import Place
from meshinstall.model.tally import ProxyGroup, Requests
from meshinstall.model.verdict import Verdict
from meshinstall.model.wire import Answer, Probe, Probing, Seen, WireTarget
from tests.fake_kube import NOON

TARGET = WireTarget(Place("shop", "web-1"), "10.0.0.9", 8080)
GOOD = (
    Seen(Probe.PLAINTEXT, Answer.REFUSED, "reset"),
    Seen(Probe.ANONYMOUS, Answer.REFUSED, "alert"),
    Seen(Probe.FOREIGN, Answer.REFUSED, "unknown ca"),
    Seen(Probe.MESHED, Answer.SERVED, "TLSv1.3"),
)


def snapshot(*workloads: WorkloadSeen, **fields: Any) -> Snapshot:
    """One in which each workload has a place of its own."""
    placed = {Place("shop", f"Deployment w{number}"): one for number, one in enumerate(workloads)}
    return Snapshot(NOON, Verdict(NOON, "c", ()), workloads=placed, **fields)


def seen(revision: str, version: str, count: int) -> ProxiesSeen:
    return ProxiesSeen(revision, version, SyncState.SYNCED, count)


def workload(*proxies: ProxiesSeen, pods: int = 1, ready: int = 1, dataplane: Dataplane = Dataplane.SIDECAR) -> WorkloadSeen:
    return WorkloadSeen(dataplane, pods, ready, 0, proxies=proxies)


def test_proxies_of_all_workloads_are_counted_by_version_and_revision_the_oldest_first() -> None:
    tally = proxy_tally(
        snapshot(
            workload(seen("1-31", "1.31.0", 2), seen("default", "1.30.4", 1), pods=4, ready=3),
            workload(seen("default", "1.30.4", 4), dataplane=Dataplane.GATEWAY),
            workload(seen("default", "1.9.9", 1)),
        )
    )
    assert tally.groups == (ProxyGroup("default", "1.9.9", 1), ProxyGroup("default", "1.30.4", 5), ProxyGroup("1-31", "1.31.0", 2))
    assert tally.not_ready == 1
    assert tally.is_whole


def test_what_has_no_proxy_counts_for_nothing() -> None:
    tally = proxy_tally(
        snapshot(workload(pods=5, ready=0, dataplane=Dataplane.NONE), workload(pods=2, ready=0, dataplane=Dataplane.AMBIENT))
    )
    assert tally.groups == ()
    assert tally.not_ready == 0


def test_a_proxy_that_nobody_lists_comes_last_and_its_own_words_are_short() -> None:
    tally = proxy_tally(snapshot(workload(seen("", "", 1), seen("", "x" * 500, 1), seen("1-31", "1.31.0", 1))))
    assert [one.revision for one in tally.groups] == ["1-31", "", ""]
    assert max(len(one.version) for one in tally.groups) == 41


@pytest.mark.parametrize("kind", ["Pod", "Namespace"])
def test_a_tally_of_what_could_not_be_listed_is_not_whole(kind: str) -> None:
    assert not proxy_tally(snapshot(unread=frozenset({kind}))).is_whole


def test_every_connection_is_asked_and_refusals_of_strangers_are_answers() -> None:
    assert connections(Probing({TARGET: GOOD})) == Requests(4)


def test_where_nobody_listens_one_connection_was_made() -> None:
    repeated = tuple(Seen(probe, Answer.SILENT, "no route") for probe in Probe)
    found = connections(Probing({TARGET: repeated}))
    assert found == Requests(1, 1, ("shop/web-1:8080 (plaintext): no answer in time, no route",))


@pytest.mark.parametrize("answer", [Answer.REFUSED, Answer.SILENT, Answer.FAILED])
def test_a_client_of_the_mesh_that_gets_no_answer_or_is_refused_has_failed(answer: Answer) -> None:
    found = connections(Probing({TARGET: (*GOOD[:3], Seen(Probe.MESHED, answer, "why\x1b[2J"))}))
    assert found == Requests(4, 1, (f"shop/web-1:8080 (meshed client): {answer}, why[2J",))


def test_a_webhook_that_answers_wrongly_has_failed_but_not_one_that_is_switched_off_or_was_not_asked() -> None:
    webhooks = (
        WebhookSeen("1-31", "1.31.0"),
        WebhookSeen("default", "1.30.4", "another answers"),
        WebhookSeen("old", "1.29.0", "not permitted", asked=False),
    )
    assert questions(webhooks) == Requests(2, 1, ("webhooks of revision default: another answers",))
    assert questions(webhooks, ("default",)) == Requests(1)


def test_of_many_failures_the_first_are_named() -> None:
    probing = Probing(
        {WireTarget(Place("shop", f"w{n}"), "10.0.0.1", n): tuple(Seen(p, Answer.FAILED, "late") for p in Probe) for n in range(9)}
    )
    found = connections(probing)
    assert (found.asked, found.failed) == (9, 9)
    assert len(found.failures) == 5
