"""Where each part of a mesh is before an upgrade: what was read of a cluster."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from meshinstall.model.istio_version import IstioVersion
from meshinstall.model.place import Place
from meshinstall.model.revision import DEFAULT_REVISION


@dataclass(frozen=True, slots=True)
class PlaneAt:
    """An istiod: ``release`` is its Helm release, empty when helm did not make it; ``version`` is None when its image does not say it.

    ``images`` is where its image comes from, ``env`` its environment, both as they run. ``kept_by`` is the GitOps engine that keeps it.
    """

    revision: str
    version: IstioVersion | None
    place: Place
    release: str = ""
    images: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    kept_by: str = ""


class Carrier(StrEnum):
    """What a proxy is there for."""

    SIDECAR = "sidecar"
    GATEWAY = "gateway"
    # Made by istiod for an object of the Gateway API.
    MANAGED_GATEWAY = "managed gateway"
    WAYPOINT = "waypoint"


@dataclass(frozen=True, slots=True)
class ProxyCount:
    """How many proxies of a workload one istiod injected with one version; the version is None when the image does not say it."""

    revision: str
    version: IstioVersion | None
    count: int


@dataclass(frozen=True, slots=True)
class Rollout:
    """How a workload's pods are replaced (kubernetes: apps/v1); counts are of pods, after percentages were resolved.

    ``strategy`` is RollingUpdate, Recreate, OnDelete, or empty where nothing replaces them. ``held`` is the number of pods that
    a partition keeps, ``grace`` the seconds that a pod may take to stop. ``budget`` names a PodDisruptionBudget that allows none now,
    ``min_ready`` are the seconds that a new pod has to be Ready before the next one is replaced.
    """

    strategy: str = ""
    replicas: int = 0
    max_unavailable: int = 0
    max_surge: int = 0
    held: int = 0
    is_paused: bool = False
    grace: int = 30
    budget: str = ""
    min_ready: int = 0


@dataclass(frozen=True, slots=True)
class Mark:
    """What an upgrade wrote on a workload that it restarted: for which target, on the workload (``tried``) and on its pods (``now``).

    ``is_rolling``: its pods are not yet those of its newest template. ``changed_by`` wrote the template since, where ``now`` is gone.
    """

    now: str = ""
    tried: str = ""
    is_rolling: bool = False
    changed_by: str = ""


@dataclass(frozen=True, slots=True)
class BudgetAt:
    """A PodDisruptionBudget: how many pods it counts, and how many of them may be disrupted now."""

    place: Place
    allowed: int
    expected: int


@dataclass(frozen=True, slots=True)
class Proxied:
    """Pods with a proxy, by what made them.

    ``release`` is the Helm release of a gateway; ``pinned`` a revision, ``pinned_image`` an image that its own pod template names.
    ``budgets`` are the PodDisruptionBudgets that select its pods. ``lacks_probe``: no container of it has a readiness probe.
    ``kept_by`` is the GitOps engine that keeps what made them.
    """

    kind: str
    place: Place
    carrier: Carrier
    proxies: tuple[ProxyCount, ...]
    rollout: Rollout = Rollout()
    release: str = ""
    pinned: str = ""
    pinned_image: str = ""
    budgets: tuple[BudgetAt, ...] = ()
    lacks_probe: bool = False
    mark: Mark = Mark()
    kept_by: str = ""

    @property
    def name(self) -> str:
        """``Deployment shop/web``."""
        return f"{self.kind} {self.place}"

    @property
    def pods(self) -> int:
        """How many pods."""
        return sum(one.count for one in self.proxies)


@dataclass(frozen=True, slots=True)
class NamespaceAt:
    """A namespace by its labels: ``injection`` is that of istio-injection, ``revision`` that of istio.io/rev; empty without one."""

    name: str
    injection: str = ""
    revision: str = ""
    # All of them, for those who select namespaces.
    labels: tuple[tuple[str, str], ...] = field(default=(), compare=False, repr=False)

    @property
    def selector(self) -> str:
        """The tag or revision that injects its pods; empty when none does. The label istio-injection goes before the other."""
        if self.injection:
            return DEFAULT_REVISION if self.injection == "enabled" else ""
        return self.revision


@dataclass(frozen=True, slots=True)
class TagAt:
    """A revision tag, and the revision that it leads to."""

    name: str
    revision: str


@dataclass(frozen=True, slots=True)
class AgentAt:
    """A DaemonSet of every node: ``cni`` or ``ztunnel``."""

    component: str
    version: IstioVersion | None
    place: Place


@dataclass(frozen=True, slots=True)
class LabelledAt:
    """An object of Istio or of the Gateway API, but for its Gateways, with a label istio.io/rev."""

    kind: str
    place: Place
    revision: str

    def __str__(self) -> str:
        """``VirtualService shop/web``."""
        return f"{self.kind} {self.place}"


@dataclass(frozen=True, slots=True)
class ApiGatewayAt:
    """A Gateway of the Gateway API that istiod keeps; ``revision`` is its label istio.io/rev, empty without one."""

    place: Place
    is_waypoint: bool
    revision: str = ""

    def __str__(self) -> str:
        """``Gateway shop/web``."""
        return f"Gateway {self.place}"


@dataclass(frozen=True, slots=True)
class MeshPosition:
    """One observation of a mesh, each part where it really is.

    ``base`` is the version of the chart with the CRDs, None when helm has no record of it. ``validator`` is the revision that the
    default validator leads to, empty when there is none. ``switched_off``: the injector of the istiod without a revision matches nothing,
    as it is while another has the tag ``default``. ``used`` maps what release notes ask for to the objects that have it.
    ``gaps`` are what could not be read.
    """

    kubernetes: str = ""
    helm: str = ""
    base: IstioVersion | None = None
    planes: tuple[PlaneAt, ...] = ()
    proxied: tuple[Proxied, ...] = ()
    namespaces: tuple[NamespaceAt, ...] = ()
    tags: tuple[TagAt, ...] = ()
    validator: str = ""
    switched_off: bool = False
    agents: tuple[AgentAt, ...] = ()
    labelled: tuple[LabelledAt, ...] = ()
    api_gateways: tuple[ApiGatewayAt, ...] = ()
    gateway_api: str = ""
    used: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    gaps: tuple[str, ...] = ()

    def plane(self, selector: str) -> PlaneAt | None:
        """The istiod that a revision or a tag leads to."""
        leads = {tag.name: tag.revision for tag in self.tags}
        planes = {plane.revision: plane for plane in self.planes}
        if self.switched_off and selector == DEFAULT_REVISION:
            return planes.get(leads.get(selector, ""))
        # Of the webhooks of a tag and of an istiod with its name both match, and the istiod's, which is later by name, wins.
        return planes.get(selector) or planes.get(leads.get(selector, ""))

    @property
    def is_ambient(self) -> bool:
        """Whether a part of the mesh has no sidecars."""
        return any(agent.component == "ztunnel" for agent in self.agents)
