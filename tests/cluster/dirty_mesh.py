"""A mesh as it is on an ordinary day: applications under load through two gateways and inside, and what is not quite right."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from testbed import pins
from testbed.waiting import until
from tests.cluster.inside_load import FOLDER, Inside, caller, inside_load
from tests.cluster.load import Load, load
from tests.cluster.mesh import Shell, namespace
from tests.cluster.meshinstall_run import REPOSITORY
from tests.cluster.situations import Manifest, client, istio, peer, server, service, space
from tests.cluster.stream_load import Streams, ending_pods, streams

APP = REPOSITORY / "testbed" / "app.yaml"
STREAM = "/cgi-bin/stream"
# Each gateway, a namespace of the same name, and how many pods it has.
GATEWAYS: Mapping[str, int] = {"istio-ingress": 1, "istio-wide": 3}
# What meshinstall.yaml says of them. Without metrics the HPA keeps to its least.
GATEWAY_SETTINGS: Mapping[str, Any] = {
    "istio-wide": {
        "namespace": "istio-wide",
        "values": {"autoscaling": {"minReplicas": GATEWAYS["istio-wide"]}, "podDisruptionBudget": {"maxUnavailable": 1}},
    }
}
# Namespaces whose pods have proxies; in the last of them plaintext is accepted.
INJECTED = ("shop", "busy", "legacy")
# Workloads that never become ready, as Deployments.
BROKEN = ("busy/crash",)
# Seconds in which a gateway's last old pod is gone.
_DRAINED = 60
# Ten numbered lines a second, for twenty minutes. No lines come of a client that is gone: the shell ends with its pipe.
_STREAM = """\
mkdir -p /tmp/www/cgi-bin
cat > /tmp/www/cgi-bin/stream <<'END'
#!/bin/sh
echo 'Content-Type: text/plain'; echo
n=0
while [ $n -lt 12000 ]; do n=$((n+1)); echo $n || exit; sleep 0.1; done
END
/bin/busybox chmod +x /tmp/www/cgi-bin/stream
exec httpd -f -p 8080 -h /tmp/www
"""


@dataclass(frozen=True, slots=True)
class Watched:
    """All loads of one time."""

    requests: tuple[Load, ...]
    streams: tuple[Streams, ...]
    inside: Inside

    @property
    def failures(self) -> list[str]:
        """Every request that failed, and every stream that ended otherwise than it may."""
        kinds = [self.inside.failures, *(one.failures for one in self.requests), *(one.failures for one in self.streams)]
        return [line for failures in kinds for line in failures]

    @property
    def least(self) -> int:
        """Of all kinds of requests, how many were answered of the kind with the fewest."""
        return min(self.inside.answered, *(number for one in self.requests for number in one.answered.values()))

    def until_drained(self) -> None:
        """Wait until a pod of each gateway has ended under its stream: what replaced the gateway does not wait for the drain."""
        until(
            lambda: all(one.drained or one.failures for one in self.streams),
            _DRAINED,
            lambda: "no pod of a gateway ended under its stream: " + ", ".join(f"{one.lines} lines" for one in self.streams),
        )


@contextmanager
def under_load(shell: Shell) -> Iterator[Watched]:
    """Requests and a stream through each gateway, and requests inside the mesh, until the block ends."""
    with ExitStack() as stack:
        requests, following = [], []
        for name in GATEWAYS:
            host = address(shell, name)
            look = ending_pods(shell.cluster.api(), name, name)
            following.append(stack.enter_context(streams(host, STREAM, look, of=name)))
            requests.append(stack.enter_context(load(host, of=name)))
        yield Watched(tuple(requests), tuple(following), stack.enter_context(inside_load(shell.cluster.state / FOLDER, "caller")))


def address(shell: Shell, name: str) -> str:
    """Where a gateway is reached from this host."""
    query = "jsonpath={.status.loadBalancer.ingress[0].ip}"
    return until(
        lambda: shell.ok("kubectl", "get", "service", "-n", name, name, "-o", query), 30, lambda: f"the gateway {name} has no address"
    )


def fill(shell: Shell) -> None:
    """Apply all of it and wait until what can be ready is."""
    shell.ok("kubectl", "apply", "-f", str(APP))
    shell.apply(*_spaces(), *_routes())
    shell.apply(*_busy(), *_legacy(), *_outside())
    wait_for_rollouts(shell)
    # An autoscaler brings a gateway to its least some moments after it was made.
    until(lambda: _gateway_pods(shell) == GATEWAYS, 90, lambda: f"the gateways have pods that are ready: {_gateway_pods(shell)}")


def _gateway_pods(shell: Shell) -> dict[str, int]:
    """How many pods of each gateway are ready."""
    look = ("-o", "jsonpath={.status.readyReplicas}")
    return {name: int(shell.ok("kubectl", "get", "deployment", "-n", name, name, *look) or 0) for name in GATEWAYS}


def deployments(shell: Shell, where: str) -> list[str]:
    """The Deployments of a namespace."""
    return shell.ok("kubectl", "get", "deployment", "-n", where, "-o", "jsonpath={.items[*].metadata.name}").split()


def wait_for_rollouts(shell: Shell) -> None:
    """Wait until what can be ready is."""
    for where in (*INJECTED, "outside"):
        for name in deployments(shell, where):
            if f"{where}/{name}" not in BROKEN:
                shell.ok("kubectl", "rollout", "status", "-n", where, f"deployment/{name}", "--timeout=80s")


def _spaces() -> Iterator[Manifest]:
    yield space("busy")
    yield space("legacy")
    yield namespace("outside")


def _busy() -> Iterator[Manifest]:
    """An application that a rollout does not take down, who calls it, one that runs as the proxy's own user, and one that crashes."""
    web = server("busy/web")
    web["spec"]["replicas"] = 2
    pod = web["spec"]["template"]["spec"]
    pod["terminationGracePeriodSeconds"] = 20
    (container,) = pod["containers"]
    container["readinessProbe"] = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}
    # Clients hear of its end before it stops to answer: on a busy machine that takes more than 3 s.
    container["lifecycle"] = {"preStop": {"sleep": {"seconds": 10}}}
    yield web
    yield service("busy/web")
    yield caller("busy/caller", "http://web")
    yield client("busy/proxy-user", user=1337)
    crash = client("busy/crash")
    crash["spec"]["template"]["spec"]["containers"][0]["command"] = ["/bin/sh", "-c", "exit 1"]
    yield crash


def _legacy() -> Iterator[Manifest]:
    yield peer("legacy/default", "PERMISSIVE")
    yield server("legacy/web")
    yield service("legacy/web")


def _outside() -> Iterator[Manifest]:
    """Pods without a proxy: one that calls into the mesh, and the server of streams, which no upgrade has to restart."""
    yield client("outside/client")
    stream = server("outside/stream")
    stream["spec"]["template"]["spec"]["containers"][0] |= {"image": pins.APP_IMAGE, "command": ["/bin/sh", "-c", _STREAM]}
    yield stream
    yield service("outside/stream")


def _routes() -> Iterator[Manifest]:
    for name in GATEWAYS:
        ports = [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}]
        yield istio("Gateway", f"busy/{name}", {"selector": {"istio": name.removeprefix("istio-")}, "servers": ports})
    to_stream = {"match": [{"uri": {"prefix": STREAM}}], "route": [_to("stream.outside.svc.cluster.local")]}
    spec = {"hosts": ["*"], "gateways": list(GATEWAYS), "http": [to_stream, {"route": [_to("web.busy.svc.cluster.local")]}]}
    yield istio("VirtualService", "busy/all", spec)


def _to(host: str) -> dict[str, Any]:
    return {"destination": {"host": host, "port": {"number": 80}}}
