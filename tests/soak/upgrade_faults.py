"""What is wrong with a version, or with the mesh for it: each fault is there for the length of a block."""

import base64
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed import cluster as testbed_cluster
from testbed.pki import Authority
from tests.cluster.mesh import Shell
from tests.cluster.situations import istio

_SYSTEM = "istio-system"
_WEBHOOK = 15017
_PODS = "10.202.0.0/16"
# Exit statuses: taken back, and held because it could not be proven.
FAILED, NOT_PROVEN = 1, 5
# No node can pull the new istiod.
UNREACHABLE = ("--set", "istiod.hub=registry.invalid/istio")


@dataclass(frozen=True, slots=True)
class Fault:
    """What must not come through, perhaps by ``flags``, what ``upgrade`` must say of it, in lower case, and its exit status."""

    name: str
    breaks: Callable[[Shell], AbstractContextManager[None]]
    words: str
    flags: tuple[str, ...] = ()
    status: int = FAILED


@contextmanager
def deaf_webhook(shell: Shell) -> Iterator[None]:
    """The API server does not reach the webhooks of any istiod but of those that run now."""
    istiods = shell.ok("kubectl", "get", "pods", "-n", _SYSTEM, "-l", "app=istiod", "-o", "jsonpath={.items[*].status.podIP}").split()
    to_port = ("-p", "tcp", "--dport", str(_WEBHOOK))
    rules = [(*to_port, "-d", _PODS, "-j", "DROP"), *((*to_port, "-d", address, "-j", "ACCEPT") for address in istiods)]
    for rule in rules:
        _iptables(shell, "-I", "OUTPUT", *rule)
    try:
        yield
    finally:
        for rule in rules:
            _iptables(shell, "-D", "OUTPUT", *rule)


@contextmanager
def other_root(shell: Shell) -> Iterator[None]:
    """An authority is plugged in beside the one that istiod made itself: only an istiod that starts anew would sign by it."""
    pair = Authority("another").pair
    files = {"ca-cert.pem": pair.certificate, "ca-key.pem": pair.key, "root-cert.pem": pair.certificate, "cert-chain.pem": pair.certificate}
    data = {name: base64.b64encode(content).decode() for name, content in files.items()}
    metadata = {"name": "cacerts", "namespace": _SYSTEM}
    with _there(shell, {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}):
        yield


@contextmanager
def refused_by_proxies(shell: Shell, context: str) -> Iterator[None]:
    """An EnvoyFilter for proxies of the new minor alone, which these refuse: a negative timeout."""
    patch = {
        "applyTo": "CLUSTER",
        "match": {"context": context, "proxy": {"proxyVersion": r"^1\.31.*"}},
        "patch": {"operation": "MERGE", "value": {"connect_timeout": "-5s"}},
    }
    with _there(shell, istio("EnvoyFilter", f"{_SYSTEM}/refused", {"configPatches": [patch]}, "networking.istio.io/v1alpha3")):
        yield


@contextmanager
def routes_of_the_old_revision(shell: Shell) -> Iterator[None]:
    """The routes of the gateways have the label of the revision that goes: gateways of the new one have none."""
    name = ("kubectl", "label", "virtualservice", "-n", "busy", "all")
    shell.ok(*name, "istio.io/rev=default")
    try:
        yield
    finally:
        shell.ok(*name, "istio.io/rev-")


FAULTS = (
    Fault("image", lambda _: nullcontext(), "istiod-1-31", UNREACHABLE),
    Fault("webhook", deaf_webhook, "webhook"),
    Fault("root", other_root, "root"),
    # The scouts see it, which are gateways; pods of our own, which are there before them, only do not start.
    Fault("nack", lambda shell: refused_by_proxies(shell, "GATEWAY"), "istio-ingress"),
    Fault("nack-everywhere", lambda shell: refused_by_proxies(shell, "ANY"), "own pods", status=NOT_PROVEN),
    Fault("routes", routes_of_the_old_revision, "virtualservice busy/all"),
)


@contextmanager
def _there(shell: Shell, item: dict[str, Any]) -> Iterator[None]:
    shell.apply(item)
    try:
        yield
    finally:
        shell.ok("kubectl", "delete", "-f", "-", given=item)


def _iptables(shell: Shell, *arguments: str) -> None:
    """Change a rule of the node, where the API server is."""
    cluster = shell.cluster
    debian, pid = Path(cluster.spec.parts["debian"]), testbed_cluster.first_process(cluster.spec.name)
    inside = ("nsenter", "--target", str(pid), "--net", str(debian / "root/usr/sbin/iptables"))
    env = {**os.environ, "LD_LIBRARY_PATH": str(debian / "lib"), "XTABLES_LIBDIR": str(debian / "root/usr/lib/x86_64-linux-gnu/xtables")}
    done = subprocess.run([*inside, "-w", *arguments], env=env, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, f"{json.dumps(arguments)}: {done.stderr}"
