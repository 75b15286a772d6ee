"""The windows of nightly upgrades, as people and programs read them."""

from datetime import datetime
from typing import Any

from meshinstall.model.windows import Windows, duration_words, time_words

SCHEMA = "meshinstall.dev/windows/v1"


def windows_text(windows: Windows, now: datetime) -> str:
    """Each window with the line that wrote it, then whether they are open."""
    lines = [f"{window.words}  ({window.origin})" for window in windows.windows]
    return "\n".join([*(lines or ["no windows are written: a nightly upgrade may begin at any time"]), _now(windows, now)])


def outside_words(windows: Windows, now: datetime) -> str:
    """When closed windows open next."""
    opens = windows.next_open(now)
    return f"outside its windows, which open next on {time_words(opens)}" if opens else "outside its windows, and no next opening was found"


def windows_json(windows: Windows, now: datetime) -> dict[str, Any]:
    """The same for programs; times carry their offset, null where none was found."""
    is_open = windows.is_open(now)
    opens, closes = windows.next_open(now), windows.closes_at(now) if is_open else None
    return {
        "schema": SCHEMA,
        "windows": [
            {
                "kind": window.kind,
                "schedule": window.schedule,
                "duration": duration_words(window.duration),
                "timeZone": window.zone,
                "origin": window.origin,
            }
            for window in windows.windows
        ],
        "isOpen": is_open,
        "nextOpen": opens.isoformat() if opens else None,
        "closesAt": closes.isoformat() if closes else None,
    }


def _now(windows: Windows, now: datetime) -> str:
    if not windows.is_open(now):
        return f"now: {outside_words(windows, now)}"
    closes = windows.closes_at(now)
    return f"now: open until {time_words(closes)}" if closes else "now: open"
