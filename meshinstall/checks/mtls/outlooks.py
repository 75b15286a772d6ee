"""Indexes what the proxies of a mesh would send where, so that a port finds the clients that leave the mesh's TLS."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

from meshinstall.checks.mtls.capture import may_pass_by, passes_by
from meshinstall.model.clients import ClientGroup, OutboundCluster, Outlook, Tls
from meshinstall.model.mesh import Dataplane, Outbound, Pod
from meshinstall.model.place import Place
from meshinstall.model.verdict import Clients, Evidence

_Found = TypeVar("_Found")
_LOOPBACK = ("127.0.0.1", "::1")
# Addresses that stand for all.
_ANY = ("0.0.0.0", "::")  # noqa: S104 - nothing is bound here


class Way(NamedTuple):
    """A cluster of some proxies that leaves the mesh's TLS towards an address; ``kinds`` are the numbers of the outlooks that hold it."""

    kinds: tuple[int, ...]
    cluster: OutboundCluster
    tls: Tls


class Past(NamedTuple):
    """Pods of one workload whose connections may not enter their own proxy; ``pod`` is one of them."""

    client: str
    pod: Pod
    pods: int


@dataclass(frozen=True, slots=True)
class Kind:
    """One outlook and who of one revision holds it: workloads by namespace, ``asked`` pods of ``pods``."""

    outlook: Outlook
    clients: tuple[tuple[str, str], ...]
    pods: int
    asked: int
    revision: str = ""


@dataclass(slots=True)
class Outlooks:
    """All clients by what they would do. Addresses have ports of pods, hosts those of Services.

    A number with a bit for each kind says which of them: ``passing`` pass on what they do not know, ``taking`` have a listener on an
    address and port, or at "" on a port of any address but their loopback, ``unlistened`` were not asked for theirs. ``told`` keeps what
    is said of many ports in the same words, ``seen`` what was found for the same kinds. Of the ``silent``, ``ambient`` have no proxy.
    """

    kinds: tuple[Kind, ...]
    silent: tuple[tuple[str, str], ...]
    past: tuple[tuple[Past, ...], ...]
    unsure: tuple[Past, ...]
    counts: Clients
    ambient: frozenset[tuple[str, str]] = frozenset()
    rerouted: tuple[tuple[Place, tuple[tuple[str, str], ...]], ...] = ()
    passing: int = 0
    leaves: dict[tuple[str, int], list[Way]] = field(default_factory=dict)
    anywhere: dict[tuple[str, int], list[Way]] = field(default_factory=dict)
    reached: set[tuple[str, int]] = field(default_factory=set)
    known: dict[tuple[str, int], int] = field(default_factory=dict)
    taking: dict[tuple[str, int], int] = field(default_factory=dict)
    unlistened: int = 0
    listening: Mapping[Place, frozenset[tuple[str, int]] | None] = field(default_factory=dict)
    told: dict[object, Evidence] = field(default_factory=dict)
    by_port: dict[int, list[tuple[Past, str]]] = field(default_factory=dict)
    seen: dict[object, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, groups: Sequence[ClientGroup], pods: Mapping[Place, Pod], revision: Callable[[Pod], str]) -> "Outlooks":
        """Index once, linear in what the different outlooks hold; ``pods`` are the clients, and one that runs and is in no group is silent.

        ``revision`` is that of a pod's istiod.
        """
        held: dict[tuple[int, str], list[ClientGroup]] = {}
        by_id = {id(group.outlook): group.outlook for group in groups}
        answered: set[Place] = set()
        for group in groups:
            if group.asked and (one := next((pods[place] for place in group.pods if place in pods), None)):
                held.setdefault((id(group.outlook), revision(one)), []).append(group)
                answered.update(group.pods)
        kinds = tuple(_kind(by_id[key], name, some, pods) for (key, name), some in held.items())
        mute = [pod for place, pod in pods.items() if pod.running and place not in answered]
        silent = tuple(sorted({_client(pod) for pod in mute}))
        ambient = {_client(pod) for pod in mute if pod.dataplane is Dataplane.AMBIENT}
        ambient -= {_client(pod) for pod in mute if pod.dataplane is not Dataplane.AMBIENT}
        past = list(_past(pods.values()))
        unsure = tuple(one for one in past if (one.pod.outbound.unsure or one.pod.outbound.unread) and may_pass_by(one.pod))
        listening = {place: group.outlook.listens for group in groups if group.asked for place in group.pods}
        found = cls(kinds, silent, _by_setting(past), unsure, _counts(kinds, silent), frozenset(ambient), listening=listening)
        # Most kinds hold the very same clusters: each is looked at once.
        holders: dict[int, tuple[OutboundCluster, list[int]]] = {}
        for index, kind in enumerate(kinds):
            found.passing |= kind.outlook.passes_on << index
            found._listen(1 << index, kind.outlook.listens)
            for cluster in kind.outlook.clusters:
                holders.setdefault(id(cluster), (cluster, []))[1].append(index)
        for cluster, those in holders.values():
            found._add(tuple(those), cluster)
        return found

    def _add(self, kinds: tuple[int, ...], cluster: OutboundCluster) -> None:
        key = (cluster.host, cluster.port)
        self.known[key] = self.known.get(key, 0) | sum(1 << kind for kind in set(kinds))
        if cluster.anywhere and cluster.anywhere is not Tls.MESH:
            self.anywhere.setdefault(key, []).append(Way(kinds, cluster, cluster.anywhere))
        for endpoint in cluster.endpoints:
            at = (endpoint.address, endpoint.port)
            self.reached.add(at)
            if endpoint.tls is not Tls.MESH:
                self.leaves.setdefault(at, []).append(Way(kinds, cluster, endpoint.tls))

    def _listen(self, kind: int, addresses: Iterable[tuple[str, int]] | None) -> None:
        self.unlistened |= kind if addresses is None else 0
        for address, port in addresses or ():
            for key in ((address, port), *([] if address in _LOOPBACK else [("", port)])):
                self.taking[key] = self.taking.get(key, 0) | kind

    def unaware(self, host: str, port: int, addresses: Iterable[str] = ()) -> tuple[int, ...]:
        """The kinds whose proxies do not know a port of a Service, or do not take it at its ``addresses``, and pass it on as it came.

        A Sidecar may let a proxy know a host at an address of the proxy alone. The pods of a headless Service have
        listeners that differ from pod to pod: only one on the loopback instead of them tells.
        """
        takes = self.unlistened
        for address in (*_ANY, *(addresses or [""])):
            takes |= self.taking.get((address, port), 0)
        if not addresses:
            bound = self.taking.get((_LOOPBACK[0], port), 0) | self.taking.get((_LOOPBACK[1], port), 0)
            takes |= ~bound
        hidden = self.passing & ~(self.known.get((host, port), 0) & takes)
        return self.once(hidden, lambda: tuple(index for index in range(len(self.kinds)) if hidden >> index & 1))

    def clients(self, kinds: tuple[int, ...]) -> Mapping[str, Sequence[tuple[str, str]]]:
        """The clients of some kinds, each once, by namespace."""
        return self.once(("clients", kinds), lambda: _by_namespace(client for kind in kinds for client in self.kinds[kind].clients))

    def by_revision(self, kinds: tuple[int, ...]) -> Mapping[str, tuple[int, ...]]:
        """Some kinds by the revision of their istiod."""
        return self.once(("revisions", kinds), lambda: {name: tuple(some) for name, some in _revisions(kinds, self.kinds).items()})

    def listens(self, place: Place) -> frozenset[tuple[str, int]] | None:
        """Where the proxy of a pod listens, None when that is not known."""
        return self.listening.get(place)

    def once(self, key: object, find: Callable[[], _Found]) -> _Found:
        """What is found for a key, which many ports share: looked for once."""
        if key not in self.seen:
            self.seen[key] = find()
        found: _Found = self.seen[key]
        return found

    def passing_by(self, addresses: Iterable[str], port: int) -> list[tuple[Past, str]]:
        """Who sends past his own proxy to a port of some addresses, and why."""
        where = tuple(addresses) or ("",)
        if port not in self.by_port:
            self.by_port[port] = [
                pair for those in self.past if not _minds_addresses(those[0].pod) for pair in _through(those, ("",), port)
            ]
        return self.by_port[port] + [pair for those in self.past if _minds_addresses(those[0].pod) for pair in _through(those, where, port)]


def _revisions(numbers: Iterable[int], kinds: Sequence[Kind]) -> Mapping[str, list[int]]:
    found: dict[str, list[int]] = {}
    for number in numbers:
        found.setdefault(kinds[number].revision, []).append(number)
    return found


def _by_namespace(clients: Iterable[tuple[str, str]]) -> Mapping[str, Sequence[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for client in sorted(set(clients)):
        found.setdefault(client[0], []).append(client)
    return found


def _through(those: Sequence[Past], addresses: Sequence[str], port: int) -> list[tuple[Past, str]]:
    """All of one setting, when connections to the port of one of the addresses pass by."""
    why = next(filter(None, (passes_by(those[0].pod, address, port) for address in addresses)), "")
    return [(past, why) for past in those] if why else []


def _minds_addresses(pod: Pod) -> bool:
    return pod.outbound.networks is not None or bool(pod.outbound.not_networks) or pod.one_family


def _counts(kinds: Iterable[Kind], silent: Iterable[tuple[str, str]]) -> Clients:
    """How many pods were asked, and for how many more they spoke."""
    asked, pods = (sum(numbers) for numbers in zip((0, 0), *((kind.asked, kind.pods) for kind in kinds), strict=True))
    return Clients(asked, pods - asked, tuple(f"{namespace}/{workload}" for namespace, workload in silent))


def _client(pod: Pod) -> tuple[str, str]:
    return pod.place.namespace, pod.workload


def _kind(outlook: Outlook, revision: str, groups: Sequence[ClientGroup], pods: Mapping[Place, Pod]) -> Kind:
    members = [pods[place] for group in groups for place in group.pods if place in pods]
    return Kind(outlook, tuple(sorted({_client(pod) for pod in members})), len(members), len(groups), revision)


def _past(pods: Iterable[Pod]) -> Iterator[Past]:
    """One pod of each workload and setting; most redirect everything and need not be looked at again."""
    found: dict[tuple[str, str, Outbound, bool, bool], list[Pod]] = {}
    for pod in pods:
        special = pod.outbound != Outbound() or pod.host_network or pod.one_family
        if pod.dataplane is Dataplane.SIDECAR and pod.active and special:
            found.setdefault((*_client(pod), pod.outbound, pod.host_network, pod.one_family), []).append(pod)
    for (namespace, workload, *_), some in sorted(found.items(), key=lambda pair: pair[0][:2]):
        yield Past(f"{namespace}/{workload}", some[0], len(some))


def _by_setting(past: Iterable[Past]) -> tuple[tuple[Past, ...], ...]:
    """Together, those for whom the same connections pass by."""
    found: dict[tuple[Outbound, bool, bool], list[Past]] = {}
    for one in past:
        found.setdefault((one.pod.outbound, one.pod.host_network, one.pod.one_family), []).append(one)
    return tuple(tuple(those) for those in found.values())
