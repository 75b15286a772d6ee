"""Refuses exposure settings that a cloud would silently ignore, because it does not know them or cannot combine them."""

import re
from collections.abc import Callable, Iterator, Mapping
from ipaddress import ip_address, ip_network
from typing import Any

from meshinstall.config.exposure import (
    AWS,
    EXTERNAL,
    GKE,
    INSTANCE_TARGETS,
    IP_TARGETS,
    KEEP,
    PROXY_PROTOCOL,
    Asked,
    Setting,
    Settings,
    gateway_values,
    together,
)
from meshinstall.errors import Problem
from meshinstall.model.cluster import Cloud
from meshinstall.model.stack import ValuesStack
from meshinstall.model.values import KeyPath, value_at

_EIP = re.compile(r"eipalloc-[0-9a-f]{8,17}")
_GKE_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")

# A setting, what is wrong with it, and what to do.
_Wrong = tuple[str, str, str]


def check_exposure(cloud: Cloud, settings: Settings, stack: ValuesStack) -> Iterator[Problem]:
    """Find settings of a gateway that the cloud does not support or would ignore; ``stack`` holds all its values."""
    asked = together(settings)
    for key, text, hint in (*_common(asked), *_RULES[cloud](asked)):
        yield settings[key].problem(text, hint)
    yield from _overruled(cloud, settings, stack)


def _common(asked: Asked) -> Iterator[_Wrong]:
    for key, values in (("addresses", asked.addresses), ("subnets", asked.subnets)):
        if values and not asked.exposure:
            yield key, f"{key} need exposure beside them", "set exposure: internal or exposure: external"
    if len(set(asked.families)) < len(asked.families):
        yield "ipFamilies", "an IP family is listed twice", ""
    for text in asked.ranges:
        try:
            network = ip_network(text)
        except ValueError:
            yield "sourceRanges", f"{text!r} is not a CIDR range such as 192.0.2.0/24", "the bits after the prefix must be 0"
            continue
        if asked.families and f"IPv{network.version}" not in asked.families:
            yield "sourceRanges", f"{text} would be ignored: ipFamilies does not list IPv{network.version}", ""


def _eks(asked: Asked) -> Iterator[_Wrong]:
    if asked.families == ("IPv6",):
        yield "ipFamilies", "a Network Load Balancer does not support IPv6 alone", "write [IPv4, IPv6]"
    if asked.addresses and asked.inside:
        if wrong := [each for each in asked.addresses if _version(each) != 4]:  # noqa: PLR2004 - IPv4
            hint = "an internal Network Load Balancer takes IPv4 addresses of its subnets"
            yield "addresses", f"not an IPv4 address: {', '.join(wrong)}", hint
        if not asked.subnets:
            yield "addresses", "an internal Network Load Balancer with addresses needs subnets", "list one subnet for each address"
    elif wrong := [each for each in asked.addresses if asked.exposure and not _EIP.fullmatch(each)]:
        hint = "an internet-facing Network Load Balancer takes Elastic IP allocation IDs: aws ec2 describe-addresses"
        yield "addresses", f"not an allocation ID such as eipalloc-0123456789abcdef0: {', '.join(wrong)}", hint
    if asked.addresses and asked.subnets and len(asked.addresses) != len(asked.subnets):
        yield (
            "addresses",
            f"{len(asked.addresses)} addresses for {len(asked.subnets)} subnets",
            "list one address for each subnet, in the same order",
        )


def _aks(asked: Asked) -> Iterator[_Wrong]:
    versions = [_version(each) for each in asked.addresses]
    if None in versions:
        yield "addresses", "Azure takes IP addresses here", "use the address of an existing public IP, or a free address of the subnet"
    elif len(set(versions)) < len(versions):
        yield "addresses", "two addresses of the same IP family: Azure would ignore one", "use at most one IPv4 and one IPv6 address"
    elif 6 in versions and "IPv6" not in asked.families:  # noqa: PLR2004 - IPv6
        yield "addresses", "the IPv6 address would be ignored: ipFamilies does not list IPv6", "write ipFamilies: [IPv4, IPv6]"
    yield from _one_internal_subnet(asked)
    yield from _passes_packets_through(asked, "Azure's load balancer")


def _gke(asked: Asked) -> Iterator[_Wrong]:
    if wrong := [each for each in asked.addresses if not _GKE_NAME.fullmatch(each)]:
        hint = "GKE takes the names of reserved addresses: gcloud compute addresses list"
        yield "addresses", f"not the name of an address: {', '.join(wrong)}", hint
    if len(asked.addresses) > max(1, len(asked.families)):
        yield "addresses", "more addresses than IP families", "list one address for each of ipFamilies"
    # An external IPv4 address has no subnet; an IPv6 one has (Configure dual-stack).
    if asked.exposure == EXTERNAL and "IPv6" in asked.families:
        if len(asked.subnets) > 1:
            yield "subnets", "a load balancer has only one subnet", "list one subnet"
    else:
        yield from _one_internal_subnet(asked)
    yield from _passes_packets_through(asked, "GKE's load balancer of a Service")


def _passes_packets_through(asked: Asked, who: str) -> Iterator[_Wrong]:
    if asked.client == PROXY_PROTOCOL:
        hint = "use clientAddress: keep; the gateway would refuse every connection that does not begin with that header"
        yield "clientAddress", f"{who} passes packets through and sends no PROXY protocol", hint
    if asked.targets:
        yield "targets", f"targets has no effect: {who} sends to nodes", "remove targets; it is for eks"


def _one_internal_subnet(asked: Asked) -> Iterator[_Wrong]:
    if asked.subnets and asked.exposure == EXTERNAL:
        yield "subnets", "an external load balancer ignores subnets", "remove subnets, or set exposure: internal"
    elif len(asked.subnets) > 1:
        yield "subnets", "an internal load balancer has only one subnet: the others would be ignored", "list one subnet"


def _local(asked: Asked) -> Iterator[_Wrong]:
    for key, value in (
        ("exposure", asked.exposure),
        ("addresses", asked.addresses),
        ("subnets", asked.subnets),
        ("targets", asked.targets),
    ):
        if value:
            yield key, f"{key} has no effect without a cloud", "set it in an environment on aks, eks or gke"
    if asked.client == PROXY_PROTOCOL:
        hint = "where your load balancer sends it, set podAnnotations of the gateway: proxy.istio.io/config with gatewayTopology"
        yield "clientAddress", "without a cloud nothing makes a load balancer send the PROXY protocol", hint


_RULES: Mapping[Cloud, Callable[[Asked], Iterator[_Wrong]]] = {Cloud.AKS: _aks, Cloud.EKS: _eks, Cloud.GKE: _gke, Cloud.LOCAL: _local}

# Annotations that say the same in other words, by cloud and setting: beside ours, one of the two is ignored.
_RIVALS: Mapping[tuple[Cloud, str], tuple[str, ...]] = {
    (Cloud.EKS, "exposure"): (f"{AWS}internal",),
    (Cloud.EKS, "clientAddress"): (f"{AWS}proxy-protocol",),
    (Cloud.EKS, "sourceRanges"): ("service.beta.kubernetes.io/load-balancer-source-ranges", f"{AWS}security-groups"),
    (Cloud.AKS, "addresses"): ("service.beta.kubernetes.io/azure-pip-name", "service.beta.kubernetes.io/azure-pip-prefix-id"),
    (Cloud.AKS, "sourceRanges"): (
        "service.beta.kubernetes.io/load-balancer-source-ranges",
        "service.beta.kubernetes.io/azure-allowed-ip-ranges",
        "service.beta.kubernetes.io/azure-allowed-service-tags",
    ),
    (Cloud.GKE, "exposure"): (f"{GKE}load-balancer-type", "cloud.google.com/load-balancer-type"),
    (Cloud.GKE, "sourceRanges"): ("service.beta.kubernetes.io/load-balancer-source-ranges",),
}


def _overruled(cloud: Cloud, settings: Settings, stack: ValuesStack) -> Iterator[Problem]:
    """Find values from other layers that override a setting."""
    asked = together(settings)
    merged = stack.merged()
    service = merged.get("service")
    service = service if isinstance(service, Mapping) else {}
    written = service.get("annotations")
    annotations = written if isinstance(written, Mapping) else {}
    if settings and service.get("type", "LoadBalancer") != "LoadBalancer":
        place = stack.origin(("service", "type"))
        first = next(iter(settings.values()))
        yield first.problem(f"{first.key} needs a load balancer, but service.type is {service['type']} ({place})", "remove one of the two")
        return
    for key, setting in settings.items():
        ours = gateway_values(cloud, key, asked)
        others = [("service", "annotations", name) for name in _RIVALS.get((cloud, key), ()) if name in annotations]
        for path in dict.fromkeys((*others, *_leaves(ours))):
            if value_at(merged, path) != value_at(ours, path):
                place = stack.origin(path)
                yield setting.problem(f"{key} is overridden by {path[-1]} ({place})", "remove one of the two")
    if cloud is Cloud.EKS and asked.client == KEEP and not asked.targets:
        yield from _targets_elsewhere(settings["clientAddress"], annotations, stack)


def _targets_elsewhere(setting: Setting, annotations: Mapping[str, Any], stack: ValuesStack) -> Iterator[Problem]:
    """What keeps the client's address differs by the kind of targets, which an annotation may have changed."""
    name = f"{AWS}nlb-target-type"
    if annotations.get(name, IP_TARGETS) != IP_TARGETS:
        place = stack.origin(("service", "annotations", name))
        hint = f"write targets: {INSTANCE_TARGETS} beside clientAddress, and remove the annotation"
        yield setting.problem(f"clientAddress cannot tell what the targets are: {name} ({place})", hint)


def _leaves(values: Mapping[str, Any], above: KeyPath = ()) -> Iterator[KeyPath]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, (*above, key))
        else:
            yield (*above, key)


def _version(text: str) -> int | None:
    try:
        return ip_address(text).version
    except ValueError:
        return None
