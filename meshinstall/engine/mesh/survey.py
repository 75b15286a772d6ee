"""Reads a running mesh once, whoever installed it.

Requests: those for the control planes (engine/mesh/control_planes.py); eight lists
(namespaces, pods, Services, EndpointSlices that Kubernetes did not write,
PeerAuthentications, DestinationRules, ServiceEntries, roots), all EndpointSlices
where a Service has no selector, and five to explain what clients do (Sidecars, EnvoyFilters, WorkloadEntries,
VirtualServices, BackendTLSPolicies), each one for every 500 objects; the questions for
the API versions of those kinds; one object, or two, and up to two Secrets for each istiod; one
port-forward for each running pod of an istiod and of a proxy that is judged, and three
for each kind of proxy that may be a client.
"""

from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from meshinstall.engine.mesh import kube_objects
from meshinstall.engine.mesh.authorities import Held, ask_roots, ask_signers, judged
from meshinstall.engine.mesh.client_objects import InternalEntry, internal_entry, named_hosts
from meshinstall.engine.mesh.clients import Clients, Objects, ask_objects, look_at_clients
from meshinstall.engine.mesh.control_planes import control_planes, istiods
from meshinstall.engine.mesh.istio_kinds import DESTINATION_RULES, PEER_AUTHENTICATIONS, SERVICE_ENTRIES, istio_facts
from meshinstall.engine.mesh.kube_objects import Istiod, MeshSettings, Service, Slice, control_plane
from meshinstall.engine.mesh.pods import joined, misread, settled
from meshinstall.engine.mesh.pods import pod as read_pod
from meshinstall.engine.mesh.proxies import ask_istiods, ask_proxies
from meshinstall.engine.mesh.reader import Asker, Wanted, short
from meshinstall.engine.session import Session
from meshinstall.engine.tasks import gather
from meshinstall.model.clients import NamedHosts
from meshinstall.model.istio import DEFAULT_DOMAIN
from meshinstall.model.mesh import ClientRule, Dataplane, ExternalService, Labelled, Machine, MeshFacts, NamespaceFacts
from meshinstall.model.paths import object_path
from meshinstall.model.place import Place
from meshinstall.model.release import Manifest

_Fact = TypeVar("_Fact")
# A ServiceEntry: what leads out of the mesh, or adds to it, and what it names.
_Entry = tuple[ExternalService | None, InternalEntry | None, NamedHosts]

_ENVOYS = frozenset({Dataplane.SIDECAR, Dataplane.GATEWAY})
# What decides what proxies are told.
_TELLING = frozenset(
    {"Sidecar", "EnvoyFilter", "DestinationRule", "PeerAuthentication", "Service", "Pod", "MeshConfig", "BackendTLSPolicy"}
)
# Kubernetes writes those of Services with a selector, and of no others, whatever a label says of them.
_SLICES = object_path("discovery.k8s.io/v1", "endpointslices")
_NOT_OF_KUBERNETES = Wanted("EndpointSlices", _SLICES, labels="endpointslice.kubernetes.io/managed-by!=endpointslice-controller.k8s.io")
_API_SERVER = Place("default", "kubernetes")
_NOT_DONE = "status.phase!=Succeeded,status.phase!=Failed"


async def survey(session: Session, namespaces: Collection[str] | None = None) -> MeshFacts:
    """Ask everything, as far as possible at the same time; changes nothing.

    With ``namespaces`` only their pods are judged; those of others are looked at as clients. What is refused or
    not understood is a gap; raises UnreachableError when the API server is not there.
    """
    asker = Asker(session.kube)
    known = await control_planes(asker.facts)
    brains = [plane.istiod for plane in known.found]
    planes = known.namespaces
    asker.gaps += [f"{name} calls an istiod that is not in the cluster, so its settings were not read" for name in known.elsewhere]
    found = await _objects(asker, brains, planes)
    settings: list[MeshSettings] = found["settings"]
    named = [pem for one in settings for pem in one.authorities]
    authorities = judged(Held(found["roots"], found["signers"]), named, planes, session.certificates)
    ports = {istiod.revision: one.admin_port for istiod, one in zip(brains, settings, strict=True)}
    seen = settled(found["pods"], ports)
    pods, services = joined(seen, found["services"], [*found["slices"], *await _slices_of_others(asker, found["services"])])
    syncs, silent = await ask_istiods([pod.place for pod in istiods(pods, planes)], session.istiod, session.now())
    judged_here = None if namespaces is None else frozenset(namespaces)
    proxied = [pod for pod in pods if pod.dataplane in _ENVOYS and (judged_here is None or pod.place.namespace in judged_here)]
    proxies = await ask_proxies(proxied, session.pods, syncs, authorities.anchors, session.certificates)
    roots = frozenset(one.root_namespace for one in settings)
    entries, labelled = found["entries"]
    told = Clients(
        pods,
        syncs,
        roots,
        _domain(brains),
        services,
        found["policies"],
        complete=asker.unread.isdisjoint(_TELLING),
        automatic=all(one.auto_mtls for one in settings),
    )
    clients = await look_at_clients(told, found["clients"], found["rules"], entries, session)
    spaces: list[NamespaceFacts] = found["namespaces"]
    return MeshFacts(
        now=session.now(),
        control_planes=tuple(map(control_plane, brains, settings)),
        namespaces={space.name: replace(space, roots=authorities.roots.get(space.name, ())) for space in spaces},
        pods=pods,
        services=services,
        policies=tuple(found["policies"]),
        client_rules=tuple(found["rules"]),
        external=tuple(external for external, _, _ in entries if external),
        proxies=proxies,
        authorities=authorities.own,
        gaps=tuple(dict.fromkeys((*asker.gaps, *authorities.gaps, *silent, *misread(seen)))),
        unread=tuple(sorted(asker.unread)),
        judged=judged_here,
        clients=clients,
        labelled=(*labelled, *_labelled(found["rules"], found["clients"])),
        machines=tuple(Machine(one.place, one.labels) for one in found["clients"].workloads),
    )


def _labelled(rules: Iterable[ClientRule], objects: Objects) -> Iterator[Labelled]:
    """Those of the objects that were read whose label names a revision."""
    for kind, some in (("DestinationRule", rules), ("Sidecar", objects.sidecars)):
        yield from (Labelled(kind, one.place, one.revision) for one in some if one.revision is not None)


async def _objects(asker: Asker, brains: list[Istiod], planes: AbstractSet[str]) -> Mapping[str, Any]:
    """What Kubernetes knows, each under a name of its own."""
    asks: Mapping[str, Callable[[], Awaitable[Any]]] = {
        "settings": lambda: _settings(asker, brains),
        "roots": lambda: ask_roots(asker),
        "signers": lambda: ask_signers(asker, planes),
        "namespaces": lambda: asker.facts(Wanted("Namespaces", object_path("v1", "namespaces"), slim=True), kube_objects.namespace),
        "pods": lambda: asker.facts(Wanted("Pods", object_path("v1", "pods"), fields=_NOT_DONE), lambda item: read_pod(item, planes)),
        "services": lambda: asker.facts(Wanted("Services", object_path("v1", "services")), kube_objects.service),
        "slices": lambda: asker.facts(_NOT_OF_KUBERNETES, kube_objects.endpoint_slice),
        "policies": lambda: istio_facts(asker, PEER_AUTHENTICATIONS, kube_objects.peer_policy),
        "rules": lambda: istio_facts(asker, DESTINATION_RULES, kube_objects.client_rule),
        "entries": lambda: _entries(asker),
        "clients": lambda: ask_objects(asker),
    }
    return await gather(asks, lambda name: asks[name]())


async def _slices_of_others(asker: Asker, services: Iterable[Service]) -> list[Slice]:
    """Those of Services without a selector, which are few."""
    own = [one.place for one in services if not one.selector and one.type != "ExternalName" and one.place != _API_SERVER]
    if not own:
        return []
    found = await asker.facts(Wanted("EndpointSlices", _SLICES), kube_objects.endpoint_slice)
    return [one for one in found if one.service in own]


async def _entries(asker: Asker) -> tuple[list[_Entry], list[Labelled]]:
    """The ServiceEntries, each as what leads out of the mesh or adds to it, and those that have a revision of their own."""
    labelled: list[Labelled] = []

    def read(item: Manifest) -> _Entry:
        found = kube_objects.labelled(item, "ServiceEntry")
        labelled.extend([found] if found else [])
        return kube_objects.external_service(item), internal_entry(item), named_hosts(item)

    return await istio_facts(asker, SERVICE_ENTRIES, read), labelled


async def _settings(asker: Asker, brains: list[Istiod]) -> list[MeshSettings]:
    """What each istiod was told, in their order; its defaults where that is not known."""

    async def ask(istiod: Istiod) -> MeshSettings:
        # Both are parsed alone, so that one that cannot be parsed is named, and the other counts.
        shared = await _config_map(asker, istiod, istiod.shared, kube_objects.checked_settings) if istiod.shared else None
        read = partial(kube_objects.mesh_settings, shared=shared)
        found = await _config_map(asker, istiod, istiod.settings, read) or read({})
        return _watching(asker, istiod, found)

    answers = await gather(brains, ask)
    return [answers[istiod] for istiod in brains]


def _watching(asker: Asker, istiod: Istiod, found: MeshSettings) -> MeshSettings:
    """The same settings; a gap where it is unknown of which namespaces istiod sees the objects."""
    problem = found.problem
    if found.discovery and not istiod.scoped:
        problem = "discoverySelectors: only since Istio 1.22 they are sure to count for Istio's own objects"
    if not problem:
        return found
    asker.gaps.append(f"cannot tell which namespaces Deployment {istiod.place} watches: {short(ValueError(problem))}")
    asker.unread.add("MeshConfig")
    return replace(found, discovery=None)


def _domain(brains: Sequence[Istiod]) -> str:
    return brains[0].domain if brains else DEFAULT_DOMAIN


async def _config_map(asker: Asker, istiod: Istiod, name: str, read: Callable[[Manifest], _Fact]) -> _Fact | None:
    """What ``read`` makes of one of an istiod's two mesh configurations, which istiod does without when it does not exist."""
    what = f"ConfigMap {istiod.place.namespace}/{name}"
    before = len(asker.gaps)
    found = await asker.one(what, object_path("v1", "configmaps", istiod.place.namespace, name), read)
    if found is None and len(asker.gaps) == before:
        asker.gaps.append(f"{what} does not exist; istiod's defaults are assumed")
    if found is None:
        asker.unread.add("MeshConfig")
    return found
