"""Whether a pod is ready, and how often its containers were started again; pure."""

from collections.abc import Mapping
from typing import Any

from meshinstall.engine.objects.json_fields import at, number, rows, text


def is_ready(item: Mapping[str, Any]) -> bool:
    """Whether Kubernetes calls it Ready, and nobody deletes it."""
    conditions = rows(at(item, "status", "conditions"))
    said = any(text(at(one, "type")) == "Ready" and text(at(one, "status")) == "True" for one in conditions)
    return said and not is_ending(item)


def is_ending(item: Mapping[str, Any]) -> bool:
    """Whether it is being deleted."""
    return bool(at(item, "metadata", "deletionTimestamp"))


def statuses(item: Mapping[str, Any]) -> tuple[Any, ...]:
    """What is known of each of its containers, those of its start too."""
    return (*rows(at(item, "status", "containerStatuses")), *rows(at(item, "status", "initContainerStatuses")))


def restarts(item: Mapping[str, Any]) -> int:
    """How often the container of it was started again that was most often."""
    return max((number(at(one, "restartCount")) for one in statuses(item)), default=0)
