"""Proof that the testbed is real: Istio from its own charts injects, connects and refuses."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meshinstall.config.exposure import PROXY_PROTOCOL, Asked, gateway_values
from meshinstall.model.cluster import Cloud
from testbed import pins
from testbed.cluster import Cluster
from testbed.shell import GATEWAY_VALUES, ISTIOD_VALUES
from tests.cluster.mesh import Shell, namespace, web

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def shell(own_module_cluster: Cluster, build_part: Callable[[str], Path]) -> Shell:
    """A shell on a cluster where Istio is installed by Helm, as its documentation says."""
    found = Shell(own_module_cluster, tuple(build_part(name) for name in ("helm4", "kubectl", "istioctl")))
    charts = build_part("charts")
    for release, chart, where, values in (
        ("istio-base", "base", "istio-system", {}),
        ("istiod", "istiod", "istio-system", ISTIOD_VALUES),
        ("istio-ingress", "gateway", "istio-ingress", GATEWAY_VALUES),
    ):
        archive = str(charts / f"{chart}-{pins.ISTIO}.tgz")
        found.ok(
            "helm",
            "upgrade",
            "--install",
            release,
            archive,
            "-n",
            where,
            "--create-namespace",
            "--wait",
            "--timeout",
            "80s",
            "-f",
            "-",
            given=values,
        )
    injected = namespace("shop", **{"istio-injection": "enabled"})
    found.apply(injected, namespace("legacy"), *web("shop"), *web("shop", "client"), *web("legacy", "client"))
    found.ok("kubectl", "wait", "--for=condition=Ready", "pod", "--all", "-n", "shop", "--timeout=60s")
    found.ok("kubectl", "wait", "--for=condition=Ready", "pod", "--all", "-n", "legacy", "--timeout=60s")
    return found


def mode(shell: Shell, value: str) -> None:
    """Set the mesh-wide mTLS mode."""
    metadata = {"name": "default", "namespace": "istio-system"}
    shell.apply(
        {"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": metadata, "spec": {"mtls": {"mode": value}}}
    )


def test_the_webhook_injects_where_it_is_asked_to(shell: Shell) -> None:
    containers = "jsonpath={.spec.initContainers[*].name} {.spec.containers[*].name}"
    assert "istio-proxy" in shell.ok("kubectl", "get", "pod", "web", "-n", "shop", "-o", containers)
    assert "istio-proxy" not in shell.ok("kubectl", "get", "pod", "client", "-n", "legacy", "-o", containers)


def test_strict_mtls_serves_the_mesh_and_resets_the_rest(shell: Shell, until_true: Callable[[Callable[[], bool]], None]) -> None:
    url = "http://web.shop/"
    mode(shell, "PERMISSIVE")
    until_true(lambda: shell.fetch("legacy", "client", url).stdout == "hello\n")
    # Its proxy hears of the server's pod from istiod, and not from kube-proxy.
    until_true(lambda: shell.fetch("shop", "client", url).stdout == "hello\n")

    mode(shell, "STRICT")
    until_true(lambda: "Connection reset by peer" in shell.fetch("legacy", "client", url).stderr)
    assert shell.fetch("shop", "client", url).stdout == "hello\n"


def test_every_proxy_is_in_sync_with_istiod(shell: Shell) -> None:
    said = shell.ok("istioctl", "proxy-status")
    for proxy in ("web.shop", "client.shop", "istio-ingress"):
        assert proxy in said


def test_a_load_balancer_answers_on_the_host(shell: Shell, get: Callable[[str], int]) -> None:
    address = shell.ok(
        "kubectl", "get", "service", "istio-ingress", "-n", "istio-ingress", "-o", "jsonpath={.status.loadBalancer.ingress[0].ip}"
    )
    assert get(f"http://{address}:15021/healthz/ready") == 200


def test_a_load_balancer_can_be_left_pending(shell: Shell) -> None:
    def service(name: str, **metadata: object) -> dict[str, object]:
        spec = {"type": "LoadBalancer", "selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]}
        return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "shop", **metadata}, "spec": spec}

    shell.apply(service("waits", annotations={"testbed.meshinstall.dev/pending": "true"}), service("given"))
    address = "jsonpath={.status.loadBalancer.ingress[0].ip}"
    # The controller takes Services in order: once the second has its address, the first was passed over.
    shell.ok("kubectl", "wait", f"--for={address}", "service/given", "-n", "shop", "--timeout=20s")
    assert shell.ok("kubectl", "get", "service", "waits", "-n", "shop", "-o", address) == ""

    shell.ok("kubectl", "annotate", "service", "waits", "-n", "shop", "testbed.meshinstall.dev/pending-")
    shell.ok("kubectl", "wait", f"--for={address}", "service/waits", "-n", "shop", "--timeout=20s")
    shell.ok("kubectl", "delete", "service", "waits", "given", "-n", "shop", "--timeout=20s")


# What a load balancer sends first when it is told to: the text of version 1, the bytes of version 2, for a client of 203.0.113.7.
V1 = r"PROXY TCP4 203.0.113.7 192.0.2.1 51000 80\r\n"
V2 = r"\015\012\015\012\000\015\012QUIT\012\041\021\000\014\313\000\161\007\300\000\002\001\307\070\000\120"
REQUEST = r"GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n"

# Answers with the header that names the client.
SAYS = r"""
cr=$(printf '\r')
while read -r line && [ "$line" != "$cr" ]; do case $line in x-forwarded-for:*) seen=${line%"$cr"} ;; esac; done
printf 'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s' ${#seen} "$seen"
"""


def says_its_client() -> tuple[dict[str, Any], dict[str, Any]]:
    """A pod without a sidecar that answers so, and its Service."""
    pod, service = web("legacy", "says")
    pod["spec"]["containers"][0]["command"] = ["/bin/sh", "-c", 'echo "$0" >/tmp/says && exec nc -ll -p 8080 -e /bin/sh /tmp/says', SAYS]
    return pod, service


@pytest.fixture(scope="module")
def proxied(shell: Shell, build_part: Callable[[str], Path]) -> str:
    """The address of a gateway pod with ``clientAddress: proxyProtocol``, in front of a pod that answers which client it was told of."""
    values = gateway_values(Cloud.EKS, "clientAddress", Asked(client=PROXY_PROTOCOL))
    chart = str(build_part("charts") / f"gateway-{pins.ISTIO}.tgz")
    given = {**GATEWAY_VALUES, "podAnnotations": values["podAnnotations"]}
    shell.ok(
        *("helm", "upgrade", "--install", "proxied", chart, "-n", "istio-ingress", "--wait", "--timeout", "80s", "-f", "-"), given=given
    )
    shell.apply(*says_its_client())
    shell.ok("kubectl", "wait", "--for=condition=Ready", "pod/says", "-n", "legacy", "--timeout=60s")
    port = {"number": 80, "name": "http", "protocol": "HTTP"}
    route = {"hosts": ["*"], "gateways": ["proxied"], "http": [{"route": [{"destination": {"host": "says.legacy.svc.cluster.local"}}]}]}
    for kind, spec in (
        ("Gateway", {"selector": {"istio": "proxied"}, "servers": [{"port": port, "hosts": ["*"]}]}),
        ("VirtualService", route),
    ):
        metadata = {"name": "proxied", "namespace": "shop"}
        shell.apply({"apiVersion": "networking.istio.io/v1", "kind": kind, "metadata": metadata, "spec": spec})
    address = "jsonpath={.items[0].status.podIP}"
    return shell.ok("kubectl", "get", "pods", "-n", "istio-ingress", "-l", "istio=proxied", "-o", address)


def sent(shell: Shell, address: str, first: str) -> str:
    """What comes back for a request behind these first bytes, from a pod without a sidecar."""
    # Envoy answers nobody whose side of the connection is closed already.
    command = f"{{ printf '{first}{REQUEST}'; sleep 2; }} | nc -w 5 {address} 80"
    return shell.run("kubectl", "exec", "-n", "legacy", "client", "-c", "app", "--", "/bin/sh", "-c", command).stdout


@pytest.mark.parametrize("first", [V1, V2], ids=["v1", "v2"])
def test_a_gateway_believes_the_proxy_protocol_when_it_is_asked_to(
    shell: Shell, proxied: str, first: str, until_true: Callable[[Callable[[], bool]], None]
) -> None:
    until_true(lambda: "x-forwarded-for: 203.0.113.7" in sent(shell, proxied, first))


def test_a_gateway_that_expects_the_header_answers_nobody_without_it(
    shell: Shell, proxied: str, until_true: Callable[[Callable[[], bool]], None]
) -> None:
    until_true(lambda: "x-forwarded-for: 203.0.113.7" in sent(shell, proxied, V1))
    assert sent(shell, proxied, "") == ""
