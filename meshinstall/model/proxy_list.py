"""Every proxy of a mesh, and who replaces it; plain data."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from meshinstall.model.mesh import SyncState
from meshinstall.model.mesh_position import Carrier
from meshinstall.model.place import Place


class RolledBy(StrEnum):
    """Who gives a workload new pods, and with them the proxy of another istiod."""

    # Kubernetes, when its owner restarts the Deployment, StatefulSet or DaemonSet.
    ROLLOUT = "rollout"
    UPGRADE = "meshinstall upgrade"
    # For a gateway or waypoint of the Gateway API.
    ISTIOD = "istiod"
    # Of a kind that Kubernetes does not have.
    CONTROLLER = "its controller"
    NOBODY = "nobody"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Rolling:
    """Who rolls a workload; ``note`` says what is in the way of that, or what to do where nobody does."""

    by: RolledBy
    note: str = ""


@dataclass(frozen=True, slots=True)
class ListedProxy:
    """A pod with a proxy: the ``version`` of its image (empty where that does not say it), and the ``revision`` that injected it.

    ``kind`` and ``workload`` are what made the pod. ``istiod`` is the pod of the istiod that lists it; empty: none does, or with
    ``is_connected`` None not all of them could be asked.
    """

    pod: Place
    version: str
    revision: str
    kind: str
    workload: Place
    carrier: Carrier
    created: datetime
    is_ready: bool
    rolling: Rolling
    sync: SyncState = SyncState.UNKNOWN
    sync_words: str = ""
    istiod: str = ""
    is_connected: bool | None = None


@dataclass(frozen=True, slots=True)
class ProxyList:
    """The proxies of a mesh at the time ``at``, the oldest version first; ``others`` is how many belong to other meshes of the cluster.

    ``gaps`` are what could not be read.
    """

    environment: str
    cluster: str
    at: datetime
    proxies: tuple[ListedProxy, ...] = ()
    others: int = 0
    gaps: tuple[str, ...] = ()
