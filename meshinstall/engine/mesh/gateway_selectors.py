"""Reads what selects the pods of a gateway by labels, and what of it a scout with other labels and without a Service cannot have."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from meshinstall.engine.mesh.istio_kinds import ENVOY_FILTERS, GATEWAYS, Kind, istio_facts
from meshinstall.engine.mesh.kube_objects import Service, place, service
from meshinstall.engine.mesh.reader import Asker, Wanted
from meshinstall.engine.objects.json_fields import at, number, rows, text, texts
from meshinstall.engine.tasks import gather
from meshinstall.engine.upgrade.scout import Selecting, Selectors, targets
from meshinstall.errors import ClusterError
from meshinstall.model.paths import object_path
from meshinstall.model.place import Place
from meshinstall.model.release import Manifest
from meshinstall.ports import Kube

_API_GATEWAYS = Kind("Gateways", "gateways", "gateway.networking.k8s.io", ("v1", "v1beta1"))


@dataclass(frozen=True, slots=True)
class Around:
    """What is around the pods of a gateway: its own ``services``, all that selects, and objects that count for those pods alone."""

    selectors: Selectors
    services: tuple[Service, ...]
    filters: tuple[Selecting, ...]
    api_gateways: tuple[tuple[Place, tuple[str, ...]], ...]

    def ports(self, pod: Manifest) -> Mapping[int, frozenset[int]]:
        """Ports of a pod of the gateway, each with those of its Services that lead to it."""
        named = {text(at(one, "name")): number(at(one, "containerPort")) for one in _declared(pod)}
        pairs = ((port.number, port.target if isinstance(port.target, int) else named.get(port.target, 0)) for port in self._ports())
        return targets((port, target) for port, target in pairs if target)

    def excuses(self, live: Mapping[str, str], labels: Mapping[str, str]) -> tuple[str, ...]:
        """Why the gateway may serve what a scout with these labels cannot, in words."""
        filters = [one.name for one in self.filters if one.takes(live) and not one.takes(labels)]
        names = {one.place for one in self.services}
        found = [f"{name} selects the gateway by a label that the scout cannot have" for name in filters]
        for gateway, hosts in self.api_gateways:
            if any(_service_of(host, gateway.namespace) in names for host in hosts):
                found.append(f"Gateway {gateway} of the Gateway API names the gateway's Service, and a scout has no Service")
        return tuple(found)

    def _ports(self) -> list[Any]:
        return [port for one in self.services for port in one.ports]


async def ask_around(kube: Kube, namespace: str, live: Mapping[str, str], roots: frozenset[str]) -> Around:
    """What selects pods with the labels ``live``; EnvoyFilters count in ``roots``, too. Raises ClusterError where it cannot all be read."""
    asker = Asker(kube)
    near = roots | {namespace}
    asks: Mapping[str, Callable[[], Awaitable[list[Any]]]] = {
        "gateways": lambda: istio_facts(asker, GATEWAYS, _gateway, optional=True),
        "filters": lambda: istio_facts(asker, ENVOY_FILTERS, lambda item: _filter(item, near), optional=True),
        "api": lambda: istio_facts(asker, _API_GATEWAYS, _addresses, optional=True),
        "services": lambda: asker.facts(Wanted("Services", object_path("v1", "services", namespace)), service),
    }
    found = await gather(asks, lambda name: asks[name]())
    if asker.gaps:
        raise ClusterError(f"what selects the gateway's pods could not be read: {'; '.join(asker.gaps)}")
    services: list[Service] = [one for one in found["services"] if one.selector]
    selecting = tuple(Selecting(f"Service {one.place}", one.selector) for one in services)
    own = tuple(one for one in services if one.selector.items() <= live.items())
    return Around(Selectors(tuple(found["gateways"]), selecting), own, tuple(found["filters"]), tuple(found["api"]))


def _gateway(item: Manifest) -> Selecting:
    return Selecting(f"Gateway {place(item)}", texts(at(item, "spec", "selector")))


def _filter(item: Manifest, near: frozenset[str]) -> Selecting | None:
    found = Selecting(f"EnvoyFilter {place(item)}", texts(at(item, "spec", "workloadSelector", "labels")))
    return found if found.labels and place(item).namespace in near else None


def _addresses(item: Manifest) -> tuple[Place, tuple[str, ...]] | None:
    """A Gateway whose proxies somebody made: it names their Service (istio: pilot/pkg/config/kube/gateway)."""
    hosts = tuple(text(at(one, "value")) for one in rows(at(item, "spec", "addresses")) if at(one, "type") in {None, "Hostname"})
    return (place(item), hosts) if hosts else None


def _service_of(host: str, namespace: str) -> Place:
    """The Service that a host names, by its full name or by that in the Gateway's own namespace."""
    name, _, rest = host.partition(".")
    return Place(rest.partition(".")[0] or namespace, name)


def _declared(pod: Manifest) -> list[Any]:
    spec = at(pod, "spec")
    return [port for one in rows(at(spec, "containers")) for port in rows(at(one, "ports"))]
