"""Looks at a mesh for a gate: one survey for the verdict on mTLS, for the health checks and for the proxies.

Requests beside those of verify and of check, whose survey is not made twice: one list each of Deployments, StatefulSets and
DaemonSets, and two or three dry-run creations for each istiod; where pods of what was moved that are being deleted are waited for, a
list of the metadata of pods in each of its namespaces every second.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import anyio

from meshinstall.checks.control_plane.judge import judge as judge_health
from meshinstall.checks.moving.clients import aside, moved_clients, only_clients, place_of, sidelined, without_clients
from meshinstall.checks.mtls.acceptance import accepting
from meshinstall.engine.events import Emit, Verifying
from meshinstall.engine.gates import condensed
from meshinstall.engine.gates.acceptance import acceptance_in_force
from meshinstall.engine.gates.check import beside
from meshinstall.engine.gates.counting import connections
from meshinstall.engine.gates.injection import ask_webhooks
from meshinstall.engine.gates.verify import Company, Observed, Scope, judged, observe, without
from meshinstall.engine.mesh.kube_objects import place
from meshinstall.engine.mesh.pod_status import is_ending
from meshinstall.engine.mesh.pods import workload
from meshinstall.engine.mesh.reader import Asker, Wanted, short
from meshinstall.engine.objects.json_fields import at, number
from meshinstall.engine.probe.prober import Prober
from meshinstall.engine.session import Session
from meshinstall.engine.tasks import gather, soon, task_group
from meshinstall.errors import ForbiddenError
from meshinstall.model.desired import Desired
from meshinstall.model.gate import Moved, Snapshot, WebhookSeen, workload_place
from meshinstall.model.istio_version import istio_version
from meshinstall.model.mesh import ControlPlane, MeshFacts
from meshinstall.model.paths import object_path
from meshinstall.model.place import Place
from meshinstall.model.release import Manifest
from meshinstall.model.verdict import Verdict

if TYPE_CHECKING:
    from meshinstall.model.health import HealthFacts

# Seconds that pods of what was moved may take to stop before the mesh is looked at as it is, and between two looks.
_PATIENCE, _LOOK = 90.0, 1.0
_COUNTED = {"Deployment": "deployments", "StatefulSet": "statefulsets", "DaemonSet": "daemonsets"}


@dataclass(frozen=True, slots=True)
class Since:
    """What a look is for: the start of the run, and what was moved since; nothing of both at the start itself.

    ``prober`` is one that is ready; without it a look starts and removes its own. Pods of what was moved that are being deleted do not
    count; with ``waits`` they are waited for first, so that what one of them was taken for has the time to be replaced.
    """

    moved: Moved = field(default_factory=Moved)
    start: Snapshot | None = None
    prober: Prober | None = None
    waits: bool = False


async def look(session: Session, desired: Desired, emit: Emit, *, scope: Scope | None = None, since: Since | None = None) -> Snapshot:
    """What a gate is to be judged by; leaves nothing behind. Raises UnauthorizedError and UnreachableError."""
    scope, since = scope or Scope(), since or Since()
    if since.waits:
        await until_stopped(session, since.moved, emit)
    asker, beside_it = Asker(session.kube), _Beside(session, since.moved)
    async with task_group() as group:
        counted = soon(group, _wanted, asker)
        accepted = soon(group, acceptance_in_force, desired, session)
        seen = await observe(session, scope, emit, Company(_namespaces(since.moved), since.prober, beside_it.ask))
    wanted, health = counted.value, beside_it.health
    found = replace(seen, facts=_without_ending(seen.facts, since.moved))
    facts = _of_the_mesh(found.facts)
    verdict, reached = _verdicts(session, scope, found, since)
    return Snapshot(
        at=session.now(),
        verdict=accepting(verdict, accepted.value, desired.environment),
        reached=reached.ports if reached else (),
        checks=judge_health(replace(health, mesh=facts)),
        planes=condensed.planes(facts, wanted, health.webhooks),
        workloads=condensed.workloads(facts, wanted, aside(found.facts), _kept(verdict, since)),
        namespaces=condensed.namespaces(facts),
        webhooks=beside_it.webhooks,
        unread=frozenset({*facts.unread, *asker.unread, *health.unread}),
        gaps=tuple(dict.fromkeys((*facts.gaps, *asker.gaps))),
        requests=connections(found.probing),
    )


class _Beside:
    """What the mesh itself is asked while its wire is tried."""

    health: "HealthFacts"
    webhooks: tuple[WebhookSeen, ...]

    def __init__(self, session: Session, moved: Moved) -> None:
        self._session = session
        self._moved = moved

    async def ask(self, seen: MeshFacts) -> None:
        """Ask for both."""
        facts = _of_the_mesh(_without_ending(seen, self._moved))
        async with task_group() as group:
            health = soon(group, beside, self._session, facts)
            webhooks = soon(group, _webhooks, self._session, facts)
        self.health, self.webhooks = health.value, webhooks.value


def _of_the_mesh(facts: MeshFacts) -> MeshFacts:
    """The facts without our own probes."""
    for probe in facts.probes:
        facts = without(facts, probe)
    return facts


def _kept(verdict: Verdict, since: Since) -> frozenset[Place]:
    """The workloads that a gate may ask for."""
    rows = {Place(port.namespace, port.workload) for port in verdict.ports if not port.ours}
    return frozenset({*rows, *since.moved.gateways, *since.moved.workloads, *(since.start.workloads if since.start else ())})


def _verdicts(session: Session, scope: Scope, found: Observed, since: Since) -> tuple[Verdict, Verdict | None]:
    """The verdict without clients that are aside, and that in which what was moved is the only client; None where nothing was."""
    away = sidelined(found.facts, since.start, since.moved)
    verdict = judged(session, scope, without_clients(found.facts, away), found.probing)
    movers = moved_clients(found.facts, since.moved, away)
    reached = judged(session, scope, only_clients(found.facts, movers), found.probing) if movers else None
    return _slim(verdict), reached


def _slim(verdict: Verdict) -> Verdict:
    """Without what a gate does not look at, which is the larger part in a large mesh."""
    return replace(verdict, certificates=(), external=(), outside=())


async def _wanted(asker: Asker) -> Mapping[Place, int]:
    """How many pods owners asked for."""
    answers = await gather(_COUNTED, lambda kind: asker.facts(Wanted(f"{kind}s", object_path("apps/v1", _COUNTED[kind])), _count))
    return {workload_place(kind, where): count for kind, found in answers.items() for where, count in found}


def _count(item: Manifest) -> tuple[Place, int]:
    """The API server gives ``replicas`` a default; a DaemonSet has none, and counts nodes."""
    nodes, replicas = at(item, "status", "desiredNumberScheduled"), at(item, "spec", "replicas")
    return place(item), number(nodes) if nodes is not None else 1 if replicas is None else number(replicas)


async def _webhooks(session: Session, facts: MeshFacts) -> tuple[WebhookSeen, ...]:
    """What the webhooks of each istiod answer, and as which version."""
    spaces = {name: dict(space.labels) for name, space in facts.namespaces.items() if not space.ending}

    async def ask(plane: ControlPlane) -> WebhookSeen:
        version = istio_version(plane.version)
        try:
            return await ask_webhooks(session, plane.place.namespace, plane.revision, version, spaces)
        except ForbiddenError as error:
            return WebhookSeen(plane.revision, plane.version, f"dry-run requests are not permitted: {short(error)}", asked=False)

    by_revision = {plane.revision: plane for plane in facts.control_planes}
    answers = await gather(by_revision, lambda revision: ask(by_revision[revision]))
    return tuple(answers[revision] for revision in sorted(by_revision))


def _namespaces(moved: Moved) -> frozenset[str]:
    return frozenset({*moved.namespaces, *(one.namespace for one in (*moved.gateways, *moved.workloads))})


async def until_stopped(session: Session, moved: Moved, emit: Emit) -> None:
    """Wait until pods of what was moved have stopped, for a bounded time: who ends in the middle of a look proves nothing."""
    started = anyio.current_time()
    told = ""
    while ending := [str(pod) for space in sorted(_namespaces(moved)) async for pod in _ending(session, space, moved)]:
        waited = anyio.current_time() - started
        if waited >= _PATIENCE:
            return
        text = f"waiting until {ending[0]}{f' and {len(ending) - 1} more pods have' if len(ending) > 1 else ' has'} stopped"
        if text != told:
            emit(Verifying(text, waited))
            told = text
        await anyio.sleep(_LOOK)


def _without_ending(facts: MeshFacts, moved: Moved) -> MeshFacts:
    """The facts without pods of what was moved that are being deleted: they go, and how they were is what the start of the run says."""
    gone = {pod.place for pod in facts.pods if pod.ending and _is_of(moved, place_of(pod))}
    proxies = {where: proxy for where, proxy in facts.proxies.items() if where not in gone}
    return replace(facts, pods=tuple(pod for pod in facts.pods if pod.place not in gone), proxies=proxies)


def _is_of(moved: Moved, owner: Place) -> bool:
    return owner.namespace in moved.namespaces or owner in moved.gateways or owner in moved.workloads


async def _ending(session: Session, namespace: str, moved: Moved) -> AsyncIterator[Place]:
    """The pods of what was moved in a namespace that are being deleted; none where they may not be listed, which the survey says."""
    try:
        async for item in session.kube.list(object_path("v1", "pods", namespace), metadata_only=True):
            if is_ending(item) and _is_of(moved, Place(namespace, workload(item))):
                yield place(item)
    except (ForbiddenError, ValueError):
        return
