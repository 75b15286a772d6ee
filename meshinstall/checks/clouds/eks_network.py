"""Checks whether the API server of an EKS cluster reaches istiod's webhook through the nodes' security groups."""

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_network
from typing import Any

from meshinstall.checks.clouds.eks_hybrid import compute_type
from meshinstall.model.cluster import CloudCluster
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.istio import WEBHOOK_PORT
from meshinstall.model.release import Manifest

_EVERYWHERE = "0.0.0.0/0"
_WHY = "the API server could not ask istiod's webhooks: pods would get no sidecar, or not start at all"


def webhook_port(cluster: CloudCluster, nodes: Sequence[Manifest]) -> Iterator[Finding]:
    """One finding for each set of security groups that lets the control plane in nowhere, or that the control plane's own keep it from."""
    network = cluster.details.get("network")
    access = cluster.details.get("resourcesVpcConfig") or {}
    own = access.get("clusterSecurityGroupId", "")
    sources = {own, *(access.get("securityGroupIds") or ())} - {""}
    if network is None or not sources:
        return
    # Machines of Fargate and outside AWS are not instances of the account.
    if any(compute_type(node) not in {"fargate", "hybrid"} for node in nodes) and not network["nodeGroupSets"]:
        hint = f"check that the nodes' security groups allow port {WEBHOOK_PORT}: aws ec2 describe-instances --region {cluster.location}"
        yield _unknown(f"no EC2 instance has the tag kubernetes.io/cluster/{cluster.name}", hint)
    for groups in network["nodeGroupSets"]:
        yield from _inbound(cluster, groups, network, sources, own or min(sources))
        yield from _outbound(cluster, groups, network, sources)


def _inbound(cluster: CloudCluster, groups: Sequence[str], network: Mapping[str, Any], sources: set[str], source: str) -> Iterator[Finding]:
    rules = [rule for group in groups for rule in network["rules"].get(group, ()) if _opens(rule)]
    if any(_admits(rule, sources, network["controlPlaneCidrs"]) for rule in rules):
        return
    if any(rule["others"] for rule in rules):
        yield _unknown(
            f"{', '.join(groups)} allow the port from prefix lists or IPv6 ranges, which this check does not read", _show(cluster, groups)
        )
        return
    title = f"nodes with security group {', '.join(groups)} do not allow port {WEBHOOK_PORT} from the control plane"
    hint = (
        f"aws ec2 authorize-security-group-ingress --region {cluster.location} --group-id {groups[0] if groups else 'GROUP'} "
        f"--protocol tcp --port {WEBHOOK_PORT} --source-group {source}"
    )
    yield Finding("EKS014", Severity.ERROR, title, _WHY, ", ".join(groups), hint=hint)


def _outbound(cluster: CloudCluster, groups: Sequence[str], network: Mapping[str, Any], sources: set[str]) -> Iterator[Finding]:
    """What the control plane's own groups let out; a security group without any rule lets nothing out."""
    egress = network.get("egress")
    if egress is None or not sources & set(egress):
        return
    rules = [rule for group in sorted(sources & set(egress)) for rule in egress[group] if _opens(rule)]
    if any(_admits(rule, set(groups), network["nodeCidrs"].get(",".join(groups), ())) for rule in rules):
        return
    own = sorted(sources)
    if any(rule["others"] for rule in rules):
        yield _unknown(
            f"{', '.join(own)} let the port out to prefix lists or IPv6 ranges, which this check does not read", _show(cluster, own)
        )
        return
    title = f"the control plane's security groups ({', '.join(own)}) do not let port {WEBHOOK_PORT} out to nodes with {', '.join(groups)}"
    permission = (
        f"IpProtocol=tcp,FromPort={WEBHOOK_PORT},ToPort={WEBHOOK_PORT},UserIdGroupPairs=[{{GroupId={groups[0] if groups else 'GROUP'}}}]"
    )
    hint = f"aws ec2 authorize-security-group-egress --region {cluster.location} --group-id {own[0]} --ip-permissions '{permission}'"
    yield Finding("EKS016", Severity.ERROR, title, _WHY, ", ".join(own), hint=hint)


def _show(cluster: CloudCluster, groups: Sequence[str]) -> str:
    return f"aws ec2 describe-security-groups --region {cluster.location} --group-ids {' '.join(groups)}"


def _unknown(why: str, hint: str) -> Finding:
    title = f"NOT PROVEN: whether the API server reaches the webhook (port {WEBHOOK_PORT})"
    return Finding("EKS015", Severity.WARNING, title, why, hint=hint)


def _opens(rule: Mapping[str, Any]) -> bool:
    return rule["protocol"] == "-1" or (rule["protocol"] in {"tcp", "6"} and rule["from"] <= WEBHOOK_PORT <= rule["to"])


def _admits(rule: Mapping[str, Any], sides: set[str], subnets: Sequence[str]) -> bool:
    """Whether the other side of a rule is one of these groups, or all of these subnets."""
    return bool(sides & set(rule["groups"])) or _EVERYWHERE in rule["cidrs"] or _covers(rule["cidrs"], subnets)


def _covers(cidrs: Sequence[str], subnets: Sequence[str]) -> bool:
    """Whether every subnet lies in one of the address ranges."""
    try:
        wide = [ip_network(cidr) for cidr in cidrs]
        return bool(subnets) and all(any(ip_network(subnet).subnet_of(one) for one in wide) for subnet in subnets)  # type: ignore[arg-type]
    except (ValueError, TypeError):
        # Ranges of IPv6, or no ranges at all: they say nothing of these subnets.
        return False
