"""Turns pods into facts of a mesh: their data plane, their ports, and the ports that bypass the proxy; pure."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any

from meshinstall.checks.words import some
from meshinstall.engine.mesh.kube_objects import Service, Slice, labels, place
from meshinstall.engine.mesh.plain_callers import kubelet_ports, scraped_ports
from meshinstall.engine.mesh.pod_status import is_ending, is_ready, restarts
from meshinstall.engine.mesh.proxy_config import admin_port, metrics_port
from meshinstall.engine.mesh.recipes import labelled, recipe
from meshinstall.engine.mesh.redirection import INIT, VALIDATION, Capture, inbound, interfaces, outbound, variables
from meshinstall.engine.mesh.redirectors import unread
from meshinstall.engine.objects.json_fields import MalformedError, at, flag, number, rows, table, text, texts
from meshinstall.model.istio import ENVOY_ADMIN_PORT, ISTIOD_APP, ISTIOD_CONTAINER, PROXY_CONTAINER, SYSTEM_NAMESPACE
from meshinstall.model.labels import REDIRECTION, REVISION, STATUS
from meshinstall.model.mesh import PROXY_PORTS, Dataplane, Outbound, Place, Pod, Port, ServiceFacts
from meshinstall.model.release import Manifest

_AGENTGATEWAY = "agentgateway"
_MANAGED = "gateway.istio.io/managed"
# Redirects both families (istio: tools/istio-iptables/pkg/cmd/root.go, cni/pkg/plugin/sidecar_redirect.go).
_DUAL_STACK = ("DUAL_STACK", "ISTIO_DUAL_STACK")
# Where a sidecar takes redirected traffic: what is sent there itself goes nowhere.
_REDIRECTED_TO = (15001, 15006)
_BYPASS_AMBIENT = "ambient.istio.io/bypass-inbound-capture"
# What the proxy's container is started as.
_ZTUNNEL = ["ztunnel"]
_DONE = ("Succeeded", "Failed")
_OF_ISTIO = (INIT, VALIDATION)
# A kind, and a DNS subdomain (kubernetes: apimachinery/pkg/util/validation).
_KIND = re.compile(r"[A-Za-z][A-Za-z0-9]{0,62}")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LONGEST_NAME = 253
# Long, and said elsewhere.
_DROPPED = (STATUS, "proxy.istio.io/overrides")
_ISTIO = "istio.io/"


@dataclass(frozen=True, slots=True)
class PodSeen:
    """A pod before the Services are known that send to it; ``own`` are ports of its proxy, which count where a Service names them.

    ``by_default``: its Envoy answers where the mesh's default says; ``misread``: what its proxy is told could not be parsed.
    """

    pod: Pod
    capture: Capture
    own: tuple[Port, ...] = ()
    by_default: bool = True
    misread: bool = False


def pod(item: Manifest, planes: AbstractSet[str]) -> PodSeen | None:
    """A pod with the ports that it declares, None when it is done; ``planes`` are the namespaces of istiods."""
    spec, phase = table(at(item, "spec")), text(at(item, "status", "phase"))
    if phase in _DONE:
        return None
    containers = {text(at(one, "name")): one for one in _lasting(spec)}
    annotations = texts(at(item, "metadata", "annotations"))
    kind = _dataplane(item, containers, annotations, planes)
    capture = _capture(spec, annotations, kind)
    host_network = flag(spec.get("hostNetwork"))
    carrier = containers.get(PROXY_CONTAINER) or containers.get(_AGENTGATEWAY)
    own = tuple(port for port in _declared([carrier]) if port.number in PROXY_PORTS)
    admin, garbled = _admin(carrier)
    found = Pod(
        place=place(item),
        workload=workload(item),
        dataplane=kind,
        service_account=text(spec.get("serviceAccountName")) or "default",
        ip=text(at(item, "status", "podIP")),
        ports=_ports(port for port in _declared(containers.values()) if port not in own),
        labels=labels(item),
        annotations={name: value for name, value in annotations.items() if _ISTIO in name and name not in _DROPPED},
        revision=annotations.get(REVISION) or labels(item).get(REVISION, ""),
        running=phase == "Running" and not is_ending(item),
        shared=kind is Dataplane.GATEWAY and any(one is not carrier for one in containers.values()),
        active=phase == "Running" or any(at(one, "state", "running") for one in rows(at(item, "status", "initContainerStatuses"))),
        host_network=host_network,
        captured=not host_network and not capture.is_empty,
        bypassed=_beside(containers.values(), carrier) if kind is Dataplane.GATEWAY else (),
        one_family=kind is Dataplane.SIDECAR and _has_both_families(item) and not _is_dual_stack(spec, carrier),
        admin_port=admin or ENVOY_ADMIN_PORT,
        metrics_port=_metrics_port(carrier, capture) if kind is Dataplane.SIDECAR else 0,
        interfaces=interfaces(spec) if kind is Dataplane.SIDECAR else (),
        outbound=_outbound(item, containers.values(), annotations) if kind is Dataplane.SIDECAR else Outbound(),
        kubelet=kubelet_ports(spec, annotations, kind),
        scraped=scraped_ports(annotations, kind),
        more_ips=tuple(text(at(one, "ip")) for one in rows(at(item, "status", "podIPs"))[1:]),
        ready=is_ready(item),
        ending=is_ending(item),
        restarts=restarts(item),
        recipe=recipe(item),
        labelled=labelled(item),
    )
    return PodSeen(found, capture, own, by_default=admin is None and not garbled, misread=garbled)


def _outbound(item: Manifest, containers: Iterable[Any], annotations: Mapping[str, str]) -> Outbound:
    spec = table(at(item, "spec"))
    found = outbound(spec, (*containers, *_passing(item)))
    return replace(found, unread=unread(spec, annotations)) if found.captured else found


def _metrics_port(carrier: Any, capture: Capture) -> int:
    """Where it is redirected, policies decide who may read it."""
    port = metrics_port(carrier)
    return port if capture.leaves_out(port) else 0


def settled(seen: Iterable[PodSeen], defaults: Mapping[str, int]) -> list[PodSeen]:
    """Pods with the admin port of their mesh where they have none of their own; ``defaults`` are by revision, the first for others."""
    first = next(iter(defaults.values()), ENVOY_ADMIN_PORT)
    return [replace(one, pod=replace(one.pod, admin_port=defaults.get(one.pod.revision, first))) if one.by_default else one for one in seen]


def misread(seen: Iterable[PodSeen]) -> tuple[str, ...]:
    """What of them could not be parsed, in one sentence, however many they are."""
    found = [str(one.pod.place) for one in seen if one.misread]
    said = f"PROXY_CONFIG of some pods could not be parsed, so their Envoys are asked on port {ENVOY_ADMIN_PORT}: {some(found)}"
    return (said,) if found else ()


def _admin(carrier: Any) -> tuple[int | None, bool]:
    try:
        return admin_port(carrier), False
    except MalformedError:
        return None, True


def joined(
    seen: Iterable[PodSeen], services: Iterable[Service], slices: Iterable[Slice] = ()
) -> tuple[tuple[Pod, ...], tuple[ServiceFacts, ...]]:
    """Pods with the ports that Services send to, and Services with the numbers of the ports that they name.

    A name that differs between the pods of a Service is the number of the first, and then those of the others.
    """
    ends: dict[Place, list[Slice]] = defaultdict(list)
    for some_ends in slices:
        ends[some_ends.service].append(some_ends)
    by_namespace: dict[str, list[Service]] = defaultdict(list)
    for service in services:
        by_namespace[service.place.namespace].append(service)
    numbers: dict[Place, dict[int, list[int]]] = defaultdict(dict)
    given = {
        service.place: tuple(_ends(service, ends[service.place]))
        for group in by_namespace.values()
        for service in group
        if service.place in ends
    }
    reached: dict[str, list[Port]] = defaultdict(list)
    for address, _, port in (end for each in given.values() for end in each):
        reached[address].append(Port(port))
    pods = []
    for one in seen:
        mine = [service for service in by_namespace[one.pod.place.namespace] if _selects(service.selector, one.pod.labels)]
        for service in mine:
            _resolve(service, one, numbers[service.place])
        more = [port for ip in (one.pod.ip, *one.pod.more_ips) if ip for port in reached.get(ip, ())]
        pods.append(_with_ports(one, mine, more))
    facts = (_facts(service, numbers[service.place], given.get(service.place, ())) for group in by_namespace.values() for service in group)
    return tuple(pods), tuple(facts)


def _facts(service: Service, numbers: Mapping[int, Sequence[int]], ends: tuple[tuple[str, int, int], ...]) -> ServiceFacts:
    ports = _numeric(service) | {port: found[0] for port, found in numbers.items()}
    more = {port: tuple(found[1:]) for port, found in numbers.items() if found[1:]}
    return ServiceFacts(service.place, service.selector, ports, service.type, service.addresses, ends, more)


def _ends(service: Service, slices: Iterable[Slice]) -> Iterator[tuple[str, int, int]]:
    """Addresses of slices with the Service's own port and the one there, which have one name."""
    for one in slices:
        for port in service.ports:
            if port.protocol == "TCP" and port.name in one.ports:
                yield from ((address, port.number, one.ports[port.name]) for address in one.addresses)


def _selects(selector: Mapping[str, str], found: Mapping[str, str]) -> bool:
    return bool(selector) and selector.items() <= found.items()


def _resolve(service: Service, one: PodSeen, numbers: dict[int, list[int]]) -> None:
    for port, found in _named(service, one):
        known = numbers.setdefault(port, []) if found.protocol == "TCP" else [found.number]
        if found.number not in known:
            known.append(found.number)


def _named(service: Service, one: PodSeen) -> Iterator[tuple[int, Port]]:
    """Of the ports that a Service sends to by name, its own and the pod's."""
    names = {(port.name, port.protocol): port for port in (*one.own, *one.pod.ports)}
    for port in service.ports:
        if (port.target, port.protocol) in names:
            yield port.number, names[str(port.target), port.protocol]


def _numeric(service: Service) -> dict[int, int]:
    return {port.number: port.target for port in service.ports if isinstance(port.target, int) and port.protocol == "TCP"}


def _with_ports(one: PodSeen, services: Sequence[Service], more: Sequence[Port]) -> Pod:
    sent = [Port(port.target, "", port.protocol) for service in services for port in service.ports if isinstance(port.target, int)]
    sent += [*(port for service in services for _, port in _named(service, one)), *more]
    if one.pod.dataplane is not Dataplane.SIDECAR:
        # Every gateway's Service sends to the proxy's own ports.
        ours = PROXY_PORTS if one.pod.dataplane is Dataplane.GATEWAY else frozenset()
        return replace(one.pod, ports=_ports((*one.pod.ports, *(port for port in sent if port.number not in ours))))
    ports = _ports(port for port in (*one.pod.ports, *sent) if port.number not in _REDIRECTED_TO)
    return replace(one.pod, ports=ports, bypassed=one.capture.bypassed(ports), others_bypassed=one.capture.leaves_out_others)


def _ports(ports: Iterable[Port]) -> tuple[Port, ...]:
    """Each port once."""
    found: dict[tuple[int, str], Port] = {}
    for port in ports:
        found.setdefault((port.number, port.protocol), port)
    return tuple(found[key] for key in sorted(found))


def _lasting(spec: Mapping[str, Any]) -> Iterator[Any]:
    """The containers that run as long as the pod: sidecars of Kubernetes' own kind are init containers that are restarted."""
    yield from (one for one in rows(spec.get("initContainers")) if at(one, "restartPolicy") == "Always")
    yield from rows(spec.get("containers"))


def _passing(item: Manifest) -> Iterator[Any]:
    """Containers that run for a time: those that every start of the pod begins with, and those for debugging that run now."""
    spec = table(at(item, "spec"))
    yield from (
        one for one in rows(spec.get("initContainers")) if at(one, "restartPolicy") != "Always" and at(one, "name") not in _OF_ISTIO
    )
    found = rows(at(item, "status", "ephemeralContainerStatuses"))
    running = {text(at(one, "name")) for one in found if at(one, "state", "running")}
    yield from (one for one in rows(spec.get("ephemeralContainers")) if at(one, "name") in running)


def _declared(containers: Iterable[Any]) -> Iterator[Port]:
    for container in containers:
        for port in rows(at(container, "ports")):
            yield Port(number(at(port, "containerPort")), text(at(port, "name")), text(at(port, "protocol")) or "TCP")


def _beside(containers: Iterable[Any], carrier: Any) -> tuple[int, ...]:
    """The ports of a gateway's other containers: nothing redirects those to its proxy."""
    declared = _ports(_declared(one for one in containers if one is not carrier))
    return tuple(port.number for port in declared if port.protocol == "TCP")


def _dataplane(item: Manifest, containers: Mapping[str, Any], annotations: Mapping[str, str], planes: AbstractSet[str]) -> Dataplane:
    """What carries its traffic, by what runs in it: labels and annotations may say anything."""
    proxy = containers.get(PROXY_CONTAINER)
    role = [text(one) for one in rows(at(proxy, "args"))][1:2]
    if _is_istiod(item, containers, planes) or _is_of_nodes(item, containers, role, planes):
        return Dataplane.CONTROL
    if (proxy and role in (["router"], ["waypoint"])) or (_AGENTGATEWAY in containers and _MANAGED in labels(item)):
        return Dataplane.GATEWAY
    if proxy and role != _ZTUNNEL:
        return Dataplane.SIDECAR
    return Dataplane.AMBIENT if annotations.get(REDIRECTION) == "enabled" else Dataplane.NONE


def _is_istiod(item: Manifest, containers: Mapping[str, Any], planes: AbstractSet[str]) -> bool:
    return labels(item).get("app") == ISTIOD_APP and ISTIOD_CONTAINER in containers and place(item).namespace in planes


def _is_of_nodes(item: Manifest, containers: Mapping[str, Any], role: list[str], planes: AbstractSet[str]) -> bool:
    """Whether it is istio-cni or ztunnel: only where no tenant runs pods, as anybody may name a container so."""
    at_home = place(item).namespace in planes | {SYSTEM_NAMESPACE}
    return at_home and _owner(item)[0] == "DaemonSet" and ("install-cni" in containers or role == _ZTUNNEL)


def _capture(spec: Mapping[str, Any], annotations: Mapping[str, str], kind: Dataplane) -> Capture:
    if kind is Dataplane.AMBIENT and annotations.get(_BYPASS_AMBIENT) == "true":
        return Capture(include=())
    return inbound(spec) if kind is Dataplane.SIDECAR else Capture()


def _has_both_families(item: Manifest) -> bool:
    return len({":" in text(at(one, "ip")) for one in rows(at(item, "status", "podIPs"))}) > 1


def _is_dual_stack(spec: Mapping[str, Any], proxy: Any) -> bool:
    """Whether both IP families are redirected: istio-init decides by its own environment, the CNI plugin by the proxy's."""
    init = next((one for one in rows(spec.get("initContainers")) if text(at(one, "name")) == INIT), proxy)
    env = variables(init)
    return any(env.get(name, "").lower() in {"1", "t", "true"} for name in _DUAL_STACK)


def _owner(item: Manifest) -> tuple[str, str]:
    """Kind and name; empty where they are not what Kubernetes lets be: it does not check them in references."""
    for owner in rows(at(item, "metadata", "ownerReferences")):
        if flag(at(owner, "controller")):
            kind, name = text(at(owner, "kind")), text(at(owner, "name"))
            return (kind, name) if _KIND.fullmatch(kind) and _is_name(name) else ("", "")
    return "", ""


def _is_name(name: str) -> bool:
    return len(name) <= _LONGEST_NAME and _NAME.fullmatch(name) is not None


def workload(item: Manifest) -> str:
    """Its owner for people."""
    kind, name = _owner(item)
    deployment = name.removesuffix(f"-{labels(item).get('pod-template-hash')}")
    if kind == "ReplicaSet" and deployment != name and _is_name(deployment):
        return f"Deployment {deployment}"
    # The pods of a node's own files are owned by the node.
    return f"{kind} {name}" if kind and kind != "Node" else f"Pod {place(item).name}"
