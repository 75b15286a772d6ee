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
ARGOCD = "3.6.1"

# Modules whose CRDs say what Argo CD and Flux 2.9.5 read. Each with its checksum as in a go.sum.
ENGINES = {
    f"github.com/argoproj/argo-cd/v3@v{ARGOCD}": "h1:OmhqeKiR3C//awbFrhQqFdtRI+Qiv17j8vqm3UkMj/g=",
    "github.com/controlplaneio-fluxcd/flux-operator@v0.59.0": "h1:jByuiWYtjSJxucGHuz68tV0DeVFz5CYrKQYfxAwE7lE=",
}

PAUSE_IMAGE = "registry.k8s.io/pause:3.10"
APP_IMAGE = "testbed.local/app:1"
ISTIO_HUB = "docker.io/istio"

# Debian packages, unpacked into the cache and never installed on the host:
# what kube-proxy, the pod network and the proxies' init containers call.
NODE_PACKAGES = ("iptables", "libgcc-s1", "containernetworking-plugins", "busybox", "runc")
