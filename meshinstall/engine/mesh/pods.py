"""Turns pods into facts of a mesh: their data plane, their ports, and the ports that bypass the proxy; pure."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any

from meshinstall.engine.mesh.kube_objects import Service, labels, place
from meshinstall.engine.mesh.redirection import INIT, outbound, redirection, variables
from meshinstall.engine.objects.json_fields import at, flag, number, rows, table, text, texts
from meshinstall.model.istio import ISTIOD_APP, ISTIOD_CONTAINER, PROXY_CONTAINER
from meshinstall.model.labels import REVISION
from meshinstall.model.mesh import ISTIO_PORTS, Dataplane, Outbound, Place, Pod, Port, ServiceFacts
from meshinstall.model.release import Manifest

_AGENTGATEWAY = "agentgateway"
_MANAGED = "gateway.istio.io/managed"
# Redirects both families (istio: tools/istio-iptables/pkg/cmd/root.go, cni/pkg/plugin/sidecar_redirect.go).
_DUAL_STACK = ("DUAL_STACK", "ISTIO_DUAL_STACK")
_BYPASS_AMBIENT = "ambient.istio.io/bypass-inbound-capture"
_REDIRECTED = "ambient.istio.io/redirection"
_DONE = ("Succeeded", "Failed")
# Long, and said elsewhere.
_DROPPED = ("sidecar.istio.io/status", "proxy.istio.io/overrides")
_ISTIO = "istio.io/"


@dataclass(frozen=True, slots=True)
class Capture:
    """Which inbound ports are redirected to the proxy: those of ``include``, None for all but ``exclude``."""

    include: frozenset[int] | None = None
    exclude: frozenset[int] = frozenset()

    @property
    def is_empty(self) -> bool:
        """Whether no port is."""
        return self.include == frozenset()

    def bypassed(self, ports: Iterable[Port]) -> tuple[int, ...]:
        """Ports for TCP, the only protocol that is ever redirected, that nothing redirects, as far as they are known."""
        if self.include is None:
            return tuple(sorted(self.exclude))
        return tuple(sorted({port.number for port in ports if port.protocol == "TCP"} - self.include))


@dataclass(frozen=True, slots=True)
class PodSeen:
    """A pod before the Services are known that send to it."""

    pod: Pod
    capture: Capture


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
    found = Pod(
        place=place(item),
        workload=_workload(item),
        dataplane=kind,
        service_account=text(spec.get("serviceAccountName")) or "default",
        ip=text(at(item, "status", "podIP")),
        ports=_ports(_declared(containers.values()), kind),
        labels=labels(item),
        annotations={name: value for name, value in annotations.items() if _ISTIO in name and name not in _DROPPED},
        revision=annotations.get(REVISION) or labels(item).get(REVISION, ""),
        running=phase == "Running" and not at(item, "metadata", "deletionTimestamp"),
        host_network=host_network,
        captured=not host_network and not capture.is_empty,
        bypassed=_beside(containers.values(), carrier) if kind is Dataplane.GATEWAY else (),
        one_family=kind is Dataplane.SIDECAR and _has_both_families(item) and not _is_dual_stack(spec, carrier),
        outbound=outbound(spec, containers.values()) if kind is Dataplane.SIDECAR else Outbound(),
    )
    return PodSeen(found, capture)


def joined(seen: Iterable[PodSeen], services: Iterable[Service]) -> tuple[tuple[Pod, ...], tuple[ServiceFacts, ...]]:
    """Pods with the ports that Services send to, and Services with the numbers of the ports that they name.

    A name that differs between the pods of a Service is the number of the first.
    """
    by_namespace: dict[str, list[Service]] = defaultdict(list)
    for service in services:
        by_namespace[service.place.namespace].append(service)
    numbers: dict[Place, dict[int, int]] = defaultdict(dict)
    pods = []
    for one in seen:
        mine = [service for service in by_namespace[one.pod.place.namespace] if _selects(service.selector, one.pod.labels)]
        for service in mine:
            _resolve(service, one.pod, numbers[service.place])
        pods.append(_with_ports(one, mine))
    facts = (
        ServiceFacts(service.place, service.selector, _numeric(service) | numbers[service.place], service.type, service.addresses)
        for group in by_namespace.values()
        for service in group
    )
    return tuple(pods), tuple(facts)


def _selects(selector: Mapping[str, str], found: Mapping[str, str]) -> bool:
    return bool(selector) and selector.items() <= found.items()


def _resolve(service: Service, pod: Pod, numbers: dict[int, int]) -> None:
    names = {(port.name, port.protocol): port.number for port in pod.ports}
    for port in service.ports:
        if port.protocol == "TCP" and (port.target, port.protocol) in names:
            numbers.setdefault(port.number, names[str(port.target), port.protocol])


def _numeric(service: Service) -> dict[int, int]:
    return {port.number: port.target for port in service.ports if isinstance(port.target, int) and port.protocol == "TCP"}


def _with_ports(one: PodSeen, services: Sequence[Service]) -> Pod:
    sent = (Port(port.target, "", port.protocol) for service in services for port in service.ports if isinstance(port.target, int))
    ports = _ports((*one.pod.ports, *sent), one.pod.dataplane)
    own = one.pod.dataplane is Dataplane.SIDECAR
    bypassed = tuple(port for port in one.capture.bypassed(ports) if port not in ISTIO_PORTS) if own else one.pod.bypassed
    return replace(one.pod, ports=ports, bypassed=bypassed, others_bypassed=own and bool(one.capture.include))


def _ports(ports: Iterable[Port], kind: Dataplane) -> tuple[Port, ...]:
    """Each port once, without the proxy's own where there is one."""
    found: dict[tuple[int, str], Port] = {}
    for port in ports:
        if kind is Dataplane.NONE or port.number not in ISTIO_PORTS:
            found.setdefault((port.number, port.protocol), port)
    return tuple(found[key] for key in sorted(found))


def _lasting(spec: Mapping[str, Any]) -> Iterator[Any]:
    """The containers that run as long as the pod: sidecars of Kubernetes' own kind are init containers that are restarted."""
    yield from (one for one in rows(spec.get("initContainers")) if at(one, "restartPolicy") == "Always")
    yield from rows(spec.get("containers"))


def _declared(containers: Iterable[Any]) -> Iterator[Port]:
    for container in containers:
        for port in rows(at(container, "ports")):
            yield Port(number(at(port, "containerPort")), text(at(port, "name")), text(at(port, "protocol")) or "TCP")


def _beside(containers: Iterable[Any], carrier: Any) -> tuple[int, ...]:
    """The ports of a gateway's other containers: nothing redirects those to its proxy."""
    declared = _ports(_declared(one for one in containers if one is not carrier), Dataplane.GATEWAY)
    return tuple(port.number for port in declared if port.protocol == "TCP")


def _dataplane(item: Manifest, containers: Mapping[str, Any], annotations: Mapping[str, str], planes: AbstractSet[str]) -> Dataplane:
    """What carries its traffic, by what runs in it: labels and annotations may say anything."""
    proxy = containers.get(PROXY_CONTAINER)
    role = [text(one) for one in rows(at(proxy, "args"))][1:2]
    if _is_istiod(item, containers, planes) or (_owner(item)[0] == "DaemonSet" and ("install-cni" in containers or role == ["ztunnel"])):
        return Dataplane.CONTROL
    if (proxy and role in (["router"], ["waypoint"])) or (_AGENTGATEWAY in containers and _MANAGED in labels(item)):
        return Dataplane.GATEWAY
    if proxy:
        return Dataplane.SIDECAR
    return Dataplane.AMBIENT if annotations.get(_REDIRECTED) == "enabled" else Dataplane.NONE


def _is_istiod(item: Manifest, containers: Mapping[str, Any], planes: AbstractSet[str]) -> bool:
    return labels(item).get("app") == ISTIOD_APP and ISTIOD_CONTAINER in containers and place(item).namespace in planes


def _capture(spec: Mapping[str, Any], annotations: Mapping[str, str], kind: Dataplane) -> Capture:
    if kind is Dataplane.AMBIENT and annotations.get(_BYPASS_AMBIENT) == "true":
        return Capture(include=frozenset())
    if kind is not Dataplane.SIDECAR:
        return Capture()
    found = redirection(spec)
    if found is None or not found.is_on:
        return Capture(include=frozenset())
    if (include := found.given.get("-b", "")) != "*":
        return Capture(include=_numbers(include))
    return Capture(exclude=_numbers(found.given.get("-d", "")))


def _has_both_families(item: Manifest) -> bool:
    return len({":" in text(at(one, "ip")) for one in rows(at(item, "status", "podIPs"))}) > 1


def _is_dual_stack(spec: Mapping[str, Any], proxy: Any) -> bool:
    """Whether both IP families are redirected: istio-init decides by its own environment, the CNI plugin by the proxy's."""
    init = next((one for one in rows(spec.get("initContainers")) if text(at(one, "name")) == INIT), proxy)
    env = variables(init)
    return any(env.get(name, "").lower() in {"1", "t", "true"} for name in _DUAL_STACK)


def _numbers(listed: str) -> frozenset[int]:
    return frozenset(int(one) for one in listed.split(",") if one.strip().isdecimal())


def _owner(item: Manifest) -> tuple[str, str]:
    for owner in rows(at(item, "metadata", "ownerReferences")):
        if flag(at(owner, "controller")):
            return text(at(owner, "kind")), text(at(owner, "name"))
    return "", ""


def _workload(item: Manifest) -> str:
    kind, name = _owner(item)
    if kind == "ReplicaSet" and (suffix := labels(item).get("pod-template-hash")) and name.endswith(f"-{suffix}"):
        return f"Deployment {name.removesuffix(f'-{suffix}')}"
    # The pods of a node's own files are owned by the node.
    return f"{kind} {name}" if kind and kind != "Node" else f"Pod {place(item).name}"
