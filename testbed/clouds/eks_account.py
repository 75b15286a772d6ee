"""An AWS account with one EKS cluster in it, made in moto the way a person would make it."""

import base64
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from testbed.clouds.eks import Aws
from testbed.clouds.eks_identity import ACCOUNT, Identity

REGION = "eu-west-1"
NAME = "shop"
ADMIN_ROLE = f"arn:aws:iam::{ACCOUNT}:role/admin"
# Whose members the cluster's authenticator makes of those who have the role.
GROUP = "mesh-admins"

# Left by the AWS Load Balancer Controller: the testbed has its own load balancers, and the gateways are made for that one's.
INGRESS_CLASS = (
    "/apis/networking.k8s.io/v1/ingressclasses",
    {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IngressClass",
        "metadata": {"name": "alb"},
        "spec": {"controller": "ingress.k8s.aws/alb"},
    },
)

# One of those that moto knows; asking for them all takes seconds.
_IMAGE = "ami-12c6146b"


@dataclass(frozen=True, slots=True)
class Account:
    """Ids of what was made."""

    cluster_group: str
    node_group: str


def engineer(aws: Aws) -> Identity:
    """A person with keys of their own."""
    return aws.keys.add(Identity(f"arn:aws:iam::{ACCOUNT}:user/engineer", "AIDATESTBED"))


def account(aws: Aws, server: str, authority: bytes, life: timedelta = timedelta(hours=1)) -> Identity:
    """An account with the cluster in it and a role that has an access entry; returns who may assume it, for ``life``."""
    owner = engineer(aws)
    make(aws, owner, NAME, server, authority, "1.36")
    aws.roles[ADMIN_ROLE] = life
    return owner


def make(aws: Aws, owner: Identity, name: str, server: str, authority: bytes, version: str) -> Account:  # noqa: PLR0913, PLR0917 - what a cluster is
    """An ACTIVE cluster whose API server is ``server``, and one node that lets its control plane in."""
    ec2, eks = (client(aws, owner, service) for service in ("ec2", "eks"))
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]][:2]
    made = [ec2.create_security_group(GroupName=f"{name}-{kind}", Description=kind, VpcId=vpc)["GroupId"] for kind in ("cluster", "node")]
    account = Account(*made)
    pair = [{"GroupId": account.cluster_group}]
    ec2.authorize_security_group_ingress(
        GroupId=account.node_group, IpPermissions=[{"IpProtocol": "tcp", "FromPort": 1025, "ToPort": 65535, "UserIdGroupPairs": pair}]
    )
    tags = [{"ResourceType": "instance", "Tags": [{"Key": f"kubernetes.io/cluster/{name}", "Value": "owned"}]}]
    ec2.run_instances(ImageId=_IMAGE, MinCount=1, MaxCount=1, SecurityGroupIds=[account.node_group], TagSpecifications=tags)
    eks.create_cluster(name=name, version=version, roleArn=f"arn:aws:iam::{ACCOUNT}:role/eks", resourcesVpcConfig={"subnetIds": subnets})
    found = record(name)
    found.endpoint = server
    found.certificate_authority = {"data": base64.b64encode(authority).decode()}
    found.resources_vpc_config |= {"clusterSecurityGroupId": account.cluster_group, "vpcId": vpc, "endpointPublicAccess": True}
    found.access_config = {"authenticationMode": "API"}
    aws.access_entries.append(ADMIN_ROLE)
    standard = {"clusterVersion": version, "versionStatus": "STANDARD_SUPPORT", "endOfStandardSupportDate": 1830000000}
    aws.versions.append(standard)
    return account


def close_egress(aws: Aws, owner: Identity, group: str) -> None:
    """Let a security group's machines send nothing but replies."""
    ec2 = client(aws, owner, "ec2")
    (found,) = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    ec2.revoke_security_group_egress(GroupId=group, IpPermissions=found["IpPermissionsEgress"])


def record(name: str) -> Any:
    """Moto's record of a cluster, which may be changed."""
    from moto.eks.models import eks_backends

    return eks_backends[ACCOUNT][REGION].clusters[name]


def client(aws: Aws, owner: Identity, service: str) -> Any:
    """Somebody's own client, for what meshinstall never does."""
    import boto3

    return boto3.client(
        service, region_name=REGION, endpoint_url=aws.url, aws_access_key_id=owner.access_key, aws_secret_access_key=owner.secret
    )
