"""What is known of the way from one Istio to another: skew, fixes, known faults, and what release notes say; data with its sources.

All pages are of istio.io as they were in public on TABLE_DATE; ``releases/1.31.1`` is its news/releases/1.31.x/announcing-1.31.1.
What no page states is left out of a table, and is reported as unknown.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from meshinstall.model.istio_version import IstioVersion

TABLE_DATE = date(2026, 11, 29)

# docs/setup/upgrade/in-place, "Upgrade prerequisites": no more than one minor below the version that is installed over it.
IN_PLACE_MINORS = 1
# docs/setup/upgrade/canary, "Before you upgrade": with revisions, jumping across two minors is supported.
CANARY_MINORS = 2
# docs/releases/supported-releases, "Control Plane/Data Plane Skew": the control plane can be one version ahead of the data plane; the
# data plane cannot be ahead of the control plane.
PROXY_MINORS_BEHIND = 1

# The newest patch of each minor that a page announces; newer ones may exist. 1.30.6 and 1.31.2 and later are tagged in istio/api, and no
# page of theirs was read.
NEWEST_PATCH: Mapping[str, int] = {"1.28": 10, "1.29": 9, "1.30": 5, "1.31": 1}

# With which helm an upgrade is tried in the tests of meshinstall, as ``major.minor``.
HELM_TRIED = ("3.22", "4.3")


@dataclass(frozen=True, slots=True)
class Fix:
    """A fix, and the first patch of each minor that has it; ``since`` is the first minor all of whose releases have it.

    A minor that is neither named nor at or after ``since`` is one that no source states.
    """

    name: str
    what: str
    source: str
    patches: Mapping[str, int]
    since: tuple[int, int] | None = None

    def is_in(self, version: IstioVersion) -> bool | None:
        """Whether a version has it; None when no source states it."""
        if self.since and (version.major, version.minor) >= self.since:
            return True
        first = self.patches.get(version.line)
        return None if first is None else version >= IstioVersion(version.major, version.minor, first)

    @property
    def releases(self) -> str:
        """``1.29.7, 1.30.4 and 1.31.1``."""
        found = [f"{line}.{patch}" for line, patch in self.patches.items()]
        *most, last = [*found, *([f"{self.since[0]}.{self.since[1]}.0"] if self.since else [])]
        return f"{', '.join(most)} and {last}" if most else last


# Security fixes of Istio and of its proxies. That 1.32 has the escaping of annotations is concluded: it was merged into master
# (istio/istio#61215) in August, and 1.32 came in October. Of the others no page states it.
SECURITY_FIXES: tuple[Fix, ...] = (
    Fix(
        "annotation-escaping",
        "a tenant's sidecar annotations can inject fields into pods (istio/istio#61215)",
        "releases/1.29.7, releases/1.30.4, releases/1.31.1",
        {"1.29": 7, "1.30": 4, "1.31": 1},
        since=(1, 32),
    ),
    Fix(
        "backend-tls-fail-open",
        "BackendTLSPolicy sends plaintext when its CA reference is unresolved (GHSA-qm8v-g4f9-qhjx)",
        "releases/1.29.7, releases/1.30.4, releases/1.31.1",
        {"1.29": 7, "1.30": 4, "1.31": 1},
    ),
    Fix(
        "xds-api-authentication",
        "any client that reaches istiod can read Istio's configuration of all namespaces",
        "releases/1.29.7, releases/1.30.4, releases/1.31 (upgrade notes)",
        {"1.29": 7, "1.30": 4},
        since=(1, 31),
    ),
    Fix(
        "envoy-2026-006",
        "CVEs of Envoy, the highest of severity high (ISTIO-SECURITY-2026-006)",
        "releases/1.29.7, releases/1.30.4",
        {"1.29": 7, "1.30": 4},
    ),
    Fix(
        "jwks-addresses",
        "jwksUri of a RequestAuthentication reaches the cloud's metadata address",
        "releases/1.29.7, releases/1.31.1",
        {"1.29": 7, "1.31": 1},
    ),
    Fix(
        "method-case",
        "AuthorizationPolicy rules for methods can be bypassed over HTTP/2 (GHSA-w44g-8m76-8gc5, ISTIO-SECURITY-2026-007)",
        "releases/1.29.9",
        {"1.29": 9},
    ),
)

# istio/istio#59959, fixed by #60158 and its backports #60624 and #60627.
GATEWAY_REVISION_FIX = Fix(
    "gateway-revision",
    "a Gateway loses its configuration when its revision changes (istio/istio#59959)",
    "releases/1.29.5, releases/1.30.2; merged into master before 1.31 was branched",
    {"1.29": 5, "1.30": 2},
    since=(1, 31),
)
# istio/istio#58302 and #59367.
SERVER_SIDE_APPLY_FIX = Fix(
    "server-side-apply",
    "helm 4 reports a conflict over failurePolicy of the webhooks (istio/istio#58302)",
    "releases/1.28.6, releases/1.29.2",
    {"1.28": 6, "1.29": 2},
    since=(1, 30),
)


@dataclass(frozen=True, slots=True)
class KnownBad:
    """A release that should not be installed; ``fixed`` is the first one of its minor without the fault."""

    what: str
    issue: str
    fixed: str


KNOWN_BAD: Mapping[str, KnownBad] = {
    # releases/1.30.1 has the fix, the regression is of the Envoy in 1.30.0.
    "1.30.0": KnownBad("consistentHash sends nothing to new endpoints", "istio/istio#60312", "1.30.1"),
    # releases/1.30.3 has the fix of #59912, which #60689 reports again of 1.30.1.
    "1.30.1": KnownBad("proxies keep serving certificates that were renewed and have expired", "istio/istio#59912, #60689", "1.30.3"),
}


@dataclass(frozen=True, slots=True)
class Note:
    """One entry of the upgrade notes of a minor; ``used`` names what the mesh must have to be touched, empty for every mesh."""

    title: str
    fix: str
    used: str = ""


# What a MeshPosition's ``used`` may have beside ``env NAME``.
GATEWAY_ROUTES, CNI, AMBIENT = "TLSRoutes and ReferenceGrants", "CNI", "ambient"
SHARED_HOSTS, REGISTERED_ENTRIES = "hosts in several namespaces", "auto-registered WorkloadEntries"
RETIRED_HOSTS, MERGED_GATEWAYS = "images of a retired host", "Gateways that select managed gateways"

# Hosts of images and charts to which nothing newer than 1.30 is published (releases/1.31, upgrade notes).
RETIRED = ("gcr.io/istio-release", "registry.istio.io", "istio-release.storage.googleapis.com")

NOTES: Mapping[str, tuple[Note, ...]] = {
    "1.30": (
        Note(
            "TLSRoutes and ReferenceGrants are read as v1 alone: with CRDs of the Gateway API before 1.5 istiod does not see them",
            "install the Gateway API 1.5 first",
            GATEWAY_ROUTES,
        ),
        Note(
            "the CNI's configuration file on nodes has mode 0600", "tools that read it as another user need CNI_CONF_GROUP_READ=true", CNI
        ),
        Note(
            "the CNI's agent leaves excludeNamespaces out of the mesh, pods that were in it too", "look at cni.excludeNamespaces", AMBIENT
        ),
        Note(
            "of several Services of one host, sidecars take Kubernetes' own, then the oldest; before, the first namespace by name",
            "keep the old choice: PILOT_SIDECAR_PICK_BEST_SERVICE_NAMESPACE=false on istiod",
            SHARED_HOSTS,
        ),
        Note(
            "the untaint controller follows taint.enabled",
            "remove the variable from istiod's values",
            "env PILOT_ENABLE_NODE_UNTAINT_CONTROLLERS",
        ),
        Note(
            "istiod's debug endpoints on port 15010 need authentication",
            "tools that use them without: ENABLE_DEBUG_ENDPOINT_AUTH=false on istiod",
        ),
    ),
    "1.31": (
        Note(
            "Istio no longer publishes images and charts at gcr.io/istio-release and registry.istio.io",
            "use docker.io/istio for images and oci://ghcr.io/istio/release/charts for charts",
            RETIRED_HOSTS,
        ),
        Note(
            "proxies get unhealthy endpoints too, unless OutlierDetection.minHealthPercent is set",
            "keep the old behaviour: PILOT_AUTO_SEND_UNHEALTHY_ENDPOINTS=false on istiod",
        ),
        Note(
            "WorkloadEntries that were registered before get no HBONE label, and are reached in plaintext",
            "register them again, or label them networking.istio.io/tunnel=http",
            REGISTERED_ENTRIES,
        ),
        Note(
            "PILOT_SPAWN_UPSTREAM_SPAN_FOR_GATEWAY was removed: gateways always make a span of each upstream request",
            "remove the variable from istiod's values",
            "env PILOT_SPAWN_UPSTREAM_SPAN_FOR_GATEWAY",
        ),
        Note(
            "Gateways of other namespaces no longer merge into proxies that istiod made for a Gateway of the Gateway API",
            "keep the old merging: PILOT_ENABLE_STRICT_GATEWAY_MERGING=false on istiod",
            MERGED_GATEWAYS,
        ),
        Note(
            "ztunnel's requests are larger: istiod's limit of 4 MiB is reached at about 40,000 workloads",
            "raise ISTIO_GPRC_MAXRECVMSGSIZE on istiod",
            AMBIENT,
        ),
        Note(
            "readers of Istio's configuration by MCP outside istio-system are refused",
            "let them in again: ENABLE_XDS_API_GENERATOR_AUTH=false on istiod",
        ),
    ),
}


def notes_source(line: str) -> str:
    """The page of a minor's upgrade notes."""
    return f"https://istio.io/latest/news/releases/{line}.x/announcing-{line}/upgrade-notes/"
