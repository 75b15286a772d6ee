"""Asks the proxies of a mesh what they would send where: one for all that hold the same configuration."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import anyio

from meshinstall.engine.mesh import client_objects
from meshinstall.engine.mesh.client_objects import Chosen, InternalEntry, WorkloadEntry
from meshinstall.engine.mesh.istio_kinds import (
    BACKEND_TLS_POLICIES,
    ENVOY_FILTERS,
    SIDECARS,
    VIRTUAL_SERVICES,
    WORKLOAD_ENTRIES,
    istio_facts,
)
from meshinstall.engine.mesh.outlook_reader import Hosts, Reader
from meshinstall.engine.mesh.proxies import Word
from meshinstall.engine.mesh.reader import Asker, short
from meshinstall.engine.mesh.special_hosts import Special, plain_pods
from meshinstall.engine.objects.json_fields import at, text
from meshinstall.engine.session import Session
from meshinstall.engine.tasks import gather, task_group
from meshinstall.errors import ClusterError
from meshinstall.model.clients import (
    ClientFacts,
    ClientGroup,
    LedHost,
    NamedHosts,
    OutboundCluster,
    Outlook,
    Reroute,
    SidecarObject,
    TlsPolicy,
)
from meshinstall.model.istio import DEFAULT_DOMAIN, full_host
from meshinstall.model.mesh import ClientRule, Dataplane, Mode, PeerPolicy, Pod, ServiceFacts, SyncState
from meshinstall.model.paths import object_path
from meshinstall.model.place import Place
from meshinstall.ports import Kube, Pods

# Proxies that are asked at most, and the seconds for all of them together.
_MOST = 200
_PATIENCE = 60.0
# Pods of a group that are tried, one after the other, before the group is given up.
_TRIES = 2
# What istiod looks at beside selectors when it makes the configuration of a proxy (istio: pilot/pkg/model/context.go).
_NETWORK = "topology.istio.io/network"
_ANNOTATIONS = ("sidecar.istio.io/interceptionMode", "proxy.istio.io/config")
_DONE = ("Succeeded", "Failed")
_ENVOYS = frozenset({Dataplane.SIDECAR, Dataplane.GATEWAY})


@dataclass(frozen=True, slots=True)
class Group:
    """Pods that istiod gives the same configuration; those of one ``kind`` differ by their namespaces and by DestinationRules alone."""

    pods: tuple[Pod, ...]
    kind: object


@dataclass(frozen=True, slots=True)
class Objects:
    """The objects that decide what clients send."""

    sidecars: tuple[SidecarObject, ...] = ()
    filters: tuple[Chosen, ...] = ()
    reroutes: tuple[Reroute, ...] = ()
    workloads: tuple[WorkloadEntry, ...] = ()
    led: tuple[LedHost, ...] = ()
    tls_policies: tuple[TlsPolicy, ...] = ()


@dataclass(frozen=True, slots=True)
class Clients:
    """The pods of a mesh, what istiods say of their proxies, and the namespaces whose objects hold for all.

    ``complete``: all objects that decide what proxies are told are known. ``automatic`` is meshConfig.enableAutoMtls.
    """

    pods: Sequence[Pod]
    syncs: Mapping[Place, Word]
    root_namespaces: frozenset[str]
    domain: str = DEFAULT_DOMAIN
    services: Sequence[ServiceFacts] = ()
    policies: Sequence[PeerPolicy] = ()
    complete: bool = True
    automatic: bool = True


async def ask_objects(asker: Asker) -> Objects:
    """List them; what is missing is a gap."""
    asks: Mapping[str, Callable[[], Awaitable[Any]]] = {
        "sidecars": lambda: istio_facts(asker, SIDECARS, client_objects.sidecar),
        "filters": lambda: istio_facts(
            asker, ENVOY_FILTERS, lambda item: (client_objects.envoy_filter(item), client_objects.reroute(item))
        ),
        "workloads": lambda: istio_facts(asker, WORKLOAD_ENTRIES, client_objects.workload_entry),
        "led": lambda: istio_facts(asker, VIRTUAL_SERVICES, client_objects.led_hosts),
        "policies": lambda: istio_facts(asker, BACKEND_TLS_POLICIES, client_objects.tls_policy, optional=True),
    }
    found = await gather(asks, lambda name: asks[name]())
    return Objects(
        tuple(found["sidecars"]),
        tuple(chosen for chosen, _ in found["filters"]),
        tuple(reroute for _, reroute in found["filters"] if reroute),
        tuple(found["workloads"]),
        tuple(one for some in found["led"] for one in some),
        tuple(found["policies"]),
    )


_Entries = Sequence[tuple[object, InternalEntry | None, NamedHosts]]


async def look_at_clients(
    clients: Clients, objects: Objects, rules: Sequence[ClientRule], entries: _Entries, session: Session
) -> ClientFacts:
    """What the proxies of all clients say, with the objects that explain it."""
    named = tuple(one for _, _, one in entries)
    groups = await ask_clients(alike(clients, objects, rules), session.pods, _hosts(clients, objects, rules, named))
    internal = [entry for _, entry, _ in entries if entry]
    addresses = frozenset(ip for pod in clients.pods for ip in (pod.ip, *pod.more_ips) if ip)
    return ClientFacts(
        groups=await _without_gone(groups, session.kube),
        sidecars=objects.sidecars,
        entries=tuple(client_objects.mesh_entries(internal, objects.workloads, addresses)),
        led=objects.led,
        tls_policies=objects.tls_policies,
        named=named,
        reroutes=objects.reroutes,
    )


def _hosts(clients: Clients, objects: Objects, rules: Sequence[ClientRule], named: Iterable[NamedHosts]) -> Hosts:
    """What proxies may know of Services, and which of these are as istiod makes them without any object."""
    disabling = frozenset(one.place.namespace for one in clients.policies if Mode.DISABLE in {one.mode, *one.ports.values()})
    special = Special(
        hosts=frozenset(full_host(rule.host, rule.place.namespace, clients.domain) for rule in rules)
        | {host for one in named for host in one.hosts},
        services=frozenset((one.place.namespace, name) for one in objects.tls_policies for name in one.services),
        namespaces=disabling,
        pods=plain_pods(clients.pods),
        everything=not (clients.automatic and clients.complete) or not disabling.isdisjoint(clients.root_namespaces),
    )
    return Hosts.of(clients.services, clients.domain, special)


async def _without_gone(groups: Sequence[ClientGroup], kube: Kube) -> tuple[ClientGroup, ...]:
    """The groups without pods that ended since they were listed: these are silent, and no clients any more."""
    silent = [pod for group in groups if not group.asked for pod in group.pods[:_TRIES]]

    async def one(pod: Place) -> bool:
        try:
            found = await kube.get(object_path("v1", "pods", *pod))
        except ClusterError:
            return False
        return found is None or bool(at(found, "metadata", "deletionTimestamp")) or text(at(found, "status", "phase")) in _DONE

    gone = {pod for pod, ended in (await gather(silent[:_MOST], one)).items() if ended}
    left = (replace(group, pods=tuple(pod for pod in group.pods if pod not in gone)) for group in groups)
    return tuple(group for group in left if group.pods)


def alike(clients: Clients, objects: Objects, rules: Iterable[ClientRule]) -> list[Group]:
    """The running pods with a proxy, in groups that istiod gives the same configuration.

    A pod that is not known to have istiod's last push stands alone: it may hold an older one.
    """
    choosing = (*objects.filters, *(Chosen(one.place.namespace, one.selector) for one in objects.sidecars))
    special = tuple(Chosen(rule.place.namespace, rule.selector) for rule in rules if rule.selector)
    found: dict[object, list[Pod]] = {}
    kinds: dict[object, object] = {}
    for pod in clients.pods:
        if pod.dataplane in _ENVOYS and pod.running:
            kind = _kind(pod, clients, choosing)
            if not clients.complete:
                kind = (kind, pod.place.namespace, tuple(sorted(pod.labels.items())))
            key = (pod.place.namespace, kind, _applied(pod, clients, special))
            found.setdefault(key, []).append(pod)
            kinds[key] = kind
    return [Group(tuple(pods), kinds[key]) for key, pods in found.items()]


def _kind(pod: Pod, clients: Clients, choosing: Sequence[Chosen]) -> object:
    """What istiod goes by, but for DestinationRules and for the namespace: proxies of one kind are told the same of most hosts."""
    word = clients.syncs.get(pod.place)
    synced = word.sync.version if word and word.sync.state is SyncState.SYNCED else pod.place
    # istiod gives a gateway what its account may read.
    account = (pod.place.namespace, pod.service_account) if pod.dataplane is Dataplane.GATEWAY else ""
    near = _applied(pod, clients, choosing)
    # Gateways choose gateways by labels.
    by_labels = pod.dataplane is Dataplane.GATEWAY or any(choosing[index].unclear for index in near)
    labels = tuple(sorted(pod.labels.items())) if by_labels else ()
    families = tuple(sorted({":" in ip for ip in (pod.ip, *pod.more_ips)}))
    told = tuple(pod.annotations.get(name, "") for name in _ANNOTATIONS)
    # What an object of a namespace does to proxies there, others cannot tell.
    home = pod.place.namespace if near else ""
    return (pod.dataplane, pod.revision, pod.labels.get(_NETWORK), account, families, told, synced, near, labels, home)


def _applied(pod: Pod, clients: Clients, choosing: Sequence[Chosen]) -> tuple[int, ...]:
    """Which of some objects choose a pod."""
    near = {pod.place.namespace, *clients.root_namespaces}
    return tuple(index for index, one in enumerate(choosing) if one.namespace in near and one.selector.items() <= pod.labels.items())


async def ask_clients(groups: Sequence[Group], ports: Pods, hosts: Hosts) -> tuple[ClientGroup, ...]:
    """What one pod of each group says for all; where there are many hosts, what those of one kind are told alike is read once."""
    found = {index: _unasked(group, f"more than {_MOST} kinds of proxies differ") for index, group in enumerate(groups)}
    known: dict[Outlook, Outlook] = {}
    parts: dict[OutboundCluster, OutboundCluster] = {}
    readers: dict[object, Reader] = {}
    for index, group in enumerate(groups[:_MOST]):
        found[index] = _unasked(group, f"it was not read within {_PATIENCE:.0f} s")
        readers.setdefault(group.kind, Reader(ports, hosts))

    async def one(index: int) -> None:
        answer = await _ask(groups[index], readers[groups[index].kind])
        # Many hold the same: it is kept once.
        clusters = tuple(parts.setdefault(cluster, cluster) for cluster in answer.outlook.clusters)
        outlook = replace(answer.outlook, clusters=clusters)
        outlook = known.setdefault(outlook, outlook)
        found[index] = ClientGroup(answer.pods, outlook, answer.asked, answer.problem)

    with anyio.move_on_after(_PATIENCE):
        async with task_group() as tasks:
            for index in range(min(len(groups), _MOST)):
                tasks.start_soon(one, index)
    return tuple(found[index] for index in range(len(groups)))


def _unasked(group: Group, problem: str) -> ClientGroup:
    return ClientGroup(tuple(pod.place for pod in group.pods), problem=problem)


async def _ask(group: Group, reader: Reader) -> ClientGroup:
    """Another pod is asked when the first does not answer, the only one once more."""
    places = tuple(pod.place for pod in group.pods)
    problem = ""
    for attempt in range(_TRIES):
        asked = group.pods[attempt % len(group.pods)]
        try:
            return ClientGroup(places, await reader.outlook(asked), asked.place)
        except ClusterError as error:
            problem = short(error)
    return ClientGroup(places, problem=problem)
