"""One JSON line for each event of a run, in a file of its own that only its owner reads; old ones are deleted."""

import json
import os
import re
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from meshinstall.engine.event_json import SCHEMA, event_json
from meshinstall.engine.events import Event, RunStarted
from meshinstall.model import json_text

KEPT_RUNS = 200
KEPT_FOR = timedelta(days=90)
# A run that wrote to its journal since may still write.
_IN_USE = timedelta(days=1)
_NAME = re.compile(r"(\d{8}T\d{6}Z)-[0-9a-f]{8}\.jsonl")
_TIME = "%Y%m%dT%H%M%SZ"
# Bytes; a run's first line names its steps.
_MAX_LINE = 64 * 1024


@dataclass(frozen=True, slots=True)
class Kept:
    """The journal of an earlier run; ``mesh`` is its cluster and environment, ``written`` when it was written to."""

    file: Path
    run: datetime
    mesh: tuple[str, str]
    written: datetime


def default_folder() -> Path:
    """The folder for journals in the user's state."""
    from platformdirs import user_state_path

    return user_state_path("meshinstall") / "runs"


class Journal:
    """A listener that writes events; when it cannot write, it complains once and the run continues."""

    def __init__(self, folder: Path, now: Callable[[], datetime], complain: Callable[[str], None]) -> None:
        self._folder = folder
        self._now = now
        self._complain = complain
        self._path: Path | None = None
        self._broken = False

    def __call__(self, event: Event) -> None:
        """Write one event; without a run there is nothing to keep."""
        if isinstance(event, RunStarted):
            self._path = self._folder / f"{event.run}.jsonl"
        if self._path is None or self._broken:
            return
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(json.dumps(self._line(event), default=str) + "\n")
        except OSError as error:
            self._broken = True
            self._complain(f"the journal {self._path} cannot be written ({error.strerror}); the run continues without it")
        else:
            if isinstance(event, RunStarted):
                self._trim()

    def _trim(self) -> None:
        """Delete old journals; other runs may do so at the same time."""
        try:
            for one in outdated((found for file in self._folder.iterdir() if (found := _read(file))), self._now()):
                one.file.unlink(missing_ok=True)
        except OSError as error:
            self._complain(f"old journals in {self._folder} cannot be deleted ({error.strerror}); the run continues")

    def _line(self, event: Event) -> dict[str, Any]:
        return {"time": self._now().isoformat(timespec="milliseconds"), **event_json(event)}


def outdated(journals: Iterable[Kept], now: datetime) -> list[Kept]:
    """Those beyond KEPT_RUNS, or of runs before KEPT_FOR, but never the last of a mesh, which tells how it became what it is."""
    newest_first = sorted(journals, key=lambda one: (one.run, one.file.name), reverse=True)
    last = {one.mesh: one for one in reversed(newest_first)}.values()
    return [
        one
        for number, one in enumerate(newest_first)
        if one not in last and one.written < now - _IN_USE and (number >= KEPT_RUNS or one.run < now - KEPT_FOR)
    ]


def _read(file: Path) -> Kept | None:
    """What one file of the folder is; None for all that no run of this user wrote, that cannot be read, or that has just gone."""
    name = _NAME.fullmatch(file.name)
    try:
        status = file.lstat()
        if not name or not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            return None
        with file.open("rb") as journal:
            first = json_text.load(journal.readline(_MAX_LINE))
        run = datetime.strptime(name[1], _TIME).replace(tzinfo=UTC)
        # A file may say that it was written in a year that no calendar has.
        written = datetime.fromtimestamp(status.st_mtime, UTC)
    except (OSError, ValueError, OverflowError):
        return None
    if not isinstance(first, dict) or (first.get("schema"), first.get("run")) != (SCHEMA, file.stem):
        return None
    mesh = str(first.get("cluster")), str(first.get("environment"))
    return Kept(file, run, mesh, written)
