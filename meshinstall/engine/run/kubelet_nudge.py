"""Makes the kubelet check at once whether istiod is ready.

istiod's chart has the kubelet look every 3 s, and the first look comes before any istiod is ready: one that is ready
after a second counts after four, at each install and each upgrade. The kubelet also looks whenever a pod that is not
ready changes (kubernetes: pkg/kubelet/prober/prober_manager.go, UpdatePodStatus), and an annotation is a change.
"""

from meshinstall.engine.objects.readiness import pods_of
from meshinstall.engine.session import Session
from meshinstall.errors import ClusterError
from meshinstall.model.facts import ObjectKey
from meshinstall.model.paths import object_path
from meshinstall.model.release import Manifest

AWAITED = "meshinstall.dev/awaited"


async def nudge(session: Session, key: ObjectKey, live: Manifest) -> None:
    """Annotate the pods of a Deployment that run and are not ready, each with the time."""
    moment = session.now().isoformat(timespec="milliseconds")
    async for pod in session.kube.list(object_path("v1", "pods", key.namespace), labels=pods_of(live)):
        if _runs_unready(pod):
            path = object_path("v1", "pods", key.namespace, pod["metadata"]["name"])
            try:
                await session.kube.patch(path, {"metadata": {"annotations": {AWAITED: moment}}})
            except ClusterError:
                # Not permitted, or the pod is gone: without the nudge the kubelet looks a little later.
                return


def _runs_unready(pod: Manifest) -> bool:
    containers = (pod.get("status") or {}).get("containerStatuses") or ()
    return any(one.get("ready") is False for one in containers) and all("running" in (one.get("state") or {}) for one in containers)
