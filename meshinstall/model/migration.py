"""How far the namespaces of a mesh are on the way to STRICT and to deny by default, and the files that take the next step."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from meshinstall.model.release import Manifest


class Goal(StrEnum):
    """What a namespace may be ready for."""

    STRICT = "STRICT"
    DENY = "deny-by-default"


class Readiness(StrEnum):
    """READY only by evidence; NOT READY names who would be cut off, NOT PROVEN what was not seen. SET: policies ask for it already."""

    SET = "SET"
    READY = "READY"
    NOT_READY = "NOT READY"
    NOT_PROVEN = "NOT PROVEN"


@dataclass(frozen=True, slots=True)
class NamespaceStep:
    """One goal of one namespace; ``reasons`` say why it is not ready, each on one line."""

    namespace: str
    goal: Goal
    readiness: Readiness
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Migration:
    """All namespaces with a proxy.

    ``files`` are objects to commit, by their paths in the project; ``baseline`` the namespaces to add to ``policies.namespaces`` of the
    environment. ``counted`` says in sentences who counted, and for how long.
    """

    steps: tuple[NamespaceStep, ...]
    files: Mapping[str, Manifest] = field(default_factory=dict)
    baseline: tuple[str, ...] = ()
    counted: tuple[str, ...] = ()
