"""What decision 0016 stands on: a kubelet looks at a pod that is not ready when it is touched, not only when its probe's period ends."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from meshinstall import wiring
from meshinstall.config.project import load_project
from meshinstall.engine.run.kubelet_nudge import nudge
from meshinstall.model.cluster import Cloud, ClusterRef
from meshinstall.model.facts import ObjectKey
from testbed import pins
from testbed.cluster import Cluster
from testbed.waiting import until
from tests.cluster.mesh import Shell, namespace

pytestmark = pytest.mark.cluster

KEY = ObjectKey("apps/v1", "Deployment", "nudging", "slow")
# Seconds between two looks of the kubelet's own, and those in which a touched pod must be ready: far less. A kubelet that is younger than
# the period waits up to a whole one before its first look.
PERIOD, PATIENCE = 50, 20
# Seconds for the pod to start.
START = 60


def deployment() -> dict[str, Any]:
    """One pod that is ready when its file is there."""
    probe = {"exec": {"command": ["/bin/sh", "-c", "test -f /ready"]}, "periodSeconds": PERIOD}
    container = {
        "name": "app",
        "image": pins.APP_IMAGE,
        "imagePullPolicy": "Never",
        "command": ["sleep", "1000000"],
        "readinessProbe": probe,
    }
    labels = {"app": KEY.name}
    pods = {"metadata": {"labels": labels}, "spec": {"containers": [container], "terminationGracePeriodSeconds": 0}}
    metadata = {"name": KEY.name, "namespace": KEY.namespace}
    return {
        "apiVersion": KEY.api_version,
        "kind": KEY.kind,
        "metadata": metadata,
        "spec": {"selector": {"matchLabels": labels}, "template": pods},
    }


def test_a_touched_pod_is_looked_at_before_its_time(cluster: Cluster, build_part: Callable[[str], Path]) -> None:
    shell = Shell(cluster, (build_part("kubectl"),))
    session = wiring.open_session(ClusterRef(Cloud.LOCAL, kubeconfig=cluster.kubeconfig), load_project(None, {}, Path("/")), print, print)

    def is_ready() -> bool:
        found = json.loads(shell.ok("kubectl", "get", "deployment", KEY.name, "-n", KEY.namespace, "-o", "json"))
        return bool(found["status"].get("readyReplicas"))

    def is_ready_once_touched() -> bool:
        anyio.run(nudge, session, KEY, deployment())
        return is_ready()

    shell.apply(namespace(KEY.namespace), deployment())
    try:
        until(
            lambda: "Readiness probe failed" in shell.ok("kubectl", "get", "events", "-n", KEY.namespace),
            PERIOD + START,
            lambda: "the kubelet did not look at the pod",
        )
        shell.ok("kubectl", "exec", "-n", KEY.namespace, f"deployment/{KEY.name}", "--", "/bin/sh", "-c", ": > /ready")
        assert not is_ready()
        assert until(is_ready_once_touched, PATIENCE, lambda: "it was touched, and not looked at")
    finally:
        shell.ok("kubectl", "delete", "namespace", KEY.namespace, "--wait=false")
