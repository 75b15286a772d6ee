"""Finds an AKS cluster through Azure Resource Manager and signs in to it, with Entra ID where the cluster uses it."""

import os
import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from meshinstall.adapters.aks.chosen import choose
from meshinstall.adapters.aks.clouds import AzClouds
from meshinstall.adapters.aks.errors import Say, explained, reason
from meshinstall.adapters.aks.identity import Identity, caller, cluster_user, object_id
from meshinstall.adapters.aks.limits import LIMITS, Limits
from meshinstall.adapters.aks.sdk import SERVER_APP, Azure, az_clouds
from meshinstall.adapters.aks.task import Task
from meshinstall.adapters.aks.words import clean
from meshinstall.errors import ClusterError, ForbiddenError, UsageError
from meshinstall.model.cluster_ref import Chosen, Cloud, ClusterRef, Credential, EndpointKind

if TYPE_CHECKING:
    # A credential needs none of them, and its start is waited for.
    from meshinstall.adapters.aks.user_kubeconfig import UserAccess
    from meshinstall.model.cluster import Caller, CloudCluster, Listing, Unread

# How callers sign in to a cluster: our kubeconfig passes it to its plugin, which saves a request to Azure before each token.
_ENTRA = "entra"
_VERSIONS = "Microsoft.ContainerService/locations/kubernetesVersions/read"


class AksProvider:
    """Implements ports.Provider for one cluster, or for a listing when ``ref`` names none."""

    def __init__(self, ref: ClusterRef, say: Say = lambda _: None, limits: Limits = LIMITS) -> None:
        self._ref = ref
        self._say = say
        self._limits = limits
        self._lock = threading.Lock()
        self._azure: Azure | None = None
        self._az: AzClouds | None = None
        # How one signs in to the cluster, once Azure said it.
        self._access_known: UserAccess | None = None
        self._signed_in: Identity | None = None

    def describe(self) -> "CloudCluster":
        """The cluster; without permission to read it, only its API server."""
        from meshinstall.adapters.aks.details import answers, read_details, status_of
        from meshinstall.adapters.aks.target import cluster_id
        from meshinstall.model.cluster import CloudCluster, Endpoint

        access = self._access()
        answer, unread = self._read()
        details = read_details(answer)
        self._check_endpoint(details)
        access = self._access_known = replace(access, tenant=access.tenant or details["tenantID"])
        private = _is_private_name(access.server) or (details["enablePrivateCluster"] and not self._is_public())
        return CloudCluster(
            Cloud.AKS,
            self._target()[2],
            clean(str(answer.get("location", ""))),
            details["currentKubernetesVersion"],
            status_of(details),
            ready=answers(details),
            endpoint=Endpoint(access.server, access.authority, EndpointKind.PRIVATE if private else EndpointKind.PUBLIC),
            details={**details, "entra": access.entra, "id": cluster_id(*self._target())},
            selectors=self._sign_in(access),
            unread=unread,
        )

    def credential(self) -> Credential:
        """A token from Entra ID, or the client certificate of a cluster without Entra ID; requested each time and never stored."""
        tenant = self._told_tenant()
        if not tenant:
            access = self._access_known if self._access_known and self._access_known.entra else self._access()
            if not access.entra:
                return Credential(certificate=access.certificate, key=access.key)
            tenant = access.tenant
        with explained(Task(f"signing in to cluster {self._ref.name}")):
            found = self._identity().get_token(f"{SERVER_APP}/.default", tenant_id=tenant)
            return Credential(token=found.token, expires=datetime.fromtimestamp(found.expires_on, UTC))

    def chosen(self) -> Chosen:
        """What chose the caller's identity; once the cluster was described, with the tenant that its API server takes tokens of."""
        found = self._choose()
        access = self._access_known
        return replace(found, selectors={"tenant": access.tenant}) if access and access.tenant else found

    def inspect(self, cluster: "CloudCluster") -> "CloudCluster":
        """The cluster with the versions that AKS supports in its region, and whether this machine can reach its API server."""
        from meshinstall.adapters.aks.details import reachable, read_versions

        details, unread = dict(cluster.details), dict(cluster.unread)
        if cluster.endpoint:
            details["reachable"] = reachable(cluster.endpoint.server)
        if cluster.location:
            task = Task("reading the versions that AKS supports", _VERSIONS)
            try:
                with explained(task):
                    answer = self._connect().clusters(self._target()[0]).managed_clusters.list_kubernetes_versions(cluster.location)
                    details["supportedVersions"] = read_versions(answer.as_dict())
            except ClusterError as error:
                unread["the Kubernetes versions that AKS supports"] = reason(error)
        claims = self._connect().identity.claims
        details |= {"callerObjectId": object_id(claims), "callerInCluster": cluster_user(claims)}
        return replace(cluster, details=details, unread=unread, caller=self._caller())

    def discover(self) -> "Listing":
        """The clusters of the given subscriptions (separated by commas), or of all that the caller can see."""
        from meshinstall.adapters.aks.discovery import discover

        named = self._ref.selectors.get("subscription", "")
        found = discover(self._connect(), [one.strip() for one in named.split(",") if one.strip()], public=self._is_public())
        return replace(found, caller=self._caller())

    def _read(self) -> "tuple[Mapping[str, Any], Mapping[str, Unread]]":
        """The ManagedCluster as JSON; and, where it may not be read, the missing permission."""
        from meshinstall.adapters.aks.target import READ, task_on

        subscription, group, name = self._target()
        try:
            with explained(task_on((subscription, group, name), f"reading cluster {name}", READ)):
                return self._connect().clusters(subscription).managed_clusters.get(group, name).as_dict(), {}
        except ForbiddenError as error:
            return {}, {"the cluster's settings": reason(error)}

    def _told_tenant(self) -> str:
        """The tenant of which a token opens the cluster, where the options name it; empty where Azure must be asked."""
        login = self._ref.selectors.get("login", "")
        if login not in {"", _ENTRA}:
            raise UsageError(
                f"--login {clean(login)} is not a way to sign in to an AKS cluster",
                f"use --login {_ENTRA}, or leave it out: meshinstall then asks Azure",
            )
        # Without the option it could be a token of any tenant: a variable of this shell may belong to another cluster.
        return self._choose().selectors.get("tenant", "") if login and self._ref.selectors.get("tenant") else ""

    def _sign_in(self, access: "UserAccess") -> dict[str, str]:
        """What spares a plugin the question how one signs in: with the tenant, so that it can give no other's token."""
        if not access.entra:
            return {}
        tenant = access.tenant or self._choose().selectors.get("tenant", "")
        return {"login": _ENTRA, **({"tenant": tenant} if tenant else {})}

    def _is_public(self) -> bool:
        endpoint = self._ref.selectors.get("endpoint", "")
        if endpoint not in {"", EndpointKind.PUBLIC, EndpointKind.PRIVATE}:
            raise UsageError(f"--endpoint {clean(endpoint)} is not a way to an AKS cluster", "use public or private, or leave it out")
        return endpoint == EndpointKind.PUBLIC

    def _check_endpoint(self, details: Mapping[str, Any]) -> None:
        """Refuse a private endpoint of a cluster that Azure knows to have none."""
        if self._ref.selectors.get("endpoint") == EndpointKind.PRIVATE and details["fqdn"] and not details["enablePrivateCluster"]:
            raise ClusterError(f"cluster {self._ref.name} has no private endpoint", "leave --endpoint out, or use --endpoint public")

    def _access(self) -> "UserAccess":
        from meshinstall.adapters.aks.user_kubeconfig import user_access

        subscription, group, name = self._target()
        access = user_access(self._connect(), subscription, group, name, public=self._is_public())
        if self._is_public() and _is_private_name(access.server):
            add = f"az aks update --name {name} --resource-group {group} --enable-public-fqdn"
            raise ClusterError(f"cluster {name} is private and has no public name", f"add one: {add}")
        self._access_known = access
        return access

    def _identity(self) -> Identity:
        """The caller's identity; a new one each time but the first, because the SDK caches tokens that a server may have refused."""
        azure = self._connect()
        with self._lock:
            first, self._signed_in = self._signed_in, azure.identity
        return azure.identity if first is None else azure.sign_in()

    def _caller(self) -> "Caller | None":
        return caller(self._connect().identity.claims, self._choose().by)

    def _choose(self) -> Chosen:
        if self._az is None:
            self._az = az_clouds(os.environ)
        way = self._azure.identity.way if self._azure else ""
        return choose(self._ref.selectors, os.environ, self._az, way, _folder())

    def _connect(self) -> Azure:
        chosen = self._choose()
        with self._lock:
            self._azure = self._azure or Azure(self._limits, self._say, chosen, self._az or AzClouds())
            return self._azure

    def _target(self) -> tuple[str, str, str]:
        """Subscription, resource group and name; raises UsageError for a missing or invalid value."""
        from meshinstall.adapters.aks.target import read_target

        return read_target(self._ref)


def _is_private_name(server: str) -> bool:
    """Whether this is a name in one of the zones that a private cluster can have (AKS: configure a private DNS zone)."""
    return any(zone in server for zone in (".privatelink.", ".private."))


def _folder() -> str:
    """The current folder; the root where it is gone."""
    try:
        return str(Path.cwd())
    except OSError:
        return "/"
