"""Reads from a gateway's Envoy what it serves (its admin interface): listeners, server names, routes, secrets, roots.

What anybody may put into it is bounded before it is parsed. Envoy blanks private keys itself, and nothing here looks at them.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from meshinstall.engine.mesh.envoy import insist_on, trusted_by
from meshinstall.engine.mesh.gateway_pods import GatewayPod
from meshinstall.engine.mesh.large_answers import Beside, parsed
from meshinstall.engine.mesh.route_words import clusters_of, match_words, target_words
from meshinstall.engine.objects.json_fields import at, flag, number, rows, table, text
from meshinstall.errors import ClusterError
from meshinstall.model.gateway_config import Door, GatewayConfig, Listener, Root, Route
from meshinstall.model.mesh import CertificateFacts
from meshinstall.ports import Certificates, Pods

# What is asked, in the order of the answers. Clusters and endpoints, which are most of a dump, are not.
PATHS = (
    "/server_info",
    "/config_dump?resource=dynamic_listeners",
    "/config_dump?resource=dynamic_route_configs",
    "/config_dump?resource=dynamic_active_secrets",
)
# Bytes and values of one answer: a server name takes 15 KiB with some 400 values, a route 2 KiB with 60.
_MAX_ANSWER = 16 * 1024**2
_MAX_VALUES = 1_000_000
# Elements: some wildcards among the server names, and many hosts, would be multiplied.
_MOST = 200_000
# A sidecar's listeners for all traffic.
_CATCH_ALL = frozenset({"virtualInbound", "virtualOutbound"})
_TLS = "envoy.transport_sockets.tls"
_QUIC = "envoy.transport_sockets.quic"
_RAW = frozenset({"", "envoy.transport_sockets.raw_buffer"})
# Istio once wrote each host of a virtual host a second time with the port.
_PORT = re.compile(r"(?<=[^:\]]):\d{1,5}$|(?<=\]):\d{1,5}$")
_ALL_TLS = "ALL"

ReadRoots = Callable[[bytes], tuple[CertificateFacts, ...]]


async def ask_gateway_config(pod: GatewayPod, pods: Pods, certificates: Certificates, beside: Beside) -> GatewayConfig:
    """What a pod's Envoy serves; raises ClusterError where that is not all there, or could not be understood."""
    answers = [answer or b"" for answer in await pods.get_all(*pod.place, pod.admin_port, PATHS)]
    return await beside.read(max(answers, key=len), lambda: read_gateway_config(answers, pod, certificates.read_roots))


def read_gateway_config(answers: Sequence[bytes], pod: GatewayPod, read_roots: ReadRoots) -> GatewayConfig:
    """The answers to ``PATHS``; raises ClusterError for what no Envoy of this pod says, or one that still waits for something."""
    try:
        info, listeners, routes, secrets = (parsed(answer, _MAX_ANSWER, _MAX_VALUES) for answer in answers)
        insist_on(info, pod.place, pod.admin_port)
        held = [one for item in rows(at(listeners, "configs")) if (one := _active(item))]
        tables = {text(at(one, "name")): one for item in rows(at(routes, "configs")) if (one := at(item, "route_config"))}
        found = _Reading(tables, pod.ip)
        for listener in held:
            found.listener(listener)
        named = {text(at(one, "name")): table(at(one, "secret")) for one in rows(at(secrets, "configs"))}
        roots = frozenset(Root(name, one) for name, secret in named.items() for one in _roots(secret, read_roots))
        return GatewayConfig(
            frozenset(found.listeners), frozenset(found.doors), frozenset(found.routes), frozenset(named.keys() - {""}), roots
        )
    except ValueError as error:
        raise ClusterError(f"its Envoy's answer could not be parsed: {error}") from error


def _active(item: Any) -> Any:
    """What a listener does now; one that still waits for a secret or for routes takes no connections."""
    listener = at(item, "active_state", "listener")
    return None if text(at(item, "name")) in _CATCH_ALL else listener


def _roots(secret: Mapping[str, Any], read_roots: ReadRoots) -> Iterator[str]:
    trust = trusted_by(secret.get("validation_context"))
    yield from (one.fingerprint for one in read_roots(trust.pem)) if trust.pem else ()
    yield from trust.unread


class _Reading:
    """The listeners that were read so far, with what they lead to; ``tables`` are route configurations by name."""

    def __init__(self, tables: Mapping[str, Any], ip: str) -> None:
        self.listeners: set[Listener] = set()
        self.doors: set[Door] = set()
        self.routes: set[Route] = set()
        self._tables, self._ip = tables, ip

    def listener(self, listener: Any) -> None:
        """Add one; what only other listeners of the same Envoy call has no address."""
        addresses = [at(listener, "address"), *(at(one, "address") for one in rows(at(listener, "additional_addresses")))]
        chains = [*rows(at(listener, "filter_chains"))]
        chains += [default] if (default := at(listener, "default_filter_chain")) else []
        for address in addresses:
            socket = at(address, "socket_address")
            if socket is None:
                continue
            host = text(at(socket, "address"))
            found = Listener(
                "the pod's address" if host == self._ip else host, number(at(socket, "port_value")), text(at(socket, "protocol")) or "TCP"
            )
            self.listeners.add(found)
            for chain in chains:
                self._chain(found, chain)

    def _chain(self, listener: Listener, chain: Any) -> None:
        names = [text(one).lower() for one in rows(at(chain, "filter_chain_match", "server_names"))] or [""]
        tls = _tls(at(chain, "transport_socket"), at(chain, "filter_chain_match", "transport_protocol"))
        self.doors.update(Door(listener, name, tls) for name in names)
        for part in rows(at(chain, "filters")):
            config = table(at(part, "typed_config"))
            kind = text(config.get("@type")).rpartition(".")[2]
            if kind == "HttpConnectionManager":
                self._http(listener, names, self._table(config))
            elif kind == "TcpProxy":
                self.routes.update(Route(listener, name, "", "connections", clusters_of(config)) for name in names)
        if len(self.doors) + len(self.routes) > _MOST:
            raise ClusterError(f"its Envoy has more than {_MOST} routes and server names")

    def _table(self, manager: Mapping[str, Any]) -> Any:
        """The route configuration of an HttpConnectionManager, which must have come already."""
        if inline := manager.get("route_config"):
            return inline
        name = text(at(manager, "rds", "route_config_name"))
        if name not in self._tables:
            raise ClusterError(f"its Envoy still waits for the route configuration {name}" if name else "its Envoy scopes its routes")
        return self._tables[name]

    def _http(self, listener: Listener, names: Sequence[str], config: Any) -> None:
        for host in rows(at(config, "virtual_hosts")):
            done = [(match_words(at(one, "match")), target_words(one)) for one in rows(at(host, "routes"))]
            if text(at(host, "require_tls")) == _ALL_TLS:
                done.append(("requests without TLS", ("a redirect to https",)))
            for domain in {_PORT.sub("", text(one).lower()) for one in rows(at(host, "domains"))}:
                for name in _leading(names, domain):
                    self.routes.update(Route(listener, name, domain, match, targets) for match, targets in done)


def _leading(names: Iterable[str], domain: str) -> set[str]:
    """The server names of a chain that a client of this host would ask for, and the empty one: a connection carries other hosts, too."""
    return {"", *(name for name in names if _fits(name, domain) or _fits(domain, name))}


def _fits(pattern: str, name: str) -> bool:
    """Whether a name is another, or below its wildcard."""
    return pattern in {name, "*"} or (pattern.startswith("*.") and name.endswith(pattern[1:]))


def _tls(socket: Any, transport: Any) -> str:
    name = text(at(socket, "name"))
    if name in _RAW:
        return "passes TLS through" if text(transport) == "tls" else ""
    if name not in {_TLS, _QUIC}:
        return f"transport {name}"
    context = at(socket, "typed_config")
    context = at(context, "downstream_tls_context") if name == _QUIC else context
    return "asks for client certificates" if flag(at(context, "require_client_certificate")) else "terminates TLS"
