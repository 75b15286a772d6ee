"""Reads from AWS, all at once, what preflight checks of a cluster; notes the missing permission for what it may not read."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from meshinstall.adapters.eks.errors import DeniedError, explained
from meshinstall.adapters.eks.session import Aws, Clients
from meshinstall.errors import MeshinstallError
from meshinstall.model.cluster import CloudCluster
from meshinstall.model.foreign_text import cleaned

# Node groups, profiles and instances that are looked at: enough to see what kinds there are.
_MOST = 200
# The answer to one question, by its key in ``details``.
_Question = Callable[[], Any]


def inspect(aws: Aws, cluster: CloudCluster) -> CloudCluster:
    """The cluster with the answers in ``details``, and in ``unread`` what could not be read."""
    details, unread = dict(cluster.details), dict(cluster.unread)
    questions = _questions(aws, cluster)
    with ThreadPoolExecutor(len(questions)) as pool:
        answers = {name: pool.submit(question) for name, question in questions.items()}
    for name, answer in answers.items():
        try:
            details[name] = answer.result()
        except DeniedError as error:
            unread[name] = error.permission
        except MeshinstallError as error:
            unread[name] = error.message
    return replace(cluster, details=details, unread=unread)


def _questions(aws: Aws, cluster: CloudCluster) -> Mapping[str, _Question]:
    clients, name = Clients(aws), cluster.name
    questions: dict[str, _Question] = {
        "nodegroups": lambda: cleaned(_nodegroups(clients, name)),
        "fargateProfiles": lambda: cleaned(_fargate_profiles(clients, name)),
        "versions": lambda: cleaned(_versions(clients, cluster.version)),
        "caller": lambda: cleaned(_caller(clients)),
        "network": lambda: _network(clients, cluster),
    }
    if (cluster.details.get("accessConfig") or {}).get("authenticationMode") in {"API", "API_AND_CONFIG_MAP"}:
        questions["accessEntries"] = lambda: cleaned(list(_pages(clients, "eks:ListAccessEntries", "accessEntries", clusterName=name)))
    return questions


def _pages(clients: Clients, action: str, key: str, **asked: Any) -> Iterator[Any]:
    """The items of a paginated list, up to a bound; ``action`` names the service, the operation and its permission."""
    service, _, name = action.partition(":")
    operation = "".join(f"_{char.lower()}" if char.isupper() else char for char in name).lstrip("_")
    with explained(action):
        pages = clients(service).get_paginator(operation).paginate(**asked, PaginationConfig={"MaxItems": _MOST})
        yield from (item for page in pages for item in page.get(key) or ())


def _nodegroups(clients: Clients, name: str) -> list[dict[str, Any]]:
    found = []
    for nodegroup in _pages(clients, "eks:ListNodegroups", "nodegroups", clusterName=name):
        with explained("eks:DescribeNodegroup"):
            group = clients("eks").describe_nodegroup(clusterName=name, nodegroupName=nodegroup).get("nodegroup") or {}
        found.append({"nodegroupName": nodegroup, "amiType": group.get("amiType", ""), "status": group.get("status", "")})
    return found


def _fargate_profiles(clients: Clients, name: str) -> list[dict[str, Any]]:
    found = []
    for profile in _pages(clients, "eks:ListFargateProfiles", "fargateProfileNames", clusterName=name):
        with explained("eks:DescribeFargateProfile"):
            described = clients("eks").describe_fargate_profile(clusterName=name, fargateProfileName=profile).get("fargateProfile") or {}
        namespaces = [selector.get("namespace", "") for selector in described.get("selectors") or ()]
        found.append({"fargateProfileName": profile, "namespaces": namespaces})
    return found


def _versions(clients: Clients, version: str) -> list[dict[str, str]]:
    found = _pages(clients, "eks:DescribeClusterVersions", "clusterVersions", clusterVersions=[version])
    return [
        {
            "clusterVersion": str(one.get("clusterVersion", "")),
            "versionStatus": str(one.get("versionStatus", "")),
            "endOfStandardSupportDate": f"{one['endOfStandardSupportDate']:%Y-%m-%d}" if one.get("endOfStandardSupportDate") else "",
        }
        for one in found
    ]


def _caller(clients: Clients) -> str:
    with explained("sts:GetCallerIdentity"):
        return str(clients("sts").get_caller_identity().get("Arn", ""))


def _network(clients: Clients, cluster: CloudCluster) -> dict[str, Any]:
    """The nodes' sets of security groups, the rules of the groups, and the control plane's addresses."""
    tag = {"Name": f"tag:kubernetes.io/cluster/{cluster.name}", "Values": ["owned", "shared"]}
    running = {"Name": "instance-state-name", "Values": ["pending", "running"]}
    reservations = _pages(clients, "ec2:DescribeInstances", "Reservations", Filters=[tag, running])
    instances = [instance for reservation in reservations for instance in reservation.get("Instances") or ()]
    sets = {tuple(sorted(group["GroupId"] for group in instance.get("SecurityGroups") or ())) for instance in instances}
    access = cluster.details.get("resourcesVpcConfig") or {}
    groups = sorted({group for one in sets for group in one})
    subnets = access.get("subnetIds") or []
    return {
        "nodeGroupSets": sorted(map(list, sets)),
        "rules": {
            group["GroupId"]: [_rule(permission) for permission in group.get("IpPermissions") or ()]
            for group in (_pages(clients, "ec2:DescribeSecurityGroups", "SecurityGroups", GroupIds=groups) if groups else ())
        },
        "controlPlaneCidrs": [
            subnet["CidrBlock"]
            for subnet in (_pages(clients, "ec2:DescribeSubnets", "Subnets", SubnetIds=subnets) if subnets and groups else ())
        ],
    }


def _rule(permission: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "protocol": permission.get("IpProtocol", ""),
        "from": permission.get("FromPort", 0),
        "to": permission.get("ToPort", 65535),
        "groups": [pair.get("GroupId", "") for pair in permission.get("UserIdGroupPairs") or ()],
        "cidrs": [block.get("CidrIp", "") for block in permission.get("IpRanges") or ()],
        # What they stand for is not known here.
        "others": bool(permission.get("PrefixListIds") or permission.get("Ipv6Ranges")),
    }
