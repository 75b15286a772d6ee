"""What the gate of a stage looks at, beside what it is compared with from the start of the run."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import anyio

from meshinstall.checks.gate import judge_gate
from meshinstall.engine.events import Emit
from meshinstall.engine.gates.injection import Answer, Asked, ask_injection
from meshinstall.engine.gates.scout import CANNOT_START, scout
from meshinstall.engine.gates.snapshot import Since, look
from meshinstall.engine.objects.json_fields import at, text, texts
from meshinstall.engine.observe.cluster import with_digest
from meshinstall.engine.probe.prober import probes
from meshinstall.engine.session import Session
from meshinstall.engine.staging.planned import Planned
from meshinstall.engine.staging.probing import SharedProbes, Start
from meshinstall.engine.tasks import gather
from meshinstall.engine.upgrade.pieces import Piece, scouted
from meshinstall.model.desired import Desired
from meshinstall.model.facts import ObjectKey
from meshinstall.model.gate import GateCheck, GateOutcome, Moved, PlaneMoved, Snapshot, workload_place
from meshinstall.model.labels import REVISION
from meshinstall.model.mesh_position import NamespaceAt, PlaneAt, Proxied
from meshinstall.model.paths import path_of
from meshinstall.model.upgrade import Stage, StageName, Way

# Namespaces that are tried, and how many at once.
_MOST, _AT_ONCE = 200, 8
# Namespaces with a scout at once: each needs room for a pod.
_SCOUTS = 4
_PROXIES, _OWN = "injection", "own pods"

Checks = tuple[GateCheck, ...]


class Look(Protocol):
    """Looks at a mesh, as it is at the start or since something was moved."""

    async def __call__(self, session: Session, desired: Desired, emit: Emit, *, since: Since | None = None) -> Snapshot:
        """What is to be judged."""


class Judge(Protocol):
    """Compares what was moved with the same at the start."""

    def __call__(self, start: Snapshot, now: Snapshot, moved: Moved, *, require_pass: bool) -> Checks:
        """One check for each thing that was judged."""


async def scouts(session: Session, planned: Planned, stage: Stage, tell: Callable[[str], None]) -> Checks:
    """One check for each gateway of ours that is to be replaced; none is no reason to stop."""
    wanted = dict(scouted(stage, planned.desired, planned.plan.position))
    limiter = anyio.CapacityLimiter(_SCOUTS)

    async def one(live: Proxied) -> GateCheck:
        chart = await with_digest(session.charts, session.chart_pins, wanted[live].chart)
        found = await scout(session, wanted[live], chart, planned.plan.revision, tell)
        tell(f"{live.name}: {found.words}")
        return found

    async def of(namespace: str) -> dict[Proxied, GateCheck]:
        # Of one namespace one after the other: a scout removes what is left of those before it.
        async with limiter:
            return {live: await one(live) for live in wanted if live.place.namespace == namespace}

    found = await gather(dict.fromkeys(live.place.namespace for live in wanted), of)
    checks = {live: check for some in found.values() for live, check in some.items()}
    for live in wanted if len(found) > 1 else ():
        # Two at once may have had too little room.
        if checks[live].outcome is GateOutcome.NOT_PROVEN and checks[live].words.startswith(CANNOT_START):
            checks[live] = await one(live)
    return tuple(checks[live] for live in wanted) or (GateCheck("scout", GateOutcome.PASS, "no gateway of this mesh is to be replaced"),)


async def own_pods(shared: SharedProbes, revision: str) -> Checks:
    """Whether pods in a namespace of ours get certificates and configuration of the new istiod, before anybody else's do.

    The looks that follow use them: what is judged from now on is what they reach.
    """
    if problem := await shared.of(revision):
        return (GateCheck(_OWN, GateOutcome.NOT_PROVEN, f"pods of ours do not run with revision {revision}", (problem,)),)
    return (GateCheck(_OWN, GateOutcome.PASS, f"two pods of ours run with revision {revision}"),)


async def before_rolling(session: Session, planned: Planned, piece: Piece) -> Checks:
    """Whether a pod like those of the gateway that comes next would get the new proxy."""
    if piece.gateway is None:
        return ()
    answer = await _would_be(session, planned, piece.gateway)
    if answer.why:
        outcome = GateOutcome.FAIL if answer.is_seen else GateOutcome.NOT_PROVEN
        return (GateCheck(_PROXIES, outcome, f"a pod of {piece.gateway.name} would not get the new proxy", (answer.why,)),)
    return (GateCheck(_PROXIES, GateOutcome.PASS, f"a pod of {piece.gateway.name} would get the new proxy"),)


async def after_moving(session: Session, planned: Planned, piece: Piece) -> Checks:
    """Whether tags have an effect: a pod of their namespaces gets the new proxy. One namespace alone may have a policy against it."""
    spaces = [space for space in planned.plan.position.namespaces if space.selector in piece.tags]
    if not spaces:
        return ()
    limiter = anyio.CapacityLimiter(_AT_ONCE)

    async def one(space: NamespaceAt) -> Answer:
        async with limiter:
            return await ask_injection(session, Asked(space.name, {}), planned.plan.target, planned.plan.revision)

    answers = await gather(spaces[:_MOST], one)
    wrong = tuple(f"{space.name}: {answer.why}" for space, answer in answers.items() if answer.why)
    if len(wrong) == len(answers):
        outcome = GateOutcome.FAIL if any(answer.is_seen for answer in answers.values()) else GateOutcome.NOT_PROVEN
        return (GateCheck(_PROXIES, outcome, "no namespace of these tags gets the new proxy", wrong),)
    untried = f", {len(spaces) - _MOST} more were not tried" if len(spaces) > _MOST else ""
    words = f"{len(answers) - len(wrong)} of {len(answers)} namespaces get the new proxy{untried}"
    return (GateCheck(_PROXIES, GateOutcome.PASS, words, wrong),)


def moved_by(piece: Piece, planned: Planned, *, is_held: bool = False) -> Moved:
    """What a piece changed, in the words of a gate; of a gateway that is held, pods of before still serve beside the new ones."""
    target, revision = planned.plan.target, planned.plan.revision
    match piece.stage:
        case StageName.CONTROL_PLANE:
            return Moved(planes=(PlaneMoved(revision, target),))
        case StageName.GATEWAYS:
            gateways = tuple(workload_place(one.kind, one.place) for one in (piece.gateway,) if one)
            return Moved(gateways=gateways) if is_held else Moved(gateways=gateways, revision=revision, version=target)
        case StageName.TAGS | StageName.CANARY:
            spaces = tuple(space.name for space in planned.plan.position.namespaces if space.selector in piece.tags)
            workloads = tuple(workload_place(one.kind, one.place) for one in piece.restarts)
            return Moved(namespaces=spaces, workloads=workloads, revision=revision, version=target)
    return Moved()


def retired(planes: Iterable[PlaneAt]) -> Moved:
    """Istiods that were removed."""
    return Moved(gone=tuple(plane.revision for plane in planes))


@dataclass(frozen=True, slots=True)
class Judges:
    """Who judges the stages, each by what it is asked; the real ones unless others are named.

    ``start`` starts the probes that all looks share; without it each look starts its own.
    """

    look: Look = look
    judge: Judge = judge_gate
    scouts: Callable[[Session, Planned, Stage, Callable[[str], None]], Awaitable[Checks]] = scouts
    own_pods: Callable[[SharedProbes, str], Awaitable[Checks]] = own_pods
    before_rolling: Callable[[Session, Planned, Piece], Awaitable[Checks]] = before_rolling
    after_moving: Callable[[Session, Planned, Piece], Awaitable[Checks]] = after_moving
    start: Start | None = probes


async def _would_be(session: Session, planned: Planned, one: Proxied) -> Answer:
    """Whether a pod of this workload, once it is rolled, would get the new proxy; with the labels that the new chart gives it."""
    live = await session.kube.get(path_of(ObjectKey("apps/v1", one.kind, one.place.namespace, one.place.name))) or {}
    template = at(live, "spec", "template")
    labels: Mapping[str, str] = texts(at(template, "metadata", "labels"))
    strategy = planned.plan.strategy
    if strategy and strategy.way is Way.CANARY:
        labels = {**labels, REVISION: strategy.revision}
    account, notes = text(at(template, "spec", "serviceAccountName")), texts(at(template, "metadata", "annotations"))
    return await ask_injection(session, Asked(one.place.namespace, labels, account, notes), planned.plan.target, planned.plan.revision)
