"""Who may call what of a workload: requests that its policies do not tell apart, and what becomes of them."""

from dataclasses import dataclass
from enum import IntEnum

from meshinstall.model.authz import Outcome, Verdict, Workload

# Aspects of a request that have a column of their own; all others are conditions.
SOURCE, PORT, PROTOCOL, METHOD, PATH = "source", "port", "protocol", "method", "path"
HTTP, TCP = "HTTP", "TCP"


@dataclass(frozen=True, slots=True)
class Part:
    """Values of one aspect, such as /api/*, and those of them that are not meant."""

    label: str
    but: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Aspect:
    """What of one aspect of a request is meant: any of ``parts``."""

    name: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """Requests that are decided alike; an aspect that is not there may be anything. ``verdicts`` has one for each set of policies."""

    aspects: tuple[Aspect, ...]
    verdicts: tuple[Verdict, ...]

    def of(self, name: str) -> tuple[Part, ...]:
        """What is meant of an aspect; empty for anything."""
        return next((one.parts for one in self.aspects if one.name == name), ())


class Openness(IntEnum):
    """How far a request gets; the higher, the wider."""

    CLOSED = 0
    UNKNOWN = 1
    OPEN = 2


def openness(verdict: Verdict) -> Openness:
    """Of what is decided."""
    opened = {Outcome.ALLOW: Openness.OPEN, Outcome.UNDECIDED: Openness.UNKNOWN}
    return opened.get(verdict.outcome, Openness.CLOSED)


@dataclass(frozen=True, slots=True)
class Callee:
    """What is called: ``name`` is for people, such as shop/web. ``unguarded`` says why its policies do not count, empty where they do."""

    name: str
    workload: Workload
    unguarded: str = ""


@dataclass(frozen=True, slots=True)
class Access:
    """Requests to a workload, those that are decided alike together; a cell has a verdict for each set of policies."""

    callee: Callee
    cells: tuple[Cell, ...]
