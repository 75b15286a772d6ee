"""One JSON line for each event of a run, in a file of its own that only its owner reads."""

import json
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from meshinstall.engine.event_json import event_json
from meshinstall.engine.events import Event, RunStarted


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

    def _line(self, event: Event) -> dict[str, Any]:
        return {"time": self._now().isoformat(timespec="milliseconds"), **event_json(event)}
