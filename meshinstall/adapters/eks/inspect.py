"""Reads from AWS, all at once, what preflight checks of a cluster; notes the missing permission for what it may not read."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

from meshinstall.adapters.eks.discovery import caller
from meshinstall.adapters.eks.errors import DeniedError, explained
from meshinstall.adapters.eks.session import Aws, Clients
from meshinstall.errors import ClusterError, MeshinstallError
from meshinstall.model.cluster import Caller, CloudCluster, Unread
from meshinstall.model.foreign_text import cleaned

# Node groups, profiles and instances that are looked at: enough to see what kinds there are.
_MOST = 200
# Access entries: somebody's own may be the last of them.
_MOST_ENTRIES = 10_000
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
            unread[name] = Unread(why=f"{error.permission}: {error.hint}") if error.whose else Unread(error.permission)
        except MeshinstallError as error:
            unread[name] = Unread(why=error.message)
    who = Caller(details["caller"], aws.chosen.by) if details.get("caller") else None
    return replace(cluster, details=details, unread=unread, caller=who)


def _questions(aws: Aws, cluster: CloudCluster) -> Mapping[str, _Question]:
    clients, name = Clients(aws), cluster.name
    questions: dict[str, _Question] = {
        "nodegroups": lambda: cleaned(_nodegroups(clients, name)),
        "fargateProfiles": lambda: cleaned(_fargate_profiles(clients, name)),
        "versions": lambda: cleaned(_versions(clients, cluster.version)),
        "caller": lambda: caller(clients),
        "network": lambda: _network(clients, cluster),
    }
    if (cluster.details.get("accessConfig") or {}).get("authenticationMode") in {"API", "API_AND_CONFIG_MAP"}:
        questions["accessEntries"] = lambda: cleaned(_access_entries(clients, name))
    return questions


def _pages(clients: Clients, action: str, key: str, most: int = _MOST, **asked: Any) -> Iterator[Any]:
    """The items of a paginated list, up to a bound; ``action`` names the service, the operation and its permission."""
    service, _, name = action.partition(":")
    operation = "".join(f"_{char.lower()}" if char.isupper() else char for char in name).lstrip("_")
    with explained(action):
        pages = clients(service).get_paginator(operation).paginate(**asked, PaginationConfig={"MaxItems": most})
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


def _access_entries(clients: Clients, name: str) -> list[Any]:
    found = list(_pages(clients, "eks:ListAccessEntries", "accessEntries", _MOST_ENTRIES, clusterName=name))
    if len(found) >= _MOST_ENTRIES:
        raise ClusterError(f"the cluster has {_MOST_ENTRIES} access entries or more, and they were not all read")
    return found


def _network(clients: Clients, cluster: CloudCluster) -> dict[str, Any]:
    """The nodes' sets of security groups and subnets, the groups' rules both ways, and the control plane's addresses."""
    instances = _instances(clients, cluster.name)
    nodes = {_groups(instance) for instance in instances}
    access = cluster.details.get("resourcesVpcConfig") or {}
    own = {access.get("clusterSecurityGroupId", ""), *(access.get("securityGroupIds") or ())} - {""}
    groups = sorted({group for one in nodes for group in one} | own) if nodes else []
    subnets = list(access.get("subnetIds") or ())
    of_nodes = {one: {node.get("SubnetId", "") for node in instances if _groups(node) == one} - {""} for one in nodes}
    asked = sorted({*subnets, *(subnet for one in of_nodes.values() for subnet in one)}) if nodes else []
    found = list(_pages(clients, "ec2:DescribeSecurityGroups", "SecurityGroups", GroupIds=groups)) if groups else []
    cidrs = _cidrs(clients, asked)
    return {
        "nodeGroupSets": sorted(map(list, nodes)),
        "rules": {group["GroupId"]: [_rule(permission) for permission in group.get("IpPermissions") or ()] for group in found},
        "egress": {
            group["GroupId"]: [_rule(permission) for permission in group.get("IpPermissionsEgress") or ()]
            for group in found
            if group["GroupId"] in own
        },
        "controlPlaneCidrs": [cidrs[subnet] for subnet in subnets if subnet in cidrs],
        "nodeCidrs": {",".join(one): sorted(cidrs[subnet] for subnet in ids if subnet in cidrs) for one, ids in of_nodes.items()},
    }


def _instances(clients: Clients, name: str) -> list[Any]:
    """The cluster's EC2 instances, also those that an account hides because EKS Auto Mode manages them."""
    client = clients("ec2")
    known = client.meta.service_model.operation_model("DescribeInstances").input_shape.members
    hidden = {"IncludeManagedResources": True} if "IncludeManagedResources" in known else {}
    running = {"Name": "instance-state-name", "Values": ["pending", "running"]}
    for tag, values in ((f"kubernetes.io/cluster/{name}", ["owned", "shared"]), ("eks:eks-cluster-name", [name])):
        asked = [{"Name": f"tag:{tag}", "Values": values}, running]
        reservations = _pages(clients, "ec2:DescribeInstances", "Reservations", Filters=asked, **hidden)
        if found := [instance for reservation in reservations for instance in reservation.get("Instances") or ()]:
            return found
    return []


def _groups(instance: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(sorted(group["GroupId"] for group in instance.get("SecurityGroups") or ()))


def _cidrs(clients: Clients, subnets: list[str]) -> dict[str, str]:
    """The address ranges of subnets."""
    found = _pages(clients, "ec2:DescribeSubnets", "Subnets", SubnetIds=subnets) if subnets else ()
    return {subnet["SubnetId"]: subnet["CidrBlock"] for subnet in found if subnet.get("CidrBlock")}


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
