"""What preflight says of an EKS cluster: a table of clusters, and the codes that each one gets."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from meshinstall.checks.clouds.eks import judge
from meshinstall.config.project import load_project
from meshinstall.config.resolve import resolve
from meshinstall.model.cluster import Cloud, CloudCluster
from meshinstall.model.desired import Desired
from meshinstall.model.finding import Severity
from meshinstall.model.request import Request

ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/admin"
ADMITTED = {"protocol": "tcp", "from": 15017, "to": 15017, "groups": ["sg-cluster"], "cidrs": [], "others": False}
NETWORK = {"nodeGroupSets": [["sg-node"]], "rules": {"sg-node": [ADMITTED]}, "controlPlaneCidrs": ["10.0.0.0/24", "10.0.1.0/24"]}
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
}
GOOD = CloudCluster(Cloud.EKS, "shop", "eu-west-1", "1.36", "ACTIVE", ready=True, endpoint=None, details=DETAILS)


def node(name: str, **labels: str) -> dict[str, Any]:
    spelled = {"os": "kubernetes.io/os", "compute": "eks.amazonaws.com/compute-type"}
    return {"metadata": {"name": name, "labels": {spelled[key]: value for key, value in labels.items()}}}


LINUX, FARGATE, WINDOWS = node("a", os="linux"), node("f", os="linux", compute="fargate"), node("w", os="windows")


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
        (having(accessEntries=[], caller=f"arn:aws:iam::{ACCOUNT}:user/me"), [], ["EKS007"]),
        (having(accessEntries=[f"arn:aws:iam::{ACCOUNT}:user/me"], caller=f"arn:aws:iam::{ACCOUNT}:user/me"), [], []),
        (GOOD, [FARGATE], ["EKS008"]),
        (GOOD, [FARGATE, LINUX], ["EKS010"]),
        (having(fargateProfiles=[{"fargateProfileName": "p", "namespaces": ["istio-system"]}]), [LINUX], ["EKS009"]),
        (having(fargateProfiles=[{"fargateProfileName": "p", "namespaces": ["jobs"]}]), [LINUX], []),
        (having(computeConfig={"enabled": True}), [LINUX], ["EKS011"]),
        (having(computeConfig={"enabled": False}), [LINUX], []),
        (GOOD, [LINUX, WINDOWS], ["EKS012"]),
        (having(nodegroups=[{"nodegroupName": "w", "amiType": "WINDOWS_FULL_2025_x86_64", "status": "ACTIVE"}]), [LINUX], ["EKS012"]),
        (replace(GOOD, unread={"network": "ec2:DescribeInstances"}), [LINUX], ["EKS013"]),
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
    place = f"--region eu-west-1 --cluster-name shop --principal-arn {ROLE}"
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
    (unread,) = judge(replace(GOOD, unread={"network": "ec2:DescribeInstances"}), [LINUX], desired)
    assert unread.title == "NOT PROVEN: whether the API server reaches the webhook (port 15017)"
    assert unread.detail == "missing permission: ec2:DescribeInstances"


def test_a_gateway_with_auto_modes_own_class_is_fine(tmp_path: Path) -> None:
    sets = ("istio-ingress.service.loadBalancerClass=eks.amazonaws.com/nlb",)
    chosen = resolve(Request(environment="dev", cloud=Cloud.EKS, sets=sets), load_project(None, {}, tmp_path))
    assert judge(having(computeConfig={"enabled": True}), [LINUX], chosen) == ()


def test_every_code_is_explained() -> None:
    root = Path(__file__).parents[2]
    sources = (root / "meshinstall/checks/clouds" / name for name in ("eks.py", "eks_network.py"))
    codes = {code for source in sources for code in re.findall(r"EKS\d{3}", source.read_text())}
    assert len(codes) == 15
    assert codes == set(re.findall(r"^### (EKS\d{3})$", (root / "docs/checks.md").read_text(), re.MULTILINE))
