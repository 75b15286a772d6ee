"""Reads a running mesh once, whoever installed it.

Requests: eight lists (istiods, namespaces, pods, Services, PeerAuthentications,
DestinationRules, ServiceEntries, roots), each one for every 500 objects; three to
eight questions for the API versions of Istio's kinds; one object and up to two Secrets for each
istiod; and one port-forward for each running pod of an istiod and of a proxy.
With a choice of namespaces the list of pods is one for each, and one for istiods.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

from meshinstall.engine.mesh import kube_objects
from meshinstall.engine.mesh.authorities import Held, ask_roots, ask_signers, judged
from meshinstall.engine.mesh.kube_objects import Istiod, MeshSettings, control_plane
from meshinstall.engine.mesh.pods import PodSeen, joined
from meshinstall.engine.mesh.pods import pod as read_pod
from meshinstall.engine.mesh.proxies import ask_istiods, ask_proxies
from meshinstall.engine.mesh.reader import Asker, Wanted
from meshinstall.engine.objects.json_fields import at, rows, text
from meshinstall.engine.session import Session
from meshinstall.engine.tasks import gather
from meshinstall.model.istio import ISTIOD_APP, ISTIOD_SELECTOR
from meshinstall.model.mesh import Dataplane, MeshFacts, NamespaceFacts, Pod
from meshinstall.model.paths import object_path
from meshinstall.model.release import Manifest

_Fact = TypeVar("_Fact")

_NOT_DONE = "status.phase!=Succeeded,status.phase!=Failed"


class _Kind(NamedTuple):
    """A kind of Istio's, of which several are ``many``; the newest of ``versions`` first, which an older Istio does not serve."""

    many: str
    plural: str
    group: str
    versions: tuple[str, ...]


_POLICIES = _Kind("PeerAuthentications", "peerauthentications", "security.istio.io", ("v1", "v1beta1"))
_RULES = _Kind("DestinationRules", "destinationrules", "networking.istio.io", ("v1", "v1beta1", "v1alpha3"))
_ENTRIES = _Kind("ServiceEntries", "serviceentries", "networking.istio.io", ("v1", "v1beta1", "v1alpha3"))


async def survey(session: Session, namespaces: Collection[str] | None = None) -> MeshFacts:
    """Ask everything, as far as possible at the same time; changes nothing.

    With ``namespaces`` only their pods are looked at. What is refused or not
    understood is a gap; raises UnreachableError when the API server is not there.
    """
    asker = Asker(session.kube)
    istiods = await asker.facts(Wanted("Deployments", object_path("apps/v1", "deployments"), ISTIOD_SELECTOR), kube_objects.istiod)
    planes = frozenset(istiod.place.namespace for istiod in istiods)
    found = await _objects(asker, istiods, planes, namespaces)
    settings: list[MeshSettings] = found["settings"]
    named = [pem for one in settings for pem in one.authorities]
    authorities = judged(Held(found["roots"], found["signers"]), named, planes, session.certificates)
    pods, services = joined(found["pods"], found["services"])
    syncs, silent = await ask_istiods([pod.place for pod in pods if _is_istiod(pod)], session.istiod, session.now())
    proxied = [pod for pod in pods if pod.dataplane in {Dataplane.SIDECAR, Dataplane.GATEWAY}]
    proxies = await ask_proxies(proxied, session.pods, syncs, authorities.anchors, session.certificates)
    spaces: list[NamespaceFacts] = found["namespaces"]
    return MeshFacts(
        now=session.now(),
        control_planes=tuple(map(control_plane, istiods, settings)),
        namespaces={space.name: replace(space, roots=authorities.roots.get(space.name, ())) for space in spaces},
        pods=pods,
        services=services,
        policies=tuple(found["policies"]),
        client_rules=tuple(found["rules"]),
        external=tuple(found["entries"]),
        proxies=proxies,
        authorities=authorities.own,
        gaps=(*asker.gaps, *authorities.gaps, *silent),
        unread=tuple(sorted(asker.unread)),
    )


async def _objects(asker: Asker, istiods: list[Istiod], planes: AbstractSet[str], namespaces: Collection[str] | None) -> Mapping[str, Any]:
    """What Kubernetes knows, each under a name of its own."""
    asks: Mapping[str, Callable[[], Awaitable[Any]]] = {
        "settings": lambda: _settings(asker, istiods),
        "roots": lambda: ask_roots(asker),
        "signers": lambda: ask_signers(asker, planes),
        "namespaces": lambda: asker.facts(Wanted("Namespaces", object_path("v1", "namespaces"), slim=True), kube_objects.namespace),
        "pods": lambda: _pods(asker, planes, namespaces),
        "services": lambda: asker.facts(Wanted("Services", object_path("v1", "services")), kube_objects.service),
        "policies": lambda: _istio_facts(asker, _POLICIES, kube_objects.peer_policy),
        "rules": lambda: _istio_facts(asker, _RULES, kube_objects.client_rule),
        "entries": lambda: _istio_facts(asker, _ENTRIES, kube_objects.external_service),
    }
    return await gather(asks, lambda name: asks[name]())


async def _settings(asker: Asker, istiods: list[Istiod]) -> list[MeshSettings]:
    """What each istiod was told, in their order; its defaults where that is not known."""

    async def ask(istiod: Istiod) -> MeshSettings:
        what = f"ConfigMap {istiod.place.namespace}/{istiod.settings}"
        path = object_path("v1", "configmaps", istiod.place.namespace, istiod.settings)
        before = len(asker.gaps)
        found = await asker.one(what, path, kube_objects.mesh_settings)
        if found is None and len(asker.gaps) == before:
            asker.gaps.append(f"{what} does not exist; istiod's defaults are assumed")
        if found is None:
            asker.unread.add("MeshConfig")
        return found or MeshSettings()

    answers = await gather(istiods, ask)
    return [answers[istiod] for istiod in istiods]


async def _pods(asker: Asker, planes: AbstractSet[str], namespaces: Collection[str] | None) -> list[PodSeen]:
    """The pods of ``namespaces``, or all, and those of istiods."""

    async def ask(selection: tuple[str, str]) -> list[PodSeen]:
        namespace, labels = selection
        wanted = Wanted("Pods", object_path("v1", "pods", namespace), labels, _NOT_DONE)
        return await asker.facts(wanted, lambda item: read_pod(item, planes))

    selections = [("", "")] if namespaces is None else [*((space, "") for space in sorted(namespaces)), ("", ISTIOD_SELECTOR)]
    answers = await gather(selections, ask)
    return list({one.pod.place: one for found in answers.values() for one in found}.values())


def _is_istiod(pod: Pod) -> bool:
    return pod.running and pod.dataplane is Dataplane.CONTROL and pod.labels.get("app") == ISTIOD_APP


async def _istio_facts(asker: Asker, kind: _Kind, read: Callable[[Manifest], _Fact | None]) -> list[_Fact]:
    """Objects of one of Istio's kinds; a list in a version that the server does not know would look empty."""
    for version in kind.versions:
        api = f"{kind.group}/{version}"
        if kind.plural in (await asker.one(f"API {api}", f"/apis/{api}", _resources) or ()):
            return await asker.facts(Wanted(kind.many, object_path(api, kind.plural)), read)
    asker.miss(kind.many, "could not be listed: the cluster does not know the kind")
    return []


def _resources(answer: Manifest) -> frozenset[str]:
    return frozenset(text(at(one, "name")) for one in rows(at(answer, "resources")))
