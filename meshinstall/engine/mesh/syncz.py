"""Reads istiod's ``/debug/syncz``: for each proxy, whether it has what istiod last sent (istio: pilot/pkg/xds/debug.go, SyncStatus)."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from meshinstall.engine.objects.json_fields import at, table, text
from meshinstall.model.mesh import Place, SyncState
from meshinstall.model.release import Manifest

# A proxy that takes longer than this to acknowledge a push is not just being updated.
_PATIENCE = timedelta(seconds=30)
# Of two istiods that list a proxy, the one whose state comes first here is the one that the proxy talks to.
_ORDER = (SyncState.SYNCED, SyncState.UPDATING, SyncState.NOTHING_SENT, SyncState.STALE, SyncState.REJECTED, SyncState.UNKNOWN)


@dataclass(frozen=True, slots=True)
class Sync:
    """What one istiod reports of a proxy; ``words`` say what a proxy that is stale or rejects has not taken."""

    version: str
    state: SyncState
    words: str = ""


class _Push(NamedTuple):
    """The last push of one type of configuration."""

    kind: str
    sent: str
    acked: str
    at: str = ""
    error: str = ""


def read_sync(record: Manifest, now: datetime) -> tuple[Place, Sync]:
    """Read one record; its proxy is called pod.namespace. Raises MalformedError for what is not such a record."""
    name, _, namespace = text(at(record, "proxy")).rpartition(".")
    state, words = _state([push for push in _pushes(record) if push.sent], now)
    return Place(namespace, name), Sync(text(at(record, "istio_version")), state, words)


def better(one: Sync | None, other: Sync) -> bool:
    """Whether ``other`` says more of a proxy: one that moves between two istiods is known to both for a while."""
    return one is None or _ORDER.index(other.state) < _ORDER.index(one.state)


def _pushes(record: Manifest) -> Iterator[_Push]:
    resources = table(at(record, "resources"))
    for kind, one in resources.items():
        yield _Push(kind.rpartition(".")[2], *(text(at(one, key)) for key in ("sent", "acked", "sentTime", "lastError")))
    if not resources:
        # Older istiods have a pair of fields for each type, and no times.
        for kind in (key.removesuffix("_sent") for key in record if key.endswith("_sent")):
            yield _Push(kind, text(record[f"{kind}_sent"]), text(record.get(f"{kind}_acked")))


def _state(sent: list[_Push], now: datetime) -> tuple[SyncState, str]:
    """What the pushes together mean; a type that was never sent says nothing (istioctl: proxy-status, NOT SENT)."""
    if not sent:
        return SyncState.NOTHING_SENT, ""
    waiting = [push for push in sent if push.sent != push.acked]
    if not waiting:
        return SyncState.SYNCED, ""
    if refused := next((push for push in waiting if push.error), None):
        return SyncState.REJECTED, f"it rejects {refused.kind}: {refused.error}"
    late = [push for push in waiting if not _is_recent(push.at, now)]
    if not late:
        return SyncState.UPDATING, ""
    since = f" for more than {_PATIENCE.seconds} s" if any(push.at for push in late) else ""
    return SyncState.STALE, f"it has not acknowledged {', '.join(push.kind for push in late)}{since}"


def _is_recent(sent: str, now: datetime) -> bool:
    try:
        return now - datetime.fromisoformat(sent) < _PATIENCE
    except (ValueError, TypeError):
        return False
