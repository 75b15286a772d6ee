"""The parts of Istio that can be installed, and which versions of Istio are supported on what.

What is known of the way from one version to another is in catalog/upgrades.py, which only upgrades load.

The support table is data with a date: None means that the source did not state it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from meshinstall.model.cluster_ref import Cloud
from meshinstall.model.release import Component

MESH_NAMESPACE = "istio-system"
# A minor: the lock file, what runs, or the source says which version of it.
DEFAULT_ISTIO = "1.31"
# A version in full, for examples.
EXAMPLE_ISTIO = "1.31.0"
# Since 1.31 Istio publishes charts there; registry.istio.io and gcr.io/istio-release end in December 2026 (istio.io: retirement-of-gcp).
DEFAULT_CHARTS = "oci://ghcr.io/istio/release/charts"
DEFAULT_PROFILE = "default"
ENVIRONMENTS = ("dev", "staging", "prod")
# The oldest helm that runs; every 4.x is newer.
HELM_MINIMUM = "3.18.0"

# Secrets that each cloud's own tools read from the environment; programs that we start for something else do not get them.
SECRET_VARIABLES: Mapping[Cloud, frozenset[str]] = {
    Cloud.AKS: frozenset(
        {"AZURE_CLIENT_SECRET", "AZURE_CLIENT_CERTIFICATE_PASSWORD", "AZURE_PASSWORD", "AAD_SERVICE_PRINCIPAL_CLIENT_SECRET"}
    ),
    Cloud.EKS: frozenset({"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN"}),
    Cloud.GKE: frozenset({"CLOUDSDK_AUTH_ACCESS_TOKEN", "GOOGLE_OAUTH_ACCESS_TOKEN", "GOOGLE_CREDENTIALS"}),
}


@dataclass(frozen=True, slots=True)
class ComponentSpec:
    """How a component is installed; a gateway's release and namespace come from the configuration."""

    component: Component
    chart: str
    release: str
    namespace: str
    needs: tuple[Component, ...] = ()


# In install order: the control plane before the CNI, the CNI before ztunnel (an older CNI under a newer ztunnel drops traffic).
COMPONENTS: Mapping[Component, ComponentSpec] = {
    spec.component: spec
    for spec in (
        ComponentSpec(Component.BASE, "base", "istio-base", MESH_NAMESPACE),
        ComponentSpec(Component.ISTIOD, "istiod", "istiod", MESH_NAMESPACE, (Component.BASE,)),
        ComponentSpec(Component.CNI, "cni", "istio-cni", MESH_NAMESPACE, (Component.ISTIOD,)),
        ComponentSpec(Component.ZTUNNEL, "ztunnel", "ztunnel", MESH_NAMESPACE, (Component.ISTIOD, Component.CNI)),
        ComponentSpec(Component.GATEWAY, "gateway", "", "", (Component.ISTIOD,)),
    )
}


@dataclass(frozen=True, slots=True)
class Support:
    """What is known of one minor of Istio; Kubernetes minors are the second number of 1.x, ends included."""

    minor: str
    end_of_life: date | None
    end_is_planned: bool
    kubernetes_min: int
    kubernetes_max: int | None

    def ended(self, on: date) -> bool | None:
        """Whether support had ended on that day; None when the end is not known."""
        return None if self.end_of_life is None else on > self.end_of_life

    def runs_on(self, kubernetes_minor: int) -> bool | None:
        """Whether Kubernetes 1.``kubernetes_minor`` is in the supported range; None when it lies above what is known."""
        if kubernetes_minor < self.kubernetes_min:
            return False
        return None if self.kubernetes_max is None else kubernetes_minor <= self.kubernetes_max


# istio.io's supported releases and announcements, and endoflife.date (products/istio.md), as of this day. Nothing is stated of 1.32.
TABLE_DATE = date(2026, 11, 29)
_SUPPORT: Mapping[str, Support] = {
    row.minor: row
    for row in (
        Support("1.27", date(2026, 4, 7), end_is_planned=False, kubernetes_min=29, kubernetes_max=33),
        Support("1.28", date(2026, 7, 1), end_is_planned=False, kubernetes_min=30, kubernetes_max=34),
        # The announcement of 1.29.9, its last release.
        Support("1.29", date(2026, 10, 15), end_is_planned=False, kubernetes_min=31, kubernetes_max=35),
        Support("1.30", date(2026, 11, 30), end_is_planned=True, kubernetes_min=32, kubernetes_max=36),
        # Kubernetes by the announcement of 1.31.0. Its end is 6 weeks after 1.33.0, which has no date.
        Support("1.31", None, end_is_planned=True, kubernetes_min=32, kubernetes_max=36),
    )
}


def minor_of(version: str) -> str:
    """``1.31`` of ``1.31.0``."""
    return ".".join(version.split(".")[:2])


def support(version: str) -> Support | None:
    """What is known of the minor that ``version`` belongs to; None when it is not in the table."""
    return _SUPPORT.get(minor_of(version))


def newest_kubernetes(version: str) -> str:
    """The newest Kubernetes that an Istio is known to run on, as 1.36.0; of one that is not in the table, that of the newest in it."""
    known = [row.kubernetes_max for row in (_SUPPORT.get(minor_of(version)), *_SUPPORT.values()) if row and row.kubernetes_max]
    return f"1.{known[0] if minor_of(version) in _SUPPORT else max(known)}.0"


# 1.31 only adds fields to those of 1.30.
_CRD_GROUPS = {
    "extensions": ("trafficextensions", "wasmplugins"),
    "networking": (
        "destinationrules",
        "envoyfilters",
        "gateways",
        "proxyconfigs",
        "serviceentries",
        "sidecars",
        "virtualservices",
        "workloadentries",
        "workloadgroups",
    ),
    "security": ("authorizationpolicies", "peerauthentications", "requestauthentications"),
    "telemetry": ("telemetries",),
}
# What istiod of a minor needs, from its base chart; and the Gateway API that it is built with, from istio's go.mod.
CRDS: Mapping[str, frozenset[str]] = dict.fromkeys(
    ("1.30", "1.31"), frozenset(f"{name}.{group}.istio.io" for group, names in _CRD_GROUPS.items() for name in names)
)
GATEWAY_API: Mapping[str, str] = {"1.30": "1.5.1", "1.31": "1.6.0"}
