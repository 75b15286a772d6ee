"""Configuration files of the cluster's components, as text."""

import json
from collections.abc import Mapping
from pathlib import Path

from testbed import pins, spec
from testbed.engines import kinds, metrics
from testbed.pki import Authority, KeyPair, kubeconfig, signing_key, write_private
from testbed.spec import INSIDE, Nodes, Spec


def write(of: Spec, files: Mapping[str, str | bytes]) -> None:
    """Write certificates, kubeconfigs and configuration into the cluster's state folder; ``files`` belong to its authentication."""
    state = Path(of.state)
    for folder in ("pki", "config", "config/cni", spec.AUTHENTICATION.name, "log", "tmp", *kinds.folders(of)):
        (state / folder).mkdir(mode=0o700, parents=True)
    authority = Authority("kubernetes")
    admin = authority.client("admin", "system:masters")
    for name, pair in {**_pairs(of, authority), "ca": authority.pair, "admin": admin}.items():
        (state / "pki" / f"{name}.crt").write_bytes(pair.certificate)
        write_private(state / "pki" / f"{name}.key", pair.key)
    users = {
        "controller-manager": authority.client("system:kube-controller-manager"),
        "scheduler": authority.client("system:kube-scheduler"),
        "kube-proxy": authority.client("system:kube-proxy"),
        "kubelet": authority.client(f"system:node:{spec.NODE_NAME}", "system:nodes"),
        "coredns": admin,
        "kwok": admin,
        "istiod": admin,
    }
    ca = authority.pair.certificate
    for name, pair in users.items():
        write_private(state / "config" / f"{name}.kubeconfig", kubeconfig(of.server, ca, pair, name))
    write_private(state / "kubeconfig", kubeconfig(of.server, ca, admin, f"testbed-{of.name}"))
    for engine in of.engines:
        text = kubeconfig(of.server, ca, admin, engine.value, kinds.NAMESPACES[engine])
        write_private(state / "config" / f"{engine}.kubeconfig", text)
    for name, text in _files(of).items():
        (state / "config" / name).write_text(text)
    for name, data in files.items():
        write_private(state / spec.AUTHENTICATION.name / name, data)
    if of.nodes is Nodes.NONE:
        _write_identity(state / spec.AGENT_FOLDER)


def _write_identity(folder: Path) -> None:
    """What every proxy shows and trusts in place of what istiod's authority would sign."""
    folder.mkdir(mode=0o700)
    mesh = Authority("mesh")
    pair = mesh.client("workload")
    (folder / "root-cert.pem").write_bytes(mesh.pair.certificate)
    (folder / "cert-chain.pem").write_bytes(pair.certificate)
    write_private(folder / "key.pem", pair.key)


def _pairs(of: Spec, authority: Authority) -> dict[str, KeyPair]:
    front_proxy = Authority("front-proxy-ca")
    names = ("kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "localhost")
    return {
        "apiserver": authority.server("kube-apiserver", *names, of.address, spec.KUBERNETES_SERVICE, "127.0.0.1"),
        "kubelet-client": authority.client("kube-apiserver-kubelet-client", "system:masters"),
        "front-proxy-ca": front_proxy.pair,
        "front-proxy-client": front_proxy.client("front-proxy-client"),
        "service-account": signing_key(),
        **({"hub": authority.server("hub", of.address), "metrics": authority.server("metrics", metrics.NAME)} if of.engines else {}),
    }


def _files(of: Spec) -> Mapping[str, str]:
    if of.nodes is not Nodes.REAL:
        return {}
    return {
        "containerd.toml": _containerd(of),
        "kubelet.json": json.dumps(_kubelet(of), indent=2),
        "cni/10-bridge.conflist": json.dumps(_POD_NETWORK, indent=2),
        "Corefile": _corefile(of),
    }


def _containerd(of: Spec) -> str:
    return f"""version = 3
root = "{INSIDE}/containerd"
state = "{INSIDE}/run/containerd"
disabled_plugins = ["io.containerd.nri.v1.nri", "io.containerd.tracing.processor.v1.otlp"]

[grpc]
address = "{INSIDE}/containerd.sock"

[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{pins.PAUSE_IMAGE}"

[plugins."io.containerd.cri.v1.runtime"]
# Without CAP_SYS_RESOURCE (some virtual machines) no pod starts otherwise.
restrict_oom_score_adj = true

[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = ["{of.parts["debian"]}/root/usr/lib/cni"]
conf_dir = "{INSIDE}/config/cni"
"""


def _kubelet(of: Spec) -> dict[str, object]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{of.cgroup}",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{INSIDE}/pki/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "clusterDNS": [of.address],
        "clusterDomain": "cluster.local",
        "containerRuntimeEndpoint": f"unix://{INSIDE}/containerd.sock",
        "failSwapOn": False,
        "resolvConf": "/dev/null",
        "podLogsDir": f"{INSIDE}/log/pods",
        "volumePluginDir": f"{INSIDE}/volume-plugins",
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
        # Nothing could be pulled again.
        "imageGCHighThresholdPercent": 100,
    }


_POD_NETWORK = {
    "cniVersion": "1.0.0",
    "name": "bridge",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": True,
            "hairpinMode": True,
            "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.202.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]},
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ],
}


def _corefile(of: Spec) -> str:
    return f""".:53 {{
  bind {of.address}
  ready 127.0.0.1:8181
  errors
  cache 5
  kubernetes cluster.local {{
    kubeconfig {INSIDE}/config/coredns.kubeconfig
  }}
}}
"""
