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
from meshinstall.model.mesh import AsProxy, Outbound, PortRange

INIT = "istio-init"
_VALIDATION = "istio-validation"
# The first interface of a pod, whatever the CNI.
INTERFACE = "eth0"
NOTHING: frozenset[str] = frozenset()
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
_OTHERS = ("-n", "-p", "-r", "-t", "-z")
_GROUPS, _NOT_GROUPS = "ISTIO_OUTBOUND_OWNER_GROUPS", "ISTIO_OUTBOUND_OWNER_GROUPS_EXCLUDE"
# What the CNI plugin leaves out in any case, and what it does where no annotation says otherwise
# (istio: cni/pkg/plugin/sidecar_redirect.go).
_CNI_NOT_INBOUND = "15020,15021,15090"
_CNI: Mapping[str, str] = {"-b": _ALL, "-i": _ALL, "-o": "15020"}


@dataclass(frozen=True, slots=True)
class Redirection:
    """Arguments of istio-iptables, by their short flags; ``groups`` and ``not_groups`` are those of containers, None for all groups."""

    given: Mapping[str, str]
    groups: frozenset[str] | None = None
    not_groups: frozenset[str] = frozenset()

    @property
    def is_on(self) -> bool:
        """Whether it redirects at all."""
        return self.given.get("-m") != "NONE" and INTERFACE not in self.interfaces

    @property
    def interfaces(self) -> tuple[str, ...]:
        """Interfaces that it leaves alone."""
        return _listed(self.given.get("-c", ""))

    @property
    def virtual(self) -> tuple[str, ...]:
        """Interfaces of virtual machines in the pod: what arrives there is taken for outbound traffic."""
        return _listed(self.given.get("-k", ""))


def redirection(spec: Mapping[str, Any]) -> Redirection | None:
    """How a pod's traffic is redirected; None when nothing redirects it. The CNI plugin leaves pods with an istio-init alone."""
    containers = {text(at(one, "name")): one for one in rows(spec.get("initContainers"))}
    if init := containers.get(INIT):
        given, environment = _given(rows(at(init, "args"))), variables(init)
        found = {flag: environment[name] for flag, name in _VARIABLES.items() if name in environment} | given
        groups = environment.get(_GROUPS, _ALL)
        excluded = frozenset(_listed(environment.get(_NOT_GROUPS, ""))) if groups == _ALL else NOTHING
        return Redirection(found, None if groups == _ALL else frozenset(_listed(groups)), excluded)
    if check := containers.get(_VALIDATION):
        given = _given(rows(at(check, "args")))
        context = table(at(_proxy(spec), "securityContext"))
        left_out = f"{given.get('-d', '')},{_CNI_NOT_INBOUND}"
        own = {"-u": str(number(context.get("runAsUser")) or ""), "-g": str(number(context.get("runAsGroup")) or _PROXY_USER)}
        return Redirection(dict(_CNI) | given | own | {"-d": left_out})
    return None


def outbound(spec: Mapping[str, Any], lasting: Iterable[Any]) -> Outbound:
    """What of a pod's own connections is redirected; ``lasting`` are its containers that run as long as the pod."""
    found = redirection(spec)
    if found is None or not found.is_on:
        return Outbound(captured=False)
    given = found.given
    include = given.get("-i", "")
    pod = table(spec.get("securityContext"))
    mine = [one for one in lasting if text(at(one, "name")) != PROXY_CONTAINER]
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
            found.append(str(ip_network(one.strip(), strict=False)))
        except ValueError:
            continue
    return tuple(found)


def variables(container: Any) -> dict[str, str]:
    """A container's environment, as far as its values stand there."""
    return {text(at(one, "name")): text(at(one, "value")) for one in rows(at(container, "env"))}


def _listed(value: str) -> tuple[str, ...]:
    return tuple(filter(None, value.split(",")))


def _given(args: Iterable[Any]) -> dict[str, str]:
    """Flags with their values; what stands after a flag is its value, whatever it looks like."""
    found: dict[str, str] = {}
    rest = iter([text(one) for one in args])
    for one in rest:
        if one in _VARIABLES or one in _OTHERS:
            found[one] = next(rest, "").strip()
    return found


def _proxy(spec: Mapping[str, Any]) -> Any:
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
    yield from (one.strip() if one.strip().isdecimal() else _PROXY_USER for one in _listed(listed))


def _id(container: Any, pod: Mapping[str, Any], field: str) -> str:
    """Empty when the spec leaves it to the image."""
    own = at(container, "securityContext", field)
    value = pod.get(field) if own is None else own
    return "" if value is None else str(number(value))
