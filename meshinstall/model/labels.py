"""Labels by which namespaces and pods tell Istio what to do with them (istio: api/label/labels.gen.go)."""

REVISION = "istio.io/rev"
INJECTION = "istio-injection"
INJECT = "sidecar.istio.io/inject"
MODE = "istio.io/dataplane-mode"
# What an injected pod says of itself, and clients go by.
TLS_MODE = "security.istio.io/tlsMode"
