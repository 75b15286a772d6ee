"""Asks each proxy of a mesh what it does, and each istiod whether its proxies do what it told them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import anyio

from meshinstall.engine.mesh.envoy import ADMIN_PORT, DUMP, EnvoyDump, read_dump
from meshinstall.engine.mesh.reader import short
from meshinstall.engine.objects.json_fields import MalformedError, at, table, text
from meshinstall.engine.tasks import task_group
from meshinstall.errors import ClusterError
from meshinstall.model.mesh import Dataplane, InboundChain, Place, Pod, Proxy
from meshinstall.model.release import Manifest
from meshinstall.ports import Certificates, IstiodDebug, Pods

# Seconds for all proxies together: for those that do not answer, and for each one; eight are asked at a time.
_PATIENCE = 30.0
_EACH = 0.25


@dataclass(frozen=True, slots=True)
class Sync:
    """What an istiod says of a proxy: its version, and whether it acknowledged all that it was sent (None: it was sent nothing)."""

    istiod: Place
    version: str
    synced: bool | None


async def ask_istiods(istiods: Iterable[Place], debug: IstiodDebug) -> tuple[dict[Place, Sync], tuple[str, ...]]:
    """What each istiod says of its own proxies, and which did not answer."""
    found: dict[Place, Sync] = {}
    gaps: list[str] = []

    async def one(istiod: Place) -> None:
        try:
            for record in await debug.syncz(*istiod):
                proxy, sync = read_sync(record, istiod)
                found[proxy] = _better(found.get(proxy), sync)
        except (ClusterError, MalformedError) as error:
            gaps.append(f"istiod {istiod} does not say which proxies are in sync: {short(error)}")

    async with task_group() as group:
        for istiod in istiods:
            group.start_soon(one, istiod)
    return found, tuple(gaps)


def read_sync(record: Manifest, istiod: Place) -> tuple[Place, Sync]:
    """A record of ``/debug/syncz`` (istio: pilot/pkg/xds/debug.go, SyncStatus); its proxy is called pod.namespace."""
    name, _, namespace = text(at(record, "proxy")).rpartition(".")
    resources = table(at(record, "resources"))
    pairs = [(text(at(one, "sent")), text(at(one, "acked"))) for one in resources.values()]
    if not resources:
        # Older istiods have a pair of fields for each type.
        kinds = [key.removesuffix("_sent") for key in record if key.endswith("_sent")]
        pairs = [(text(record[f"{kind}_sent"]), text(record.get(f"{kind}_acked"))) for kind in kinds]
    sent = [pair for pair in pairs if pair[0]]
    synced = all(version == acked for version, acked in sent) if sent else None
    return Place(namespace, name), Sync(istiod, text(at(record, "istio_version")), synced)


def _better(one: Sync | None, other: Sync) -> Sync:
    """A proxy that moves between two istiods is known to both for a while; the one that it acknowledges is the one it talks to."""
    return one if one is not None and (one.synced or not other.synced) else other


async def ask_proxies(
    pods: Sequence[Pod], ports: Pods, known: Mapping[Place, Sync], anchors: bytes, certificates: Certificates
) -> dict[Place, Proxy]:
    """What each pod's own Envoy says; ``anchors`` are the roots of the mesh, in PEM."""
    seconds = _PATIENCE + _EACH * len(pods)
    answers = {pod.place: Proxy(problem=f"it was not asked within {seconds:.0f} s") for pod in pods}

    async def one(pod: Pod) -> None:
        answers[pod.place] = await _ask(pod, ports, anchors, certificates)

    with anyio.move_on_after(seconds):
        async with task_group() as group:
            for pod in pods:
                group.start_soon(one, pod)
    return {place: _with_sync(proxy, known.get(place)) for place, proxy in answers.items()}


async def _ask(pod: Pod, ports: Pods, anchors: bytes, certificates: Certificates) -> Proxy:
    if not pod.running:
        return Proxy(problem="its pod does not run")
    try:
        dump = read_dump(await ports.get(*pod.place, ADMIN_PORT, DUMP))
        return _proxy(pod, dump, anchors, certificates)
    except ClusterError as error:
        return Proxy(problem=short(error))


def _proxy(pod: Pod, dump: EnvoyDump, anchors: bytes, reader: Certificates) -> Proxy:
    if pod.dataplane is Dataplane.SIDECAR and pod.captured and not dump.chains:
        raise ClusterError("its Envoy has no inbound listener yet")
    trusted = {chain.trusted for chain in dump.chains} | {dump.roots}
    roots = {pem: reader.read_roots(pem) if pem else () for pem in trusted}
    inbound: tuple[InboundChain, ...] = tuple(
        replace(chain.chain, roots=(*(root.fingerprint for root in roots[chain.trusted]), *chain.unread)) for chain in dump.chains
    )
    # The mesh's own first: of two roots with one key, that one is named.
    certificates = reader.read_chain(dump.certificates, b"\n".join((anchors, dump.roots))) if dump.certificates else ()
    return Proxy(version=dump.version, inbound=inbound, certificates=certificates, roots=roots[dump.roots])


def _with_sync(proxy: Proxy, sync: Sync | None) -> Proxy:
    if sync is None:
        return proxy
    return replace(proxy, version=proxy.version or sync.version, synced=sync.synced, istiod=str(sync.istiod))
