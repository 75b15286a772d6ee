"""Checks whether the API server of an EKS cluster reaches istiod's webhook through the nodes' security groups."""

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_network
from typing import Any

from meshinstall.model.cluster import CloudCluster
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.istio import WEBHOOK_PORT
from meshinstall.model.release import Manifest


def webhook_port(cluster: CloudCluster, nodes: Sequence[Manifest]) -> Iterator[Finding]:
    """One finding for each set of security groups that lets the control plane in nowhere."""
    network = cluster.details.get("network")
    access = cluster.details.get("resourcesVpcConfig") or {}
    own = access.get("clusterSecurityGroupId", "")
    sources = {own, *(access.get("securityGroupIds") or ())} - {""}
    if network is None or not sources:
        return
    if nodes and not network["nodeGroupSets"]:
        hint = f"check that the nodes' security groups allow port {WEBHOOK_PORT}: aws ec2 describe-instances --region {cluster.location}"
        yield _unknown(f"no EC2 instance has the tag kubernetes.io/cluster/{cluster.name}", hint)
    for groups in network["nodeGroupSets"]:
        rules = [rule for group in groups for rule in network["rules"].get(group, ()) if _opens(rule)]
        if any(_admits(rule, sources, network["controlPlaneCidrs"]) for rule in rules):
            continue
        if any(rule["others"] for rule in rules):
            hint = f"aws ec2 describe-security-groups --region {cluster.location} --group-ids {' '.join(groups)}"
            yield _unknown(f"{', '.join(groups)} allow the port from prefix lists or IPv6 ranges, which this check does not read", hint)
        else:
            title = f"nodes with security group {', '.join(groups)} do not allow port {WEBHOOK_PORT} from the control plane"
            detail = "the API server could not ask istiod's webhooks: pods would get no sidecar, or not start at all"
            hint = (
                f"aws ec2 authorize-security-group-ingress --region {cluster.location} --group-id {groups[0] if groups else 'GROUP'} "
                f"--protocol tcp --port {WEBHOOK_PORT} --source-group {own or min(sources)}"
            )
            yield Finding("EKS014", Severity.ERROR, title, detail, ", ".join(groups), hint=hint)


def _unknown(why: str, hint: str) -> Finding:
    title = f"NOT PROVEN: whether the API server reaches the webhook (port {WEBHOOK_PORT})"
    return Finding("EKS015", Severity.WARNING, title, why, hint=hint)


def _opens(rule: Mapping[str, Any]) -> bool:
    return rule["protocol"] == "-1" or (rule["protocol"] in {"tcp", "6"} and rule["from"] <= WEBHOOK_PORT <= rule["to"])


def _admits(rule: Mapping[str, Any], sources: set[str], control_plane: Sequence[str]) -> bool:
    return bool(sources & set(rule["groups"])) or _covers(rule["cidrs"], control_plane)


def _covers(cidrs: Sequence[str], subnets: Sequence[str]) -> bool:
    """Whether every subnet of the control plane lies in one of the address ranges."""
    try:
        wide = [ip_network(cidr) for cidr in cidrs]
        return bool(subnets) and all(any(ip_network(subnet).subnet_of(one) for one in wide) for subnet in subnets)  # type: ignore[arg-type]
    except (ValueError, TypeError):
        # Ranges of IPv6, or no ranges at all: they say nothing of these subnets.
        return False
