"""Lists every proxy of a mesh, and who rolls it.

Requests: those for the control planes (engine/mesh/control_planes.py); one list each of pods, Deployments, StatefulSets and DaemonSets;
one of /debug/syncz for each pod of an istiod.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from meshinstall.engine.mesh.control_planes import control_planes
from meshinstall.engine.mesh.kube_objects import labels, place
from meshinstall.engine.mesh.pod_status import is_ending, is_ready
from meshinstall.engine.mesh.proxies import Word, ask_istiods
from meshinstall.engine.mesh.reader import Asker, Wanted
from meshinstall.engine.objects.json_fields import MalformedError, at, text
from meshinstall.engine.observe import upgrade_objects as read
from meshinstall.engine.observe.cloud import explaining
from meshinstall.engine.observe.upgrade_objects import Owner, ProxyPod, WorkloadAt
from meshinstall.engine.session import Session
from meshinstall.engine.tasks import gather
from meshinstall.engine.upgrade.rolling import ROLLED_OUT, rolling
from meshinstall.errors import ClusterError
from meshinstall.model.desired import Desired
from meshinstall.model.istio import ISTIOD_APP
from meshinstall.model.istio_version import istio_version
from meshinstall.model.mesh import SyncState
from meshinstall.model.mesh_position import Proxied, Rollout
from meshinstall.model.paths import object_path
from meshinstall.model.place import Place
from meshinstall.model.proxy_list import ListedProxy, ProxyList
from meshinstall.model.release import Component, Manifest

_NOT_DONE = "status.phase!=Succeeded,status.phase!=Failed"


@dataclass(frozen=True, slots=True)
class PodSeen:
    """A pod with a proxy, beside what an upgrade needs of it."""

    place: Place
    proxy: ProxyPod
    created: datetime
    is_ready: bool


@dataclass(frozen=True, slots=True)
class Owners:
    """The workloads of a cluster; of the kinds that are ``unread`` not all. ``ours`` are the Helm releases of this mesh's gateways."""

    found: Mapping[Owner, WorkloadAt]
    unread: AbstractSet[str] = frozenset()
    ours: AbstractSet[str] = frozenset()


async def observe_proxies(desired: Desired, session: Session) -> ProxyList:
    """Ask all of it; changes nothing. Raises ClusterError where no pods can be listed."""
    asker = Asker(session.kube)
    brains: list[Place] = []
    asks: Mapping[str, Callable[[], Awaitable[Any]]] = {
        "planes": lambda: control_planes(asker.facts),
        "pods": lambda: asker.facts(Wanted("Pods", object_path("v1", "pods"), fields=_NOT_DONE), partial(_pod, brains=brains)),
        **{kind: partial(_workloads, asker, kind) for kind in sorted(ROLLED_OUT)},
    }
    async with explaining(session, desired):
        found = await gather(asks, lambda name: asks[name]())
        pods: list[PodSeen] = found["pods"]
        if not pods and "Pod" in asker.unread:
            raise ClusterError(f"cannot tell which proxies there are: {'; '.join(asker.gaps)}", "ask for the right to list pods")
        spaces = found["planes"].namespaces
        words, silent = await ask_istiods([one for one in brains if one.namespace in spaces], session.istiod, session.now())
    revisions = {True: set[str](), False: set[str]()}
    for plane in found["planes"].found:
        revisions[plane.istiod.place.namespace == desired.mesh_namespace].add(plane.istiod.revision)
    others = revisions[False] - revisions[True]
    mine = [pod for pod in pods if pod.proxy.revision not in others]
    ours = {str(release.key) for release in desired.releases if release.component is Component.GATEWAY}
    owners = Owners({one.owner: one for kind in ROLLED_OUT for one in found[kind]}, asker.unread & ROLLED_OUT, ours)
    return ProxyList(
        environment=desired.environment,
        cluster=desired.cluster.name,
        at=session.now(),
        proxies=list_proxies(mine, owners, words, all_answered=not silent),
        others=len(pods) - len(mine),
        gaps=tuple(dict.fromkeys((*asker.gaps, *silent))),
    )


async def _workloads(asker: Asker, kind: str) -> list[WorkloadAt]:
    return await asker.facts(Wanted(f"{kind}s", object_path("apps/v1", f"{kind.lower()}s")), partial(read.workload, kind=kind))


def _pod(item: Manifest, brains: list[Place]) -> PodSeen | None:
    """A pod with a proxy; the place of one that says it is an istiod, and runs, goes to ``brains``."""
    if labels(item).get("app") == ISTIOD_APP and text(at(item, "status", "phase")) == "Running" and not is_ending(item):
        brains.append(place(item))
    proxy = read.proxy_pod(item)
    return PodSeen(place(item), proxy, _created(item), is_ready(item)) if proxy else None


def _created(item: Manifest) -> datetime:
    found = datetime.fromisoformat(text(at(item, "metadata", "creationTimestamp")))
    if found.tzinfo is None:
        raise MalformedError(f"creationTimestamp {found} has no time zone")
    return found


def list_proxies(pods: Iterable[PodSeen], owners: Owners, words: Mapping[Place, Word], *, all_answered: bool) -> tuple[ListedProxy, ...]:
    """Each pod with what its istiod and its owner say of it, sorted; pure. ``all_answered``: every istiod said which proxies it has."""
    return tuple(sorted((_listed(pod, owners, words.get(pod.place), all_answered=all_answered) for pod in pods), key=_order))


def _listed(pod: PodSeen, owners: Owners, word: Word | None, *, all_answered: bool) -> ListedProxy:
    proxy, workload = pod.proxy, owners.found.get(pod.proxy.owner)
    release = workload.release if workload and workload.release in owners.ours else ""
    carrier = read.carrier(proxy, is_ours=bool(release))
    made = Proxied(
        proxy.owner.kind,
        proxy.owner.place,
        carrier,
        (),
        workload.rollout if workload else Rollout(),
        release,
        pinned_image=workload.pinned_image if workload else "",
    )
    is_there = True if workload else None if proxy.owner.kind in owners.unread else False
    return ListedProxy(
        pod=pod.place,
        version=str(proxy.version or ""),
        revision=proxy.revision,
        kind=proxy.owner.kind,
        workload=proxy.owner.place,
        carrier=carrier,
        created=pod.created,
        is_ready=pod.is_ready,
        rolling=rolling(made, is_there=is_there),
        sync=word.sync.state if word else SyncState.UNKNOWN,
        sync_words=word.sync.words if word else "",
        istiod=str(word.istiod) if word else "",
        is_connected=True if word else False if all_answered else None,
    )


def _order(one: ListedProxy) -> tuple[Any, ...]:
    version = istio_version(one.version)
    return version is not None, version or (), one.revision, one.workload.namespace, one.kind, one.workload.name, one.pod
