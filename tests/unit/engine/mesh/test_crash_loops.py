"""Which pods end again and again, and which only ended once."""

from datetime import UTC, datetime
from typing import Any

import pytest

from meshinstall.engine.mesh.crash_loops import crashing

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def status(restarts: int, ended: str = "", **state: Any) -> dict[str, Any]:
    return {"name": "app", "restartCount": restarts, "state": state, "lastState": {"terminated": {"finishedAt": ended}} if ended else {}}


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (status(0, running={}), False),
        (status(1, "2026-11-30T11:59:00Z", running={}), False),
        (status(2, "2026-11-30T11:59:00Z", running={}), True),
        (status(9, "2026-11-30T11:00:00Z", running={}), False),
        (status(1, "2026-11-30T11:00:00Z", waiting={"reason": "CrashLoopBackOff"}), True),
        (status(0, waiting={"reason": "ImagePullBackOff"}), False),
    ],
)
@pytest.mark.parametrize("where", ["containerStatuses", "initContainerStatuses"])
def test_what_ends_again_and_again_is_told_by_its_last_end(one: dict[str, Any], where: str, *, expected: bool) -> None:
    assert crashing({"status": {where: [one]}}, NOW) == ("container app ends again and again" if expected else "")


def test_a_pod_that_has_no_status_yet_ends_nothing() -> None:
    assert crashing({}, NOW) == ""


def test_a_name_is_plain() -> None:
    assert "\x1b" not in crashing({"status": {"containerStatuses": [{**status(3, "2026-11-30T11:59:59Z"), "name": "a\x1b[2J"}]}}, NOW)
