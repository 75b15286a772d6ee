"""Lists the workloads of a cluster with the labels of their pods, and whether a proxy keeps policies for them."""

from collections.abc import Collection
from dataclasses import dataclass

from meshinstall.checks.policies.reading import GATEWAY_NAME
from meshinstall.engine.mesh.pods import PodSeen, pod
from meshinstall.engine.mesh.reader import Asker, Wanted
from meshinstall.model.access import Callee
from meshinstall.model.authz import Workload
from meshinstall.model.foreign_text import plain
from meshinstall.model.mesh import Dataplane, Pod
from meshinstall.model.paths import object_path
from meshinstall.model.release import Manifest

# Labels that differ between pods of one workload.
_OF_ONE_POD = frozenset(
    {
        "pod-template-hash",
        "controller-revision-hash",
        "pod-template-generation",
        "statefulset.kubernetes.io/pod-name",
        "apps.kubernetes.io/pod-index",
        "batch.kubernetes.io/job-completion-index",
    }
)
_Key = tuple[str, frozenset[tuple[str, str]], str]
_PODS = Wanted("Pods", object_path("v1", "pods"))
_UNGUARDED = {
    Dataplane.NONE: "it has no proxy: no policy counts, and whoever reaches it may call",
    Dataplane.AMBIENT: "it is in ambient mode: what ztunnel and waypoints do is not decided here",
}


@dataclass(frozen=True, slots=True)
class Running:
    """A workload and those of its pods that run."""

    callee: Callee
    pods: tuple[PodSeen, ...]


async def list_callees(asker: Asker, mesh_namespace: str) -> tuple[Callee, ...]:
    """One for each workload whose pods have the same labels, by namespace and name; parts of the control plane are left out.

    What could not be listed is in the asker's gaps. Raises UnauthorizedError and UnreachableError alone.
    """
    return tuple(one.callee for one in await list_running(asker, mesh_namespace))


async def list_running(asker: Asker, mesh_namespace: str, namespaces: Collection[str] | None = None) -> tuple[Running, ...]:
    """The same, with the pods of ``namespaces``: of all where it is empty, of none where it is None."""
    found: dict[_Key, tuple[Callee, list[PodSeen]]] = {}

    def read(item: Manifest) -> None:
        seen = pod(item, {mesh_namespace})
        if seen is None or seen.pod.dataplane is Dataplane.CONTROL:
            return
        callee = _callee(seen.pod)
        _, pods = found.setdefault(_key(callee), (callee, []))
        if namespaces is not None and seen.pod.running and (not namespaces or seen.pod.place.namespace in namespaces):
            pods.append(seen)

    await asker.facts(_PODS, read)
    return tuple(Running(callee, tuple(pods)) for callee, pods in sorted(found.values(), key=lambda one: one[0].name))


def _callee(one: Pod) -> Callee:
    labels = {name: value for name, value in one.labels.items() if name not in _OF_ONE_POD}
    name = plain(f"{one.place.namespace}/{one.workload.rpartition(' ')[2]}")
    return Callee(name, Workload(one.place.namespace, labels, is_gateway(one)), _UNGUARDED.get(one.dataplane, ""))


def is_gateway(one: Pod) -> bool:
    """Whether a pod is a gateway with servers of its own; what is of the Gateway API may be a waypoint."""
    return one.dataplane is Dataplane.GATEWAY and GATEWAY_NAME not in one.labels


def _key(callee: Callee) -> _Key:
    return callee.name, frozenset(callee.workload.labels.items()), callee.unguarded
