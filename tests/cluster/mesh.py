"""Helpers of the cluster tests: helm, kubectl and istioctl as a person runs them, and a small application."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from testbed import pins
from testbed.cluster import Cluster


@dataclass(frozen=True, slots=True)
class Shell:
    """Runs programs against one cluster; ``tools`` are folders that come first on PATH."""

    cluster: Cluster
    tools: tuple[Path, ...]

    def run(self, *argv: str, given: object = None, seconds: float = 90) -> subprocess.CompletedProcess[str]:
        """Run a program with ``given`` as JSON on its standard input."""
        env = {**os.environ, "KUBECONFIG": str(self.cluster.kubeconfig), "PATH": ":".join([*map(str, self.tools), os.environ["PATH"]])}
        text = None if given is None else json.dumps(given)
        return subprocess.run(argv, env=env, input=text, capture_output=True, text=True, timeout=seconds, check=False)

    def ok(self, *argv: str, given: object = None, seconds: float = 90) -> str:
        """The same, and it must succeed; returns its stdout."""
        done = self.run(*argv, given=given, seconds=seconds)
        assert done.returncode == 0, f"{' '.join(argv)}\n{done.stdout}{done.stderr}"
        return done.stdout

    def apply(self, *objects: dict[str, Any]) -> None:
        """Apply objects with kubectl."""
        self.ok("kubectl", "apply", "-f", "-", given={"apiVersion": "v1", "kind": "List", "items": list(objects)})

    def fetch(self, namespace: str, pod: str, url: str) -> subprocess.CompletedProcess[str]:
        """GET ``url`` from inside the application container of ``pod``."""
        return self.run("kubectl", "exec", "-n", namespace, pod, "-c", "app", "--", "wget", "-q", "-O", "-", url, seconds=20)


def namespace(name: str, **labels: str) -> dict[str, Any]:
    """A namespace; dots and slashes of label names are given as a dictionary."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}


def web(namespace_name: str, name: str = "web") -> tuple[dict[str, Any], dict[str, Any]]:
    """A pod that serves ``hello`` on port 8080, and its Service on port 80."""
    command = ["/bin/sh", "-c", "mkdir -p /tmp/www && echo hello > /tmp/www/index.html && exec httpd -f -p 8080 -h /tmp/www"]
    container = {"name": "app", "image": pins.APP_IMAGE, "imagePullPolicy": "Never", "command": command, "ports": [{"containerPort": 8080}]}
    metadata = {"name": name, "namespace": namespace_name, "labels": {"app": name}}
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": [container], "terminationGracePeriodSeconds": 1}}
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    return pod, {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": {"selector": {"app": name}, "ports": ports}}


def injected_images(shell: Shell, namespace_name: str) -> list[str]:
    """The images of a pod that would be created there now."""
    pod, _ = web(namespace_name, "never")
    spec = json.loads(shell.ok("kubectl", "create", "--dry-run=server", "-o", "json", "-f", "-", given=pod))["spec"]
    return [container["image"] for container in (*spec["containers"], *spec["initContainers"])]


def vouching(namespace_name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What makes a Deployment of ``control_plane`` one: its Service, and a webhook of Istio's that calls it for pods that nobody makes."""
    metadata = {"name": "istiod", "namespace": namespace_name}
    spec = {"selector": {"app": "istiod"}, "ports": [{"port": 443, "targetPort": 15017}]}
    service = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
    hook = {
        "name": "rev.object.sidecar-injector.istio.io",
        "clientConfig": {"service": {**metadata, "path": "/inject", "port": 443}},
        "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}],
        "objectSelector": {"matchLabels": {"istio.io/rev": "nobodys"}},
        "failurePolicy": "Ignore",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    configuration = {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": f"istio-sidecar-injector-{namespace_name}"},
        "webhooks": [hook],
    }
    return service, configuration


def control_plane(namespace_name: str) -> dict[str, Any]:
    """A Deployment that looks like an istiod of ``istioctl install``; it starts no pods."""
    labels = {"app": "istiod", "install.operator.istio.io/owning-resource": "unknown", "operator.istio.io/component": "Pilot"}
    pods = {"metadata": {"labels": {"app": "istiod"}}, "spec": {"containers": [{"name": "discovery", "image": pins.APP_IMAGE}]}}
    spec = {"replicas": 0, "selector": {"matchLabels": {"app": "istiod"}}, "template": pods}
    metadata = {"name": "istiod", "namespace": namespace_name, "labels": labels}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def limited_user(name: str, only_read: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Rights over everything that Istio's charts hold, but over the admission kind ``only_read`` to read it alone."""
    groups = ["", "apps", "autoscaling", "policy", "coordination.k8s.io", "apiextensions.k8s.io", "rbac.authorization.k8s.io"]
    istio = ["networking.istio.io", "security.istio.io", "telemetry.istio.io", "extensions.istio.io"]
    admission = ["admissionregistration.k8s.io"]
    rules = [
        {"apiGroups": [*groups, *istio, "networking.k8s.io"], "resources": ["*"], "verbs": ["*"]},
        {"apiGroups": admission, "resources": ["*"], "verbs": ["get", "list", "watch"]},
        {
            "apiGroups": admission,
            "resources": sorted({"mutatingwebhookconfigurations", "validatingwebhookconfigurations"} - {only_read}),
            "verbs": ["*"],
        },
    ]
    rbac = "rbac.authorization.k8s.io"
    role = {"apiVersion": f"{rbac}/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": rules}
    binding = {
        "apiVersion": f"{rbac}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": name},
        "subjects": [{"apiGroup": rbac, "kind": "User", "name": name}],
    }
    return role, binding


def pod_processes(cluster: Cluster) -> Iterator[Path]:
    """Folders in /proc of what runs in the pods of a cluster: another one on this machine may have pods of the same names."""
    for process in Path("/proc").glob("[0-9]*"):
        if f"/{cluster.spec.cgroup}/".encode() in read_process(process / "cgroup"):
            yield process


def read_process(path: Path) -> bytes:
    """What a process says of itself, if it is still there."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def hearing_ctrl_c() -> None:
    """For a child's start: tests may run in a shell's background, where SIGINT is ignored and stays so in children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
