"""Reads a kubeconfig the way kubectl does, and says clearly what is wrong with it."""

import base64
import binascii
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from meshinstall.errors import ClusterError, UsageError

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


def load(path: Path | None = None, context: str = "", environ: Mapping[str, str] = os.environ) -> Kubeconfig:
    """Read ``path``, else KUBECONFIG, else ~/.kube/config, and pick ``context`` or the current one.

    Raises UsageError when there is no such file or context.
    """
    from kubernetes.config.kube_config import ConfigException, KubeConfigMerger
    from yaml import YAMLError

    paths = str(path) if path else environ.get("KUBECONFIG") or _DEFAULT
    if not any(Path(one).expanduser().is_file() for one in paths.split(os.pathsep) if one):
        raise UsageError(f"no kubeconfig at {paths}", "name one with --kubeconfig or KUBECONFIG, or pick a cloud with --cloud")
    try:
        merged = KubeConfigMerger(paths).config
        contexts = [item.value["name"] for item in merged["contexts"]]
    except (ConfigException, YAMLError, OSError, KeyError, TypeError, AttributeError, UnicodeDecodeError) as error:
        raise UsageError(f"the kubeconfig {paths} cannot be read: {str(error).splitlines()[0]}") from error
    wanted = context or merged.value.get("current-context") or ""
    if wanted not in contexts:
        there = ", ".join(contexts) or "none"
        said = f"no context {wanted!r}" if wanted else "no current context"
        raise UsageError(f"{said} in the kubeconfig {paths} (there: {there})", "name one of them with --context")
    return _resolve(merged, wanted, paths)


def _resolve(merged: Any, wanted: str, source: str) -> Kubeconfig:
    chosen = merged["contexts"].get_with_name(wanted)["context"].value
    cluster_node = merged["clusters"].get_with_name(chosen.get("cluster", ""), safe=True)
    user_node = merged["users"].get_with_name(chosen.get("user", ""), safe=True)
    if cluster_node is None:
        raise UsageError(f"context {wanted!r} in the kubeconfig {source} names cluster {chosen.get('cluster')!r}, which is not there")
    cluster = cluster_node["cluster"].value
    user = user_node.value.get("user") or {} if user_node is not None else {}
    folder = Path(cluster_node["cluster"].path or ".").parent
    if cluster.get("insecure-skip-tls-verify"):
        raise UsageError(
            f"context {wanted!r} in the kubeconfig {source} turns off the check of the API server's certificate",
            "give it the cluster's certificate-authority-data instead of insecure-skip-tls-verify",
        )
    token_file = user.get("tokenFile")
    return Kubeconfig(
        source=source,
        context=wanted,
        server=str(cluster.get("server", "")).rstrip("/"),
        authority=_pem(cluster, "certificate-authority", folder),
        server_name=cluster.get("tls-server-name", ""),
        proxy=cluster.get("proxy-url", ""),
        namespace=chosen.get("namespace", ""),
        certificate=_pem(user, "client-certificate", folder),
        key=_pem(user, "client-key", folder),
        token=user.get("token", ""),
        token_file=folder / token_file if token_file else None,
        plugin=_plugin(user.get("exec")),
    )


def _pem(node: Mapping[str, Any], key: str, folder: Path) -> bytes | None:
    if data := node.get(f"{key}-data"):
        try:
            return base64.b64decode(data, validate=True)
        except binascii.Error as error:
            raise ClusterError(f"{key}-data in the kubeconfig is not base64") from error
    if name := node.get(key):
        try:
            return Path(folder, name).read_bytes()
        except OSError as error:
            raise ClusterError(f"{key} in the kubeconfig: {error.strerror}: {folder / name}") from error
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
