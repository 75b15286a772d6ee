"""Reads what proxies of one kind would send; where they know many hosts, what they are told alike is read from one of them, in pieces."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import quote

import anyio

from meshinstall.engine.mesh import client_dump
from meshinstall.model.clients import OutboundCluster, Outlook
from meshinstall.model.mesh import ClientRule, Pod
from meshinstall.ports import Pods

# Ports of Services up to which a proxy is read at once: a host takes 4 KB.
_FEW = 200
# Clusters for one request: less than a MiB. Characters of their names: Istio lets Envoy take patterns of at most 32,768 steps, which
# 37,000 characters need (istio: pkg/bootstrap/config.go, re2.max_program_size).
_PIECE, _LONGEST = 250, 24_000


@dataclass(frozen=True, slots=True)
class Hosts:
    """How many hosts a proxy may know, and of which proxies may be told different things: ``unlike``, some by a wildcard."""

    count: int
    domain: str
    unlike: frozenset[str]

    @classmethod
    def of(cls, domain: str, ports: int, roots: frozenset[str], rules: Iterable[ClientRule]) -> "Hosts":
        """A rule beside its Service, or in the root namespace, holds for all clients alike; any other for some."""
        return cls(ports, domain, frozenset(_full(rule, domain) for rule in rules if not _is_for_all(rule, domain, roots)))

    def is_alike(self, host: str) -> bool:
        """Whether all proxies of one kind that know a host are told the same of it; a host outside Kubernetes may be two."""
        if not host.endswith(f".svc.{self.domain}"):
            return False
        parts = host.split(".")
        wild = (f"*.{'.'.join(parts[index:])}" for index in range(1, len(parts)))
        return self.unlike.isdisjoint({host, "*", *wild})


def _full(rule: ClientRule, domain: str) -> str:
    return rule.host if "." in rule.host or rule.host == "*" else f"{rule.host}.{rule.place.namespace}.svc.{domain}"


def _is_for_all(rule: ClientRule, domain: str, roots: frozenset[str]) -> bool:
    everywhere = not rule.export_to or "*" in rule.export_to
    home = _full(rule, domain).endswith(f".{rule.place.namespace}.svc.{domain}")
    return not rule.selector and everywhere and (home or rule.place.namespace in roots)


class Reader:
    """Reads proxies of one kind."""

    def __init__(self, ports: Pods, hosts: Hosts) -> None:
        self._ports = ports
        self._hosts = hosts
        self._alike: dict[str, OutboundCluster] = {}
        self._passes_on: bool | None = None
        self._one_at_a_time = anyio.Lock()

    async def outlook(self, pod: Pod) -> Outlook:
        """What a pod's proxy would send; raises ClusterError."""
        if self._hosts.count <= _FEW:
            clusters, endpoints, listener = await self._ask(pod, client_dump.CLUSTERS, client_dump.ENDPOINTS, client_dump.LISTENER)
            found = client_dump.read_clusters(clusters, endpoints, whole=True)
            return Outlook(client_dump.ordered(found), client_dump.read_passing_on(listener))
        (held,) = await self._ask(pod, client_dump.NAMES)
        names = client_dump.read_names(held)
        # Whoever comes second finds what the first has read.
        async with self._one_at_a_time:
            if self._passes_on is None:
                (listener,) = await self._ask(pod, client_dump.LISTENER)
                self._passes_on = client_dump.read_passing_on(listener)
            alike = {name for name in names if self._hosts.is_alike(client_dump.host_of(name))}
            for piece in _pieces(sorted(alike - self._alike.keys())):
                self._alike.update({one.name: one for one in await self._clusters(pod, piece)})
        own = [one for piece in _pieces(sorted(names - alike)) for one in await self._clusters(pod, piece)]
        # A cluster that came or went between two answers is not there.
        known = [self._alike[name] for name in alike if name in self._alike]
        return Outlook(client_dump.ordered([*known, *own]), self._passes_on)

    async def _clusters(self, pod: Pod, piece: str) -> tuple[OutboundCluster, ...]:
        return client_dump.read_clusters(*await self._ask(pod, f"{client_dump.CLUSTERS}{piece}", f"{client_dump.ENDPOINTS}{piece}"))

    async def _ask(self, pod: Pod, *paths: str) -> list[bytes]:
        """The answers; Envoy has no endpoints (404) where no cluster asks for them."""
        return [body or b"{}" for body in await self._ports.get_all(*pod.place, pod.admin_port, paths)]


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
