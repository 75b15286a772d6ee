"""The processes of a cluster: command lines, what each waits for, when it is ready."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from testbed import probes, spec
from testbed.spec import INSIDE, Cloud, Nodes, Spec

PKI = INSIDE / "pki"
CONFIG = INSIDE / "config"
CONTAINERD_SOCKET = INSIDE / "containerd.sock"
_ETCD = "http://127.0.0.1:2379"


@dataclass(frozen=True, slots=True)
class Component:
    """One supervised process.

    It starts when everything in ``after`` is ready; it is ready when ``ready``
    says so. A ``once`` component is ready when it has ended with status 0.
    """

    name: str
    argv: tuple[str, ...]
    ready: Callable[[], bool] = lambda: True
    after: tuple[str, ...] = ()
    once: bool = False
    env: dict[str, str] = field(default_factory=dict)


def components(of: Spec, python: str) -> tuple[Component, ...]:
    """Everything that runs in the cluster ``of``; ``python`` is the interpreter for our own parts."""
    if of.nodes is Nodes.NONE:
        return (*_api_server(of), *_cloud(of, python), *_istiod(of, python))
    plane = (*_api_server(of), *_controllers(of), *_cloud(of, python), *_engines(of, python))
    return (*plane, *_real_node(of, python)) if of.nodes is Nodes.REAL else (*plane, _kwok(of))


def _api_server(of: Spec) -> tuple[Component, ...]:
    return (
        Component(
            "etcd",
            (
                f"{of.parts['etcd']}/etcd",
                f"--data-dir={INSIDE}/etcd",
                f"--listen-client-urls={_ETCD}",
                f"--advertise-client-urls={_ETCD}",
                "--listen-peer-urls=http://127.0.0.1:2380",
                # Its data is thrown away with the cluster.
                "--unsafe-no-fsync",
            ),
            probes.tcp("127.0.0.1", 2379),
        ),
        Component(
            "kube-apiserver",
            (f"{of.parts['kubernetes']}/kube-apiserver", *_api_server_flags(of)),
            probes.api_ready(of.server, PKI),
            # The cloud writes what the API server is to ask about tokens.
            after=("etcd", "cloud") if of.cloud else ("etcd",),
        ),
    )


def _controllers(of: Spec) -> tuple[Component, ...]:
    kubernetes = Path(of.parts["kubernetes"])
    return (
        Component(
            "kube-controller-manager",
            (
                str(kubernetes / "kube-controller-manager"),
                *_client_flags("controller-manager"),
                f"--root-ca-file={PKI}/ca.crt",
                f"--service-account-private-key-file={PKI}/service-account.key",
                "--use-service-account-credentials",
                "--allocate-node-cidrs",
                f"--cluster-cidr={spec.POD_CIDR}",
                f"--cluster-signing-cert-file={PKI}/ca.crt",
                f"--cluster-signing-key-file={PKI}/ca.key",
            ),
            probes.tcp("127.0.0.1", 10257),
            after=("kube-apiserver",),
        ),
        Component(
            "kube-scheduler",
            (str(kubernetes / "kube-scheduler"), *_client_flags("scheduler")),
            probes.tcp("127.0.0.1", 10259),
            after=("kube-apiserver",),
        ),
    )


def _api_server_flags(of: Spec) -> tuple[str, ...]:
    return (
        f"--etcd-servers={_ETCD}",
        f"--advertise-address={of.address}",
        f"--bind-address={of.address}",
        f"--secure-port={spec.API_PORT}",
        "--allow-privileged",
        # Node names resolve nowhere here.
        "--kubelet-preferred-address-types=InternalIP",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        # Nobody makes the accounts that pods ask for where there are no controllers.
        *(("--disable-admission-plugins=ServiceAccount",) if of.nodes is Nodes.NONE else ()),
        f"--client-ca-file={PKI}/ca.crt",
        f"--tls-cert-file={PKI}/apiserver.crt",
        f"--tls-private-key-file={PKI}/apiserver.key",
        f"--kubelet-client-certificate={PKI}/kubelet-client.crt",
        f"--kubelet-client-key={PKI}/kubelet-client.key",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        f"--service-account-key-file={PKI}/service-account.crt",
        f"--service-account-signing-key-file={PKI}/service-account.key",
        f"--service-cluster-ip-range={spec.SERVICE_CIDR}",
        f"--requestheader-client-ca-file={PKI}/front-proxy-ca.crt",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-allowed-names=front-proxy-client",
        f"--proxy-client-cert-file={PKI}/front-proxy-client.crt",
        f"--proxy-client-key-file={PKI}/front-proxy-client.key",
        *of.authentication,
    )


def _client_flags(name: str) -> tuple[str, ...]:
    config = CONFIG / f"{name}.kubeconfig"
    flags = ("kubeconfig", "authentication-kubeconfig", "authorization-kubeconfig")
    return (*(f"--{flag}={config}" for flag in flags), "--leader-elect=false", "--bind-address=127.0.0.1")


def _cloud(of: Spec, python: str) -> tuple[Component, ...]:
    """The fake cloud, what makes its user an administrator of the cluster, and on EKS the real authenticator."""
    if of.cloud is None:
        return ()
    spec_file = f"{INSIDE}/spec.json"
    fake = Component("cloud", (python, "-m", "testbed.clouds.process", spec_file), (INSIDE / spec.CLOUD_ADDRESSES).exists)
    access = Component(
        "cloud-access", (python, "-m", "testbed.clouds.process.access", spec_file), after=("cloud", "kube-apiserver"), once=True
    )
    return (fake, access, *((_authenticator(of),) if of.cloud is Cloud.EKS else ()))


def _authenticator(of: Spec) -> Component:
    from testbed.clouds import eks_account, eks_authenticator

    folder = INSIDE / spec.CLOUD_FOLDER
    return Component(
        "aws-iam-authenticator",
        (f"{of.parts['eks']}/aws-iam-authenticator", "server", f"--config={folder}/config.yaml"),
        probes.tcp(of.address, eks_authenticator.PORT),
        after=("cloud",),
        env=eks_authenticator.environment(f"http://127.0.0.1:{eks_authenticator.PROXY_PORT}", folder, eks_account.REGION),
    )


def _engines(of: Spec, python: str) -> tuple[Component, ...]:
    from testbed.engines import kinds

    return tuple(kinds.engines(of, python))


def _istiod(of: Spec, python: str) -> tuple[Component, ...]:
    """The real istiod as a plain process, and what stands for the agents of its proxies."""
    agent = INSIDE / spec.AGENT_FOLDER
    return (
        Component("crds", (python, "-m", "testbed.referee.crds", f"{INSIDE}/spec.json"), after=("kube-apiserver",), once=True),
        Component(
            "istiod",
            (f"{of.parts['istio']}/pilot-discovery", "discovery", f"--kubeconfig={CONFIG}/istiod.kubeconfig"),
            probes.http_ok("127.0.0.1", 8080, "/ready"),
            after=("crds",),
            env=_ISTIOD,
        ),
        Component(
            "agent",
            (f"{of.parts['referee']}/referee", "agent", str(agent), "127.0.0.1"),
            probes.unix(agent / "secrets.sock"),
            after=("istiod",),
        ),
    )


_ISTIOD = {
    "POD_NAME": "istiod-0",
    "POD_NAMESPACE": "istio-system",
    "REVISION": "default",
    "CLUSTER_ID": "Kubernetes",
    # Nothing calls webhooks, and certificates come from the testbed.
    "INJECTION_WEBHOOK_CONFIG_NAME": "",
    "VALIDATION_WEBHOOK_CONFIG_NAME": "",
    "ENABLE_CA_SERVER": "false",
    # Upstream Envoy lacks Istio's own filters.
    "PILOT_ENABLE_ALPN_FILTER": "false",
    "PILOT_ENABLE_METADATA_EXCHANGE": "false",
    # A test waits for each change, and thousands of proxies connect in a minute.
    "PILOT_DEBOUNCE_AFTER": "30ms",
    "PILOT_MAX_REQUESTS_PER_SECOND": "10000",
}


def _real_node(of: Spec, python: str) -> tuple[Component, ...]:
    kubernetes = Path(of.parts["kubernetes"])
    ctr = (f"{of.parts['containerd']}/ctr", f"--address={CONTAINERD_SOCKET}", "--namespace=k8s.io")
    return (
        Component(
            "containerd", (f"{of.parts['containerd']}/containerd", f"--config={CONFIG}/containerd.toml"), probes.unix(CONTAINERD_SOCKET)
        ),
        *(
            Component(
                name,
                (*ctr, "images", "import", "--local", "--snapshotter=overlayfs", f"{folder}/images.tar"),
                after=("containerd",),
                once=True,
            )
            for name, folder in sorted(of.parts.items())
            if name.startswith("images")
        ),
        Component(
            "kubelet",
            (
                str(kubernetes / "kubelet"),
                f"--config={CONFIG}/kubelet.json",
                f"--kubeconfig={CONFIG}/kubelet.kubeconfig",
                f"--root-dir={INSIDE}/kubelet",
                f"--cert-dir={INSIDE}/kubelet-pki",
                f"--node-ip={of.address}",
                f"--hostname-override={spec.NODE_NAME}",
            ),
            probes.tcp("127.0.0.1", 10248),
            after=("kube-apiserver", "containerd"),
        ),
        Component(
            "kube-proxy",
            (
                str(kubernetes / "kube-proxy"),
                f"--kubeconfig={CONFIG}/kube-proxy.kubeconfig",
                "--proxy-mode=iptables",
                f"--cluster-cidr={spec.POD_CIDR}",
                f"--hostname-override={spec.NODE_NAME}",
                # The connection table belongs to the host.
                "--conntrack-max-per-core=0",
                "--conntrack-tcp-timeout-established=0",
                "--conntrack-tcp-timeout-close-wait=0",
            ),
            probes.tcp("127.0.0.1", 10256),
            after=("kube-apiserver",),
        ),
        Component(
            "coredns",
            (f"{of.parts['coredns']}/coredns", f"-conf={CONFIG}/Corefile"),
            probes.http_ok("127.0.0.1", 8181, "/ready"),
            after=("kube-apiserver",),
        ),
        Component("load-balancer", (python, "-m", "testbed.loadbalancer", f"{INSIDE}/spec.json"), after=("kube-apiserver",)),
    )


def _kwok(of: Spec) -> Component:
    flags = (
        f"--kubeconfig={CONFIG}/kwok.kubeconfig",
        f"--config={of.parts['kwok-stages']}/stages.yaml",
        "--manage-all-nodes=true",
        "--server-address=127.0.0.1:10247",
    )
    return Component("kwok", (f"{of.parts['kwok']}/kwok", *flags), probes.tcp("127.0.0.1", 10247), after=("kube-apiserver",))
