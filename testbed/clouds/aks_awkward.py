"""A subscription as large companies have them: a guest whose az is logged in to another tenant, Conditional Access, policies, privacy."""

from pathlib import Path

from azure.mgmt.containerservice import models

from testbed.clouds.aks import FakeAzure
from testbed.clouds.aks_arm import READER, USER_ROLE
from testbed.clouds.aks_entra import Entra, Principal
from testbed.clouds.aks_shop import LOCATION, NAME, PIPELINE, add_cluster, entra_kubeconfig, managed_cluster, shop

HOME = "22222222-3333-4444-5555-666666666666"
# A subscription of which a Conditional Access policy asks for more than Anna's login has.
GUARDED = "bbbbbbbb-cccc-dddd-eeee-ffffffffffff"
REFRESH = "planted-refresh-token-a1d4"
_NAME = "anna@home.example"
ANNA = Principal(oid="99999999-0000-0000-0000-0000000000a1", upn=_NAME, refresh=REFRESH)
# The same person as a guest in the tenant of the cluster: another object, and no user principal name in its tokens.
GUEST = Principal(oid="99999999-0000-0000-0000-0000000000a2", upn=_NAME, refresh=REFRESH, home=HOME, groups=PIPELINE.groups)
PRIVATE = f"https://{NAME}-abcd1234.privatelink.{LOCATION}.azmk8s.io:443"
POLICY = (
    403,
    "RequestDisallowedByPolicy",
    (
        "Resource 'kubernetesVersions' was disallowed by policy. Policy identifiers: "
        '\'[{"policyAssignment":{"name":"Only named regions","id":"/providers/Microsoft.Management/managementGroups/corp/providers/'
        "Microsoft.Authorization/policyAssignments/regions\"}}]'."
    ),
)


def awkward(folder: Path, listen: tuple[str, int] = ("127.0.0.1", 0)) -> FakeAzure:
    """Two tenants and two subscriptions, without a cluster."""
    azure = shop(folder, GUEST, listen, others=(Entra(HOME, ANNA),))
    azure.entra.principals.append(PIPELINE)
    azure.arm.allow(PIPELINE, *USER_ROLE, *READER)
    azure.arm.subscriptions += (GUARDED,)
    azure.arm.guarded.add(GUARDED)
    azure.arm.forbidden["locations/kubernetesVersions/read"] = POLICY
    return azure


def add_private_cluster(azure: FakeAzure, server: str, authority: bytes) -> None:
    """A private cluster whose private name resolves nowhere here, and whose public name is ``server``."""
    profile = models.ManagedClusterAPIServerAccessProfile(enable_private_cluster=True, enable_private_cluster_public_fqdn=True)
    host = PRIVATE.removeprefix("https://").removesuffix(":443")
    model = managed_cluster(api_server_access_profile=profile, private_fqdn=host)
    add_cluster(azure, entra_kubeconfig(PRIVATE, authority), model).public = entra_kubeconfig(server, authority)
