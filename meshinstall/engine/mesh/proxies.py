"""Reads the configuration of each proxy, and from each istiod whether its proxies have what it last sent."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import anyio

from meshinstall.engine.mesh.envoy import Chain, EnvoyDump, dump_path, read_dump
from meshinstall.engine.mesh.large_answers import Beside
from meshinstall.engine.mesh.reader import short
from meshinstall.engine.mesh.syncz import Sync, better, read_sync
from meshinstall.engine.objects.json_fields import MalformedError
from meshinstall.engine.tasks import task_group
from meshinstall.errors import ClusterError
from meshinstall.model.mesh import Dataplane, HeldPort, InboundChain, Place, Pod, Proxy
from meshinstall.ports import Certificates, IstiodDebug, Pods

# Seconds for all proxies together: for those that do not answer, and for each one; eight are asked at a time.
_PATIENCE = 30.0
_EACH = 0.25


@dataclass(frozen=True, slots=True)
class Word:
    """The istiod that a proxy is connected to, and what it reports of the proxy."""

    istiod: Place
    sync: Sync


async def ask_istiods(istiods: Iterable[Place], debug: IstiodDebug, now: datetime) -> tuple[dict[Place, Word], tuple[str, ...]]:
    """What each istiod says of its own proxies, and which did not answer."""
    found: dict[Place, Word] = {}
    gaps: list[str] = []

    async def one(istiod: Place) -> None:
        try:
            for record in await debug.syncz(*istiod):
                proxy, sync = read_sync(record, now)
                known = found.get(proxy)
                if better(known.sync if known else None, sync):
                    found[proxy] = Word(istiod, sync)
        except (ClusterError, MalformedError) as error:
            gaps.append(f"istiod {istiod} does not report which proxies are in sync: {short(error)}")

    async with task_group() as group:
        for istiod in istiods:
            group.start_soon(one, istiod)
    return found, tuple(gaps)


async def ask_proxies(
    pods: Sequence[Pod], ports: Pods, known: Mapping[Place, Word], anchors: bytes, certificates: Certificates
) -> dict[Place, Proxy]:
    """What each pod's own Envoy says; ``anchors`` are the roots of the mesh, in PEM."""
    seconds = _PATIENCE + _EACH * len(pods)
    answers = {pod.place: Proxy(problem=f"it was not read within {seconds:.0f} s") for pod in pods}

    beside = Beside()

    async def one(pod: Pod) -> None:
        answers[pod.place] = await _ask(pod, ports, beside, lambda dump: _proxy(pod, dump, anchors, certificates))

    with anyio.move_on_after(seconds):
        async with task_group() as group:
            for pod in pods:
                group.start_soon(one, pod)
    return {place: _with_sync(proxy, known.get(place)) for place, proxy in answers.items()}


async def _ask(pod: Pod, ports: Pods, beside: Beside, proxy: Callable[[EnvoyDump], Proxy]) -> Proxy:
    if not pod.running:
        return Proxy(problem="its pod does not run")
    try:
        dump = await ports.get(*pod.place, pod.admin_port, dump_path(pod.ip, _past_the_proxy(pod)))
        return await beside.read(dump, lambda: proxy(read_dump(dump)))
    except ClusterError as error:
        return Proxy(problem=short(error))


def _proxy(pod: Pod, dump: EnvoyDump, anchors: bytes, reader: Certificates) -> Proxy:
    if dump.node != f"{pod.place.name}.{pod.place.namespace}":
        raise ClusterError(f"its port {pod.admin_port} gives the configuration of another proxy: {dump.node or 'one without a name'}")
    if pod.dataplane is Dataplane.SIDECAR and pod.captured and not dump.chains:
        raise ClusterError("its Envoy has no inbound listener yet")
    bound = [one for one in dump.bound if one.covers(pod.ip)]
    trusted = {chain.trusted for chain in (*dump.chains, *(chain for one in bound for chain in one.chains))} | {dump.roots}
    roots = {pem: reader.read_roots(pem) if pem else () for pem in trusted}

    def with_roots(chains: Iterable[Chain]) -> tuple[InboundChain, ...]:
        return tuple(replace(one.chain, roots=(*(root.fingerprint for root in roots[one.trusted]), *one.unread)) for one in chains)

    # The mesh's own first: of two roots with one key, that one is named.
    certificates = reader.read_chain(dump.certificates, b"\n".join((anchors, dump.roots))) if dump.certificates else ()
    return Proxy(
        version=dump.version,
        inbound=with_roots(dump.chains),
        held=tuple(HeldPort(one.port, with_roots(one.chains), one.fixed) for one in bound),
        certificates=certificates,
        roots=roots[dump.roots],
    )


def _past_the_proxy(pod: Pod) -> Sequence[int]:
    """A sidecar's ports whose traffic is not redirected: its Envoy may listen there itself."""
    return pod.bypassed if pod.dataplane is Dataplane.SIDECAR else ()


def _with_sync(proxy: Proxy, word: Word | None) -> Proxy:
    if word is None:
        return proxy
    sync = word.sync
    return replace(proxy, version=proxy.version or sync.version, sync=sync.state, sync_words=sync.words, istiod=str(word.istiod))
