"""Finds an AKS cluster through Azure Resource Manager and signs in to it, with Entra ID where the cluster uses it."""

import re
import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from meshinstall.adapters.aks.details import answers, reachable, read_details, read_versions, status_of
from meshinstall.adapters.aks.discovery import READ, SUBSCRIPTION, discover
from meshinstall.adapters.aks.errors import Say, Task, clean, explained
from meshinstall.adapters.aks.limits import LIMITS, Limits
from meshinstall.adapters.aks.sdk import SERVER_APP, Azure
from meshinstall.adapters.aks.user_kubeconfig import UserAccess, cluster_id, task_on, user_access
from meshinstall.errors import ClusterError, ForbiddenError, UsageError
from meshinstall.model.cluster import Chosen, Cloud, CloudCluster, ClusterRef, Credential, Endpoint, EndpointKind, Listing

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

# How callers sign in to a cluster: our kubeconfig passes it to its plugin, which saves a request to Azure before each token.
_ENTRA = "entra"
_VERSIONS = "Microsoft.ContainerService/locations/kubernetesVersions/read"
_GROUP = re.compile(r"[\w().-]{1,90}")
_NAME = re.compile(r"[a-zA-Z0-9]([\w-]{0,61}[a-zA-Z0-9])?")


class AksProvider:
    """Implements ports.Provider for one cluster, or for a listing when ``ref`` names none."""

    def __init__(self, ref: ClusterRef, say: Say = lambda _: None, limits: Limits = LIMITS) -> None:
        self._ref = ref
        self._say = say
        self._limits = limits
        self._lock = threading.Lock()
        self._azure: Azure | None = None
        # Whether Entra ID guards the cluster, once it is known.
        self._entra = False
        self._signed_in: TokenCredential | None = None

    def describe(self) -> CloudCluster:
        """The cluster; without permission to read it, only its API server."""
        access = self._access()
        answer, unread = self._read()
        details = read_details(answer)
        private = details["enablePrivateCluster"] or ".privatelink." in access.server
        return CloudCluster(
            Cloud.AKS,
            self._target()[2],
            clean(str(answer.get("location", ""))),
            details["currentKubernetesVersion"],
            status_of(details),
            ready=answers(details),
            endpoint=Endpoint(access.server, access.authority, EndpointKind.PRIVATE if private else EndpointKind.PUBLIC),
            details={**details, "entra": access.entra, "id": cluster_id(*self._target())},
            selectors={"login": _ENTRA} if access.entra else {},
            unread=unread,
        )

    def credential(self) -> Credential:
        """A token from Entra ID, or the client certificate of a cluster without Entra ID; requested each time and never stored."""
        if not (self._entra or self._signs_in_by_entra()):
            access = self._access()
            if not access.entra:
                return Credential(certificate=access.certificate, key=access.key)
        with explained(Task(f"signing in to cluster {self._ref.name}")):
            found = self._identity().get_token(f"{SERVER_APP}/.default")
            return Credential(token=found.token, expires=datetime.fromtimestamp(found.expires_on, UTC))

    def chosen(self) -> Chosen:
        """What chose the caller's identity."""
        return Chosen()

    def inspect(self, cluster: CloudCluster) -> CloudCluster:
        """The cluster with the versions that AKS supports in its region, and whether this machine can reach its API server."""
        details, unread = dict(cluster.details), dict(cluster.unread)
        if cluster.endpoint:
            details["reachable"] = reachable(cluster.endpoint.server)
        if cluster.location:
            task = Task("reading the versions that AKS supports", _VERSIONS)
            try:
                with explained(task):
                    answer = self._connect().clusters(self._target()[0]).managed_clusters.list_kubernetes_versions(cluster.location)
                    details["supportedVersions"] = read_versions(answer.as_dict())
            except ForbiddenError:
                unread["the Kubernetes versions that AKS supports"] = _VERSIONS
            except ClusterError as error:
                unread["the Kubernetes versions that AKS supports"] = error.message
        return replace(cluster, details=details, unread=unread)

    def discover(self) -> Listing:
        """The clusters of the given subscriptions (separated by commas), or of all that the caller can see."""
        named = self._ref.selectors.get("subscription", "")
        return discover(self._connect(), [one.strip() for one in named.split(",") if one.strip()])

    def _read(self) -> tuple[Mapping[str, Any], Mapping[str, str]]:
        """The ManagedCluster as JSON; and, where it may not be read, the missing permission."""
        subscription, group, name = self._target()
        try:
            with explained(task_on((subscription, group, name), f"reading cluster {name}", READ)):
                return self._connect().clusters(subscription).managed_clusters.get(group, name).as_dict(), {}
        except ForbiddenError:
            return {}, {"the cluster's settings": READ}

    def _signs_in_by_entra(self) -> bool:
        login = self._ref.selectors.get("login", "")
        if login not in {"", _ENTRA}:
            raise UsageError(
                f"--login {clean(login)} is not a way to sign in to an AKS cluster",
                f"use --login {_ENTRA}, or leave it out: meshinstall then asks Azure",
            )
        return bool(login)

    def _access(self) -> UserAccess:
        access = user_access(self._connect(), *self._target())
        self._entra = access.entra
        return access

    def _identity(self) -> "TokenCredential":
        """The caller's identity; a new one each time but the first, because the SDK caches tokens that a server may have refused."""
        azure = self._connect()
        with self._lock:
            first, self._signed_in = self._signed_in, azure.identity
        return azure.identity if first is None else azure.sign_in()

    def _connect(self) -> Azure:
        with self._lock:
            self._azure = self._azure or Azure(self._limits, self._say)
            return self._azure

    def _target(self) -> tuple[str, str, str]:
        """Subscription, resource group and name; raises UsageError for a missing or invalid value."""
        subscription, group = self._ref.selectors.get("subscription", ""), self._ref.selectors.get("resource_group", "")
        for option, noun, value, pattern, example in (
            ("--subscription", "subscription ID", subscription, SUBSCRIPTION, "az account show --query id -o tsv"),
            ("--resource-group", "resource group name", group, _GROUP, "az aks list -o table"),
            ("--cluster", "cluster name", self._ref.name, _NAME, "az aks list -o table"),
        ):
            if not value:
                raise UsageError(f"{option} is missing for --cloud aks", f"give it here or in meshinstall.yaml; to find it: {example}")
            if not pattern.fullmatch(value):
                raise UsageError(f"{option} {clean(value)} is not a valid {noun}", f"to find it: {example}")
        return subscription, group, self._ref.name
