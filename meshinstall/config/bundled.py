"""The profiles and values that ship with meshinstall."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent

# What stands for the folder in messages: its real place differs on every machine.
LABEL = "<built-in>"


def is_bundled(source: str) -> bool:
    """Whether what a message names as ``source`` ships with meshinstall."""
    return source.startswith(LABEL)


def folder() -> Path:
    """Folder that holds profiles/ and values/: inside an installed package, beside it in a checkout."""
    inside = _PACKAGE / "_bundled"
    return inside if inside.is_dir() else _PACKAGE.parent
