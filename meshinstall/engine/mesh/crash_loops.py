"""Pods that start, end and start again: between two starts such a pod may look ready for a moment."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from meshinstall.engine.mesh.pod_status import statuses
from meshinstall.engine.objects.json_fields import at, number, text
from meshinstall.model.foreign_text import plain
from meshinstall.model.release import Manifest

_WAITS = "CrashLoopBackOff"
# The kubelet waits up to five minutes before it starts a container again, and forgets after twice that (kubernetes: pkg/kubelet).
_RECENT = timedelta(minutes=10)
# Starts again: one may be a node's, or an out-of-memory that is over.
_FEW = 2


def crashing(pod: Manifest, now: datetime) -> str:
    """Which container of a pod ends again and again, in words; empty where none does. Raises ValueError for what is no pod."""
    return next((f"container {plain(text(at(one, 'name')))} ends again and again" for one in statuses(pod) if _crashes(one, now)), "")


def _crashes(status: Mapping[str, Any], now: datetime) -> bool:
    if text(at(status, "state", "waiting", "reason")) == _WAITS:
        return True
    ended = text(at(status, "lastState", "terminated", "finishedAt"))
    if not ended or number(at(status, "restartCount")) < _FEW:
        return False
    return now - datetime.fromisoformat(ended).astimezone(UTC) < _RECENT
