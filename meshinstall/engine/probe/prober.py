"""Runs live probes: connects to the ports of a mesh and records what is served and refused.

Two pods of the mesh's own proxy image run in a namespace of their own while the
probes last (engine/probe/probe_objects.py); whatever happens it is removed, and what
a killed run left behind by the next one. Whoever runs them needs list, create
and delete on namespaces, list on deployments, services and pods of all, and on
mutatingwebhookconfigurations and validatingwebhookconfigurations; in
``meshinstall-probe-*`` create on serviceaccounts, sidecars and envoyfilters
(networking.istio.io), create, get and delete on pods, get on configmaps, create
and get on pods/portforward. The pods themselves have no rights and no token for
the API server.

Nothing here raises: what cannot be done is a problem of the ``Probing``.
"""

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import replace

import anyio

from meshinstall.checks.words import some
from meshinstall.engine.mesh.control_planes import Planes, control_planes
from meshinstall.engine.mesh.reader import Asker, Wanted, short
from meshinstall.engine.objects.json_fields import at, text
from meshinstall.engine.observe.run_holder import is_left
from meshinstall.engine.probe import probe_objects
from meshinstall.engine.probe.admission import create_admitted
from meshinstall.engine.probe.starting import Starting, start_pod
from meshinstall.engine.session import Session
from meshinstall.engine.tasks import closing, gather, task_group
from meshinstall.errors import ClusterError, ForbiddenError
from meshinstall.model.istio import ISTIOD_SELECTOR, ROOT_CERTIFICATE
from meshinstall.model.ownership import HOLDER
from meshinstall.model.paths import object_path
from meshinstall.model.wire import PROBE_LABEL, PROBE_PREFIX, Answer, Probe, Probing, Seen, WireTarget
from meshinstall.ports import Dial, Heard, Kube, Talk

Say = Callable[[str], None]
# Hears the name and the uid of the probes' namespace.
Announce = Callable[[str, str], Awaitable[None]]

# Ports tried at most, and how many at the same time; never two connections at once to one port.
MOST_TARGETS = 1000
_AT_ONCE = 8
# Seconds for the pods to be ready: without the target there is still something to prove.
_START = {probe_objects.CLIENT: 45.0, probe_objects.TARGET: 20.0}
# Seconds: for one connection, which ends itself long before; for all of them; to clean up.
_EACH = 12.0
_ALL = 300.0
_CLEAN_UP = 15.0
# Seconds between two looks.
_LOOK = 0.2
# Seconds for istiod to give the namespace its roots, and after which it is said what is waited for. Only istiod's leader does
# it: one that ended badly keeps its lease for 30 s, and who is next looks every 7.5 s (istio: pilot/pkg/leaderelection).
_ROOTS = 45.0
_ROOTS_LATE = 2.0
# Seconds for another run to end; a tenant who makes a namespace that looks like probes can delay a run by no more.
_OTHERS = 30.0


async def _nobody(_name: str, _uid: str) -> None:
    """Hears nothing."""


class Prober:
    """Probes that are ready; with a ``problem`` there are none. ``gaps`` are what else went wrong, also while cleaning up.

    ``placed`` tells whether its namespace may be there, which is ``owner`` once it is.
    """

    def __init__(self, session: Session, namespace: str) -> None:
        self.namespace = namespace
        self.placed = False
        self.problem = ""
        self.owner: probe_objects.Owner | None = None
        self.gaps: list[str] = []
        self._session = session
        self._dial: Dial | None = None

    def be_ready(self, dial: Dial) -> None:
        """From now on there is a client."""
        self._dial = dial

    async def probe(self, targets: Iterable[WireTarget]) -> Probing:
        """Try all four probes on every target; what could not be tried in time says so."""
        wanted = tuple(dict.fromkeys(targets))
        if self._dial is None:
            return Probing(problem=self.problem)
        seen: dict[WireTarget, tuple[Seen, ...]] = {}
        limiter = anyio.CapacityLimiter(_AT_ONCE)

        async def one(dial: Dial, target: WireTarget) -> None:
            async with limiter:
                seen[target] = await self._target(dial, target)

        with anyio.move_on_after(_ALL):
            async with task_group() as group:
                for target in wanted[:MOST_TARGETS]:
                    group.start_soon(one, self._dial, target)
        late = f"not probed within {_ALL:.0f} s" if len(wanted) <= MOST_TARGETS else f"at most {MOST_TARGETS} ports are probed in one run"
        rest = {target: tuple(Seen(probe, Answer.FAILED, late) for probe in Probe) for target in wanted if target not in seen}
        return Probing({target: (seen | rest)[target] for target in wanted})

    async def _target(self, dial: Dial, target: WireTarget) -> tuple[Seen, ...]:
        """Plaintext first: where no connection can be made, none of the others is tried."""
        plain = await self._hear(Probe.PLAINTEXT, dial(target, Probe.PLAINTEXT))
        if not plain.connected:
            return tuple(replace(plain.seen, probe=probe) for probe in Probe)
        anonymous, foreign, meshed = [
            await self._hear(probe, dial(target, probe)) for probe in (Probe.ANONYMOUS, Probe.FOREIGN, Probe.MESHED)
        ]
        if plain.seen.answer is Answer.REFUSED and not meshed.held:
            words = f"{plain.seen.words}, but a port without a server behind its proxy looks the same"
            plain = replace(plain, seen=Seen(Probe.PLAINTEXT, Answer.NOTHING, words))
        return (plain.seen, anonymous.seen, foreign.seen, meshed.seen)

    async def _hear(self, probe: Probe, talk: Talk) -> Heard:
        next_talk: Talk | None = talk
        heard = Heard(Seen(probe, Answer.FAILED))
        try:
            with anyio.fail_after(_EACH):
                while next_talk:
                    heard = await self._session.pods.talk(self.namespace, probe_objects.CLIENT, probe_objects.LISTENER, next_talk)
                    next_talk = heard.again
        except ClusterError as error:
            return Heard(Seen(probe, Answer.FAILED, short(error)))
        except TimeoutError:
            return Heard(Seen(probe, Answer.FAILED, f"the probes' client did not answer within {_EACH:.0f} s"))
        return heard


@asynccontextmanager
async def probes(session: Session, say: Say, revision: str = "", announce: Announce = _nobody) -> AsyncIterator[Prober]:
    """Start the probes' pods, wait until they are ready, and remove them after the ``with`` block, whatever happens in it.

    They get their proxies from the istiod of ``revision``, of the default one where none is named. ``announce`` hears of their namespace,
    by its name and uid, before it has any pod.
    """
    prober = Prober(session, f"{PROBE_PREFIX}{secrets.token_hex(4)}")
    try:
        try:
            await _be_alone(session, say)
        except ClusterError as error:
            prober.gaps.append(f"probes of an earlier run could not be removed: {short(error)}")
        await _start(session, prober, say, revision, announce)
        yield prober
    finally:
        if prober.placed:
            await _clean_up(session.kube, prober)


async def _clean_up(kube: Kube, prober: Prober) -> None:
    problem = "not in time"
    with closing(_CLEAN_UP):
        try:
            await _remove(kube, prober.namespace)
            problem = ""
        except ClusterError as error:
            problem = short(error)
    if problem:
        prober.gaps.append(f"namespace {prober.namespace} could not be removed: {problem}")


async def _be_alone(session: Session, say: Say) -> None:
    """Wait until no other run has probes: they would be judged as what anybody may call so. Raises ClusterError."""
    started, told = anyio.current_time(), False
    while (others := await remove_leftovers(session)) and anyio.current_time() - started < _OTHERS:
        if not told:
            say(f"waiting for another verification to end: {some(others)}")
            told = True
        await anyio.sleep(_LOOK)


async def remove_leftovers(session: Session) -> list[str]:
    """Remove the probes of runs that are dead, and any that are older than a run can be; those of others are told. Raises ClusterError.

    This run may have others itself.
    """
    others = []
    found = session.kube.list(object_path("v1", "namespaces"), labels=f"{PROBE_LABEL}=namespace", metadata_only=True)
    for namespace in [one async for one in found]:
        metadata = namespace["metadata"]
        left = is_left(namespace, session)
        if not metadata["name"].startswith(PROBE_PREFIX) or "deletionTimestamp" in metadata:
            continue
        if left:
            await _remove(session.kube, metadata["name"])
        elif (metadata.get("annotations") or {}).get(HOLDER) != session.who:
            others.append(metadata["name"])
    return others


async def _remove(kube: Kube, namespace: str) -> None:
    """Pods first: they end at once, and with them what they could reach."""
    async with task_group() as group:
        for name in (probe_objects.CLIENT, probe_objects.TARGET):
            group.start_soon(kube.delete, object_path("v1", "pods", namespace, name))
    await kube.delete(object_path("v1", "namespaces", "", namespace))


async def _start(session: Session, prober: Prober, say: Say, revision: str, announce: Announce) -> None:
    try:
        prober.owner = await _place(session, prober, say, revision)
        await announce(prober.namespace, prober.owner.uid)
        roots = await _roots(session.kube, prober.namespace, say)
        async with task_group() as group:
            group.start_soon(_start_target, session, prober, say)
            identity = await _started(session, prober.namespace, probe_objects.CLIENT, say)
    except ClusterError as error:
        prober.problem = f"the probes cannot be started: {short(error)}"
    else:
        prober.be_ready(session.wire.dial(roots, identity))


async def _start_target(session: Session, prober: Prober, say: Say) -> None:
    """Without it workloads can still be probed."""
    try:
        await _started(session, prober.namespace, probe_objects.TARGET, say)
    except ClusterError as error:
        prober.gaps.append(f"the probes' own target cannot be started: {short(error)}")


async def _place(session: Session, prober: Prober, say: Say, revision: str) -> probe_objects.Owner:
    """Create everything but the pods; returns the namespace."""
    planes = await _planes(session.kube)
    revision = revision or _revision(planes)
    ipv6 = await _is_ipv6(session.kube, planes)
    # A request that is on its way must have arrived before anything is removed.
    with anyio.CancelScope(shield=True):
        prober.placed = True
        try:
            space = probe_objects.namespace(prober.namespace, revision, session.who)
            made = await session.kube.create(object_path("v1", "namespaces"), space)
        except ForbiddenError:
            prober.placed = False
            raise
    async with task_group() as group:
        for placed in probe_objects.settings(ipv6=ipv6):
            path = object_path(placed.api_version, placed.plural, prober.namespace)
            group.start_soon(create_admitted, session.kube, path, placed.body, say)
    return probe_objects.Owner(prober.namespace, text(at(made, "metadata", "uid")), revision)


async def _planes(kube: Kube) -> Planes:
    """The control planes; raises ClusterError without one."""
    asker = Asker(kube)
    planes = await control_planes(asker.facts)
    if not planes.found:
        raise ClusterError("; ".join(["no istiod was found" if asker.gaps else "the cluster has no istiod", *asker.gaps]))
    return planes


def _revision(planes: Planes) -> str:
    """The revision that shall inject the probes: the default one where there is one; raises ClusterError."""
    istiods = [plane.istiod for plane in planes.found]
    if ready := sorted({istiod.revision for istiod in istiods if istiod.ready}):
        return "default" if "default" in ready else ready[0]
    raise ClusterError(f"no pod of istiod is ready: {', '.join(str(istiod.place) for istiod in istiods)}")


async def _is_ipv6(kube: Kube, planes: Planes) -> bool:
    """Whether pods have IPv6 addresses, as those of istiod do; not where that is not known."""
    lists = [Wanted("Pods", object_path("v1", "pods", namespace), ISTIOD_SELECTOR) for namespace in sorted(planes.namespaces)]
    found = await gather(lists, lambda pods: Asker(kube).facts(pods, lambda pod: text(at(pod, "status", "podIP"))))
    return any(":" in ip for one in found.values() for ip in one)


async def _roots(kube: Kube, namespace: str, say: Say) -> str:
    """The mesh's roots in PEM, when istiod has written them; the kubelet would look for them a second time only after a while."""
    path = object_path("v1", "configmaps", namespace, ROOT_CERTIFICATE)
    started, told = anyio.current_time(), False
    while (passed := anyio.current_time() - started) < _ROOTS:
        if roots := ((await kube.get(path) or {}).get("data") or {}).get("root-cert.pem"):
            return str(roots)
        if passed > _ROOTS_LATE and not told:
            say(f"waiting for istiod to write {ROOT_CERTIFICATE} to {namespace}; after a restart it first elects a leader, up to 40 s")
            told = True
        await anyio.sleep(_LOOK)
    raise ClusterError(
        f"istiod did not write {ROOT_CERTIFICATE} to a new namespace within {_ROOTS:.0f} s: check that it runs and selects all namespaces"
    )


async def _started(session: Session, namespace: str, name: str, say: Say) -> str:
    """Create a pod and wait until its Envoy has its configuration; returns its SPIFFE name. Raises ClusterError."""
    wanted = Starting(probe_objects.pod(name), _START[name], listens=name == probe_objects.CLIENT)
    return await start_pod(session, namespace, wanted, say)
