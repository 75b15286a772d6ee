"""What a restore is given, and how it ends."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from meshinstall.model.gate import GateCheck, GateOutcome, worst_of
from meshinstall.model.plan import Change, Plan
from meshinstall.model.release import Manifest
from meshinstall.model.restoring import SnapshotContent
from meshinstall.model.verdict import Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On what terms a mesh is made of a snapshot.

    ``allow`` names findings that do not stop it; ``seconds`` are for the plan, for the run with its proof, and for the comparison.
    ``left_out`` are objects that were left out by name; ``authority`` is the Secret of the CA, None where none comes along.
    """

    content: SnapshotContent
    allow: frozenset[str] = frozenset()
    seconds: float = 600.0
    prove: bool = True
    left_out: frozenset[str] = frozenset()
    authority: Manifest | None = None


# The phase that is no part of a recovery.
REMOVAL = "removal"


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of a restore, and the seconds that it took."""

    name: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Result:
    """What came of it: the parts that were compared, what is left to do by hand, and how long each phase took.

    ``values`` are those of each release that differ from the snapshot's. ``removed`` is what was judged after a drill took the mesh
    away again; None where it was none.
    """

    plan: Plan
    content: SnapshotContent
    checks: tuple[GateCheck, ...]
    left: tuple[str, ...]
    phases: tuple[Phase, ...]
    verdict: Verdict | None = None
    values: Mapping[str, tuple[Change, ...]] = field(default_factory=dict)
    accepted: frozenset[str] = frozenset()
    removed: tuple[GateCheck, ...] | None = None

    @property
    def counted(self) -> tuple[GateCheck, ...]:
        """The checks by which it ends: all but those that were accepted by name."""
        return tuple(one for one in (*self.checks, *(self.removed or ())) if one.name not in self.accepted)

    @property
    def outcome(self) -> GateOutcome:
        """The worst of what counts."""
        return worst_of(one.outcome for one in self.counted)

    @property
    def seconds(self) -> float:
        """The recovery time: of all phases but the removal that ends a drill, and without the time that a person takes to agree."""
        return sum(one.seconds for one in self.phases if one.name != REMOVAL)
