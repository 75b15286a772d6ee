"""A whole verification with live probes, of the mesh alone and of ten workloads in it."""

from dataclasses import dataclass, field

from testbed import pins
from testbed.api import Api, Json
from testbed.bench.contenders import UP, VERIFY
from testbed.bench.process import measure
from testbed.bench.session import Session
from testbed.waiting import until

TOOLS = ("helm4",)
PARTS = (*TOOLS, "charts")

WORKLOADS = 10
_NAMESPACE = "bench-verify"
_RUNS = 5
# Seconds for the workloads to run.
_PATIENCE = 120


@dataclass(slots=True)
class Times:
    """Seconds of all runs: of a mesh with nothing in it, and of one with the workloads."""

    alone: list[float] = field(default_factory=list)
    workloads: list[float] = field(default_factory=list)


def run(session: Session) -> Times:
    """Measure on one cluster for each round; exit status 0 is the proof that every port passed."""
    times = Times()
    for number in range(session.rounds):
        with session.fresh_cluster(TOOLS) as running:
            measure(UP, running.env)
            times.alone += [measure(VERIFY, running.env).seconds for _ in range(_RUNS)]
            _workloads(running.cluster.api())
            times.workloads += [measure(VERIFY, running.env).seconds for _ in range(_RUNS)]
        session.say(f"round {number + 1}: verify {times.alone[-1]:.1f} s, with {WORKLOADS} workloads {times.workloads[-1]:.1f} s")
    return times


def _workloads(api: Api) -> None:
    labels = {"istio-injection": "enabled"}
    api.post("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _NAMESPACE, "labels": labels}})
    path = f"/api/v1/namespaces/{_NAMESPACE}/pods"
    until(lambda: _has_account(api), _PATIENCE, lambda: "the namespace lacks its service account")
    for number in range(WORKLOADS):
        api.post(path, _pod(number))
    until(lambda: _ready(api.get(path)) == WORKLOADS, _PATIENCE, lambda: "the workloads do not become ready")


def _has_account(api: Api) -> bool:
    found = api.get(f"/api/v1/namespaces/{_NAMESPACE}/serviceaccounts")["items"]
    return any(account["metadata"]["name"] == "default" for account in found)


def _pod(number: int) -> Json:
    command = ["/bin/sh", "-c", "mkdir -p /tmp/www && exec httpd -f -p 8080 -h /tmp/www"]
    container = {"name": "app", "image": pins.APP_IMAGE, "imagePullPolicy": "Never", "command": command, "ports": [{"containerPort": 8080}]}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 0}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"web-{number}", "labels": {"app": f"web-{number}"}}, "spec": spec}


def _ready(pods: Json) -> int:
    return sum(
        condition["type"] == "Ready" and condition["status"] == "True"
        for pod in pods["items"]
        for condition in pod["status"].get("conditions", ())
    )
