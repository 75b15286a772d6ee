"""Asks the proxies of a mesh what they would send where: one for all that hold the same configuration."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import anyio

from meshinstall.engine.mesh import client_dump, client_objects
from meshinstall.engine.mesh.client_objects import Chosen, InternalEntry, WorkloadEntry
from meshinstall.engine.mesh.istio_kinds import (
    BACKEND_TLS_POLICIES,
    ENVOY_FILTERS,
    SIDECARS,
    VIRTUAL_SERVICES,
    WORKLOAD_ENTRIES,
    istio_facts,
)
from meshinstall.engine.mesh.proxies import Word
from meshinstall.engine.mesh.reader import Asker, short
from meshinstall.engine.tasks import gather, task_group
from meshinstall.errors import ClusterError
from meshinstall.model.clients import ClientFacts, ClientGroup, LedHost, Outlook, SidecarObject, TlsPolicy
from meshinstall.model.mesh import ClientRule, Dataplane, Pod, SyncState
from meshinstall.model.place import Place
from meshinstall.ports import Pods

# Proxies that are asked at most, and the seconds for all of them together.
_MOST = 200
_PATIENCE = 60.0
# Pods of a group that are tried, one after the other, before the group is given up.
_TRIES = 2
# What istiod looks at beside selectors when it makes the configuration of a proxy (istio: pilot/pkg/model/context.go).
_NETWORK = "topology.istio.io/network"
_ENVOYS = frozenset({Dataplane.SIDECAR, Dataplane.GATEWAY})


@dataclass(frozen=True, slots=True)
class Objects:
    """The objects that decide what clients send; ``complete``: all that choose proxies by labels are known."""

    sidecars: tuple[SidecarObject, ...] = ()
    filters: tuple[Chosen, ...] = ()
    workloads: tuple[WorkloadEntry, ...] = ()
    led: tuple[LedHost, ...] = ()
    tls_policies: tuple[TlsPolicy, ...] = ()
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Clients:
    """The pods of a mesh, what istiods say of their proxies, and the namespaces whose objects hold for all."""

    pods: Sequence[Pod]
    syncs: Mapping[Place, Word]
    root_namespaces: frozenset[str]


async def ask_objects(asker: Asker) -> Objects:
    """List them; what is missing is a gap."""
    asks: Mapping[str, Callable[[], Awaitable[Any]]] = {
        "sidecars": lambda: istio_facts(asker, SIDECARS, client_objects.sidecar),
        "filters": lambda: istio_facts(asker, ENVOY_FILTERS, client_objects.envoy_filter),
        "workloads": lambda: istio_facts(asker, WORKLOAD_ENTRIES, client_objects.workload_entry),
        "led": lambda: istio_facts(asker, VIRTUAL_SERVICES, client_objects.led_hosts),
        "policies": lambda: istio_facts(asker, BACKEND_TLS_POLICIES, client_objects.tls_policy, optional=True),
    }
    found = await gather(asks, lambda name: asks[name]())
    return Objects(
        tuple(found["sidecars"]),
        tuple(found["filters"]),
        tuple(found["workloads"]),
        tuple(one for some in found["led"] for one in some),
        tuple(found["policies"]),
        complete=asker.unread.isdisjoint({"Sidecar", "EnvoyFilter", "DestinationRule"}),
    )


async def look_at_clients(
    clients: Clients, objects: Objects, rules: Iterable[ClientRule], entries: Iterable[tuple[object, InternalEntry | None]], ports: Pods
) -> ClientFacts:
    """What the proxies of all clients say, with the objects that explain it."""
    chosen = [*objects.filters, *(Chosen(one.place.namespace, one.selector) for one in objects.sidecars)]
    chosen += [Chosen(rule.place.namespace, rule.selector) for rule in rules if rule.selector]
    groups = alike(clients, chosen if objects.complete else None)
    internal = [entry for _, entry in entries if entry]
    addresses = frozenset(pod.ip for pod in clients.pods if pod.ip)
    return ClientFacts(
        groups=await ask_clients(groups, ports),
        sidecars=objects.sidecars,
        entries=tuple(client_objects.mesh_entries(internal, objects.workloads, addresses)),
        led=objects.led,
        tls_policies=objects.tls_policies,
    )


def alike(clients: Clients, chosen: Sequence[Chosen] | None) -> list[tuple[Pod, ...]]:
    """The running pods with a proxy, in groups that istiod gives the same configuration.

    ``chosen`` are the objects that choose proxies by labels, None when not all are known: then all labels count.
    A pod that is not known to have istiod's last push stands alone: it may hold an older one.
    """
    found: dict[object, list[Pod]] = {}
    for pod in clients.pods:
        if pod.dataplane in _ENVOYS and pod.running:
            found.setdefault(_key(pod, clients, chosen), []).append(pod)
    return [tuple(group) for group in found.values()]


def _key(pod: Pod, clients: Clients, chosen: Sequence[Chosen] | None) -> object:
    near = [one for one in chosen or () if one.namespace in {pod.place.namespace, *clients.root_namespaces}]
    if chosen is None or any(one.unclear for one in near):
        labels: object = tuple(sorted(pod.labels.items()))
    else:
        labels = tuple(one.selector.items() <= pod.labels.items() for one in near)
    word = clients.syncs.get(pod.place)
    synced = (word.istiod, word.sync.version) if word and word.sync.state is SyncState.SYNCED else pod.place
    # istiod gives a gateway what its account may read.
    account = pod.service_account if pod.dataplane is Dataplane.GATEWAY else ""
    return (pod.place.namespace, pod.dataplane, pod.revision, pod.labels.get(_NETWORK), account, synced, labels)


async def ask_clients(groups: Sequence[Sequence[Pod]], ports: Pods) -> tuple[ClientGroup, ...]:
    """What one pod of each group says for all."""
    found = {index: _unasked(group, f"more than {_MOST} kinds of proxies differ") for index, group in enumerate(groups)}
    known: dict[Outlook, Outlook] = {}

    async def one(index: int) -> None:
        answer = await _ask(groups[index], ports)
        # Many hold the same: it is kept once.
        outlook = known.setdefault(answer.outlook, answer.outlook)
        found[index] = ClientGroup(answer.pods, outlook, answer.asked, answer.problem)

    for index, group in enumerate(groups[:_MOST]):
        found[index] = _unasked(group, f"it was not read within {_PATIENCE:.0f} s")
    with anyio.move_on_after(_PATIENCE):
        async with task_group() as tasks:
            for index in range(min(len(groups), _MOST)):
                tasks.start_soon(one, index)
    return tuple(found[index] for index in range(len(groups)))


def _unasked(group: Sequence[Pod], problem: str) -> ClientGroup:
    return ClientGroup(tuple(pod.place for pod in group), problem=problem)


async def _ask(group: Sequence[Pod], ports: Pods) -> ClientGroup:
    """Another pod is asked when the first does not answer, the only one once more."""
    places = tuple(pod.place for pod in group)
    problem = ""
    for attempt in range(_TRIES):
        asked = group[attempt % len(group)]
        try:
            return ClientGroup(places, await _outlook(asked, ports), asked.place)
        except ClusterError as error:
            problem = short(error)
    return ClientGroup(places, problem=problem)


async def _outlook(pod: Pod, ports: Pods) -> Outlook:
    where = (*pod.place, pod.admin_port)
    clusters = await ports.get(*where, client_dump.CLUSTERS)
    needed = client_dump.needs_endpoints(clusters)
    endpoints = await ports.get(*where, client_dump.ENDPOINTS) if needed else b""
    listener = await ports.get(*where, client_dump.LISTENER)
    return client_dump.read_outlook(clusters, endpoints, listener)
