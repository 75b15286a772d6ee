"""Waves: the namespaces whose workloads an upgrade restarts together, what it restarts in each, and what it leaves to owners."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase

from meshinstall.model.place import Place


@dataclass(frozen=True, slots=True)
class Wave:
    """Namespaces by name, where * is any text, or by labels that they all have.

    ``parallel`` are workloads at once, ``soak`` are the seconds to wait after the wave; ``origin`` is where it is written.
    """

    name: str
    namespaces: tuple[str, ...] = ()
    selector: tuple[tuple[str, str], ...] = ()
    parallel: int = 1
    soak: int = 0
    origin: str = ""

    def takes(self, namespace: str, labels: Mapping[str, str]) -> bool:
        """Whether a namespace with these labels is of this wave, if no wave before takes it."""
        if self.selector:
            return all(labels.get(key) == value for key, value in self.selector)
        return any(fnmatchcase(namespace, pattern) for pattern in self.namespaces)

    @property
    def takes_all(self) -> bool:
        """Whether it is the wave for the rest."""
        return "*" in self.namespaces


class How(StrEnum):
    """How the pods of a workload are replaced."""

    RESTART = "restart"
    # By the API that asks PodDisruptionBudgets; for what no controller of Kubernetes rolls out.
    EVICTION = "eviction"
    # A restart that was begun before is waited for.
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class Restart:
    """One workload of a wave; ``means`` says what is down meanwhile, ``downtime`` why it needs --allow downtime, empty where it does not.

    ``budgets`` are the PodDisruptionBudgets that select its pods; ``needs`` is how many pods they have to let go at once.
    """

    kind: str
    place: Place
    before: str
    how: How
    means: str
    downtime: str = ""
    budgets: tuple[str, ...] = ()
    needs: int = 1

    @property
    def name(self) -> str:
        """``Deployment shop/web``."""
        return f"{self.kind} {self.place}"


@dataclass(frozen=True, slots=True)
class PlannedWave:
    """A wave and its batches in their order; the workloads of a batch are restarted at the same time."""

    wave: Wave
    batches: tuple[tuple[Restart, ...], ...]

    @property
    def restarts(self) -> tuple[Restart, ...]:
        """All of them in their order."""
        return tuple(one for batch in self.batches for one in batch)


@dataclass(frozen=True, slots=True)
class Left:
    """A workload with an old proxy that is left to its owner, and why."""

    workload: str
    before: str
    why: str


@dataclass(frozen=True, slots=True)
class WavesPlan:
    """What becomes of every workload with an old proxy: it is in one wave, or left. ``notes`` are what is special in words."""

    value: str = ""
    waves: tuple[PlannedWave, ...] = ()
    left: tuple[Left, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def down(self) -> tuple[Restart, ...]:
        """What would be down for a time: it is restarted only where that is allowed."""
        return tuple(one for planned in self.waves for one in planned.restarts if one.downtime)
