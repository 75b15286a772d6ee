"""In what a live mesh differs from what Git says, and from what the engine that keeps it last installed."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from meshinstall.model.diff import Consequence
from meshinstall.model.facts import ObjectKey


class State(StrEnum):
    """What became of an object.

    ``differs``: Git and the cluster differ, and nothing that is recorded says which of the two changed.
    """

    EDITED = "edited"
    NOT_APPLIED = "not applied"
    DIFFERS = "differs"
    MISSING = "missing"
    LEFT_OVER = "left over"
    EXTRA = "extra"


@dataclass(frozen=True, slots=True)
class Writer:
    """A field manager as Kubernetes recorded it: ``operation`` is Apply or Update, ``time`` is of the last change it made."""

    manager: str
    operation: str = ""
    time: str = ""
    subresource: str = ""


@dataclass(frozen=True, slots=True)
class DriftedField:
    """A field that is not the same everywhere; None is no such field. ``engine`` counts only where ``recorded`` is true."""

    path: str
    git: Any
    live: Any
    engine: Any = None
    recorded: bool = False
    writers: tuple[Writer, ...] = ()
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Fix:
    """What puts an object right: a command for a shell, or words where there is none."""

    text: str
    is_command: bool = True


@dataclass(frozen=True, slots=True)
class DriftedObject:
    """An object that is not as Git says; ``origin`` is where it is written, ``keeper`` the engine that keeps it, ``notes`` say why."""

    key: ObjectKey
    state: State
    origin: str = ""
    keeper: str = ""
    fields: tuple[DriftedField, ...] = ()
    meaning: tuple[Consequence, ...] = ()
    notes: tuple[str, ...] = ()
    fixes: tuple[Fix, ...] = ()


@dataclass(frozen=True, slots=True)
class Engine:
    """What keeps objects of the mesh: ``says`` is its own word of them, ``causes`` are why it may leave them as they are."""

    name: str
    says: str = ""
    revision: str = ""
    causes: tuple[str, ...] = ()
    is_known: bool = True


@dataclass(frozen=True, slots=True)
class Drift:
    """One look at a mesh.

    ``source`` is the commit, or the folder of the files; ``compared`` counts the objects of Git, ``looked_at`` those of the cluster.
    ``unseen`` is everything that could not be compared: with something in it an empty ``objects`` proves nothing. ``unseen_engines`` is
    what engines say of themselves and could not be read: it may hide a cause, and no drift.
    """

    site: str
    cluster: str
    source: str
    at: datetime
    engines: tuple[Engine, ...] = ()
    objects: tuple[DriftedObject, ...] = ()
    unseen: tuple[str, ...] = ()
    unseen_engines: tuple[str, ...] = ()
    compared: int = 0
    looked_at: int = 0
