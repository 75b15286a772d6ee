"""Reads what proxies of one kind would send; where they know many hosts, what they are told alike is read from one of them, in pieces."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial
from typing import TypeVar
from urllib.parse import quote

import anyio

from meshinstall.engine.mesh import client_dump
from meshinstall.engine.mesh.large_answers import Beside
from meshinstall.engine.mesh.special_hosts import Special
from meshinstall.model.clients import OutboundCluster, Outlook
from meshinstall.model.istio import full_host
from meshinstall.model.mesh import PROXY_PORTS, Pod, ServiceFacts
from meshinstall.ports import Pods

# Ports of Services up to which a proxy is read at once: a host takes 4 KB.
_FEW = 200
# Clusters for one request: less than a MiB. Characters of their names: Istio lets Envoy take patterns of at most 32,768 steps, which
# 37,000 characters need (istio: pkg/bootstrap/config.go, re2.max_program_size).
_PIECE, _LONGEST = 250, 24_000
_LISTENERS = (client_dump.LISTENER, client_dump.ADDRESSES)
_Answer = TypeVar("_Answer")
Listeners = tuple[bool, frozenset[tuple[str, int]]]


@dataclass(frozen=True, slots=True)
class Hosts:
    """What a proxy may know of Services: ``ports`` are the clusters of all, by their names; ``plain`` the hosts that nothing is said of.

    istiod tells every client automatic mTLS for these, so one proxy may speak for others: a false word of it hides nothing that an
    object of somebody else did. ``taken``: a Service has a port that proxies listen on themselves, so they may not take it as others.
    """

    ports: frozenset[str] = frozenset()
    plain: frozenset[str] = frozenset()
    taken: bool = False

    @classmethod
    def of(cls, services: Iterable[ServiceFacts], domain: str, special: Special) -> "Hosts":
        """The hosts of some Services; ``special`` are those that some object is about."""
        named = {full_host(one.place.name, one.place.namespace, domain): one for one in services if one.type != "ExternalName"}
        ports = frozenset(f"outbound|{port}||{host}" for host, one in named.items() for port in one.ports)
        # One that leads to the proxy's own port leads to no application (istio: pilot/pkg/model/context.go, CanBindToPort).
        taken = any({port} != {*one.targets(port)} for one in named.values() for port in PROXY_PORTS & one.ports.keys())
        return cls(ports, frozenset(host for host, one in named.items() if one.addresses and not special.has(host, one)), taken)


class Reader:
    """Reads proxies of one kind."""

    def __init__(self, ports: Pods, hosts: Hosts) -> None:
        self._ports = ports
        self._hosts = hosts
        self._alike: dict[str, OutboundCluster] = {}
        self._listeners: Listeners | None = None
        self._one_at_a_time = anyio.Lock()
        self._beside = Beside()

    async def outlook(self, pod: Pod) -> Outlook:
        """What a pod's proxy would send; raises ClusterError."""
        if len(self._hosts.ports) <= _FEW:
            clusters, endpoints, *told = await self._ask(pod, client_dump.CLUSTERS, client_dump.ENDPOINTS, *_LISTENERS)
            found = await self._read(client_dump.read_clusters, clusters, endpoints, whole=True)
            return Outlook(client_dump.ordered(found), *await self._read(_read_listeners, *told))
        (held,) = await self._ask(pod, client_dump.NAMES)
        names = await self._read(client_dump.read_names, held)
        alike = {name for name in names if client_dump.host_of(name) in self._hosts.plain}
        # Whoever comes second finds what the first has read.
        async with self._one_at_a_time:
            for piece in _pieces(sorted(alike - self._alike.keys())):
                self._alike.update({one.name: one for one in await self._clusters(pod, piece)})
            listeners = await self._listening(pod, names)
        own = [one for piece in _pieces(sorted(names - alike)) for one in await self._clusters(pod, piece)]
        # A cluster that came or went between two answers is not there.
        known = [self._alike[name] for name in alike if name in self._alike]
        return Outlook(client_dump.ordered([*known, *own]), *listeners)

    async def _listening(self, pod: Pod, names: AbstractSet[str]) -> Listeners:
        """Its own where these decide: it does not know every Service, or does not take each at its port. Else those of its kind."""
        decide = self._hosts.taken or not self._hosts.ports <= names
        if not decide and self._listeners:
            return self._listeners
        found = await self._read(_read_listeners, *await self._ask(pod, *_LISTENERS))
        if not decide:
            self._listeners = found
        return found

    async def _clusters(self, pod: Pod, piece: str) -> tuple[OutboundCluster, ...]:
        answers = await self._ask(pod, f"{client_dump.CLUSTERS}{piece}", f"{client_dump.ENDPOINTS}{piece}")
        return await self._read(client_dump.read_clusters, *answers)

    async def _read(self, read: Callable[..., _Answer], *answers: bytes, **settings: bool) -> _Answer:
        return await self._beside.read(max(answers, key=len), partial(read, *answers, **settings))

    async def _ask(self, pod: Pod, *paths: str) -> list[bytes]:
        """The answers; Envoy has no endpoints (404) where no cluster asks for them."""
        return [body or b"{}" for body in await self._ports.get_all(*pod.place, pod.admin_port, paths)]


def _read_listeners(catch_all: bytes, addresses: bytes) -> Listeners:
    return client_dump.read_passing_on(catch_all), client_dump.read_addresses(addresses)


def _pieces(names: Sequence[str]) -> Iterator[str]:
    """What asks for some clusters alone, for so many names at a time."""
    some: list[str] = []
    for name in map(re.escape, names):
        if some and (len(some) == _PIECE or sum(map(len, some)) + len(name) > _LONGEST):
            yield _named(some)
            some = []
        some.append(name)
    if some:
        yield _named(some)


def _named(patterns: Sequence[str]) -> str:
    return f"&name_regex={quote('^(' + '|'.join(patterns) + ')$', safe='')}"
