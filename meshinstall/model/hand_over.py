"""Handing a mesh from one who keeps it to another: the order of work, and how far it is."""

from dataclasses import dataclass
from enum import StrEnum


class Party(StrEnum):
    """Who may keep a mesh."""

    ARGOCD = "argocd"
    FLUX = "flux"
    MESHINSTALL = "meshinstall"

    @property
    def called(self) -> str:
        """As people call it."""
        return {"argocd": "Argo CD", "flux": "Flux"}.get(self.value, self.value)


class WorkState(StrEnum):
    """How far a step is: WAITING has an open step before it; of NOT_KNOWN nothing could be seen."""

    DONE = "done"
    OPEN = "open"
    WAITING = "waiting"
    NOT_KNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Work:
    """One step: ``says`` is what was seen that is not as it should be, ``commands`` and ``words`` are what to do about it, in order."""

    title: str
    state: WorkState
    says: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class HandOver:
    """The order of work of a site; only the first open step has words and commands, as those of later ones depend on it."""

    site: str
    cluster: str
    to: Party
    works: tuple[Work, ...]

    @property
    def left(self) -> int:
        """How many steps are not known to be done."""
        return sum(one.state is not WorkState.DONE for one in self.works)


def in_order(works: tuple[Work, ...]) -> tuple[Work, ...]:
    """Steps after the first open one that are not done wait for it, and say nothing yet."""
    found: list[Work] = []
    is_held = False
    for one in works:
        held = is_held and one.state is not WorkState.DONE
        found.append(Work(one.title, WorkState.WAITING) if held else one)
        is_held = is_held or one.state is WorkState.OPEN
    return tuple(found)
