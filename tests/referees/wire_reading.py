"""Sends what an application may send, and compares what Envoy connects to with what meshinstall reads from the same Envoy."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import anyio

from meshinstall.engine.mesh.outlook_reader import Hosts, Reader
from meshinstall.model.clients import OutboundCluster, Outlook, Tls
from meshinstall.model.mesh import Pod
from meshinstall.ports import Stream
from testbed.api import Json
from testbed.errors import TestbedError
from testbed.referee.booth import Seen
from testbed.referee.node import DOMAIN
from testbed.referee.proxy import Proxy

# Requests for each endpoint of a cluster, which chance picks; and at most, until each was picked: with three endpoints four of each miss
# one in every fiftieth cluster.
_TRIES, _MOST = 4, 40
# Ports of a mesh that is read in pieces.
_MANY = 10_000
_Answer = TypeVar("_Answer")
# An address or a host, a port, and what a connection there looks like.
Way = tuple[str, int, str]


@dataclass(frozen=True, slots=True)
class Target:
    """What an application asks for: a port of a host, at an address that the host's name stands for."""

    host: str
    port: int
    address: str


class Loopback:
    """The one pod that ``proxy`` is the sidecar of, in place of the API server's port-forwards."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy

    async def get(self, _namespace: str, _pod: str, _port: int, path: str) -> bytes:
        """The body of an HTTP GET."""
        return self._proxy.get(path)

    async def get_all(self, _namespace: str, _pod: str, _port: int, paths: Sequence[str]) -> list[bytes | None]:
        """The bodies of several."""
        return [self._proxy.find(path) for path in paths]

    async def talk(self, _namespace: str, _pod: str, _port: int, _talk: Callable[[Stream], _Answer]) -> _Answer:
        """Nobody who reads talks otherwise."""
        raise NotImplementedError


def outlook(proxy: Proxy, pod: Pod, ports: int) -> Outlook:
    """What meshinstall reads from a running Envoy in a mesh of so many ports."""
    hosts = Hosts(frozenset(map(str, range(ports))))
    return anyio.run(Reader(Loopback(proxy), hosts).outlook, pod)


def targets(objects: Sequence[Json]) -> Iterator[Target]:
    """Every port of every Service and ServiceEntry, at each address that DNS would give an application."""
    slices = [found for found in objects if found["kind"] == "EndpointSlice"]
    for found in objects:
        spec, metadata = found.get("spec", {}), found["metadata"]
        if found["kind"] == "Service" and spec.get("type") != "ExternalName":
            host = f"{metadata['name']}.{metadata['namespace']}.svc.{DOMAIN}"
            for port in spec["ports"]:
                yield from (Target(host, port["port"], address) for address in _addresses(found, slices))
        elif found["kind"] == "ServiceEntry":
            yield from (Target(spec["hosts"][0], port["number"], spec["addresses"][0]) for port in spec["ports"])


def _place(found: Json) -> tuple[str, str]:
    return found["metadata"]["namespace"], found["metadata"]["name"]


def _addresses(service: Json, slices: Sequence[Json]) -> list[str]:
    own = service["spec"]["clusterIP"]
    if own != "None":
        return [own]
    mine = (one for one in slices if _service(one) == _place(service))
    # The API server stores no list as no value.
    return list(dict.fromkeys(address for found in mine for one in found["endpoints"] or () for address in one["addresses"]))


def _service(found: Json) -> tuple[str, str]:
    """The Service of a slice: a name with several numbers has a slice for each."""
    return found["metadata"]["namespace"], found["metadata"]["labels"]["kubernetes.io/service-name"]


def disagreements(proxy: Proxy, pod: Pod, objects: Sequence[Json]) -> list[str]:
    """Where the wire shows what the reading does not explain; both must be of one version of the mesh."""
    read = outlook(proxy, pod, 1)
    found = [] if outlook(proxy, pod, _MANY) == read else ["what is read in pieces is not what is read at once"]
    for target in targets(objects):
        cluster = next((one for one in read.clusters if (one.host, one.port, one.subset) == (target.host, target.port, "")), None)
        said = _said(target, cluster, read)
        shown = _asked(proxy, target, max(1, len(cluster.endpoints) if cluster else 1), said if cluster else set())
        found += [f"{target}: {problem}" for problem in _problems(cluster, said, shown)]
    return found


def _asked(proxy: Proxy, target: Target, endpoints: int, wanted: set[Way]) -> set[Way]:
    """Where requests went, of which there are some for each endpoint, and more until what is ``wanted`` was seen."""
    found: set[Way] = set()
    for number in range(_MOST * endpoints):
        if number >= _TRIES * endpoints and wanted <= found:
            break
        seen = proxy.send(target.address, target.port, target.host)
        found |= {(one.host or one.address, one.port, _shown(one)) for one in seen}
    return found


def _problems(cluster: OutboundCluster | None, said: set[Way], shown: set[Way]) -> Iterator[str]:
    """What was seen and not read, and what was read and not seen."""
    for one in sorted(shown - said):
        yield f"the wire shows {one}, the reading says {sorted(said)}"
    if cluster and (missing := said - shown):
        yield f"the reading says {sorted(missing)}, the wire shows {sorted(shown)}"


def _said(target: Target, cluster: OutboundCluster | None, read: Outlook) -> set[Way]:
    if cluster is None:
        return {(target.address, target.port, "plaintext")} if read.passes_on else set()
    if cluster.anywhere:
        return {(target.address, target.port, _word(cluster.anywhere))}
    return {(one.address, one.port, _word(one.tls)) for one in cluster.endpoints}


def _word(tls: Tls) -> str:
    words = {Tls.MESH: "mesh TLS", Tls.OTHER: "other TLS", Tls.PLAINTEXT: "plaintext"}
    if tls not in words:
        message = f"no Envoy of the referees can send {tls}"
        raise TestbedError(message)
    return words[tls]


def _shown(seen: Seen) -> str:
    if not seen.tls:
        return "plaintext"
    # istiod's own ALPN marks the mesh's TLS (istio: pilot/pkg/networking/util/util.go).
    return "mesh TLS" if any(name.startswith("istio") for name in seen.protocols) else "other TLS"
