"""The credentials of a pod: its ServiceAccount's token and authority (client-go: rest.InClusterConfig)."""

import base64
import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
CONTEXT = "in-cluster"


@dataclass(frozen=True, slots=True)
class Pod:
    """What a pod knows of its cluster; ``authority`` is PEM, None where the file is missing or not usable."""

    server: str
    authority: bytes | None
    token_file: Path
    namespace: str


def find(environ: Mapping[str, str], account: Path = SERVICE_ACCOUNT) -> Pod | None:
    """The pod that this process runs in, or None outside of one."""
    host, port = environ.get("KUBERNETES_SERVICE_HOST", ""), environ.get("KUBERNETES_SERVICE_PORT", "")
    token = account / "token"
    if not (host and port and token.is_file()):
        return None
    address = f"[{host}]" if ":" in host else host
    return Pod(f"https://{address}:{port}", _authority(account / "ca.crt"), token, _namespace(environ, account / "namespace"))


def document(pod: Pod) -> str:
    """A kubeconfig for helm without any secret: it names the file of the token, which the kubelet renews; as JSON, which is YAML."""
    cluster = {"server": pod.server}
    if pod.authority:
        cluster["certificate-authority-data"] = base64.b64encode(pod.authority).decode()
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": CONTEXT, "cluster": cluster}],
        "users": [{"name": CONTEXT, "user": {"tokenFile": str(pod.token_file)}}],
        "contexts": [{"name": CONTEXT, "context": {"cluster": CONTEXT, "user": CONTEXT, "namespace": pod.namespace}}],
        "current-context": CONTEXT,
    }
    return json.dumps(content, indent=2) + "\n"


def _authority(file: Path) -> bytes | None:
    """As client-go: without a usable authority the system's decide, and they refuse a cluster's own."""
    try:
        data = file.read_bytes()
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=data.decode())
    except (OSError, ValueError, ssl.SSLError):
        return None
    return data


def _namespace(environ: Mapping[str, str], file: Path) -> str:
    try:
        return environ.get("POD_NAMESPACE") or file.read_text().strip() or "default"
    except OSError:
        return "default"
