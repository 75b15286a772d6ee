"""What an AKS cluster must be like: one case for each finding, and none for a cluster that is well."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from azure.mgmt.containerservice import models

from meshinstall.adapters.aks.details import answers, read_details, status_of
from meshinstall.checks.clouds.judge import judge
from meshinstall.config.project import load_project
from meshinstall.config.resolve import resolve
from meshinstall.model.cluster import Cloud, CloudCluster, Endpoint, EndpointKind, Unread
from meshinstall.model.desired import Desired, DesiredNamespace
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.release import Manifest
from meshinstall.model.request import Request
from testbed.clouds.aks_shop import GROUP, LOCATION, NAME, managed_cluster

OFF = models.PowerState(code="Stopped")
ADD_ON = models.ServiceMeshProfile(mode="Istio")


def routing(mode: str) -> models.ManagedClusterIngressProfile:
    istio = models.ManagedClusterWebAppRoutingGatewayAPIImplementations(app_routing_istio=models.ManagedClusterAppRoutingIstio(mode=mode))
    return models.ManagedClusterIngressProfile(
        web_app_routing=models.ManagedClusterIngressProfileWebAppRouting(enabled=True, gateway_api_implementations=istio)
    )


ROUTING = routing("Enabled")
ID = str(managed_cluster().id)
SUPPORTED = {"1.36": ["KubernetesOfficial", "AKSLongTermSupport"], "1.33": ["AKSLongTermSupport"]}
NODE: Manifest = {"metadata": {"name": "aks-nodes-1", "labels": {"kubernetes.io/os": "linux", "kubernetes.azure.com/agentpool": "nodes"}}}
FLAGS = f"--name {NAME} --resource-group {GROUP}"
LONG_TERM = f"az aks update {FLAGS} --tier premium --k8s-support-plan AKSLongTermSupport"
SAFEGUARDS = (
    f"az aks safeguards update {FLAGS} --excluded-ns NAMESPACE,...: with every namespace that has sidecars; "
    f"or use a profile with istio-cni; az aks safeguards show {FLAGS} lists what is excluded"
)
POOL_FLAGS = f"--cluster-name {NAME} --resource-group {GROUP}"


def cluster(version: str = "1.36.3", more: dict[str, Any] | None = None, **settings: Any) -> CloudCluster:
    """A cluster as the adapter reads it; ``settings`` are the SDK's properties, ``more`` the details from elsewhere."""
    answer = managed_cluster(version=version, **settings).as_dict()
    details = {**read_details(answer), "id": ID, "entra": True, "reachable": "yes", "supportedVersions": SUPPORTED, **(more or {})}
    endpoint = Endpoint("https://shop.example.org:443", b"", EndpointKind.PUBLIC)
    return CloudCluster(Cloud.AKS, NAME, LOCATION, version, status_of(details), ready=answers(details), endpoint=endpoint, details=details)


def mesh(folder: Path, **request: Any) -> Desired:
    """What is to be installed, from the built-in files."""
    return resolve(Request(environment="dev", cloud=Cloud.AKS, folder=folder, **request), load_project(None, {}, folder))


def pool(**settings: Any) -> list[models.ManagedClusterAgentPoolProfile]:
    found = models.ManagedClusterAgentPoolProfile(name="nodes", os_type=settings.pop("os_type", "Linux"))
    found.provisioning_state, found.current_orchestrator_version = "Succeeded", "1.36.3"
    found.orchestrator_version = "1.36.3"
    for key, value in settings.items():
        setattr(found, key, value)
    return [found]


def shown(findings: Sequence[Finding]) -> list[tuple[str, str, str, str]]:
    return [(one.code, one.severity, one.title, one.hint) for one in findings]


CASES: dict[str, tuple[CloudCluster, tuple[str, Severity, str, str]]] = {
    "stopped": (
        cluster(power_state=OFF),
        ("AKS001", Severity.ERROR, "the cluster is stopped", f"start it: az aks start {FLAGS}"),
    ),
    "being upgraded": (
        cluster(provisioning_state="Upgrading"),
        (
            "AKS002",
            Severity.WARNING,
            "the cluster is being changed (Upgrading)",
            f"wait until it is done: az aks wait --custom \"provisioningState=='Succeeded'\" {FLAGS}",
        ),
    ),
    "being made": (
        cluster(provisioning_state="Creating"),
        (
            "AKS001",
            Severity.ERROR,
            "the cluster is creating",
            f"wait until it is done: az aks wait --custom \"provisioningState=='Succeeded'\" {FLAGS}",
        ),
    ),
    "failed": (
        cluster(provisioning_state="Failed"),
        ("AKS002", Severity.WARNING, "the last change of the cluster is Failed", f"repair it: az aks update {FLAGS}"),
    ),
    "managed mesh": (
        cluster(service_mesh_profile=ADD_ON),
        ("AKS005", Severity.ERROR, "the AKS service mesh add-on (Istio) is on", f"disable it first: az aks mesh disable {FLAGS}"),
    ),
    "application routing's Istio": (
        cluster(ingress_profile=ROUTING),
        (
            "AKS017",
            Severity.ERROR,
            "application routing runs an Istio of AKS's own for Gateways of class approuting-istio",
            f"move its Gateways to another class, then disable it: az aks approuting gateway istio disable {FLAGS}",
        ),
    ),
    "AKS Automatic": (
        cluster(more={"skuName": "Automatic"}),
        (
            "AKS018",
            Severity.WARNING,
            "AKS Automatic refuses NET_ADMIN, which the first container of every pod with a sidecar needs",
            SAFEGUARDS,
        ),
    ),
    "pool being upgraded": (
        cluster(agent_pool_profiles=pool(provisioning_state="Upgrading", current_orchestrator_version="1.35.2")),
        (
            "AKS008",
            Severity.WARNING,
            "node pool nodes is being changed (Upgrading, 1.35.2 to 1.36.3)",
            f"wait until it is done: az aks nodepool wait --updated --nodepool-name nodes {POOL_FLAGS}",
        ),
    ),
    "pool failed": (
        cluster(agent_pool_profiles=pool(provisioning_state="Failed")),
        (
            "AKS008",
            Severity.WARNING,
            "the last change of node pool nodes is Failed",
            f"inspect it: az aks nodepool show --nodepool-name nodes {POOL_FLAGS}",
        ),
    ),
    "pool too old": (
        cluster(agent_pool_profiles=pool(current_orchestrator_version="1.32.9", orchestrator_version="1.32.9")),
        (
            "AKS009",
            Severity.WARNING,
            "node pool nodes runs Kubernetes 1.32.9, older than 1.33",
            f"az aks nodepool upgrade --nodepool-name nodes {POOL_FLAGS} --kubernetes-version 1.36.3",
        ),
    ),
    "Windows": (
        cluster(agent_pool_profiles=pool(os_type="Windows")),
        (
            "AKS010",
            Severity.WARNING,
            "Windows nodes: nodes; their pods cannot be in the mesh",
            "with STRICT mTLS they reach no pod of the mesh: keep the workloads that they call out, or allow plaintext for single ports",
        ),
    ),
    "virtual nodes": (
        cluster(addon_profiles={"aciConnectorLinux": models.ManagedClusterAddonProfile(enabled=True)}),
        (
            "AKS011",
            Severity.WARNING,
            "virtual nodes: virtual-node-aci-linux; their pods cannot be in the mesh",
            f"keep pods of the mesh away from them, or: az aks disable-addons --addons virtual-node {FLAGS}",
        ),
    ),
    "past support": (
        cluster("1.34.1"),
        (
            "AKS012",
            Severity.WARNING,
            "Kubernetes 1.34.1 is past its standard support on AKS",
            f"az aks get-upgrades {FLAGS} lists the versions to upgrade to",
        ),
    ),
    "long-term support for sale": (
        cluster("1.33.1"),
        (
            "AKS012",
            Severity.WARNING,
            "Kubernetes 1.33.1 is past its standard support on AKS",
            f"az aks get-upgrades {FLAGS} lists the versions to upgrade to, or take long-term support: {LONG_TERM}",
        ),
    ),
    "no Entra ID": (
        cluster(more={"entra": False}, aad_profile=None),
        ("AKS013", Severity.WARNING, "the cluster does not use Entra ID", f"az aks update {FLAGS} --enable-aad"),
    ),
    "local accounts": (
        cluster(disable_local_accounts=False),
        ("AKS014", Severity.INFO, "local accounts are on beside Entra ID", f"az aks update {FLAGS} --disable-local-accounts"),
    ),
    "not answered": (
        replace(cluster(), unread={"the cluster's settings": Unread(why="Azure is busy")}),
        (
            "AKS016",
            Severity.WARNING,
            "NOT PROVEN: the cluster's settings could not be read",
            "docs/clouds/aks.md has what Azure's refusals mean",
        ),
    ),
    "not readable": (
        replace(cluster(), unread={"the cluster's settings": Unread("Microsoft.ContainerService/managedClusters/read")}),
        (
            "AKS016",
            Severity.WARNING,
            "NOT PROVEN: the cluster's settings could not be read",
            "give the caller Microsoft.ContainerService/managedClusters/read; docs/clouds/aks/role.json has all permissions",
        ),
    ),
}


@pytest.mark.parametrize(("found", "expected"), CASES.values(), ids=CASES)
def test_a_cluster_that_is_not_well(found: CloudCluster, expected: tuple[str, Severity, str, str], tmp_path: Path) -> None:
    assert shown(judge(found, [NODE], mesh(tmp_path))) == [expected]


WELL = {
    "a pool that follows a minor": cluster(agent_pool_profiles=pool(orchestrator_version="1.36")),
    "as it should be": cluster(),
    "long-term support": cluster("1.33.1", support_plan="AKSLongTermSupport", agent_pool_profiles=[]),
    "versions not known": cluster("1.20.0", more={"supportedVersions": None}, agent_pool_profiles=[]),
    "a stopped pool is nobody's": cluster(
        agent_pool_profiles=pool(power_state=models.PowerState(code="Stopped"), provisioning_state="Failed")
    ),
    "a kubelet of three minors before": cluster(
        agent_pool_profiles=pool(current_orchestrator_version="1.33.9", orchestrator_version="1.33.9")
    ),
    "add-on off": cluster(service_mesh_profile=models.ServiceMeshProfile(mode="Disabled")),
    "application routing without Istio": cluster(ingress_profile=routing("Disabled")),
    "a cluster of the other SKU": cluster(more={"skuName": "Base"}),
    "virtual nodes off": cluster(addon_profiles={"aciConnectorLinux": models.ManagedClusterAddonProfile(enabled=False)}),
}


@pytest.mark.parametrize("found", WELL.values(), ids=WELL)
def test_a_cluster_that_is_well(found: CloudCluster, tmp_path: Path) -> None:
    assert judge(found, [NODE], mesh(tmp_path)) == ()


PRIVATE = models.ManagedClusterAPIServerAccessProfile(enable_private_cluster=True)
RANGES = models.ManagedClusterAPIServerAccessProfile(authorized_ip_ranges=["192.0.2.0/24", "198.51.100.7/32"])
UNREACHABLE = {
    "no zone": (PRIVATE, "no address", "the private DNS zone is not linked to this network", "connect by VPN"),
    "no route": (PRIVATE, "no answer", "there is no route to its network", f"az aks command invoke {FLAGS}"),
    "not in the ranges": (RANGES, "no answer", "only 192.0.2.0/24, 198.51.100.7/32 may connect", "--api-server-authorized-ip-ranges"),
    "public": (None, "no answer", "https://shop.example.org:443 does not answer from here", "check DNS"),
}


@pytest.mark.parametrize(("access", "way", "said", "hint"), UNREACHABLE.values(), ids=UNREACHABLE)
def test_an_api_server_out_of_reach_says_which_way_is_missing(access: object, way: str, said: str, hint: str, tmp_path: Path) -> None:
    (finding,) = judge(cluster(more={"reachable": way}, api_server_access_profile=access), [], mesh(tmp_path))
    assert finding.code == "AKS003"
    assert finding.severity == Severity.ERROR
    assert said in finding.title
    assert hint in finding.hint


def test_an_api_server_behind_a_proxy_is_not_judged(tmp_path: Path) -> None:
    assert judge(cluster(more={"reachable": "proxied"}, api_server_access_profile=PRIVATE), [], mesh(tmp_path)) == ()


@pytest.mark.parametrize(("azure_rbac", "hint"), [(True, f'RBAC Cluster Admin" --scope {ID}'), (False, "create clusterrolebinding")])
def test_who_is_not_let_in_learns_who_lets_in(azure_rbac: bool, hint: str, tmp_path: Path) -> None:  # noqa: FBT001 - a case
    profile = models.ManagedClusterAADProfile(managed=True, enable_azure_rbac=azure_rbac)
    (finding,) = judge(cluster(aad_profile=profile), [], mesh(tmp_path))
    assert finding.code == "AKS004"
    assert finding.severity == Severity.WARNING
    assert hint in finding.hint


def test_the_nodes_own_labels_count(tmp_path: Path) -> None:
    nodes: list[Manifest] = [
        {"metadata": {"name": "aksw000", "labels": {"kubernetes.io/os": "windows", "kubernetes.azure.com/agentpool": "win"}}},
        {"metadata": {"name": "aci-1", "labels": {"type": "virtual-kubelet"}}},
        {"metadata": {"name": "bare"}},
    ]
    found = judge(cluster(), nodes, mesh(tmp_path))
    assert [(one.code, one.title.partition(";")[0]) for one in found] == [
        ("AKS010", "Windows nodes: win"),
        ("AKS011", "virtual nodes: aci-1"),
    ]


def test_the_enforcer_is_opted_out_of_unless_the_user_says_otherwise(tmp_path: Path) -> None:
    assert judge(cluster(), [NODE], mesh(tmp_path)) == ()
    # A null takes the annotation away, as it does in a values file.
    flags = ("istiod.sidecarInjectorWebhookAnnotations=null",)
    (finding,) = judge(cluster(), [NODE], mesh(tmp_path, sets=flags))
    assert finding.code == "AKS006"
    assert finding.object == "release istio-system/istiod"


def test_a_namespace_that_the_enforcer_skips_is_an_error(tmp_path: Path) -> None:
    desired = replace(mesh(tmp_path), namespaces=(DesiredNamespace("istio-ingress", {"control-plane": "gateway"}),))
    (finding,) = judge(cluster(), [NODE], desired)
    assert finding.code == "AKS007"
    assert finding.severity == Severity.ERROR
    assert finding.object == "Namespace istio-ingress"


def test_cni_beside_azures_cilium_is_not_proven(tmp_path: Path) -> None:
    cilium = cluster(network_profile=models.ContainerServiceNetworkProfile(network_dataplane="cilium"))
    assert judge(cilium, [NODE], mesh(tmp_path)) == ()
    (finding,) = judge(cilium, [NODE], mesh(tmp_path, profile="ambient"))
    assert finding.code == "AKS015"
    assert finding.title.startswith("NOT PROVEN")


def test_automatic_refuses_what_changes_nodes(tmp_path: Path) -> None:
    found = judge(cluster(more={"skuName": "Automatic"}), [NODE], mesh(tmp_path, profile="ambient"))
    (finding,) = [one for one in found if one.code == "AKS018"]
    assert finding.title == "AKS Automatic refuses the hostPath volumes and capabilities of cni and ztunnel"
    assert f"az aks safeguards update {FLAGS} --excluded-ns istio-system: repeat the namespaces" in finding.hint


def test_the_sku_is_read_from_azures_answer() -> None:
    model = managed_cluster()
    model.sku = models.ManagedClusterSKU(name="Automatic", tier="Standard")
    assert read_details(model.as_dict())["skuName"] == "Automatic"


def test_errors_come_first(tmp_path: Path) -> None:
    both = cluster(provisioning_state="Failed", service_mesh_profile=ADD_ON, agent_pool_profiles=pool(os_type="Windows"))
    assert [one.code for one in judge(both, [NODE], mesh(tmp_path))] == ["AKS005", "AKS002", "AKS010"]
