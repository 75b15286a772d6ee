"""An upgrade before it is run: hops, the strategy of the first, its stages, and what each changes."""

from dataclasses import dataclass, field
from enum import StrEnum

from meshinstall.model.finding import Finding, Severity
from meshinstall.model.istio_version import IstioVersion
from meshinstall.model.mesh_position import MeshPosition
from meshinstall.model.revision import DEFAULT_REVISION
from meshinstall.model.waves import WavesPlan


class Way(StrEnum):
    """How one hop is made."""

    IN_PLACE = "in place"
    CANARY = "canary"


@dataclass(frozen=True, slots=True)
class Hop:
    """From one version to another in one go."""

    before: IstioVersion
    after: IstioVersion
    way: Way


@dataclass(frozen=True, slots=True)
class Strategy:
    """How the hop is made, and why; ``revision`` is that of the istiod which is left at the end.

    ``is_proven``: a hop of this kind was run between real versions (docs/upgrades.md says which).
    """

    way: Way
    revision: str
    reason: str
    is_proven: bool = True


class StageName(StrEnum):
    """The stages, in their order."""

    CATCH_UP = "catch-up"
    CRDS = "crds"
    CONTROL_PLANE = "control-plane"
    NODE_AGENTS = "node-agents"
    SCOUT = "scout"
    CANARY = "canary"
    GATEWAYS = "gateways"
    TAGS = "tags"
    WORKLOADS = "workloads"
    DEFAULT = "default"
    RETIRE = "retire"


class Part(StrEnum):
    """What a change is made to."""

    CRDS = "CRDs"
    PLANE = "istiod"
    AGENT = "node agent"
    GATEWAY = "gateway"
    SCOUT = "scout"
    TAG = "tag"
    NAMESPACE = "namespace"
    PROXIES = "proxies"
    VALIDATOR = "default validator"


@dataclass(frozen=True, slots=True)
class Move:
    """One part from one version or revision to another; ``after`` is empty for what goes, ``before`` for what comes.

    ``restart`` says what is replaced and what that means for traffic; ``by_hand`` is what meshinstall leaves to its owner.
    """

    part: Part
    name: str
    before: str
    after: str
    restart: str = ""
    by_hand: bool = False


@dataclass(frozen=True, slots=True)
class Stage:
    """Moves that are made together; ``note`` is what is special here."""

    name: StageName
    does: str
    moves: tuple[Move, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Kept:
    """A workload whose old proxy stays after its stage; ``until`` says what ends that."""

    workload: str
    pods: int
    until: str


@dataclass(frozen=True, slots=True)
class ReleaseChange:
    """What the release notes of a minor say of something that this mesh has; ``objects`` is empty for what every mesh has."""

    line: str
    title: str
    fix: str
    source: str
    objects: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UpgradePlan:
    """From where the mesh is to ``target``; ``stages`` are those of the one hop, empty where there is nothing to do, or no legal hop.

    With several ``hops`` the target is out of reach of one, and they are the way to it. ``waves`` is what becomes of the workloads.
    """

    environment: str
    cluster: str
    target: IstioVersion
    position: MeshPosition
    hops: tuple[Hop, ...] = ()
    strategy: Strategy | None = None
    stages: tuple[Stage, ...] = ()
    kept: tuple[Kept, ...] = ()
    changes: tuple[ReleaseChange, ...] = ()
    findings: tuple[Finding, ...] = ()
    waves: WavesPlan = field(default_factory=WavesPlan)

    @property
    def refusals(self) -> tuple[Finding, ...]:
        """Findings that stop an upgrade."""
        return tuple(finding for finding in self.findings if finding.severity is Severity.ERROR)

    @property
    def revision(self) -> str:
        """The revision of the one istiod that is left at the end; where no hop is made, of one without a revision."""
        return self.strategy.revision if self.strategy else DEFAULT_REVISION

    @property
    def is_empty(self) -> bool:
        """Whether the mesh is at the target already."""
        return not self.stages and not self.refusals
