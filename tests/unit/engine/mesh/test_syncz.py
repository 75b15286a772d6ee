"""What istiod's /debug/syncz says of a proxy is read once, and means the same to status, check and verify."""

from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pytest

from meshinstall.engine.gates.proxies import count_proxies
from meshinstall.engine.mesh.syncz import Sync, better, read_sync
from meshinstall.engine.objects.json_fields import MalformedError
from meshinstall.model.mesh import Place, SyncState

NOW = datetime(2026, 11, 21, 9, tzinfo=UTC)
CDS, LDS = "type.googleapis.com/envoy.config.cluster.v3.Cluster", "type.googleapis.com/envoy.config.listener.v3.Listener"


def push(acked: str = "b", sent: str = "b", seconds: float = 0, **more: str) -> dict[str, str]:
    return {"sent": sent, "acked": acked, "sentTime": (NOW - timedelta(seconds=seconds)).isoformat(), **more}


def record(**resources: dict[str, str]) -> dict[str, Any]:
    kinds = {"clusters": CDS, "listeners": LDS}
    return {"proxy": "web.shop", "istio_version": "1.31.0", "resources": {kinds[name]: one for name, one in resources.items()}}


CASES = {
    "all acknowledged": (record(clusters=push(), listeners=push()), SyncState.SYNCED, ""),
    "one type was never sent": (record(clusters=push(), listeners=push("", "")), SyncState.SYNCED, ""),
    "one type was acknowledged to another istiod": (record(clusters=push(), listeners=push("a", "")), SyncState.SYNCED, ""),
    "no type was sent": (record(clusters=push("", ""), listeners=push("", "")), SyncState.NOTHING_SENT, ""),
    "no type is there": (record(), SyncState.NOTHING_SENT, ""),
    "just sent": (record(clusters=push("a", seconds=2), listeners=push()), SyncState.UPDATING, ""),
    "sent long ago": (record(listeners=push("a", seconds=31)), SyncState.STALE, "it has not acknowledged Listener for more than 30 s"),
    "never acknowledged": (record(listeners=push("", seconds=31)), SyncState.STALE, "it has not acknowledged Listener for more than 30 s"),
    "one late, one just sent": (
        record(clusters=push("a", seconds=2), listeners=push("a", seconds=31)),
        SyncState.STALE,
        "it has not acknowledged Listener for more than 30 s",
    ),
    "rejected": (record(listeners=push("a", lastError="address in use")), SyncState.REJECTED, "it rejects Listener: address in use"),
    "rejected before and acknowledged since": (record(listeners=push(lastError="address in use")), SyncState.SYNCED, ""),
    "an older istiod": ({"proxy": "web.shop", "cluster_sent": "b", "cluster_acked": "b", "route_sent": ""}, SyncState.SYNCED, ""),
    "an older istiod, late": ({"proxy": "web.shop", "cluster_sent": "b"}, SyncState.STALE, "it has not acknowledged cluster"),
    "an older istiod, nothing": ({"proxy": "web.shop", "cluster_sent": ""}, SyncState.NOTHING_SENT, ""),
}


@pytest.mark.parametrize("name", CASES)
def test_a_record_is_read(name: str) -> None:
    given, state, words = CASES[name]
    place, sync = read_sync(given, NOW)
    assert place == Place("shop", "web")
    assert sync.state == state
    assert sync.words == words


@pytest.mark.parametrize("name", CASES)
def test_status_counts_a_proxy_by_the_same_state(name: str) -> None:
    given, state, words = CASES[name]
    found = count_proxies([given], NOW)
    assert found.connected == 1
    assert found.in_sync == (state is SyncState.SYNCED)
    assert [(stale.name, stale.reason) for stale in found.stale] == ([("web.shop", words)] if words else [])


def test_of_several_istiods_the_one_that_the_proxy_talks_to_counts() -> None:
    states = [SyncState.SYNCED, SyncState.UPDATING, SyncState.NOTHING_SENT, SyncState.STALE, SyncState.REJECTED]
    for order in permutations(states, 2):
        kept: Sync | None = None
        for state in order:
            if better(kept, sync := Sync("1.31.0", state)):
                kept = sync
        assert kept is not None
        assert kept.state is min(order, key=states.index)


@pytest.mark.parametrize("wrong", [{"resources": "all"}, {"resources": {LDS: "b"}}, {"proxy": 1}, {"cluster_sent": 1}])
def test_what_is_not_a_record_is_malformed(wrong: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        read_sync(wrong, NOW)
