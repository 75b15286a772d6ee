"""Labels by which namespaces and pods tell Istio what to do with them (istio: api/label/labels.gen.go)."""

REVISION = "istio.io/rev"
# On every object of a tag: a name for a revision that can be moved.
TAG = "istio.io/tag"
INJECTION = "istio-injection"
INJECT = "sidecar.istio.io/inject"
MODE = "istio.io/dataplane-mode"
# On a namespace or a Service: its waypoint, or none, and the waypoint's namespace where that is another.
USE_WAYPOINT = "istio.io/use-waypoint"
USE_WAYPOINT_NAMESPACE = "istio.io/use-waypoint-namespace"
# On the pods of gateways, for the selectors of Gateways (istio: manifests/charts/gateway/templates/_helpers.tpl).
GATEWAY_LABEL = "istio"
# By this annotation istiod leaves a policy of the Gateway API to others (istio: pilot/pkg/config/kube/gateway).
NOT_OURS = "istio.io/ignore-policy-attachment"
# Annotations: what the injector did (istio: pkg/kube/inject/webhook.go), and that the CNI redirects a pod to ztunnel (cni/pkg/util).
STATUS = "sidecar.istio.io/status"
REDIRECTION = "ambient.istio.io/redirection"
# What an injected pod says of itself, and clients go by.
TLS_MODE = "security.istio.io/tlsMode"
# Of the release and of the chart, on all that Istio's charts make (helm: chart best practices; istio: zzz_profile and _helpers.tpl).
INSTANCE = "app.kubernetes.io/instance"
CHART = "helm.sh/chart"
