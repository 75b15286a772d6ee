"""Everything the engine needs of the outside world for one cluster."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import anyio

from meshinstall.config.lockfile import Lock
from meshinstall.model.cluster import CloudCluster
from meshinstall.ports import Certificates, Charts, Helm, IstiodDebug, Kube, Pods, Provider, Releases, WireProbe


@dataclass(frozen=True, slots=True)
class CloudSide:
    """A managed cluster as its cloud sees it."""

    provider: Provider
    cluster: CloudCluster


@dataclass(frozen=True, slots=True)
class Session:
    """The ports of one cluster.

    ``cluster`` is its name for people, ``who`` names this run for others,
    ``chart_pins`` are those of meshinstall.lock, ``is_dead`` and ``is_alive`` know runs of this machine: of others neither is true.
    ``clock`` counts seconds that nobody sets, also while the machine sleeps.
    ``cloud`` is None where a kubeconfig alone reaches the cluster. ``server`` is the API server's URL, ``authority`` the SHA-256
    fingerprint of the CA that its certificate is held against, empty where that is the system's own. ``tell`` gets what a person
    should read that is neither a finding nor an event.
    """

    cluster: str
    kube: Kube
    pods: Pods
    helm: Helm
    releases: Releases
    charts: Charts
    istiod: IstiodDebug
    certificates: Certificates
    wire: WireProbe
    chart_pins: Lock
    now: Callable[[], datetime]
    who: str
    is_dead: Callable[[str], bool]
    is_alive: Callable[[str], bool] = lambda _: False
    clock: Callable[[], float] = anyio.current_time
    cloud: CloudSide | None = None
    server: str = ""
    authority: str = ""
    tell: Callable[[str], None] = lambda _: None
