"""What kubectl, helm and istioctl ask of a credential plugin, and the answer (client.authentication.k8s.io)."""

import json
from datetime import UTC

from meshinstall.errors import UsageError
from meshinstall.model import json_text
from meshinstall.model.cluster_ref import Credential

_GROUP = "client.authentication.k8s.io"
_VERSIONS = (f"{_GROUP}/v1", f"{_GROUP}/v1beta1")


def wanted(info: str) -> str:
    """The version that KUBERNETES_EXEC_INFO asks for; v1 for a person, who asks for none. Raises UsageError."""
    try:
        version = json_text.load(info)["apiVersion"] if info else _VERSIONS[0]
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError("KUBERNETES_EXEC_INFO is not an ExecCredential") from error
    if version not in _VERSIONS:
        raise UsageError(f"the kubeconfig asks for a credential of version {version!r}", f"write {_VERSIONS[0]} as its exec apiVersion")
    return str(version)


def document(credential: Credential, version: str) -> str:
    """An ExecCredential of ``version``, as JSON; without a time it is asked for again when a server refuses it."""
    status = {
        "expirationTimestamp": credential.expires and credential.expires.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "token": credential.token,
        "clientCertificateData": credential.certificate,
        "clientKeyData": credential.key,
    }
    return json.dumps({"apiVersion": version, "kind": "ExecCredential", "status": {key: value for key, value in status.items() if value}})
