"""What preflight says of an EKS cluster: a table of clusters, and the codes that each one gets."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from meshinstall.checks.clouds.eks import judge
from meshinstall.config.project import load_project
from meshinstall.config.resolve import resolve
from meshinstall.model.cluster import Cloud, CloudCluster, Unread
from meshinstall.model.desired import Desired
from meshinstall.model.finding import Severity
from meshinstall.model.request import Request

ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/admin"
ADMITTED = {"protocol": "tcp", "from": 15017, "to": 15017, "groups": ["sg-cluster"], "cidrs": [], "others": False}
OUT = {"protocol": "-1", "from": 0, "to": 65535, "groups": [], "cidrs": ["0.0.0.0/0"], "others": False}
NETWORK = {
    "nodeGroupSets": [["sg-node"]],
    "rules": {"sg-node": [ADMITTED]},
    "egress": {"sg-cluster": [OUT]},
    "controlPlaneCidrs": ["10.0.0.0/24", "10.0.1.0/24"],
    "nodeCidrs": {"sg-node": ["10.0.2.0/24"]},
}
RUNS = {"deployments": {"kube-system/aws-load-balancer-controller": 2}, "classes": ["alb"], "webhooks": ["w"], "crd": True}
GONE: dict[str, Any] = {"deployments": {}, "classes": [], "webhooks": [], "crd": True}
DETAILS: dict[str, Any] = {
    "resourcesVpcConfig": {
        "vpcId": "vpc-1",
        "clusterSecurityGroupId": "sg-cluster",
        "securityGroupIds": [],
        "endpointPublicAccess": True,
        "publicAccessCidrs": ["0.0.0.0/0"],
    },
    "accessConfig": {"authenticationMode": "API"},
    "accessEntries": [ROLE],
    "caller": f"arn:aws:sts::{ACCOUNT}:assumed-role/admin/me",
    "versions": [{"clusterVersion": "1.36", "versionStatus": "STANDARD_SUPPORT", "endOfStandardSupportDate": "2027-08-01"}],
    "nodegroups": [{"nodegroupName": "main", "amiType": "AL2023_x86_64_STANDARD", "status": "ACTIVE"}],
    "fargateProfiles": [],
    "network": NETWORK,
    "loadBalancerController": RUNS,
}
GOOD = CloudCluster(Cloud.EKS, "shop", "eu-west-1", "1.36", "ACTIVE", ready=True, endpoint=None, details=DETAILS)


def node(name: str, **labels: str) -> dict[str, Any]:
    spelled = {"os": "kubernetes.io/os", "compute": "eks.amazonaws.com/compute-type"}
    return {"metadata": {"name": name, "labels": {spelled[key]: value for key, value in labels.items()}}}


LINUX, FARGATE, WINDOWS = node("a", os="linux"), node("f", os="linux", compute="fargate"), node("w", os="windows")
HYBRID = node("h", os="linux", compute="hybrid")
REMOTE = {"remotePodNetworks": [{"cidrs": ["10.80.0.0/16"]}]}


@pytest.fixture
def desired(tmp_path: Path) -> Desired:
    return resolve(Request(environment="dev", cloud=Cloud.EKS), load_project(None, {}, tmp_path))


@pytest.fixture
def ambient(tmp_path: Path) -> Desired:
    return resolve(Request(environment="dev", cloud=Cloud.EKS, profile="ambient"), load_project(None, {}, tmp_path))


def having(**details: Any) -> CloudCluster:
    return replace(GOOD, details={**DETAILS, **details})


def access(**changed: Any) -> CloudCluster:
    return having(resourcesVpcConfig={**DETAILS["resourcesVpcConfig"], **changed})


def sending(**changed: Any) -> CloudCluster:
    return having(network={**NETWORK, "egress": {"sg-cluster": [{**OUT, **changed}]}})


def balanced(**found: Any) -> CloudCluster:
    return having(loadBalancerController={**GONE, **found})


def auto(*, is_balancing: bool = True, **details: Any) -> CloudCluster:
    network = {"elasticLoadBalancing": {"enabled": is_balancing}}
    return having(computeConfig={"enabled": True}, kubernetesNetworkConfig=network, **details)


def ruled(**changed: Any) -> CloudCluster:
    return having(network={**NETWORK, "rules": {"sg-node": [{**ADMITTED, **changed}]}})


@pytest.mark.parametrize(
    ("cluster", "nodes", "codes"),
    [
        (GOOD, [LINUX], []),
        (GOOD, [], []),
        (replace(GOOD, status="CREATING"), [], ["EKS001"]),
        (replace(GOOD, status="FAILED"), [], ["EKS001"]),
        (replace(GOOD, status="UPDATING"), [LINUX], ["EKS002"]),
        (having(health={"issues": [{"code": "Ec2SubnetNotFound", "message": "gone", "resourceIds": ["subnet-1"]}]}), [LINUX], ["EKS003"]),
        (having(versions=[{**DETAILS["versions"][0], "versionStatus": "EXTENDED_SUPPORT"}]), [LINUX], ["EKS004"]),
        (access(endpointPublicAccess=False), [], ["EKS005"]),
        (access(endpointPublicAccess=False), [LINUX], []),
        (access(publicAccessCidrs=["192.0.2.0/24"]), [], ["EKS006"]),
        (access(publicAccessCidrs=["192.0.2.0/24"]), [LINUX], []),
        (having(accessEntries=[]), [], ["EKS007"]),
        (having(accessEntries=[]), [LINUX], []),
        (having(accessEntries=[f"arn:aws:iam::{ACCOUNT}:role/team/admin"]), [], []),
        (having(accessEntries=["arn:aws:iam::210987654321:role/admin"]), [], ["EKS007"]),
        (having(accessConfig={"authenticationMode": "CONFIG_MAP"}, accessEntries=None), [], ["EKS007"]),
        # One that was made before access entries existed, and one of which DescribeCluster tells nothing of it.
        (having(accessConfig=None, accessEntries=None), [], ["EKS007"]),
        (having(accessConfig={}, accessEntries=None), [], ["EKS007"]),
        (having(accessEntries=[], caller=f"arn:aws:iam::{ACCOUNT}:user/me"), [], ["EKS007"]),
        (having(accessEntries=[f"arn:aws:iam::{ACCOUNT}:user/me"], caller=f"arn:aws:iam::{ACCOUNT}:user/me"), [], []),
        (GOOD, [FARGATE], ["EKS008"]),
        (GOOD, [FARGATE, LINUX], ["EKS010"]),
        (having(fargateProfiles=[{"fargateProfileName": "p", "namespaces": ["istio-system"]}]), [LINUX], ["EKS009"]),
        (having(fargateProfiles=[{"fargateProfileName": "p", "namespaces": ["jobs"]}]), [LINUX], []),
        # The class may be left out: it is the cluster's default.
        (having(computeConfig={"enabled": True}), [LINUX], []),
        (auto(loadBalancerController=GONE), [LINUX], []),
        (auto(is_balancing=False, loadBalancerController=GONE), [LINUX], ["EKS011"]),
        (auto(is_balancing=False), [LINUX], []),
        (balanced(), [LINUX], ["EKS018"]),
        (balanced(deployments={"kube-system/aws-load-balancer-controller": 0}, classes=["alb"]), [LINUX], ["EKS018"]),
        (balanced(deployments={"kube-system/lbc": 1}), [LINUX], []),
        (balanced(webhooks=["aws-load-balancer-webhook"]), [LINUX], []),
        (replace(GOOD, unread={"loadBalancerController": Unread(why="forbidden")}), [LINUX], ["EKS013"]),
        (GOOD, [LINUX, HYBRID], ["EKS017"]),
        (GOOD, [HYBRID], ["EKS017"]),
        (having(remoteNetworkConfig=REMOTE), [LINUX, HYBRID], ["EKS017"]),
        (having(remoteNetworkConfig=REMOTE), [LINUX], []),
        (having(network={**NETWORK, "nodeGroupSets": []}), [HYBRID], ["EKS017"]),
        (having(computeConfig={"enabled": False}), [LINUX], []),
        (GOOD, [LINUX, WINDOWS], ["EKS012"]),
        (having(nodegroups=[{"nodegroupName": "w", "amiType": "WINDOWS_FULL_2025_x86_64", "status": "ACTIVE"}]), [LINUX], ["EKS012"]),
        (replace(GOOD, unread={"network": Unread("ec2:DescribeInstances")}), [LINUX], ["EKS013"]),
        (ruled(groups=["sg-other"]), [LINUX], ["EKS014"]),
        (ruled(to=15016, **{"from": 1025}), [LINUX], ["EKS014"]),
        (ruled(protocol="udp"), [LINUX], ["EKS014"]),
        (ruled(to=65535, **{"from": 1025}), [LINUX], []),
        (ruled(protocol="-1", to=65535, **{"from": 0}), [LINUX], []),
        (ruled(groups=[], cidrs=["10.0.0.0/16"]), [LINUX], []),
        (ruled(groups=[], cidrs=["10.0.0.0/24"]), [LINUX], ["EKS014"]),
        (ruled(groups=[], cidrs=["nonsense"]), [LINUX], ["EKS014"]),
        # Prefix lists and IPv6 ranges may stand for the control plane or not.
        (ruled(groups=[], others=True), [LINUX], ["EKS015"]),
        (ruled(groups=[], others=True, protocol="udp"), [LINUX], ["EKS014"]),
        (ruled(others=True), [LINUX], []),
        (having(network={**NETWORK, "nodeGroupSets": [["sg-node"], ["sg-more", "sg-node"], ["sg-bare"]]}), [LINUX], ["EKS014"]),
        (having(network={**NETWORK, "egress": {"sg-cluster": []}}), [LINUX], ["EKS016"]),
        (having(network={**NETWORK, "egress": {}}), [LINUX], []),
        (sending(protocol="tcp", to=443, **{"from": 443}), [LINUX], ["EKS016"]),
        (sending(cidrs=[], groups=["sg-other"]), [LINUX], ["EKS016"]),
        (sending(cidrs=[], groups=["sg-node"]), [LINUX], []),
        (sending(cidrs=["10.0.2.0/23"]), [LINUX], []),
        (sending(cidrs=["10.0.0.0/24"]), [LINUX], ["EKS016"]),
        (sending(cidrs=[], others=True), [LINUX], ["EKS015"]),
        (having(network={"nodeGroupSets": [], "rules": {}, "controlPlaneCidrs": []}), [LINUX], ["EKS015"]),
        (replace(GOOD, details={}), [LINUX], []),
    ],
)
def test_each_kind_of_cluster_gets_its_findings(cluster: CloudCluster, nodes: list[Any], codes: list[str], desired: Desired) -> None:
    found = judge(cluster, nodes, desired)
    assert [finding.code for finding in found] == codes
    assert all(finding.hint for finding in found)


def test_what_stops_a_run(desired: Desired, ambient: Desired) -> None:
    profile = having(fargateProfiles=[{"fargateProfileName": "p", "namespaces": ["istio-system"]}])
    errors = {
        finding.code
        for cluster, nodes, wanted in (
            (replace(GOOD, status="DELETING", details={**DETAILS, "accessEntries": []}), [], desired),
            (replace(GOOD, status="UPDATING"), [FARGATE], desired),
            (ruled(groups=[]), [LINUX, WINDOWS], desired),
            (profile, [LINUX], ambient),
        )
        for finding in judge(cluster, nodes, wanted)
        if finding.severity is Severity.ERROR
    }
    assert errors == {"EKS001", "EKS008", "EKS009", "EKS014"}
    (warning,) = judge(profile, [LINUX], desired)
    assert warning.severity is Severity.WARNING


def test_hints_are_commands_that_mend(desired: Desired) -> None:
    (port,) = judge(ruled(groups=[]), [LINUX], desired)
    assert port.hint == (
        "aws ec2 authorize-security-group-ingress --region eu-west-1 --group-id sg-node "
        "--protocol tcp --port 15017 --source-group sg-cluster"
    )
    (entry,) = judge(having(accessEntries=[]), [], desired)
    # A role may have a path, which STS does not tell.
    place = '--region eu-west-1 --cluster-name shop --principal-arn "$(aws iam get-role --role-name admin --query Role.Arn --output text)"'
    assert entry.hint == (
        f"aws eks create-access-entry {place} && aws eks associate-access-policy {place} --policy-arn "
        "arn:aws:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy --access-scope type=cluster"
    )
    (single,) = judge(
        having(accessEntries=[], caller=f"arn:aws-us-gov:sts::{ACCOUNT}:assumed-role/AWSReservedSSO_Admin_0123/ann@example.com"),
        [],
        desired,
    )
    # The path of such a role is told by IAM alone, and the policy is the partition's own.
    assert '--principal-arn "$(aws iam get-role --role-name AWSReservedSSO_Admin_0123 --query Role.Arn --output text)"' in single.hint
    assert "--policy-arn arn:aws-us-gov:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy" in single.hint
    (mode,) = judge(having(accessConfig={"authenticationMode": "CONFIG_MAP"}, accessEntries=None), [], desired)
    first, second = mode.hint.splitlines()
    assert "API_AND_CONFIG_MAP && aws eks wait cluster-active" in first
    assert "aws eks create-access-entry" in second
    assert "fails while the mode is CONFIG_MAP" in second
    (unread,) = judge(replace(GOOD, unread={"network": Unread("ec2:DescribeInstances")}), [LINUX], desired)
    assert unread.title == "NOT PROVEN: whether the API server reaches the webhook (port 15017)"
    assert unread.detail == "missing permission: ec2:DescribeInstances"


@pytest.mark.parametrize(
    ("given", "cluster", "codes"),
    [
        ("loadBalancerClass=eks.amazonaws.com/nlb", auto(loadBalancerController=GONE), []),
        ("loadBalancerClass=service.k8s.aws/nlb", auto(loadBalancerController=GONE), ["EKS011"]),
        ("loadBalancerClass=service.k8s.aws/nlb", auto(), []),
        ("loadBalancerClass=service.k8s.aws/nlb", balanced(), ["EKS018"]),
        ("loadBalancerClass=example.com/own", balanced(), []),
        ("type=ClusterIP", balanced(), []),
    ],
)
def test_what_a_gateway_asks_for_must_be_made_by_something(given: str, cluster: CloudCluster, codes: list[str], tmp_path: Path) -> None:
    asked = Request(environment="dev", cloud=Cloud.EKS, sets=(f"istio-ingress.service.{given}",))
    found = judge(cluster, [LINUX], resolve(asked, load_project(None, {}, tmp_path)))
    assert [finding.code for finding in found] == codes
    assert not found or "stays pending" in found[0].detail


def test_every_code_is_explained() -> None:
    root = Path(__file__).parents[2]
    sources = (root / "meshinstall/checks/clouds").glob("eks*.py")
    codes = {code for source in sources for code in re.findall(r"EKS\d{3}", source.read_text())}
    assert len(codes) == 18
    assert codes == set(re.findall(r"^### (EKS\d{3})$", (root / "docs/checks.md").read_text(), re.MULTILINE))
