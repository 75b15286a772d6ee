"""Reads a kubeconfig the way kubectl does, with clear errors."""

import base64
import binascii
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from meshinstall.errors import ClusterError, UsageError
from meshinstall.model.yaml_text import load as load_yaml

_DEFAULT = "~/.kube/config"


@dataclass(frozen=True, slots=True)
class ExecPlugin:
    """A credential plugin (client.authentication.k8s.io) as the kubeconfig states it."""

    api_version: str
    command: str
    args: tuple[str, ...]
    env: Mapping[str, str]
    install_hint: str = ""


@dataclass(frozen=True, slots=True)
class Kubeconfig:
    """One context of a kubeconfig, resolved; certificates and keys are PEM bytes."""

    source: str
    context: str
    server: str
    authority: bytes | None
    server_name: str = ""
    proxy: str = ""
    namespace: str = ""
    certificate: bytes | None = field(default=None, repr=False)
    key: bytes | None = field(default=None, repr=False)
    token: str = field(default="", repr=False)
    token_file: Path | None = None
    plugin: ExecPlugin | None = None


@dataclass(frozen=True, slots=True)
class _Entry:
    """One named item of a kubeconfig and the folder that its relative paths count from."""

    content: Mapping[str, Any]
    folder: Path


@dataclass(frozen=True, slots=True)
class _Merged:
    """Several files as one; the first to name something wins (client-go: clientcmd loading rules)."""

    clusters: dict[str, _Entry] = field(default_factory=dict)
    users: dict[str, _Entry] = field(default_factory=dict)
    contexts: dict[str, _Entry] = field(default_factory=dict)
    current: list[str] = field(default_factory=list)


def load(path: Path | None = None, context: str = "", environ: Mapping[str, str] = os.environ) -> Kubeconfig:
    """Read ``path``, else KUBECONFIG, else ~/.kube/config, and pick ``context`` or the current one.

    Raises UsageError when there is no such file or context.
    """
    paths = str(path) if path else environ.get("KUBECONFIG") or _DEFAULT
    files = [file for one in paths.split(os.pathsep) if one and (file := Path(one).expanduser()).is_file()]
    if not files:
        raise UsageError(f"no kubeconfig at {paths}", "name one with --kubeconfig or KUBECONFIG, or pick a cloud with --cloud")
    merged = _Merged()
    for file in files:
        _merge(file, merged)
    wanted = context or next(iter(merged.current), "")
    if wanted not in merged.contexts:
        there = ", ".join(merged.contexts) or "none"
        said = f"no context {wanted!r}" if wanted else "no current context"
        raise UsageError(f"{said} in the kubeconfig {paths} (it has: {there})", "name one of them with --context")
    try:
        return _resolve(merged, wanted, paths)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        # What stands there may be a secret, so it is not shown.
        raise UsageError(f"the cluster or user of context {wanted!r} in the kubeconfig {paths} has missing or wrong fields") from error


def _merge(file: Path, merged: _Merged) -> None:
    try:
        content = load_yaml(file.read_bytes()) or {}
        if current := content.get("current-context"):
            merged.current.append(str(current))
        for items, inner, into in (
            (content.get("clusters"), "cluster", merged.clusters),
            (content.get("users"), "user", merged.users),
            (content.get("contexts"), "context", merged.contexts),
        ):
            for item in items or ():
                into.setdefault(str(item["name"]), _Entry(item.get(inner) or {}, file.parent))
    except (ValueError, OSError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"the kubeconfig {file} cannot be read: {str(error).splitlines()[0]}") from error


def _resolve(merged: _Merged, wanted: str, source: str) -> Kubeconfig:
    chosen = merged.contexts[wanted].content
    cluster = merged.clusters.get(str(chosen.get("cluster")))
    user = merged.users.get(str(chosen.get("user")), _Entry({}, Path()))
    if cluster is None:
        raise UsageError(f"context {wanted!r} in the kubeconfig {source} names cluster {chosen.get('cluster')!r}, which is not there")
    if cluster.content.get("insecure-skip-tls-verify"):
        raise UsageError(
            f"context {wanted!r} in the kubeconfig {source} turns off the check of the API server's certificate",
            "give it the cluster's certificate-authority-data instead of insecure-skip-tls-verify",
        )
    token_file = user.content.get("tokenFile")
    return Kubeconfig(
        source=source,
        context=wanted,
        server=str(cluster.content.get("server", "")).rstrip("/"),
        authority=_pem(cluster, "certificate-authority"),
        server_name=cluster.content.get("tls-server-name", ""),
        proxy=cluster.content.get("proxy-url", ""),
        namespace=chosen.get("namespace", ""),
        certificate=_pem(user, "client-certificate"),
        key=_pem(user, "client-key"),
        token=user.content.get("token", ""),
        token_file=user.folder / token_file if token_file else None,
        plugin=_plugin(user.content.get("exec")),
    )


def _pem(entry: _Entry, key: str) -> bytes | None:
    if data := entry.content.get(f"{key}-data"):
        try:
            return base64.b64decode(data, validate=True)
        except binascii.Error as error:
            raise ClusterError(f"{key}-data in the kubeconfig is not base64") from error
    if name := entry.content.get(key):
        try:
            return Path(entry.folder, name).read_bytes()
        except OSError as error:
            raise ClusterError(f"{key} in the kubeconfig: {error.strerror}: {entry.folder / name}") from error
    return None


def _plugin(node: Mapping[str, Any] | None) -> ExecPlugin | None:
    if not node:
        return None
    return ExecPlugin(
        api_version=node.get("apiVersion", ""),
        command=node.get("command", ""),
        args=tuple(node.get("args") or ()),
        env={item["name"]: item["value"] for item in node.get("env") or ()},
        install_hint=node.get("installHint", ""),
    )
