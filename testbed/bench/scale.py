"""What a run with nothing to change costs when the cluster is full of other people's pods.

The control plane, the mesh and every object are real; pods of the filling are
records that kwok plays on nodes of its own.
"""

import subprocess
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from testbed import pins
from testbed.api import Api, Json
from testbed.bench.contenders import PLAN, UP
from testbed.bench.process import measure
from testbed.bench.session import Running, Session
from testbed.build.workshop import Workshop
from testbed.waiting import until

TOOLS = ("helm4",)
PARTS = (*TOOLS, "charts", "kwok", "kwok-stages")

NAMESPACES, PODS, NODES = 500, 2000, 20
# Connections that create objects side by side.
_AT_ONCE = 10
# Runs of each command, on the empty and on the full cluster.
_RUNS = 5
# Seconds for kwok and istiod to see to everything new.
_PATIENCE = 300
_CHANGES_PENDING = 3
_MARK = {"kwok.x-k8s.io/node": "fake"}


@dataclass(slots=True)
class Times:
    """Seconds of all runs: plans of the first install, then both commands with nothing to change."""

    first_plan: list[float] = field(default_factory=list)
    empty_plan: list[float] = field(default_factory=list)
    empty_up: list[float] = field(default_factory=list)
    full_plan: list[float] = field(default_factory=list)
    full_up: list[float] = field(default_factory=list)


def run(session: Session) -> Times:
    """Measure an empty cluster, fill it, measure it again; then the same on the next."""
    times = Times()
    for number in range(session.rounds):
        with session.fresh_cluster(TOOLS) as running:
            times.first_plan += [measure(PLAN, running.env, _CHANGES_PENDING).seconds for _ in range(_RUNS)]
            measure(UP, running.env)
            _nothing_to_change(running, times.empty_plan, times.empty_up)
            with _kwok(session.shop, running):
                fill(running.cluster.api)
                _nothing_to_change(running, times.full_plan, times.full_up)
        session.say(f"round {number + 1}: up with nothing to change {times.empty_up[-1]:.2f} s, full {times.full_up[-1]:.2f} s")
    return times


def _nothing_to_change(running: Running, plan: list[float], up: list[float]) -> None:
    for _ in range(_RUNS):
        # Its exit status 0 is the proof that nothing is to be changed.
        plan.append(measure(PLAN, running.env).seconds)
        up.append(measure(UP, running.env).seconds)


@contextmanager
def _kwok(shop: Workshop, running: Running) -> Iterator[None]:
    """Play the nodes that are marked for it, beside the cluster's real one."""
    (mark,) = _MARK.items()
    argv = [
        str(shop.part("kwok") / "kwok"),
        f"--kubeconfig={running.cluster.kubeconfig}",
        f"--config={shop.part('kwok-stages') / 'stages.yaml'}",
        f"--manage-nodes-with-annotation-selector={'='.join(mark)}",
    ]
    with Path(running.cluster.log / "kwok.log").open("w") as log, subprocess.Popen(argv, stdout=log, stderr=log) as process:
        try:
            yield
        finally:
            process.terminate()


def fill(connect: Callable[[], Api]) -> None:
    """Create nodes, namespaces and pods; return when all pods run and istiod has seen every namespace."""
    api = connect()
    _create(connect, [("/api/v1/nodes", body) for body in nodes()])
    _create(connect, [("/api/v1/namespaces", body) for body in namespaces()])
    # Without it the API server refuses a pod.
    until(lambda: _named(api, "serviceaccounts", "default") >= NAMESPACES, _PATIENCE, lambda: "namespaces lack their service account")
    _create(connect, [(f"/api/v1/namespaces/{body['metadata']['namespace']}/pods", body) for body in pods()])
    until(lambda: not _waiting(api), _PATIENCE, lambda: "some of the simulated pods do not run")
    until(lambda: _named(api, "configmaps", "istio-ca-root-cert") >= NAMESPACES, _PATIENCE, lambda: "istiod has not seen all namespaces")


def _create(connect: Callable[[], Api], objects: Sequence[tuple[str, Json]]) -> None:
    """POST each body to its path over several connections: the API server takes 0.1 s to admit a namespace's first pod."""

    def share(number: int) -> None:
        api = connect()
        for path, body in objects[number::_AT_ONCE]:
            api.post(path, body)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(share, range(_AT_ONCE)))


def nodes() -> list[Json]:
    """Nodes that kwok plays and the scheduler leaves alone."""
    room = {"cpu": "1000", "memory": "1000Gi", "pods": "1000"}
    spec = {"taints": [{"key": key, "value": value, "effect": "NoSchedule"} for key, value in _MARK.items()]}
    status = {"capacity": room, "allocatable": room}
    return [
        {"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"simulated-{n}", "annotations": _MARK}, "spec": spec, "status": status}
        for n in range(NODES)
    ]


def namespaces() -> list[Json]:
    """Namespaces as teams have them, outside the mesh."""
    return [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _namespace(n)}} for n in range(NAMESPACES)]


def pods() -> list[Json]:
    """Pods, spread evenly over namespaces and simulated nodes."""
    containers = [{"name": "app", "image": pins.APP_IMAGE}]
    return [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": f"pod-{n}", "namespace": _namespace(n % NAMESPACES), "labels": {"app": f"app-{n}"}},
            "spec": {"containers": containers, "nodeName": f"simulated-{n % NODES}", "tolerations": [{"operator": "Exists"}]},
        }
        for n in range(PODS)
    ]


def _namespace(number: int) -> str:
    return f"team-{number}"


def _named(api: Api, plural: str, name: str) -> int:
    return len(api.get(f"/api/v1/{plural}?fieldSelector=metadata.name={name}")["items"])


def _waiting(api: Api) -> list[Json]:
    found: list[Json] = api.get("/api/v1/pods?fieldSelector=status.phase!=Running&limit=1")["items"]
    return found
