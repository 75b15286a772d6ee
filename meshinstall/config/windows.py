"""The key ``upgrade.windows`` of meshinstall.yaml: its type, and what can be wrong with it."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from meshinstall.config.source import Document
from meshinstall.errors import Problem
from meshinstall.model.values import KeyPath
from meshinstall.model.windows import Kind, Window, next_time

_MOST = 64
_FIELDS = 5
_LONGEST = timedelta(days=31)
_DURATION = re.compile(r"(?:(\d{1,4})h)?(?:(\d{1,5})m)?")
_MOST_TEXT = 200
# Any day will do: a schedule that names a time at all names one after it.
_SOME_DAY = datetime(2026, 1, 1, tzinfo=UTC)
_HINTS = {
    "schedule": "five fields: minute, hour, day of month, month, day of week, such as 0 22 * * 1-5",
    "duration": "hours and minutes up to 744h, such as 4h, 90m or 1h30m",
    "timeZone": "a name of the IANA database, such as Europe/Berlin or UTC",
}


@dataclass(frozen=True, slots=True)
class WrittenWindow:
    """When a nightly upgrade may begin something, or may not: deny wins. ``schedule`` is cron's, ``duration`` such as 4h or 1h30m."""

    kind: Literal["allow", "deny"]
    schedule: str
    duration: str
    time_zone: str = "UTC"


def check_windows(document: Document, windows: Sequence[WrittenWindow] | None, above: KeyPath) -> Iterator[Problem]:
    """What is wrong with the windows at one place, each with its line."""
    at = (*above, "upgrade", "windows")
    if windows and len(windows) > _MOST:
        yield document.problem(at, f"upgrade.windows has {len(windows)} windows, and may have {_MOST}")
    for index, window in enumerate((windows or ())[:_MOST]):
        for key, wrong in _wrong(window):
            yield document.problem((*at, str(index), key), f"upgrade.windows: {wrong}", _HINTS[key])


def as_window(written: WrittenWindow, origin: str) -> Window:
    """A window that was checked."""
    return Window(
        Kind(written.kind), " ".join(written.schedule.split()), _duration(written.duration) or timedelta(), written.time_zone, origin
    )


def _wrong(window: WrittenWindow) -> Iterator[tuple[str, str]]:
    duration = _duration(window.duration)
    if duration is None:
        yield "duration", f"duration {window.duration[:_MOST_TEXT]!r} is not a time"
    zone_is_known = _is_zone(window.time_zone)
    if not zone_is_known:
        yield "timeZone", f"timeZone {window.time_zone[:_MOST_TEXT]!r} is unknown"
    if wrong := _wrong_schedule(window.schedule):
        yield "schedule", f"schedule {window.schedule[:_MOST_TEXT]!r} {wrong}"


def _wrong_schedule(schedule: str) -> str:
    """What is wrong with a schedule; empty when nothing is."""
    from cronsim import CronSimError

    if len(schedule) > _MOST_TEXT:
        return "is too long"
    if len(schedule.split()) != _FIELDS:
        return "does not have five fields"
    try:
        found = next_time(Window(Kind.ALLOW, schedule, timedelta(hours=1)), _SOME_DAY)
    except CronSimError as error:
        return f"is not one of cron ({str(error).lower()})"
    except (ValueError, RecursionError, OverflowError):
        return "is not one of cron"
    return "" if found else "never names a time"


def _duration(text: str) -> timedelta | None:
    found = _DURATION.fullmatch(text)
    if not found:
        return None
    duration = timedelta(hours=int(found[1] or 0), minutes=int(found[2] or 0))
    return duration if timedelta() < duration <= _LONGEST else None


def _is_zone(name: str) -> bool:
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        return False
    return bool(name)
