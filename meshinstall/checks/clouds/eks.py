"""What must hold of an EKS cluster before Istio is put on it; each finding has an anchor in docs/checks.md."""

from collections.abc import Iterator, Sequence
from typing import Any

from meshinstall.checks.clouds import eks_gateways, eks_hybrid, eks_network
from meshinstall.model.cluster import CloudCluster
from meshinstall.model.desired import Desired
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.istio import WEBHOOK_PORT
from meshinstall.model.release import Component, Manifest

# Where the API server answers; EKS keeps it answering through an update.
_READY = frozenset({"ACTIVE", "UPDATING"})
_EVERYBODY = "0.0.0.0/0"
_ADMIN = "eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"
# What could not be read, in words.
_UNREAD = {
    "nodegroups": "whether there are Windows node groups",
    "fargateProfiles": "whether Fargate takes pods of the mesh",
    "versions": "whether this Kubernetes is in standard support",
    "caller": "who the caller is",
    "accessEntries": "whether the caller has an access entry",
    "network": f"whether the API server reaches the webhook (port {WEBHOOK_PORT})",
    "loadBalancerController": "whether the AWS Load Balancer Controller makes the gateways' load balancers",
}


def judge(cluster: CloudCluster, nodes: Sequence[Manifest], desired: Desired) -> tuple[Finding, ...]:
    """Findings on an EKS cluster; without ``nodes``, which could not be asked, also why that may be."""
    return (
        *_status(cluster),
        *_version(cluster),
        *(() if nodes else _endpoint(cluster)),
        *(() if nodes else _access(cluster)),
        *eks_network.webhook_port(cluster, nodes),
        *_fargate(cluster, nodes, desired),
        *eks_hybrid.webhooks(cluster, nodes),
        *eks_gateways.load_balancers(cluster, desired),
        *_windows(cluster, nodes),
        *_not_proven(cluster),
    )


def command(cluster: CloudCluster, verb: str, *more: str) -> str:
    """An ``aws eks`` command on the cluster."""
    return " ".join(("aws eks", verb, f"--region {cluster.location} --name {cluster.name}", *more))


def _status(cluster: CloudCluster) -> Iterator[Finding]:
    if cluster.status not in _READY:
        title = f"EKS cluster {cluster.name} is {cluster.status}"
        wait = command(cluster, "wait cluster-active") if cluster.status == "CREATING" else command(cluster, "describe-cluster")
        yield Finding("EKS001", Severity.ERROR, title, "its API server may not answer", hint=wait)
    elif cluster.status == "UPDATING":
        title = f"EKS cluster {cluster.name} is being updated"
        yield Finding("EKS002", Severity.WARNING, title, "requests may fail for seconds", hint=command(cluster, "wait cluster-active"))
    for issue in (cluster.details.get("health") or {}).get("issues") or ():
        title = f"AWS reports a health issue: {issue.get('code', '')}"
        hint = command(cluster, "describe-cluster", "--query cluster.health.issues")
        yield Finding("EKS003", Severity.WARNING, title, issue.get("message", ""), ", ".join(issue.get("resourceIds") or ()), hint=hint)


def _version(cluster: CloudCluster) -> Iterator[Finding]:
    for version in cluster.details.get("versions") or ():
        if version["versionStatus"] != "STANDARD_SUPPORT":
            ended = f" since {version['endOfStandardSupportDate']}" if version["endOfStandardSupportDate"] else ""
            title = f"Kubernetes {cluster.version} is out of EKS's standard support{ended}"
            detail = f"AWS calls it {version['versionStatus']}; extended support costs more and ends with a forced upgrade"
            hint = command(cluster, "update-cluster-version", "--kubernetes-version NEXT_MINOR")
            yield Finding("EKS004", Severity.WARNING, title, detail, hint=hint)


def _endpoint(cluster: CloudCluster) -> Iterator[Finding]:
    access = cluster.details.get("resourcesVpcConfig") or {}
    cidrs = access.get("publicAccessCidrs") or [_EVERYBODY]
    vpc = access.get("vpcId", "its VPC")
    if not access.get("endpointPublicAccess"):
        title = f"the API server has only a private endpoint, inside {vpc}"
        hint = "run from inside the VPC or through a VPN, or open it: " + _open(cluster)
        yield Finding("EKS005", Severity.INFO, title, "the cluster's security group must admit port 443 from where you are", hint=hint)
    elif _EVERYBODY not in cidrs:
        title = f"the API server's public endpoint accepts only {', '.join(cidrs)}"
        yield Finding("EKS006", Severity.INFO, title, hint="if your address is not among them: " + _open(cluster, *cidrs))


def _open(cluster: CloudCluster, *cidrs: str) -> str:
    addresses = ",".join((*cidrs, "YOUR_ADDRESS/32"))
    return command(cluster, "update-cluster-config", f"--resources-vpc-config endpointPublicAccess=true,publicAccessCidrs={addresses}")


def _access(cluster: CloudCluster) -> Iterator[Finding]:
    """Why a valid token may be answered with 401: EKS knows the role, and has nothing that says what it may do."""
    principal = _principal(cluster.details.get("caller") or "")
    if not principal:
        return
    mode = (cluster.details.get("accessConfig") or {}).get("authenticationMode", "CONFIG_MAP")
    entries = cluster.details.get("accessEntries")
    if mode == "CONFIG_MAP":
        title = f"the cluster accepts only who is in its ConfigMap aws-auth; {principal} may not be in it"
        allow = command(cluster, "update-cluster-config", "--access-config authenticationMode=API_AND_CONFIG_MAP")
        wait = command(cluster, "wait cluster-active")
        hint = f"1. {allow} && {wait}\n2. {_grant(cluster, principal)} (fails while the mode is CONFIG_MAP)"
        yield Finding("EKS007", Severity.WARNING, title, hint=hint)
    elif entries is not None and not any(_same(entry, principal) for entry in entries):
        title = f"{principal} has no access entry in the cluster"
        detail = "ignore this if its ConfigMap aws-auth lists it" if mode == "API_AND_CONFIG_MAP" else ""
        yield Finding("EKS007", Severity.WARNING, title, detail, hint=_grant(cluster, principal))


def _principal(caller: str) -> str:
    """The IAM role or user behind a caller; of a role in a path STS does not tell the path."""
    head, _, rest = caller.partition(":assumed-role/")
    return f"{head.replace(':sts:', ':iam:')}:role/{rest.partition('/')[0]}" if rest else caller


def _same(entry: str, principal: str) -> bool:
    account, _, name = entry.partition(":role/")
    return principal in {entry, f"{account}:role/{name.rpartition('/')[2]}"}


def _grant(cluster: CloudCluster, principal: str) -> str:
    head, _, role = principal.partition(":role/")
    # An access entry needs the role's path, and STS names a session's role without it: IAM knows.
    arn = f'"$(aws iam get-role --role-name {role} --query Role.Arn --output text)"' if role else head
    place = f"--region {cluster.location} --cluster-name {cluster.name} --principal-arn {arn}"
    partition = ":".join(principal.split(":")[:2])
    policy = f"aws eks associate-access-policy {place} --policy-arn {partition}:{_ADMIN} --access-scope type=cluster"
    return f"aws eks create-access-entry {place} && {policy}"


def _fargate(cluster: CloudCluster, nodes: Sequence[Manifest], desired: Desired) -> Iterator[Finding]:
    serverless = [node for node in nodes if _label(node, "eks.amazonaws.com/compute-type") == "fargate"]
    why = "Fargate allows neither NET_ADMIN nor DaemonSets: no sidecar, istio-cni or ztunnel runs there"
    if nodes and len(serverless) == len(nodes):
        hint = command(cluster, "create-nodegroup", "...").replace("--name", "--cluster-name")
        yield Finding("EKS008", Severity.ERROR, "every node is a Fargate node", why, hint=f"add a node group: {hint}")
        return
    wanted = {namespace.name for namespace in desired.namespaces}
    for profile in cluster.details.get("fargateProfiles") or ():
        if taken := sorted(wanted & set(profile["namespaces"])):
            name = profile["fargateProfileName"]
            title = f"Fargate profile {name} selects the pods of {', '.join(taken)}"
            hint = f"aws eks delete-fargate-profile --region {cluster.location} --cluster-name {cluster.name} --fargate-profile-name {name}"
            severity = Severity.ERROR if _has_node_agents(desired) else Severity.WARNING
            yield Finding("EKS009", severity, title, why, hint=hint)
    if serverless:
        title = f"{len(serverless)} of {len(nodes)} nodes are Fargate nodes"
        hint = "keep namespaces with Fargate profiles out of the mesh; find them: kubectl get pods -A -l eks.amazonaws.com/fargate-profile"
        yield Finding("EKS010", Severity.WARNING, title, why, hint=hint)


def _has_node_agents(desired: Desired) -> bool:
    return any(release.component in {Component.CNI, Component.ZTUNNEL} for release in desired.releases)


def _windows(cluster: CloudCluster, nodes: Sequence[Manifest]) -> Iterator[Finding]:
    groups = [one["nodegroupName"] for one in cluster.details.get("nodegroups") or () if str(one["amiType"]).startswith("WINDOWS_")]
    windows = [node["metadata"]["name"] for node in nodes if _label(node, "kubernetes.io/os") == "windows"]
    if groups or windows:
        title = f"the cluster has Windows nodes ({', '.join(groups or windows[:3])}), where no sidecar runs"
        hint = "keep the namespaces of Windows pods out of the mesh: kubectl label namespace NAME istio-injection=disabled"
        yield Finding("EKS012", Severity.WARNING, title, hint=hint)


def _label(node: Manifest, name: str) -> Any:
    return (node["metadata"].get("labels") or {}).get(name)


def _not_proven(cluster: CloudCluster) -> Iterator[Finding]:
    for what, unread in cluster.unread.items():
        title = f"NOT PROVEN: {_UNREAD.get(what, what)}"
        table = "docs/clouds/eks.md has what AWS's refusals mean"
        hint = f"allow {unread.permission} (docs/clouds/eks/preflight-policy.json)" if unread.permission else table
        yield Finding("EKS013", Severity.WARNING, title, str(unread), hint=hint)
