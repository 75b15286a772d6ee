"""Lists the workloads of a cluster with the labels of their pods, and whether a proxy keeps policies for them."""

from meshinstall.engine.mesh.pods import pod
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
_UNGUARDED = {
    Dataplane.NONE: "it has no proxy: no policy counts, and whoever reaches it may call",
    Dataplane.AMBIENT: "it is in ambient mode: what ztunnel and waypoints do is not decided here",
}


async def list_callees(asker: Asker, mesh_namespace: str) -> tuple[Callee, ...]:
    """One for each workload whose pods have the same labels, by namespace and name; parts of the control plane are left out.

    What could not be listed is in the asker's gaps. Raises UnauthorizedError and UnreachableError alone.
    """

    def read(item: Manifest) -> Pod | None:
        seen = pod(item, {mesh_namespace})
        return seen.pod if seen and seen.pod.dataplane is not Dataplane.CONTROL else None

    found: dict[tuple[str, frozenset[tuple[str, str]], str], Callee] = {}
    for one in await asker.facts(Wanted("Pods", object_path("v1", "pods")), read):
        labels = {name: value for name, value in one.labels.items() if name not in _OF_ONE_POD}
        unguarded = _UNGUARDED.get(one.dataplane, "")
        name = plain(f"{one.place.namespace}/{one.workload.rpartition(' ')[2]}")
        workload = Workload(one.place.namespace, labels, is_gateway=one.dataplane is Dataplane.GATEWAY)
        found.setdefault((name, frozenset(labels.items()), unguarded), Callee(name, workload, unguarded))
    return tuple(sorted(found.values(), key=lambda callee: callee.name))
