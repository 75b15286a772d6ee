"""Kubeconfigs that are never on disk: helm, which we start, reads them by the path of a descriptor of this process."""

import base64
import json
import os
from pathlib import Path
from typing import Any

from meshinstall.adapters.kube.kubeconfig import Kubeconfig
from meshinstall.adapters.kube.token import Token


def is_there() -> bool:
    """Whether the system has such files: Linux has."""
    return hasattr(os, "memfd_create")


class MemoryFile:
    """A file that our own children can read as long as this process lives."""

    def __init__(self, data: bytes = b"") -> None:
        self._descriptor = os.memfd_create("kubeconfig")
        self.path = Path(f"/proc/{os.getpid()}/fd/{self._descriptor}")
        self.write(data)

    def write(self, data: bytes) -> None:
        """Replace the content: whoever opens it gets all of the old or all of the new."""
        new = os.memfd_create("kubeconfig")
        with open(new, "wb", closefd=False) as stream:
            stream.write(data)
        os.dup2(new, self._descriptor, inheritable=False)
        os.close(new)


def with_credential(config: Kubeconfig, token: Token) -> bytes:
    """The context with a credential in place of its plugin, as JSON, which is YAML."""
    cluster = {
        "server": config.server,
        "certificate-authority-data": _encoded(config.authority),
        "tls-server-name": config.server_name,
        "proxy-url": config.proxy,
    }
    user: dict[str, Any] = {
        "token": token.value,
        "client-certificate-data": _encoded(token.certificate),
        "client-key-data": _encoded(token.key),
    }
    if other := config.impersonate:
        user |= {"as": other.user, "as-uid": other.uid, "as-groups": other.groups, "as-user-extra": dict(other.extra)}
    name = config.context
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": _set(cluster)}],
        "users": [{"name": name, "user": _set(user)}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
    }
    return json.dumps(content).encode()


def _encoded(data: bytes | None) -> str:
    return base64.b64encode(data or b"").decode()


def _set(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value}
