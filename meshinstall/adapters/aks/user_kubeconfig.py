"""Reads the user kubeconfig that Azure returns: the API server, and how users sign in to it."""

import base64
import binascii
import re
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any
from urllib.parse import urlsplit

from meshinstall.adapters.aks.errors import explained
from meshinstall.adapters.aks.sdk import SERVER_APP, Azure
from meshinstall.adapters.aks.target import task_on
from meshinstall.errors import ClusterError
from meshinstall.model.yaml_text import load

_MAX_SIZE = 1024**2
_ID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_SIGN_IN = "Microsoft.ContainerService/managedClusters/listClusterUserCredential/action"


@dataclass(frozen=True, slots=True)
class UserAccess:
    """The API server and, where Entra ID does not guard it, the client certificate and key (PEM) of all its users.

    ``tenant`` is the one whose Entra ID guards the server, which need not be the subscription's; empty where Azure does not say.
    """

    server: str
    authority: bytes
    entra: bool
    tenant: str = ""
    certificate: str = field(default="", repr=False)
    key: str = field(default="", repr=False)


def user_access(azure: Azure, subscription: str, group: str, name: str, *, public: bool = False) -> UserAccess:
    """Ask Azure how users sign in to a cluster, with ``public`` for the public name of a private one; raises ClusterError."""
    with explained(task_on((subscription, group, name), f"asking how to sign in to cluster {name}", _SIGN_IN)):
        # It changes nothing, so it is tried again like a GET.
        answer = azure.clusters(subscription).managed_clusters.list_cluster_user_credentials(
            group, name, format="exec", server_fqdn="public" if public else None, retry_on_methods=frozenset({"POST"})
        )
        given = answer.kubeconfigs or []
        data = given[0].value if given else None
    if not isinstance(data, bytes | bytearray):
        hint = f"see why: az aks get-credentials -g {group} -n {name} --file -"
        raise ClusterError(f"Azure returned no kubeconfig for cluster {name}", hint)
    return read_access(bytes(data), name)


def read_access(data: bytes, cluster: str) -> UserAccess:
    """Read the kubeconfig of ``listClusterUserCredential``; raises ClusterError, which never shows its contents."""
    try:
        return _read(data)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise ClusterError(f"the kubeconfig that Azure returned for cluster {cluster} has missing or wrong fields") from error


def _read(data: bytes) -> UserAccess:
    if len(data) > _MAX_SIZE:
        raise ValueError(len(data))
    content = load(data)
    cluster, user = content["clusters"][0]["cluster"], content["users"][0]["user"]
    server = str(cluster["server"]).rstrip("/")
    parts = urlsplit(server)
    if parts.scheme != "https" or not parts.hostname or parts.username:
        raise ValueError(parts.scheme)
    authority = _pem(cluster["certificate-authority-data"], "CERTIFICATE")
    if plugin := user.get("exec"):
        words = [str(word) for word in plugin.get("args") or ()]
        if _option(words, "--server-id") not in {"", SERVER_APP}:
            raise _legacy()
        tenant = _option(words, "--tenant-id")
        return UserAccess(server, authority, entra=True, tenant=tenant if _ID.fullmatch(tenant) else "")
    certificate, key = _pem(user["client-certificate-data"], "CERTIFICATE"), _pem(user["client-key-data"], "PRIVATE KEY")
    return UserAccess(server, authority, entra=False, certificate=certificate.decode(), key=key.decode())


def _pem(data: Any, kind: str) -> bytes:
    try:
        found = base64.b64decode(data, validate=True)
    except binascii.Error as error:
        raise ValueError from error
    if f"{kind}-----".encode() not in found or not found.isascii():
        raise ValueError(kind)
    return found


def _option(words: list[str], name: str) -> str:
    """What follows an option on kubelogin's command line; empty without it."""
    return next((after for word, after in pairwise(words) if word == name), "")


def _legacy() -> ClusterError:
    """A token for another application is not AKS's to ask for; clusters that need one are of the legacy integration."""
    return ClusterError(
        "the cluster uses the legacy integration with Entra ID, which AKS has retired",
        "turn on AKS-managed Entra ID: az aks update --enable-aad --name NAME --resource-group GROUP",
    )
