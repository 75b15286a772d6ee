"""Names of Istio's own objects and ports, as istiod and its charts use them."""

# The label of every istiod, whatever its revision.
ISTIOD_APP = "istiod"
ISTIOD_SELECTOR = f"app={ISTIOD_APP}"

# The kinds that belong to the cluster and name the Services of istiod, and how the names of Istio's webhooks in them end.
VOUCHING_KINDS = ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
ISTIO_WEBHOOKS = ".istio.io"
# What base's chart calls the webhook of its default revision.
DEFAULT_VALIDATOR = "istiod-default-validator"

# Where only administrators of the cluster run pods; istio-cni is often there.
SYSTEM_NAMESPACE = "kube-system"

# What istiod takes for granted where its mesh configuration says nothing (istio: pkg/config/mesh/mesh.go, DefaultMeshConfig).
DEFAULT_ROOT_NAMESPACE = "istio-system"
DEFAULT_DOMAIN = "cluster.local"

# Containers, whatever their pods are called.
ISTIOD_CONTAINER = "discovery"
PROXY_CONTAINER = "istio-proxy"

# What istiod writes into every namespace and no chart owns (istio: pilot/pkg/serviceregistry/kube/controller/namespacecontroller.go).
ROOT_CERTIFICATE = "istio-ca-root-cert"
ROOT_CERTIFICATES = (ROOT_CERTIFICATE, "istio-ca-crl")

# Where istiod's CA can be, the user's own first (istio: pilot/pkg/bootstrap/istio_ca.go, security/pkg/pki/ca/ca.go).
USER_CA_SECRET = "cacerts"  # noqa: S105 - the name of a Secret
OWN_CA_SECRET = "istio-ca-secret"  # noqa: S105 - the name of a Secret
CA_SECRETS = (USER_CA_SECRET, OWN_CA_SECRET)

# The loopback ports of istiod's debug endpoints and metrics, and of Envoy's admin interface.
ISTIOD_MONITORING_PORT = 15014
ENVOY_ADMIN_PORT = 15000

# The port of a sidecar's agent: health, and metrics merged with the application's.
AGENT_PORT = 15020

# The port of istiod's pods that the API server calls for injection and validation.
WEBHOOK_PORT = 15017
OPEN_WEBHOOK_PORT = (
    f"the API server must reach istiod's pods on port {WEBHOOK_PORT}: on EKS allow it from the cluster security group to the nodes, "
    f"on GKE private clusters add tcp:{WEBHOOK_PORT} to the master's firewall rule"
)


def image_tag(image: str) -> str:
    """The tag of an image's reference, empty when it has none: 1.31.0 of registry:5000/istio/pilot:1.31.0@sha256:..."""
    return image.partition("@")[0].rpartition("/")[2].partition(":")[2]


def full_host(host: str, namespace: str, domain: str) -> str:
    """A host in an object of a namespace, in full; a name without a dot is a Service beside the object, any other is complete."""
    return host if "." in host or host == "*" else f"{host}.{namespace}.svc.{domain}"
