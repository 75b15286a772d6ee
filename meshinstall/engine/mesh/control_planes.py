"""Finds the control planes of a cluster: what Istio's webhook configurations call, and nothing else.

Anybody may label a Deployment as istiod's in a namespace of their own. Webhook configurations belong to the cluster: the API server
lets the Services that they name change every new pod (istio: manifests/charts/istio-control/istio-discovery/templates/mutatingwebhook.yaml,
validatingwebhookconfiguration.yaml). A Deployment behind such a Service is a control plane; any other is an ordinary workload.

Requests: two lists of webhook configurations; of each namespace that they name, one list of Services and one of Deployments.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from meshinstall.engine.mesh.kube_objects import Istiod, istiod, place, service
from meshinstall.engine.mesh.reader import Wanted
from meshinstall.engine.objects.json_fields import at, rows, table, text, texts
from meshinstall.engine.tasks import gather
from meshinstall.errors import ClusterError
from meshinstall.model.istio import ISTIO_WEBHOOKS, ISTIOD_APP, VOUCHING_KINDS
from meshinstall.model.mesh import Dataplane, Place, Pod
from meshinstall.model.paths import object_path
from meshinstall.model.release import Manifest
from meshinstall.ports import Kube

_Fact = TypeVar("_Fact")
_ADMISSION = "admissionregistration.k8s.io/v1"


class Ask(Protocol):
    """Lists objects and reads each; None is left out."""

    async def __call__(self, wanted: Wanted, read: Callable[[Manifest], _Fact | None]) -> list[_Fact]:
        """What ``read`` made of each."""


@dataclass(frozen=True, slots=True)
class Plane:
    """A Deployment of istiod as the cluster has it, and what of it decides mTLS."""

    item: Manifest
    istiod: Istiod


@dataclass(frozen=True, slots=True)
class Planes:
    """The control planes, by place; ``elsewhere`` are webhook configurations that call a URL: an istiod that is not in the cluster."""

    found: tuple[Plane, ...] = ()
    elsewhere: tuple[str, ...] = ()

    @property
    def namespaces(self) -> frozenset[str]:
        """Where they are."""
        return frozenset(plane.istiod.place.namespace for plane in self.found)


@dataclass(frozen=True, slots=True)
class _Calls:
    """What one webhook configuration calls."""

    services: frozenset[Place]
    elsewhere: str = ""


async def control_planes(ask: Ask) -> Planes:
    """Every Deployment that a webhook of Istio leads to; what cannot be listed is for ``ask`` to keep or to raise."""
    lists = await gather(VOUCHING_KINDS, lambda kind: ask(_all(f"{kind}s", _ADMISSION), _calls))
    calls = [one for kind in VOUCHING_KINDS for one in lists[kind]]
    called = {place for one in calls for place in one.services}
    spaces = sorted({place.namespace for place in called})
    found = await gather(spaces, lambda space: _planes(ask, space, called))
    planes = sorted((plane for space in spaces for plane in found[space]), key=lambda plane: plane.istiod.place)
    return Planes(tuple(planes), tuple(sorted({one.elsewhere for one in calls if one.elsewhere})))


def of_kube(kube: Kube) -> Ask:
    """Lists from a cluster; what is refused is raised as ClusterError."""

    async def ask(wanted: Wanted, read: Callable[[Manifest], _Fact | None]) -> list[_Fact]:
        try:
            found = [read(item) async for item in kube.list(wanted.path, labels=wanted.labels)]
        except ValueError as error:
            raise ClusterError(f"{wanted.what} could not be parsed: {error}") from error
        return [fact for fact in found if fact is not None]

    return ask


def istiods(pods: Iterable[Pod], namespaces: AbstractSet[str]) -> list[Pod]:
    """The pods of control planes in ``namespaces`` that can be asked."""
    return [
        pod
        for pod in pods
        if pod.running and pod.dataplane is Dataplane.CONTROL and pod.labels.get("app") == ISTIOD_APP and pod.place.namespace in namespaces
    ]


async def _planes(ask: Ask, namespace: str, called: AbstractSet[Place]) -> list[Plane]:
    """The Deployments of a namespace that a called Service selects the pods of."""
    wanted: Mapping[str, Callable[[], Awaitable[Any]]] = {
        "selectors": lambda: ask(_all("Services", "v1", namespace), lambda item: _selector(item, called)),
        "planes": lambda: ask(_all("Deployments", "apps/v1", namespace), _plane),
    }
    found = await gather(wanted, lambda name: wanted[name]())
    selectors: list[Mapping[str, str]] = found["selectors"]
    planes: list[Plane] = found["planes"]
    return [plane for plane in planes if any(selector.items() <= _pod_labels(plane.item).items() for selector in selectors)]


def _all(many: str, api_version: str, namespace: str = "") -> Wanted:
    return Wanted(many, object_path(api_version, many.lower(), namespace))


def _calls(item: Manifest) -> _Calls | None:
    """None for webhooks of others."""
    clients = [table(at(one, "clientConfig")) for one in rows(at(item, "webhooks")) if text(at(one, "name")).endswith(ISTIO_WEBHOOKS)]
    services = [table(client.get("service")) for client in clients if client.get("service")]
    found = frozenset(Place(text(one.get("namespace")), text(one.get("name"))) for one in services)
    elsewhere = place(item).name if any(text(client.get("url")) for client in clients) else ""
    return _Calls(found, elsewhere) if clients else None


def _selector(item: Manifest, called: AbstractSet[Place]) -> Mapping[str, str] | None:
    """What a called Service selects; one without a selector leads to addresses that somebody wrote."""
    return (service(item).selector or None) if place(item) in called else None


def _plane(item: Manifest) -> Plane | None:
    found = istiod(item)
    return Plane(item, found) if found else None


def _pod_labels(deployment: Manifest) -> dict[str, str]:
    return texts(at(deployment, "spec", "template", "metadata", "labels"))
