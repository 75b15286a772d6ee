"""The kinds that layers of policies may hold: Istio's for security, networking and telemetry, and those of the Gateway API."""

from collections.abc import Mapping
from typing import NamedTuple

SECURITY = "security.istio.io"
NETWORKING = "networking.istio.io"
TELEMETRY = "telemetry.istio.io"
EXTENSIONS = "extensions.istio.io"
GATEWAY_API = "gateway.networking.k8s.io"

_STABLE = ("v1", "v1beta1")
_ALL = ("v1", "v1beta1", "v1alpha3")


class PolicyKind(NamedTuple):
    """A kind: its resource, and the versions in which it may be written, the newest first. All of them live in namespaces."""

    plural: str
    versions: tuple[str, ...]


# By group and kind (istio: manifests/charts/base/files/crd-all.gen.yaml; gateway-api: config/crd). GatewayClasses are not among them:
# istiod makes its own, and they live in no namespace.
POLICY_KINDS: Mapping[tuple[str, str], PolicyKind] = {
    (SECURITY, "AuthorizationPolicy"): PolicyKind("authorizationpolicies", _STABLE),
    (SECURITY, "PeerAuthentication"): PolicyKind("peerauthentications", _STABLE),
    (SECURITY, "RequestAuthentication"): PolicyKind("requestauthentications", _STABLE),
    (NETWORKING, "DestinationRule"): PolicyKind("destinationrules", _ALL),
    (NETWORKING, "EnvoyFilter"): PolicyKind("envoyfilters", ("v1alpha3",)),
    (NETWORKING, "Gateway"): PolicyKind("gateways", _ALL),
    (NETWORKING, "ProxyConfig"): PolicyKind("proxyconfigs", ("v1beta1",)),
    (NETWORKING, "ServiceEntry"): PolicyKind("serviceentries", _ALL),
    (NETWORKING, "Sidecar"): PolicyKind("sidecars", _ALL),
    (NETWORKING, "VirtualService"): PolicyKind("virtualservices", _ALL),
    (NETWORKING, "WorkloadEntry"): PolicyKind("workloadentries", _ALL),
    (NETWORKING, "WorkloadGroup"): PolicyKind("workloadgroups", _ALL),
    (TELEMETRY, "Telemetry"): PolicyKind("telemetries", ("v1", "v1alpha1")),
    (GATEWAY_API, "BackendTLSPolicy"): PolicyKind("backendtlspolicies", ("v1", "v1alpha3")),
    (GATEWAY_API, "GRPCRoute"): PolicyKind("grpcroutes", ("v1",)),
    (GATEWAY_API, "Gateway"): PolicyKind("gateways", _STABLE),
    (GATEWAY_API, "HTTPRoute"): PolicyKind("httproutes", _STABLE),
    (GATEWAY_API, "ReferenceGrant"): PolicyKind("referencegrants", _STABLE),
    (GATEWAY_API, "TCPRoute"): PolicyKind("tcproutes", ("v1", "v1alpha2")),
    (GATEWAY_API, "TLSRoute"): PolicyKind("tlsroutes", ("v1", "v1alpha3", "v1alpha2")),
    (GATEWAY_API, "UDPRoute"): PolicyKind("udproutes", ("v1", "v1alpha2")),
}

# Beside those, what layers may not hold and a mesh has.
OTHER_KINDS: Mapping[tuple[str, str], PolicyKind] = {(EXTENSIONS, "WasmPlugin"): PolicyKind("wasmplugins", ("v1alpha1",))}

# Of SECURITY, those by which a request is allowed or denied.
ACCESS_KINDS = ("AuthorizationPolicy", "RequestAuthentication", "PeerAuthentication")


class PolicyKey(NamedTuple):
    """What names a policy, whatever version it is written in."""

    group: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        """Such as ``AuthorizationPolicy shop/web``; of two kinds with one name, that of the Gateway API has its group."""
        kind = f"{self.kind}.{self.group}" if (self.group, self.kind) == (GATEWAY_API, "Gateway") else self.kind
        return f"{kind} {self.namespace}/{self.name}"

    @property
    def step(self) -> str:
        """The name of the step for it."""
        return str(self).replace(" ", "/")


def groups_of(kind: str) -> tuple[str, ...]:
    """The groups that have a kind of this name."""
    return tuple(group for group, name in POLICY_KINDS if name == kind)


def group_of(api_version: str) -> str:
    """``security.istio.io`` of ``security.istio.io/v1``; empty for the core of Kubernetes."""
    return api_version.rpartition("/")[0]
