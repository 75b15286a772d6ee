"""Judges whether the connections of a pod's own applications enter its proxy, as istio-iptables decides it; pure."""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from meshinstall.checks.words import some
from meshinstall.model.mesh import Outbound, Pod, PortRange

_Address = IPv4Address | IPv6Address


def passes_by(pod: Pod, address: str, port: int) -> str:
    """Why a TCP connection of a sidecar's own pod to an address and port outside of it does not enter its proxy; empty when it does.

    The address is the one that the application connects to, such as a Service's. Of an address that cannot be parsed only the port
    counts. The rules and their order are those of istio: tools/istio-iptables/pkg/capture/run.go.
    """
    rules = pod.outbound
    if pod.host_network:
        return "its pod uses the node's network (hostNetwork), where nothing redirects its connections to its proxy"
    if not rules.captured:
        why = "interceptionMode NONE, no istio-init that sets rules, or its interface is excluded"
        return f"nothing redirects its connections to its proxy ({why})"
    if _holds(rules.not_ports, port):
        return f"connections to port {port} bypass its proxy (excludeOutboundPorts)"
    target = _parsed(address)
    if pod.one_family and isinstance(target, IPv6Address):
        return "it has IPv4 and IPv6 addresses; without Istio's dual stack its connections over IPv6 bypass its proxy"
    return (_left_out(rules, target, port) if target else "") or _by_container(rules)


def may_pass_by(pod: Pod) -> str:
    """Why it cannot be told from a sidecar's pod whether its applications' connections enter its proxy; empty when it can."""
    if pod.outbound.interfaces:
        return f"connections that leave by its interface {some(pod.outbound.interfaces)} bypass its proxy (excludeInterfaces)"
    if pod.outbound.unread:
        return pod.outbound.unread
    if pod.outbound.unsure:
        return f"istio-iptables redirects single groups alone, and the group of its container {some(pod.outbound.unsure)} is unknown"
    return ""


def _left_out(rules: Outbound, target: _Address, port: int) -> str:
    if _within(rules.not_networks, target):
        return f"connections to {target} bypass its proxy (excludeOutboundIPRanges)"
    if rules.networks is None or _within(rules.networks, target):
        return ""
    if _holds(rules.ports, port) and not rules.virtual:
        return ""
    if not rules.networks and not rules.ports:
        return "all its connections bypass its proxy (includeOutboundIPRanges is empty)"
    return f"connections to {target} port {port} bypass its proxy (includeOutboundIPRanges, includeOutboundPorts)"


def _by_container(rules: Outbound) -> str:
    if not rules.as_proxy:
        return ""
    one = len(rules.as_proxy) == 1
    names = some(f"{container.container} ({container.user})" for container in rules.as_proxy)
    return f"its container{'' if one else 's'} {names} {'has' if one else 'have'} a user or group that istio-iptables does not redirect"


def _parsed(address: str) -> _Address | None:
    try:
        return ip_address(address)
    except ValueError:
        return None


def _within(networks: Iterable[str], target: _Address) -> bool:
    return any(target in _network(one) for one in networks)


def within(network: str, address: str) -> bool:
    """Whether a network holds an address; what is not one holds nothing."""
    target = _parsed(address)
    try:
        return target is not None and target in _network(network)
    except ValueError:
        return False


# All pods have the same few, and each port of a mesh is held against them.
@lru_cache(maxsize=1000)
def _network(text: str) -> IPv4Network | IPv6Network:
    return ip_network(text, strict=False)


def _holds(ranges: Iterable[PortRange], port: int) -> bool:
    return any(one.first <= port <= one.last for one in ranges)
