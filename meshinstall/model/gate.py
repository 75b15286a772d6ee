"""The gate after a stage of an upgrade: what a stage moved, what was seen before and after it, and how that was judged."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from meshinstall.model.health import CheckResult
from meshinstall.model.istio_version import IstioVersion
from meshinstall.model.mesh import Dataplane, SyncState
from meshinstall.model.place import Place
from meshinstall.model.tally import Requests
from meshinstall.model.verdict import Outcome, PortVerdict, Verdict


class GateOutcome(StrEnum):
    """What a gate says of a stage: go on, undo it, or hold."""

    PASS = "PASS"  # noqa: S105 - no password
    FAIL = "FAIL"
    NOT_PROVEN = "NOT PROVEN"


# The worst first.
RANK = {GateOutcome.FAIL: 0, GateOutcome.NOT_PROVEN: 1, GateOutcome.PASS: 2}


def worst_of(outcomes: Iterable[GateOutcome]) -> GateOutcome:
    """FAIL before NOT PROVEN before PASS; of none NOT PROVEN, as nothing was judged."""
    return min(outcomes, key=RANK.__getitem__, default=GateOutcome.NOT_PROVEN)


@dataclass(frozen=True, slots=True)
class GateCheck:
    """One thing that a gate judged; ``evidence`` are lines for people, what counts first.

    ``namespaces`` are those whose own workloads alone keep it from PASS; empty where the mesh itself does: who goes back can then
    leave the others where they are.
    """

    name: str
    outcome: GateOutcome
    words: str
    evidence: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Gate:
    """The gate after one stage."""

    stage: str
    checks: tuple[GateCheck, ...]
    seconds: float

    @property
    def outcome(self) -> GateOutcome:
        """The worst of its checks."""
        return worst_of(check.outcome for check in self.checks)

    @property
    def namespaces(self) -> tuple[str, ...]:
        """The namespaces whose workloads alone keep it from PASS; empty where the mesh itself does, or nothing."""
        bad = [check for check in self.checks if check.outcome is not GateOutcome.PASS]
        if not all(check.namespaces for check in bad):
            return ()
        return tuple(sorted({name for check in bad for name in check.namespaces}))


@dataclass(frozen=True, slots=True)
class PlaneMoved:
    """A revision whose istiod was installed or upgraded, and to which version."""

    revision: str
    version: IstioVersion


@dataclass(frozen=True, slots=True)
class Moved:
    """What a stage changed.

    ``gateways`` and ``workloads`` are places as rows of a verdict name them: ``Place("shop", "Deployment web")``; of ``namespaces``
    every new pod is injected by another istiod than before. ``revision`` and ``version`` are those of the istiod that proxies which
    were moved belong to now, None where a stage moves none. ``gone`` are revisions that the stage took away,
    ``switched_off`` those whose injector selects nothing since.
    """

    planes: tuple[PlaneMoved, ...] = ()
    gateways: tuple[Place, ...] = ()
    namespaces: tuple[str, ...] = ()
    workloads: tuple[Place, ...] = ()
    revision: str = ""
    version: IstioVersion | None = None
    gone: tuple[str, ...] = ()
    switched_off: tuple[str, ...] = ()


def workload_place(kind: str, place: Place) -> Place:
    """A workload as rows of a verdict name it: ``shop/Deployment web``."""
    return Place(place.namespace, f"{kind} {place.name}")


@dataclass(frozen=True, slots=True)
class PlaneSeen:
    """An istiod: its Deployment, and of its pods how many are wanted, are ready, and how often their containers were started again.

    ``roots`` are fingerprints of what it wrote into its own webhooks; ``trust_domain`` is empty where it could not be read.
    """

    place: Place
    revision: str
    version: str
    trust_domain: str = ""
    aliases: tuple[str, ...] = ()
    wanted: int | None = None
    ready: int = 0
    restarts: int = 0
    roots: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProxiesSeen:
    """Proxies of one workload that are alike: the revision of the istiod that they are connected to (empty: none), version and state.

    ``words`` and ``example`` are those of one of them, ``problem`` why its own Envoy could not be asked.
    """

    revision: str
    version: str
    sync: SyncState
    count: int = 1
    words: str = ""
    problem: str = ""
    example: str = ""


@dataclass(frozen=True, slots=True)
class WorkloadSeen:
    """A workload with a proxy; ``wanted`` are the pods that its owner asked for, None where its kind does not say.

    ``recipes`` are digests of what its owner wrote of its pods, ``labelled`` of that and of the pods' labels: what changed there,
    the upgrade did not change. Pods that are being deleted are not in it. ``proxies`` are those of ready pods alone. ``is_aside``: as a
    client it proves nothing of others, because its proxies are silent, or its connections may pass them by.
    """

    dataplane: Dataplane
    pods: int
    ready: int
    restarts: int
    wanted: int | None = None
    recipes: frozenset[str] = frozenset()
    labelled: frozenset[str] = frozenset()
    proxies: tuple[ProxiesSeen, ...] = ()
    is_aside: bool = False


@dataclass(frozen=True, slots=True)
class NamespaceSeen:
    """A namespace: by what its pods are injected, and its roots.

    ``policies`` is a digest of its PeerAuthentications, ``objects`` one of all in it that decides what clients send.
    """

    selector: str = ""
    roots: tuple[str, ...] = ()
    policies: str = ""
    objects: str = ""


@dataclass(frozen=True, slots=True)
class WebhookSeen:
    """What the webhooks of a revision did when the API server called them: ``trouble`` is empty when they answered as that version.

    ``asked``: the questions were permitted.
    """

    revision: str
    version: str
    trouble: str = ""
    asked: bool = True


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One observation of a mesh, as small as a gate needs it.

    ``verdict`` is judged without clients that are aside; ``reached`` are rows of what was not moved, as the clients that were moved
    alone would call it. ``workloads`` are by place (``shop/Deployment web``). ``unread`` are the kinds, and the parts of health checks,
    that could not be read in whole; ``gaps`` say so in words. ``requests`` are connections of its probes.
    """

    at: datetime
    verdict: Verdict
    reached: tuple[PortVerdict, ...] = ()
    checks: tuple[CheckResult, ...] = ()
    planes: tuple[PlaneSeen, ...] = ()
    workloads: Mapping[Place, WorkloadSeen] = field(default_factory=dict)
    namespaces: Mapping[str, NamespaceSeen] = field(default_factory=dict)
    webhooks: tuple[WebhookSeen, ...] = ()
    unread: frozenset[str] = frozenset()
    gaps: tuple[str, ...] = ()
    requests: Requests = field(default_factory=Requests)

    def plane(self, revision: str) -> PlaneSeen | None:
        """The istiod of a revision."""
        return next((one for one in self.planes if one.revision == revision), None)


def as_gate(outcome: Outcome) -> GateOutcome:
    """The outcome of a row or a check in a gate's words."""
    return GateOutcome(outcome.value)
