"""Asks proxies what they enforce, and decides requests by that: one question to each, of whose answer verdicts alone are kept."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar
from urllib.parse import quote

import anyio

from meshinstall.checks.authz.chains import Chain, decide_as_gateway, decide_by
from meshinstall.checks.authz.enforced import is_read_as_tcp
from meshinstall.engine.mesh.envoy import LISTENER, insist_on
from meshinstall.engine.mesh.large_answers import Beside, parsed
from meshinstall.engine.mesh.pods import PodSeen
from meshinstall.engine.mesh.rbac.chains import read_chains
from meshinstall.engine.mesh.rbac.filters import Known
from meshinstall.engine.mesh.reader import short
from meshinstall.engine.objects.json_fields import at, number, rows, text
from meshinstall.engine.tasks import task_group
from meshinstall.errors import ClusterError
from meshinstall.model.authz import Outcome, Request, Verdict
from meshinstall.model.foreign_text import plain
from meshinstall.model.mesh import Dataplane
from meshinstall.model.place import Place
from meshinstall.ports import Pods

_Answer = TypeVar("_Answer")

_INFO = "/server_info"
_INBOUND = f"/config_dump?resource=dynamic_listeners&name_regex={quote(f'^{LISTENER}$', safe='')}"
_PATHS: Mapping[Dataplane, tuple[str, ...]] = {
    Dataplane.SIDECAR: (_INFO, _INBOUND),
    Dataplane.GATEWAY: (_INFO, "/config_dump?resource=dynamic_listeners", "/config_dump?resource=dynamic_route_configs"),
}
_OUTBOUND = "virtualOutbound"
# Bytes and values of one answer, as of those of gateways (engine/mesh/gateway_config.py).
_MAX_ANSWER, _MAX_VALUES = 16 * 1024**2, 1_000_000
# Bytes from which on an answer is read in a thread: to decide by it takes longer than to read it.
_LARGE = 64 * 1024
# Seconds for all proxies together, and more for each one.
_PATIENCE, _EACH = 30.0, 0.25


@dataclass(frozen=True, slots=True)
class Asked:
    """A proxy of which something was asked; ``problem`` says why there is no answer, ``refused`` what it did not take from istiod."""

    place: Place
    problem: str = ""
    refused: str = ""


@dataclass(slots=True)
class Enforced:
    """What a proxy has, until its requests are decided; ``raw`` is what was read, in the proxy's own words."""

    pod: PodSeen
    chains: Sequence[Chain]
    refused: str = ""
    raw: Any = None

    def digest(self) -> str:
        """The same for proxies that have the same."""
        return hashlib.sha256(json.dumps(self.raw, sort_keys=True).encode()).hexdigest()

    def beside_policies(self, request: Request) -> tuple[Request, Verdict]:
        """What policies are asked, and what the proxy's own rules say to the same: only as much of a request as its connection shows."""
        verdict = self.decide(request)
        read = replace(request, http=None) if is_read_as_tcp(verdict) else request
        if self.pod.pod.dataplane is not Dataplane.GATEWAY:
            return read, verdict
        at_port = [one for one in self.chains if one.port == request.port]
        if not any(one.tls for one in at_port):
            read = replace(read, principal="")
        if not any(one.is_of_tls for one in at_port):
            read = replace(read, server_name=read.server_name and "")
        return read, decide_as_gateway(self.chains, read)

    def decide(self, request: Request) -> Verdict:
        """What the proxy does to a request, if that comes to it at all."""
        port, pod = request.port, self.pod.pod
        is_past = not pod.captured or self.pod.capture.leaves_out(port) or bool(pod.interfaces) or pod.one_family
        if pod.dataplane is Dataplane.SIDECAR and is_past:
            return Verdict(Outcome.UNDECIDED, f"traffic to port {port} of the pod does not go through its proxy, or not all of it")
        at_port = [one for one in self.chains if one.port == port]
        if pod.dataplane is Dataplane.GATEWAY and not at_port:
            return Verdict(Outcome.UNDECIDED, f"the gateway does not listen on port {port}")
        if pod.dataplane is Dataplane.GATEWAY and not (request.principal or request.server_name) and all(one.is_of_tls for one in at_port):
            return Verdict(Outcome.UNDECIDED, f"the servers of the gateway at port {port} take TLS alone: say which with serverName")
        return decide_by(self.chains, request)


def paths_of(dataplane: Dataplane) -> tuple[str, ...]:
    """What is asked of a proxy, in the order of the answers."""
    return _PATHS[dataplane]


async def ask_enforced(
    seen: Sequence[PodSeen], pods: Pods, use: Callable[[PodSeen, Enforced], _Answer]
) -> dict[Place, tuple[Asked, _Answer | None]]:
    """What ``use`` makes of each proxy's decisions; None where it could not be read."""
    seconds = _PATIENCE + _EACH * len(seen)
    late = f"it was not read within {seconds:.0f} s"
    answers: dict[Place, tuple[Asked, _Answer | None]] = {one.pod.place: (Asked(one.pod.place, late), None) for one in seen}
    beside = Beside(_LARGE)

    async def one(pod: PodSeen) -> None:
        place = pod.pod.place
        try:
            answers[place] = await _ask(pod, pods, beside, use)
        except ClusterError as error:
            answers[place] = (Asked(place, short(error)), None)

    with anyio.move_on_after(seconds):
        async with task_group() as group:
            for pod in seen:
                group.start_soon(one, pod)
    return answers


async def _ask(seen: PodSeen, pods: Pods, beside: Beside, use: Callable[[PodSeen, Enforced], _Answer]) -> tuple[Asked, _Answer | None]:
    paths = paths_of(seen.pod.dataplane)
    answers = [answer or b"" for answer in await pods.get_all(*seen.pod.place, seen.pod.admin_port, paths)]

    def read() -> tuple[Asked, _Answer | None]:
        found = read_enforced(answers, seen)
        return Asked(seen.pod.place, refused=found.refused), use(seen, found)

    return await beside.read(max(answers, key=len), read)


def read_enforced(answers: Sequence[bytes], seen: PodSeen) -> Enforced:
    """The answers to what is asked of such a proxy; raises ClusterError for what no Envoy of this pod says."""
    try:
        info, listeners, *routes = (parsed(answer, _MAX_ANSWER, _MAX_VALUES) for answer in answers)
        insist_on(info, seen.pod.place, seen.pod.admin_port)
        configs = [at(item, "route_config") for answer in routes for item in rows(at(answer, "configs"))]
        items = rows(at(listeners, "configs"))
        tables = {text(at(one, "name")): one for one in configs}
        known = Known()
        chains = tuple(_apart([tuple(_chains(item, tables, known)) for item in items]))
        refused = [plain(text(at(item, "error_state", "details"))) for item in items]
    except ValueError as error:
        raise ClusterError(f"its Envoy's answer could not be parsed: {error}") from error
    if not chains and seen.pod.dataplane is Dataplane.SIDECAR:
        raise ClusterError("its Envoy has no inbound listener yet")
    active = [at(item, "active_state", "listener") for item in items]
    return Enforced(seen, chains, next(filter(None, refused), ""), [active, configs])


def _chains(item: Any, tables: Mapping[str, Any], known: Known) -> Iterator[Chain]:
    """Those of a listener that takes connections from outside of its pod; raises ClusterError for one of a waypoint."""
    listener = at(item, "active_state", "listener")
    if at(listener, "internal_listener") is not None:
        raise ClusterError("it has listeners of a waypoint, which are not decided here")
    socket = at(listener, "address", "socket_address")
    if text(at(item, "name")) == LISTENER:
        yield from read_chains(listener, None, tables, known)
    elif socket and text(at(item, "name")) != _OUTBOUND:
        yield from read_chains(listener, number(at(socket, "port_value")), tables, known)


def _apart(listeners: Sequence[Sequence[Chain]]) -> Iterator[Chain]:
    """All chains; of several listeners at one port the address decides, which no request names."""
    at_ports = Counter(port for chains in listeners for port in {one.port for one in chains})
    yield from (replace(one, asks_more=one.asks_more or at_ports[one.port] > 1) for chains in listeners for one in chains)
