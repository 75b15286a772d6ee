"""The processes of each engine: command lines, what each waits for, when it is ready."""

from collections.abc import Iterator
from pathlib import Path

from testbed import probes, spec
from testbed.components import CONFIG, PKI, Component
from testbed.engines import metrics
from testbed.engines.hub import GIT, REGISTRY_PORT
from testbed.spec import INSIDE, Engine, Nodes, Spec

# Of each engine itself.
NAMESPACES = {Engine.ARGOCD: "argocd", Engine.FLUX: "flux-system"}
# How often Argo CD compares what it keeps when nobody asks it to; 120 s by default.
RESYNC = 20
_REDIS_PORT = 6379
_REPO_SERVER_PORT = 8081
_ARTIFACTS = "127.0.0.1:9790"
# Whose certificates Argo CD's and Flux' clients of registries trust, and git's.
_TRUST = {"SSL_CERT_FILE": f"{PKI}/ca.crt", "GIT_SSL_CAINFO": f"{PKI}/ca.crt"}


def engines(of: Spec, python: str) -> Iterator[Component]:
    """Everything that the engines of a cluster are."""
    if not of.engines:
        return
    yield from _hub(of, python)
    if Engine.ARGOCD in of.engines:
        yield from _argocd(of)
    if Engine.FLUX in of.engines:
        yield from _flux(of)


def folders(of: Spec) -> Iterator[str]:
    """What of the state folder has to be there before the processes start."""
    if of.engines:
        yield GIT
    if Engine.ARGOCD in of.engines:
        yield from (f"argocd/{name}" for name in ("tls", "ssh", "gpg-source", "gpg-keys", "plugins", "work", "redis"))
    if Engine.FLUX in of.engines:
        yield "flux/artifacts"


def _hub(of: Spec, python: str) -> Iterator[Component]:
    spec_file = f"{INSIDE}/spec.json"
    registry = f"{of.parts['registry']}/registry"
    yield Component("registry", (registry, f"-port={REGISTRY_PORT}"), probes.tcp("127.0.0.1", REGISTRY_PORT))
    yield Component("charts", (python, "-m", "testbed.engines.charts", spec_file), after=("registry",), once=True)
    yield Component("hub", (python, "-m", "testbed.engines.hub", spec_file), probes.tcp(of.address, spec.HUB_PORT), after=("charts",))
    if of.nodes is Nodes.REAL:
        argv = (python, "-m", "testbed.engines.metrics", spec_file)
        yield Component("metrics", argv, probes.tcp(of.address, metrics.PORT), after=("kube-apiserver",))
    yield Component("engines-setup", (python, "-m", "testbed.engines.setup", spec_file), after=("kube-apiserver",), once=True)


def _argocd(of: Spec) -> Iterator[Component]:
    folder = INSIDE / "argocd"
    redis = f"127.0.0.1:{_REDIS_PORT}"
    packages = Path(of.parts["redis"]) / "root/usr"
    yield Component(
        "argocd-redis",
        (f"{packages}/bin/redis-server", "--bind", "127.0.0.1", "--port", str(_REDIS_PORT), "--save", "", "--dir", f"{folder}/redis"),
        probes.tcp("127.0.0.1", _REDIS_PORT),
        env={"LD_LIBRARY_PATH": f"{packages}/lib/x86_64-linux-gnu"},
    )
    yield _argocd_process(
        of,
        "argocd-repo-server",
        ("--address=127.0.0.1", f"--port={_REPO_SERVER_PORT}", "--disable-tls", "--client-ca-path=", f"--redis={redis}", *_metrics(8084)),
        probes.tcp("127.0.0.1", _REPO_SERVER_PORT),
    )
    server = f"127.0.0.1:{_REPO_SERVER_PORT}"
    yield _argocd_process(
        of,
        "argocd-application-controller",
        (
            f"--repo-server={server}",
            "--repo-server-plaintext",
            f"--redis={redis}",
            f"--app-resync={RESYNC}",
            "--app-resync-jitter=0",
            "--metrics-port=8082",
        ),
        probes.tcp("127.0.0.1", 8082),
    )
    yield _argocd_process(
        of,
        "argocd-applicationset-controller",
        (
            f"--argocd-repo-server={server}",
            "--repo-server-plaintext",
            "--metrics-addr=127.0.0.1:8085",
            "--probe-addr=127.0.0.1:8086",
            "--webhook-addr=127.0.0.1:7000",
        ),
        probes.tcp("127.0.0.1", 8086),
    )


def _metrics(port: int) -> tuple[str, ...]:
    return ("--metrics-address=127.0.0.1", f"--metrics-port={port}")


def _argocd_process(of: Spec, name: str, flags: tuple[str, ...], ready: probes.Probe) -> Component:
    """One of Argo CD's processes: they are one program, and it is told which by its environment."""
    folder = INSIDE / "argocd"
    env = {
        "ARGOCD_BINARY_NAME": name,
        # Not the account of a pod but a kubeconfig, whose namespace is that of Argo CD.
        "ARGOCD_FAKE_IN_CLUSTER": "true",
        "KUBECONFIG": f"{CONFIG}/argocd.kubeconfig",
        "ARGOCD_TLS_DATA_PATH": f"{folder}/tls",
        "ARGOCD_SSH_DATA_PATH": f"{folder}/ssh",
        "ARGOCD_GPG_DATA_PATH": f"{folder}/gpg-source",
        "ARGOCD_GNUPGHOME": f"{folder}/gpg-keys",
        "ARGOCD_PLUGINSOCKFILEPATH": f"{folder}/plugins",
        "ARGOCD_GPG_ENABLED": "false",
        "TMPDIR": f"{folder}/work",
        **_TRUST,
    }
    after = ("engines-setup", "hub", "argocd-redis", *(() if name == "argocd-repo-server" else ("argocd-repo-server",)))
    return Component(name, (f"{of.parts['argocd']}/argocd", *flags), ready, after=after, env=env)


def _flux(of: Spec) -> Iterator[Component]:
    storage = (f"--storage-path={INSIDE}/flux/artifacts", f"--storage-addr={_ARTIFACTS}", f"--storage-adv-addr={_ARTIFACTS}")
    # How soon a step is tried again that waits for another; 30 s by default.
    again = ("--requeue-dependency=3s",)
    for number, (name, flags) in enumerate((("source-controller", storage), ("kustomize-controller", again))):
        health = 9440 + number
        yield Component(
            name,
            (
                f"{of.parts['flux']}/{name}",
                *flags,
                f"--metrics-addr=127.0.0.1:{9190 + number}",
                f"--health-addr=127.0.0.1:{health}",
                "--watch-all-namespaces",
                "--enable-leader-election=false",
            ),
            probes.http_ok("127.0.0.1", health, "/healthz"),
            after=("engines-setup", "hub"),
            env={"KUBECONFIG": f"{CONFIG}/flux.kubeconfig", "RUNTIME_NAMESPACE": NAMESPACES[Engine.FLUX], **_TRUST},
        )
