"""A tenant with a subscription, a cluster and who may use it: what the tests of AKS begin with."""

import base64
import json
from pathlib import Path
from typing import Any

from azure.mgmt.containerservice import models

from testbed.clouds.aks import FakeAzure
from testbed.clouds.aks_arm import READER, USER_ROLE, AksCluster, Arm
from testbed.clouds.aks_entra import SERVER_APP, Entra, Principal
from testbed.pki import KeyPair

TENANT = "11111111-2222-3333-4444-555555555555"
SUBSCRIPTION = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
GROUP = "shops"
NAME = "shop"
LOCATION = "westeurope"
PIPELINE = Principal(
    oid="99999999-0000-0000-0000-000000000001",
    client_id="99999999-0000-0000-0000-00000000aaaa",
    secret="planted-client-secret-7f3a",  # noqa: S106 - the fake's own
    groups=("99999999-0000-0000-0000-00000000bbbb",),
)


def shop(folder: Path, who: Principal = PIPELINE, listen: tuple[str, int] = ("127.0.0.1", 0), others: tuple[Entra, ...] = ()) -> FakeAzure:
    """The tenant without a cluster; ``who`` has the role that signs in, and may read the versions. ``others`` are more tenants."""
    entra = Entra(TENANT, who)
    # Its key is made now, and not while a caller with a short deadline waits.
    entra.keys()
    arm = Arm(entra, (SUBSCRIPTION,), others)
    arm.versions = {"1.36": ["KubernetesOfficial", "AKSLongTermSupport"], "1.35": ["KubernetesOfficial"], "1.33": ["AKSLongTermSupport"]}
    arm.allow(who, *USER_ROLE, *READER)
    return FakeAzure(entra, arm, folder, listen)


def managed_cluster(name: str = NAME, version: str = "1.36.3", **settings: Any) -> models.ManagedCluster:
    """A running cluster as ARM describes it; ``settings`` are properties by their names in the SDK."""
    found = models.ManagedCluster(location=LOCATION)
    found.id = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.ContainerService/managedClusters/{name}"
    found.name = name
    pool = models.ManagedClusterAgentPoolProfile(name="nodes", mode="System", os_type="Linux", orchestrator_version=version)
    pool.current_orchestrator_version, pool.provisioning_state = version, "Succeeded"
    pool.power_state = models.PowerState(code="Running")
    found.properties = models.ManagedClusterProperties(
        kubernetes_version=version,
        support_plan="KubernetesOfficial",
        agent_pool_profiles=[pool],
        aad_profile=models.ManagedClusterAADProfile(managed=True, enable_azure_rbac=False, tenant_id=TENANT),
        disable_local_accounts=True,
    )
    properties = found.properties
    properties.current_kubernetes_version, properties.provisioning_state = version, "Succeeded"
    properties.power_state = models.PowerState(code="Running")
    properties.fqdn = f"{name}-abcd1234.hcp.{LOCATION}.azmk8s.io"
    for key, value in settings.items():
        setattr(properties, key, value)
    return found


def add_cluster(
    azure: FakeAzure, kubeconfig: bytes, model: models.ManagedCluster | None = None, subscription: str = SUBSCRIPTION
) -> AksCluster:
    """Put a cluster into the tenant."""
    cluster = AksCluster(subscription, GROUP, model or managed_cluster(), kubeconfig)
    azure.arm.clusters.append(cluster)
    return cluster


def entra_kubeconfig(server: str, authority: bytes, server_app: str = SERVER_APP) -> bytes:
    """What users of a cluster with Entra ID get (``format=exec``): no secret, and a plugin that they are to have."""
    args = ["get-token", "--environment", "AzurePublicCloud", "--server-id", server_app, "--tenant-id", TENANT, "--login", "devicecode"]
    plugin = {"apiVersion": "client.authentication.k8s.io/v1beta1", "command": "kubelogin", "args": args, "env": None}
    return _kubeconfig(server, authority, {"exec": plugin})


def certificate_kubeconfig(server: str, authority: bytes, pair: KeyPair) -> bytes:
    """What users of a cluster without Entra ID get: one certificate for all of them."""
    user = {"client-certificate-data": base64.b64encode(pair.certificate).decode(), "client-key-data": base64.b64encode(pair.key).decode()}
    return _kubeconfig(server, authority, {**user, "token": "planted-static-token-51c2"})


def _kubeconfig(server: str, authority: bytes, user: dict[str, Any]) -> bytes:
    name, owner = NAME, f"clusterUser_{GROUP}_{NAME}"
    cluster = {"server": server, "certificate-authority-data": base64.b64encode(authority).decode()}
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": cluster}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": owner}}],
            "current-context": name,
            "users": [{"name": owner, "user": user}],
        }
    ).encode()
