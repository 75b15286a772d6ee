"""Kubeconfigs for helm, kubectl and istioctl that hold no secret: they name a command that fetches one."""

import atexit
import base64
import json
import os
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from meshinstall.adapters.cloud.described import context_name, endpoint_of
from meshinstall.model.cluster import Chosen, CloudCluster, ClusterRef, flag

API_VERSION = "client.authentication.k8s.io/v1"
# The extension of a user that says whose kubeconfig it is.
EXTENSION = "meshinstall.dev/login"


def document(cluster: CloudCluster, ref: ClusterRef, chosen: Chosen) -> str:
    """A kubeconfig for ``cluster``, as JSON, which is YAML; raises ClusterError when it has no endpoint.

    In another shell it is used as the same caller: what ``chosen`` says goes into the plugin's options and variables, and in words
    into an extension of the user, which other programs leave alone.
    """
    endpoint = endpoint_of(cluster)
    name = context_name(cluster)
    server: dict[str, Any] = {"server": endpoint.server}
    if endpoint.authority:
        server["certificate-authority-data"] = base64.b64encode(endpoint.authority).decode()
    command, *args = credential_command(replace(ref, selectors={**cluster.selectors, **ref.selectors, **chosen.selectors}))
    plugin = {
        "apiVersion": API_VERSION,
        "command": command,
        "args": args,
        "env": [{"name": name, "value": value} for name, value in sorted(chosen.variables.items())] or None,
        "interactiveMode": "IfAvailable",
        "provideClusterInfo": False,
        "installHint": "meshinstall is not where it was when this file was written; write it again: meshinstall kubeconfig",
    }
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": server}],
        "users": [{"name": name, "user": {"exec": plugin, **_whose(chosen)}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
    return json.dumps(content, indent=2) + "\n"


def _whose(chosen: Chosen) -> dict[str, Any]:
    return {"extensions": [{"name": EXTENSION, "extension": {"chosenBy": chosen.by}}]} if chosen.by else {}


def credential_command(ref: ClusterRef) -> tuple[str, ...]:
    """The command line that prints a credential for ``ref``, for this Python and from any folder."""
    flags = [f"{flag(key)}={value}" for key, value in sorted(ref.selectors.items())]
    # -P: a folder called meshinstall where kubectl happens to run is not ours.
    return (sys.executable, "-P", "-m", "meshinstall", "credential", f"--cloud={ref.cloud}", f"--cluster={ref.name}", *flags)


def write_private(text: str) -> Path:
    """Write a kubeconfig that only we can read; it is deleted when this process ends, and holds no secret if the process is killed."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    folder = tempfile.mkdtemp(prefix="meshinstall-", dir=runtime if runtime and os.access(runtime, os.W_OK) else None)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    path = Path(folder, "kubeconfig")
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    return path
