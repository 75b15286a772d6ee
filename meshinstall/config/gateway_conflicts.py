"""Finds gateways that cannot be beside each other: of one name or selector in a namespace, or of one port of the nodes.

Source: the gateway chart's templates/_helpers.tpl.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from meshinstall import catalog
from meshinstall.errors import Problem
from meshinstall.model.desired import Release
from meshinstall.model.release import Component
from meshinstall.model.revision import istiod_release
from meshinstall.model.values import KeyPath, Values, value_at


@dataclass(frozen=True, slots=True)
class _Identity:
    """What the chart names the objects of a gateway, and how its Service, if it has one, finds its pods."""

    name: str
    selector: tuple[str, str]
    has_service: bool


def check_gateway_names(releases: Iterable[Release]) -> Iterator[Problem]:
    """Refuse a second gateway of one name, or of one selector, in a namespace, and of one port of the nodes in the cluster."""
    releases = tuple(releases)
    revisions = [_text(release.values.merged().get("revision")) for release in releases if release.component is Component.ISTIOD]
    istiods = {istiod_release(revision) for revision in revisions or [""]}
    seen: list[tuple[Release, _Identity]] = []
    taken_ports: dict[tuple[int, str], Release] = {}
    for release in releases:
        if release.component is not Component.GATEWAY:
            continue
        identity = _identify(release)
        if release.key.namespace == catalog.MESH_NAMESPACE and identity.name in istiods:
            yield _problem("name", f"the gateway {release.key} would have the name of istiod's own objects", "choose another name", release)
        for other, taken in seen:
            if other.key.namespace == release.key.namespace:
                yield from _compare(release, identity, other, taken)
        seen.append((release, identity))
        yield from _check_node_ports(release, taken_ports)


def _check_node_ports(release: Release, taken: dict[tuple[int, str], Release]) -> Iterator[Problem]:
    """A port of the nodes belongs to one Service of the whole cluster; ``taken`` are those of the gateways before."""
    for path, port, protocol in _node_ports(release.values.merged()):
        other = taken.setdefault((port, protocol), release)
        if other is not release:
            origin = release.values.origin(path)
            yield origin.problem(f"node port {port} is that of gateway {other.key} too", "give one of the gateways another port")


def _node_ports(values: Values) -> Iterator[tuple[KeyPath, int, str]]:
    """Ports of the nodes that the Service of a gateway asks for, with their paths and protocols."""
    kind = value_at(values, ("service", "type"), "LoadBalancer")
    ports = value_at(values, ("service", "ports"))
    # A tuple: what is written there may be a map.
    if kind not in ("LoadBalancer", "NodePort"):
        return
    for number, port in enumerate(ports if isinstance(ports, list) else ()):
        if isinstance(port, Mapping) and isinstance(port.get("nodePort"), int) and port["nodePort"]:
            yield ("service", "ports", str(number), "nodePort"), port["nodePort"], str(port.get("protocol") or "TCP")
    if isinstance(health := value_at(values, ("service", "healthCheckNodePort")), int) and health:
        yield ("service", "healthCheckNodePort"), health, "TCP"


def _compare(release: Release, identity: _Identity, other: Release, taken: _Identity) -> Iterator[Problem]:
    pair = f"the gateways {other.key} and {release.key}"
    if identity.name == taken.name:
        text = f"{pair} have one name for their objects: {identity.name}"
        yield _problem("name", text, "give one of them another name", release, other)
    elif identity.selector == taken.selector and identity.has_service and taken.has_service:
        app, istio = identity.selector
        text = f"{pair} select each other's pods: both have the labels app={app} and istio={istio}"
        yield _problem("labels", text, "give one of them other labels, or another namespace", release, other)


def _identify(release: Release) -> _Identity:
    values = release.values.merged()
    name = _text(values.get("name")) or _text(value_at(values, ("global", "name"))) or release.key.name
    labels = [_text(value_at(values, ("labels", key))) for key in ("app", "istio")]
    # Pods of a new revision join an old gateway's Service when theirs has the type None (istio.io: Upgrading Gateways).
    has_service = value_at(values, ("service", "type")) != "None"
    return _Identity(name, (labels[0] or name, labels[1] or name.removeprefix("istio-")), has_service)


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _problem(key: str, text: str, hint: str, *releases: Release) -> Problem:
    """The mistake at the line of ``key``, of the first release that sets it."""
    spoken = next((found[-1] for release in releases if (found := release.values.explain((key,)))), None)
    if spoken is None:
        return Problem(f"gateway {releases[0].key.name}", 0, 0, text, hint)
    return spoken.origin.problem(text, hint)
