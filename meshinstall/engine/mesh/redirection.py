"""Reads which of a pod's traffic is redirected to its proxy: the arguments of istio-iptables, and who runs as the proxy does; pure.

Istio's init container redirects; where the CNI plugin does, a container with the same arguments only checks that it has. Nobody can
change them afterwards, as the annotations that they were made of can be (istio: manifests/charts/.../files/injection-template.yaml).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from typing import Any

from meshinstall.engine.objects.json_fields import at, number, rows, table, text
from meshinstall.model.istio import PROXY_CONTAINER
from meshinstall.model.mesh import PROXY_PORTS, TUNNEL_PORT, AsProxy, Outbound, Port, PortRange

INIT = "istio-init"
VALIDATION = "istio-validation"
# The first interface of a pod, whatever the CNI.
_INTERFACE = "eth0"
# Nobody arrives there from outside.
_LOOPBACK = "lo"
_ALL = "*"
_LOWEST, _HIGHEST = 1, 65535
# The proxy's own user and group, where nobody says another (istio: tools/istio-iptables/pkg/constants/constants.go).
_PROXY_USER = "1337"
# Environment variables of istio-init, which proxyMetadata sets, for the arguments that stand on no command line
# (istio: pkg/flag/flag.go, tools/istio-iptables/pkg/cmd/root.go).
_VARIABLES: Mapping[str, str] = {
    "-b": "ISTIO_INBOUND_PORTS",
    "-c": "ISTIO_EXCLUDE_INTERFACES",
    "-d": "ISTIO_LOCAL_EXCLUDE_PORTS",
    "-e": "INBOUND_TUNNEL_PORT",
    "-g": "PROXY_GID",
    "-i": "ISTIO_SERVICE_CIDR",
    "-k": "KUBE_VIRT_INTERFACES",
    "-m": "ISTIO_INBOUND_INTERCEPTION_MODE",
    "-o": "ISTIO_LOCAL_OUTBOUND_PORTS_EXCLUDE",
    "-q": "ISTIO_OUTBOUND_PORTS",
    "-u": "PROXY_UID",
    "-x": "ISTIO_SERVICE_EXCLUDE_CIDR",
}
_OTHERS = ("-p", "-r", "-t", "-z")
_LONG: Mapping[str, str] = {f"--{name.lower().replace('_', '-')}": flag for flag, name in _VARIABLES.items()}
_PROGRAM = "istio-iptables"
_AGENTS = ("pilot-agent", "/usr/local/bin/pilot-agent")
# With one of them istio-iptables sets no rule, or none in the pod.
_IDLE = ("DRY_RUN", "SKIP_RULE_APPLY", "CLEANUP_ONLY")
_IDLE_FLAGS = ("-n", "--dry-run", "--skip-rule-apply", "--cleanup-only", "--network-namespace")
_ELSEWHERE = "NETWORK_NAMESPACE"
_FALSE = frozenset({"", "0", "f", "F", "false", "FALSE", "False"})
_GROUPS, _NOT_GROUPS = "ISTIO_OUTBOUND_OWNER_GROUPS", "ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE"
# What the CNI plugin leaves out in any case, and what it does where no annotation says otherwise
# (istio: cni/pkg/plugin/sidecar_redirect.go).
_CNI_NOT_INBOUND = "15020,15021,15090"
_TRAFFIC = "traffic.sidecar.istio.io"
PLUGIN_READS: Mapping[str, str] = {
    "-b": f"{_TRAFFIC}/includeInboundPorts",
    "-c": f"{_TRAFFIC}/excludeInterfaces",
    "-d": f"{_TRAFFIC}/excludeInboundPorts",
    "-i": f"{_TRAFFIC}/includeOutboundIPRanges",
    "-m": "sidecar.istio.io/interceptionMode",
    "-o": f"{_TRAFFIC}/excludeOutboundPorts",
    "-q": f"{_TRAFFIC}/includeOutboundPorts",
    "-x": f"{_TRAFFIC}/excludeOutboundIPRanges",
}
_CNI: Mapping[str, str] = {"-b": _ALL, "-i": _ALL, "-o": "15020"}


@dataclass(frozen=True, slots=True)
class Capture:
    """Which inbound ports are redirected to the proxy: those of ``include``, None for all, but never those of ``exclude``."""

    include: tuple[PortRange, ...] | None = None
    exclude: tuple[PortRange, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether no port is."""
        return self.include == ()

    @property
    def leaves_out_others(self) -> bool:
        """Whether it also leaves out ports that nobody declared, more than can be listed."""
        return bool(self.include) or any(one.first != one.last for one in self.exclude)

    def bypassed(self, ports: Iterable[Port]) -> tuple[int, ...]:
        """Ports for TCP, the only protocol that is ever redirected, that nothing redirects, as far as they are known.

        The proxy's own are among them only where somebody declares them or sends there.
        """
        known = {port.number for port in ports if port.protocol == "TCP"}
        named = {one.first for one in self.exclude if one.first == one.last} - PROXY_PORTS
        return tuple(sorted(port for port in known | named if self.leaves_out(port)))

    def leaves_out(self, port: int) -> bool:
        """Whether traffic to a port is not redirected."""
        return _holds(self.exclude, port) or (self.include is not None and not _holds(self.include, port))


@dataclass(frozen=True, slots=True)
class Redirection:
    """Arguments of istio-iptables, by their short flags; ``groups`` and ``not_groups`` are those of containers, None for all groups."""

    given: Mapping[str, str]
    groups: frozenset[str] | None = None
    not_groups: frozenset[str] = frozenset()

    @property
    def is_on(self) -> bool:
        """Whether it redirects at all."""
        return self.given.get("-m") != "NONE" and not any(map(_is_first, _listed(self.given.get("-c", ""))))

    @property
    def interfaces(self) -> tuple[str, ...]:
        """Interfaces that it leaves alone."""
        return tuple(one for one in _listed(self.given.get("-c", "")) if one != _LOOPBACK)

    @property
    def virtual(self) -> tuple[str, ...]:
        """Interfaces of virtual machines in the pod: what arrives there is treated as outbound traffic."""
        return _listed(self.given.get("-k", ""))


def redirection(spec: Mapping[str, Any]) -> Redirection | None:
    """How a pod's traffic is redirected; None when nothing redirects it. The CNI plugin leaves pods with an istio-init alone."""
    containers = init_containers(spec)
    if init := containers.get(INIT):
        given, environment = arguments(rows(at(init, "args"))), variables(init)
        if not _sets_rules(init, environment):
            return None
        found = {flag: environment[name] for flag, name in _VARIABLES.items() if name in environment} | given
        groups = environment.get(_GROUPS, _ALL)
        excluded = frozenset(_listed(environment.get(_NOT_GROUPS, ""))) if groups == _ALL else frozenset()
        return Redirection(found, None if groups == _ALL else frozenset(_listed(groups)), excluded)
    if check := containers.get(VALIDATION):
        given = arguments(rows(at(check, "args")))
        context = table(at(proxy_container(spec), "securityContext"))
        left_out = f"{given.get('-d', '')},{_CNI_NOT_INBOUND}"
        own = {"-u": str(number(context.get("runAsUser")) or ""), "-g": str(number(context.get("runAsGroup")) or _PROXY_USER)}
        return Redirection(dict(_CNI) | given | own | {"-d": left_out})
    return None


def inbound(spec: Mapping[str, Any]) -> Capture:
    """Which of a sidecar's inbound ports are redirected (istio: tools/istio-iptables/pkg/capture/run.go)."""
    found = redirection(spec)
    if found is None or not found.is_on:
        return Capture(include=())
    given = found.given
    # With REDIRECT tunnels come first, whatever else is said; the rule for them is not in the table that TPROXY uses.
    tunnel = () if given.get("-m") == "TPROXY" else ranges(given.get("-e", str(TUNNEL_PORT)))
    if (include := given.get("-b", "")) != _ALL:
        return Capture(ranges(include), tunnel)
    return Capture(exclude=(*ranges(given.get("-d", "")), *tunnel))


def interfaces(spec: Mapping[str, Any]) -> tuple[str, ...]:
    """Interfaces beside the first one where inbound traffic is not redirected to the proxy as such."""
    found = redirection(spec)
    return (*found.interfaces, *found.virtual) if found else ()


def outbound(spec: Mapping[str, Any], senders: Iterable[Any]) -> Outbound:
    """What of a pod's own connections is redirected; ``senders`` are its containers that connect to others."""
    found = redirection(spec)
    if found is None or not found.is_on:
        return Outbound(captured=False)
    given = found.given
    include = given.get("-i", "")
    pod = table(spec.get("securityContext"))
    mine = [one for one in senders if text(at(one, "name")) != PROXY_CONTAINER]
    return Outbound(
        networks=None if include == _ALL else networks(include),
        not_networks=networks(given.get("-x", "")),
        ports=ranges(given.get("-q", "")),
        not_ports=ranges(given.get("-o", "")),
        as_proxy=tuple(one for container in mine if (one := _as_proxy(container, pod, found))),
        unsure=tuple(text(at(one, "name")) for one in mine if found.groups is not None and not _id(one, pod, "runAsGroup")),
        interfaces=found.interfaces,
        virtual=bool(found.virtual),
    )


def ranges(listed: str) -> tuple[PortRange, ...]:
    """Ports as iptables reads them: 80, and 8000:8010 for those between; it takes no others."""
    found = []
    for one in _listed(listed):
        first, colon, last = (part.strip() for part in one.partition(":"))
        low, high = first or str(_LOWEST), last or (str(_HIGHEST) if colon else first)
        if low.isdecimal() and high.isdecimal():
            found.append(PortRange(int(low), int(high)))
    return tuple(sorted(found))


def networks(listed: str) -> tuple[str, ...]:
    """Networks, without those that istio-iptables would stop at."""
    found = []
    for one in _listed(listed):
        try:
            found.append(str(ip_network(one, strict=False)))
        except ValueError:
            continue
    return tuple(found)


def variables(container: Any) -> dict[str, str]:
    """A container's environment, as far as its values stand there."""
    return {text(at(one, "name")): text(at(one, "value")) for one in rows(at(container, "env"))}


def _listed(value: str) -> tuple[str, ...]:
    return tuple(filter(None, (one.strip() for one in value.split(","))))


def _is_first(interface: str) -> bool:
    """Whether iptables matches the pod's first interface with it: a plus is any rest of a name."""
    return _INTERFACE.startswith(interface[:-1]) if interface.endswith("+") else interface == _INTERFACE


def _holds(ports: Iterable[PortRange], port: int) -> bool:
    return any(one.first <= port <= one.last for one in ports)


def arguments(args: Iterable[Any]) -> dict[str, str]:
    """Flags with their values, which stand after them or after an equals sign; the last of each counts (github.com/spf13/pflag)."""
    found: dict[str, str] = {}
    rest = iter([text(one) for one in args])
    for one in rest:
        name, equals, value = one.partition("=")
        flag = _LONG.get(name, name)
        if not one.startswith("--") and one[:2] in _VARIABLES and len(one) > 2:  # noqa: PLR2004 - a dash and a letter
            flag, equals, value = one[:2], "=", one[2:].removeprefix("=")
        if flag in _VARIABLES or flag in _OTHERS:
            found[flag] = (value if equals else next(rest, "")).strip()
    return found


def _sets_rules(init: Any, environment: Mapping[str, str]) -> bool:
    """Whether it is istio-iptables at work: who writes a pod may put another command there, or tell it to change nothing."""
    command, args = ([text(one) for one in rows(at(init, key))] for key in ("command", "args"))
    words = args if not command or command in ([agent] for agent in _AGENTS) else command
    if words[:1] != [_PROGRAM]:
        return False
    told = {name for name, equals, value in (one.partition("=") for one in words) if not (equals and value in _FALSE)}
    idle = any(environment.get(name, "") not in _FALSE for name in _IDLE) or bool(environment.get(_ELSEWHERE))
    return not idle and told.isdisjoint(_IDLE_FLAGS)


def init_containers(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A pod's init containers by their names."""
    return {text(at(one, "name")): one for one in rows(spec.get("initContainers"))}


def proxy_container(spec: Mapping[str, Any]) -> Any:
    """The container of a pod's proxy, None without one."""
    both = (*rows(spec.get("containers")), *rows(spec.get("initContainers")))
    return next((one for one in both if text(at(one, "name")) == PROXY_CONTAINER), None)


def _as_proxy(container: Any, pod: Mapping[str, Any], found: Redirection) -> AsProxy | None:
    """A container whose connections are left alone for its user or primary group, the two that iptables compares.

    Supplemental groups and fsGroup are not compared (Linux: net/netfilter/xt_owner.c). What an image sets is not known here.
    """
    users = frozenset(_numbered(found.given.get("-u", ""))) or {_PROXY_USER}
    groups = frozenset(_numbered(found.given.get("-g", ""))) or users
    user, group = _id(container, pod, "runAsUser"), _id(container, pod, "runAsGroup")
    not_asked = found.groups is not None and bool(group) and group not in found.groups
    if user in users:
        return AsProxy(text(at(container, "name")), f"UID {user}")
    if group in groups or group in found.not_groups or not_asked:
        return AsProxy(text(at(container, "name")), f"GID {group}")
    return None


def _numbered(listed: str) -> Iterator[str]:
    """Users as numbers; the one that istio-iptables' image has a name for is the proxy's."""
    yield from (one if one.isdecimal() else _PROXY_USER for one in _listed(listed))


def _id(container: Any, pod: Mapping[str, Any], field: str) -> str:
    """Empty when the spec leaves it to the image."""
    own = at(container, "securityContext", field)
    value = pod.get(field) if own is None else own
    return "" if value is None else str(number(value))
