"""Where the testbed keeps what it builds and what it runs."""

import os
import re
from pathlib import Path

from testbed.errors import TestbedError

REPOSITORY = Path(__file__).resolve().parent.parent
GO_MODULES = REPOSITORY / "testbed" / "go"

# Names end up in cgroup and folder names.
_NAME = re.compile(r"[a-z][a-z0-9-]{0,29}")


def _xdg(variable: str, fallback: str) -> Path:
    return Path(os.environ.get(variable) or Path.home() / fallback) / "meshinstall" / "testbed"


def cache_dir() -> Path:
    """Folder of the built parts; safe to delete at any time."""
    return _xdg("XDG_CACHE_HOME", ".cache")


def state_root() -> Path:
    """Folder that has one folder for each cluster."""
    return _xdg("XDG_STATE_HOME", ".local/state")


def state_dir(name: str) -> Path:
    """Folder of the cluster called ``name``; raises TestbedError on a bad name."""
    if not _NAME.fullmatch(name):
        message = f"cluster name {name!r}: use a lower-case letter, then at most 29 of a-z, 0-9 and -"
        raise TestbedError(message)
    return state_root() / name
