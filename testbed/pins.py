"""Versions of everything the testbed builds that no go.mod file states."""

KUBERNETES = "1.36.3"
ISTIO = "1.31.0"
# A release of the minor before, which has code, charts and an Envoy of its own, for tests of upgrades.
PREVIOUS = "1.30.4"
# The same charts and code as ISTIO under a second number, for tests of patches.
RESTAMP = "1.31.1"
HELM4 = "4.3.1"
HELM3 = "3.22.0"
HELMFILE = "1.8.0"

# Modules whose CRDs say what Argo CD 3.5.7 and Flux 2.9.4 read: nothing of them is built. Each with its checksum as in a go.sum.
ENGINES = {
    "github.com/argoproj/argo-cd/v3@v3.5.7": "h1:Xm1BF+I5OgDKUG3SDK49vn2/Y5AMyaNVko+/JT08gj0=",
    "github.com/controlplaneio-fluxcd/flux-operator@v0.58.0": "h1:7fbGeGRzp7sEwfg7jjc3a3bJvMYTAgPv+hl5qf9SBxo=",
}

PAUSE_IMAGE = "registry.k8s.io/pause:3.10"
APP_IMAGE = "testbed.local/app:1"
ISTIO_HUB = "docker.io/istio"

# Debian packages, unpacked into the cache and never installed on the host:
# what kube-proxy, the pod network and the proxies' init containers call.
NODE_PACKAGES = ("iptables", "libgcc-s1", "containernetworking-plugins", "busybox", "runc")
