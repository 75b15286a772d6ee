"""Proves mTLS: probes are started, the mesh is looked at, its ports are tried, and all of it is judged."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial

import anyio

from meshinstall.checks.mtls.judge import judge, targets
from meshinstall.checks.words import some
from meshinstall.engine.events import Emit, Verifying
from meshinstall.engine.mesh.api_server_clients import ask_api_server_clients
from meshinstall.engine.mesh.callers import ask_callers
from meshinstall.engine.mesh.plaintext_history import ask_history
from meshinstall.engine.mesh.survey import survey
from meshinstall.engine.observe.cloud import explaining
from meshinstall.engine.observe.run_holder import probes_of_run
from meshinstall.engine.probe.prober import Prober, Say, probes
from meshinstall.engine.session import Session
from meshinstall.engine.tasks import soon, task_group
from meshinstall.model.mesh import MeshFacts, Place, SyncState
from meshinstall.model.verdict import Observation, Outcome, Verdict
from meshinstall.model.wire import Probing

# Seconds that a proxy may take to acknowledge a push before it is judged as it is.
_PUSH = 3.0
# Seconds that it may take to find a new istiod: Envoy looks again after 0.5 s to 30 s.
_CONNECT = 30.0
_PATIENCE = {
    SyncState.UPDATING: _PUSH,
    SyncState.STALE: _PUSH,
    SyncState.REJECTED: _PUSH,
    SyncState.NOTHING_SENT: _CONNECT,
    SyncState.UNKNOWN: _CONNECT,
}
# Seconds between two looks: as long as one takes, within these bounds.
_SOON, _LATE = 0.2, 1.0


@dataclass(frozen=True, slots=True)
class Scope:
    """How much is verified: pods of ``namespaces`` (None: all), at most ``sample`` ports on the wire, none when ``read_only``.

    With ``history``, in days, a Prometheus in the cluster is asked what it counted. With ``callers`` the proxies are asked who sends
    them plaintext, in ``watch`` seconds from now or since they started.
    """

    namespaces: Collection[str] | None = None
    sample: int | None = None
    read_only: bool = False
    history: int | None = None
    callers: bool = False
    watch: float | None = None


@dataclass(frozen=True, slots=True)
class Observed:
    """The mesh, and what its wire answered."""

    facts: MeshFacts
    probing: Probing


async def _nothing(_: MeshFacts) -> None:
    """Nothing is asked meanwhile."""


@dataclass(frozen=True, slots=True)
class Company:
    """What a look of a gate goes along with.

    The ports of the namespaces ``first`` are tried before others. Probes that are ``ready`` are used and left to the caller; without
    them they are started and removed again. ``meanwhile`` is asked of the mesh while its wire is tried.
    """

    first: Collection[str] = ()
    ready: Prober | None = None
    meanwhile: Callable[[MeshFacts], Awaitable[None]] = _nothing


async def verify(session: Session, scope: Scope, emit: Emit) -> Verdict:
    """Look, try and judge; leaves nothing behind. Raises UnreachableError when the API server is not there."""
    found = await observe(session, scope, emit)
    return await _judged(session, scope, found.facts, found.probing)


async def observe(session: Session, scope: Scope, emit: Emit, company: Company | None = None) -> Observed:
    """Look and try; leaves nothing behind. Raises UnreachableError."""
    company = company or Company()
    started = anyio.current_time()

    def say(doing: str) -> None:
        emit(Verifying(doing, anyio.current_time() - started))

    if scope.read_only:
        say("looking at the mesh; the wire is not tried")
        facts = await _look(session, scope, scope.namespaces, say)
        await company.meanwhile(facts)
        return Observed(facts, Probing(skipped="not asked for (--read-only)"))
    async with _probes(session, say, company.ready) as prober:
        say("looking at the mesh" if not prober.problem else f"looking at the mesh; {prober.problem}")
        chosen = None if scope.namespaces is None else {*scope.namespaces, prober.namespace}
        facts = replace(await _look(session, scope, chosen, say, prober.namespace), probes=(prober.namespace,))
        facts = await _without_other_probes(session, facts, say)
        wanted = targets(facts, scope.sample, company.first)
        if wanted and not prober.problem:
            say(f"trying {len(wanted)} {'port' if len(wanted) == 1 else 'ports'} on the wire")
        async with task_group() as group:
            soon(group, company.meanwhile, facts)
            probing = await prober.probe(wanted)
        if company.ready is None:
            say("removing the probes")
    if prober.problem:
        facts = without(facts, prober.namespace)
    return Observed(replace(facts, gaps=(*facts.gaps, *prober.gaps)), probing)


@asynccontextmanager
async def _probes(session: Session, say: Say, ready: Prober | None) -> AsyncIterator[Prober]:
    if ready is not None:
        yield ready
        return
    say("starting the probes")
    async with probes(session, say) as prober:
        yield prober


async def _judged(session: Session, scope: Scope, facts: MeshFacts, probing: Probing) -> Verdict:
    """The verdict; where something fails, a fix may close a port, so it says whether the API server calls that."""
    verdict = judged(session, scope, facts, probing)
    if verdict.outcome is not Outcome.FAIL:
        return verdict
    async with explaining(session):
        called = await ask_api_server_clients(session)
    gaps, unread = tuple(dict.fromkeys((*facts.gaps, *called.gaps))), tuple(sorted({*facts.unread, *called.unread}))
    return judged(session, scope, replace(facts, api_clients=called.clients, gaps=gaps, unread=unread), probing)


def judged(session: Session, scope: Scope, facts: MeshFacts, probing: Probing) -> Verdict:
    """The verdict on what was seen."""
    planes = tuple(f"{plane.revision} {plane.version}".strip() for plane in facts.control_planes)
    namespaces = None if scope.namespaces is None else tuple(sorted(scope.namespaces))
    unprobed = probing.skipped or probing.problem
    seen = Observation(session.server, session.authority, session.who, planes, namespaces, scope.sample, scope.read_only, unprobed)
    return replace(judge(facts, probing, session.cluster, scope.namespaces), seen=seen)


async def _look(session: Session, scope: Scope, namespaces: Collection[str] | None, say: Say, own: str = "") -> MeshFacts:
    """The mesh, and what was asked for beside it; nobody calls our own probes, which are in the namespace ``own``."""
    async with explaining(session):
        facts = await settled(partial(survey, session, namespaces), say)
        if scope.history is not None:
            facts = replace(facts, history=await ask_history(session, scope.history, scope.namespaces))
        if scope.callers:
            if scope.watch:
                say(f"counting who sends plaintext, for {scope.watch:.0f} s")
            asked = [
                pod for pod in facts.pods if pod.place.namespace != own and (facts.judged is None or pod.place.namespace in facts.judged)
            ]
            facts = replace(facts, callers=await ask_callers(asked, session.pods, scope.watch))
        return facts


async def settled(look: Callable[[], Awaitable[MeshFacts]], say: Say) -> MeshFacts:
    """What ``look`` sees when the proxies have what istiod sent them last, or what there is when they take too long."""
    started, told = anyio.current_time(), False
    while True:
        began = anyio.current_time()
        facts = await look()
        took = anyio.current_time() - began
        waits = _unsettled(facts)
        if not waits or anyio.current_time() - started > max(_PATIENCE[state] for state in waits.values()):
            return facts
        if not told:
            say(f"waiting until proxies have what istiod sends: {some(map(str, sorted(waits)))}")
            told = True
        await anyio.sleep(min(max(took, _SOON), _LATE))


def _unsettled(facts: MeshFacts) -> dict[Place, SyncState]:
    """Proxies that answered but are not known to have istiod's last push."""
    if not facts.control_planes:
        return {}
    return {place: proxy.sync for place, proxy in facts.proxies.items() if not proxy.problem and proxy.sync in _PATIENCE}


async def _without_other_probes(session: Session, facts: MeshFacts, say: Say) -> MeshFacts:
    """The facts without the probes of an upgrade that runs: they accept what anybody sends, as a proof needs."""
    for home in sorted({plane.place.namespace for plane in facts.control_planes}):
        other = await probes_of_run(session, home)
        if other in facts.namespaces and other not in facts.probes:
            say(f"leaving out {other}: the probes of the run that holds the lock of this mesh")
            facts = without(facts, other)
    return facts


def without(facts: MeshFacts, namespace: str) -> MeshFacts:
    """The facts as if the probes' namespace were not there: what kept them from starting is one problem, and not the mesh's."""
    spaces = {name: space for name, space in facts.namespaces.items() if name != namespace}
    return replace(facts, namespaces=spaces, pods=tuple(pod for pod in facts.pods if pod.place.namespace != namespace))
