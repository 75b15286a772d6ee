"""How a gateway is reached: one switch of ours in each cloud's words, with its line, and refused where it would be ignored."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from meshinstall.config.project import load_project
from meshinstall.config.resolve import resolve
from meshinstall.config.schema import check_values
from meshinstall.errors import ConfigError
from meshinstall.model.chart import ChartFiles
from meshinstall.model.release import Component
from meshinstall.model.request import Request
from meshinstall.model.stack import ValuesStack

Write = Callable[[Mapping[str, str]], Path]

HEAD = "apiVersion: meshinstall.dev/v1\n"
AWS = "service.beta.kubernetes.io/aws-load-balancer-"
AZURE = "service.beta.kubernetes.io/azure-load-balancer-"
GKE = "networking.gke.io/"
EIP = "eipalloc-0123456789abcdef0"


def environment(settings: str, cloud: str) -> str:
    """A meshinstall.yaml; the settings' key stands in line 6."""
    return f"{HEAD}environments:\n  dev:\n    cloud: {cloud}\n    gateways:\n      istio-ingress: {{{settings}}}\n"


def ingress(folder: Path, **request: Any) -> ValuesStack:
    asked: dict[str, Any] = {"environment": "dev", "folder": folder} | request
    desired = resolve(Request(**asked), load_project(None, {}, folder))
    return next(each.values for each in desired.releases if each.key.name == "istio-ingress")


def service(stack: ValuesStack, builtin: ValuesStack) -> dict[str, Any]:
    """What the stack says of the Service beyond what the cloud's own file does; annotations by their names."""
    plain = builtin.merged().get("service", {}).get("annotations", {})
    found = dict(stack.merged().get("service", {}))
    annotations = {name: value for name, value in found.pop("annotations", {}).items() if name not in plain}
    return {**found, **annotations}


def refusals(folder: Path, **request: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        ingress(folder, **request)
    return caught.value.message.splitlines()


WORDS = [
    ("eks", "exposure: internal", {f"{AWS}scheme": "internal"}),
    ("eks", "exposure: external", {f"{AWS}scheme": "internet-facing"}),
    ("eks", f"exposure: external, addresses: [{EIP}]", {f"{AWS}scheme": "internet-facing", f"{AWS}eip-allocations": EIP}),
    (
        "eks",
        "exposure: internal, addresses: [10.0.0.9, 10.0.1.9], subnets: [subnet-1, subnet-2]",
        {f"{AWS}scheme": "internal", f"{AWS}private-ipv4-addresses": "10.0.0.9,10.0.1.9", f"{AWS}subnets": "subnet-1,subnet-2"},
    ),
    ("eks", "ipFamilies: [IPv4, IPv6]", {f"{AWS}ip-address-type": "dualstack"}),
    ("eks", "sourceRanges: [192.0.2.0/24]", {"loadBalancerSourceRanges": ["192.0.2.0/24"]}),
    ("aks", "exposure: internal, subnets: [apps]", {f"{AZURE}internal": "true", f"{AZURE}internal-subnet": "apps"}),
    ("aks", "exposure: external", {f"{AZURE}internal": "false"}),
    (
        "aks",
        "exposure: external, ipFamilies: [IPv4, IPv6], addresses: [203.0.113.9, '2001:db8::9']",
        {
            f"{AZURE}internal": "false",
            f"{AZURE}ipv4": "203.0.113.9",
            f"{AZURE}ipv6": "2001:db8::9",
            "ipFamilyPolicy": "RequireDualStack",
            "ipFamilies": ["IPv4", "IPv6"],
        },
    ),
    ("gke", "exposure: external", {}),
    (
        "gke",
        "exposure: internal, addresses: [shop-inside], subnets: [apps]",
        {
            f"{GKE}load-balancer-type": "Internal",
            f"{GKE}load-balancer-ip-addresses": "shop-inside",
            f"{GKE}internal-load-balancer-subnet": "apps",
        },
    ),
    (
        "gke",
        "exposure: external, ipFamilies: [IPv6], subnets: [apps]",
        {f"{GKE}load-balancer-subnet": "apps", "ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv6"]},
    ),
    (
        "local",
        "sourceRanges: ['2001:db8::/32'], ipFamilies: [IPv6, IPv4]",
        {
            "loadBalancerSourceRanges": ["2001:db8::/32"],
            "ipFamilyPolicy": "RequireDualStack",
            "ipFamilies": ["IPv6", "IPv4"],
        },
    ),
    ("gke", "addresses: [], subnets: []", {}),
    ("eks", "clientAddress: keep", {f"{AWS}target-group-attributes": "preserve_client_ip.enabled=true"}),
    ("aks", "clientAddress: keep", {"externalTrafficPolicy": "Local"}),
    ("gke", "clientAddress: keep", {"externalTrafficPolicy": "Local"}),
    ("local", "clientAddress: keep", {"externalTrafficPolicy": "Local"}),
    ("eks", "clientAddress: keep, targets: instance", {"externalTrafficPolicy": "Local"}),
    ("eks", "clientAddress: proxyProtocol", {f"{AWS}proxy-protocol": "*"}),
]


@pytest.mark.parametrize(("cloud", "settings", "words"), WORDS)
def test_each_cloud_has_its_own_words(
    write: Write, charts: Mapping[str, ChartFiles], cloud: str, settings: str, words: dict[str, Any]
) -> None:
    stack = ingress(write({"meshinstall.yaml": environment(settings, cloud)}))
    builtin = ingress(write({"meshinstall.yaml": environment("", cloud)}))
    assert service(stack, builtin) == words
    # The chart takes all of it, by keys that it reads.
    verdict = check_values(Component.GATEWAY, charts["gateway"], stack)
    assert verdict.errors == ()
    assert verdict.warnings == ()


def test_every_word_has_the_line_of_the_setting_that_asked_for_it(write: Write) -> None:
    folder = write(
        {
            "meshinstall.yaml": f"{HEAD}environments:\n  dev:\n    cloud: gke\n    gateways:\n      istio-ingress:\n"
            "        exposure: internal\n        subnets: [apps]\n        sourceRanges: [10.0.0.0/8]\n"
        }
    )
    stack = ingress(folder)
    places = {
        path[-1]: str(stack.explain(("service", *path))[-1].origin)
        for path in (
            ("annotations", f"{GKE}load-balancer-type"),
            ("annotations", f"{GKE}internal-load-balancer-subnet"),
            ("loadBalancerSourceRanges",),
        )
    }
    assert places == {
        f"{GKE}load-balancer-type": "meshinstall.yaml:7",
        f"{GKE}internal-load-balancer-subnet": "meshinstall.yaml:8",
        "loadBalancerSourceRanges": "meshinstall.yaml:9",
    }


def test_the_environment_has_the_last_word_over_the_profile(write: Write) -> None:
    profile = "extends: default\ngateways: {istio-ingress: {exposure: internal, sourceRanges: [10.0.0.0/8]}}\n"
    yaml = environment("exposure: external", "eks")
    stack = ingress(write({"meshinstall.yaml": yaml, "profiles/ours.yaml": profile}), profile="ours")
    assert stack.merged()["service"]["annotations"][f"{AWS}scheme"] == "internet-facing"
    assert str(stack.explain(("service", "annotations", f"{AWS}scheme"))[-1].origin) == "meshinstall.yaml:6"
    assert str(stack.explain(("service", "loadBalancerSourceRanges"))[-1].origin) == "profiles/ours.yaml:2"


IGNORED = [
    ("eks", f"addresses: [{EIP}]", "addresses need exposure beside them (set exposure: internal or exposure: external)"),
    ("gke", "subnets: [apps]", "subnets need exposure beside them (set exposure: internal or exposure: external)"),
    ("eks", f"exposure: internal, subnets: [a], addresses: [{EIP}]", f"not an IPv4 address: {EIP}"),
    ("eks", "exposure: internal, addresses: [10.0.0.9]", "an internal Network Load Balancer with addresses needs subnets"),
    ("eks", "exposure: external, addresses: [203.0.113.9]", "not an allocation ID such as eipalloc-0123456789abcdef0: 203.0.113.9"),
    ("eks", f"exposure: external, subnets: [a, b], addresses: [{EIP}]", "1 addresses for 2 subnets"),
    ("eks", "ipFamilies: [IPv6]", "a Network Load Balancer does not support IPv6 alone"),
    ("aks", "exposure: external, subnets: [apps]", "an external load balancer ignores subnets"),
    ("aks", "exposure: internal, subnets: [a, b]", "an internal load balancer has only one subnet: the others would be ignored"),
    ("aks", "exposure: external, addresses: [my-ip]", "Azure takes IP addresses here"),
    ("aks", "exposure: internal, addresses: [10.0.0.1, 10.0.0.2]", "two addresses of the same IP family: Azure would ignore one"),
    ("aks", "exposure: internal, addresses: ['2001:db8::9']", "the IPv6 address would be ignored: ipFamilies does not list IPv6"),
    ("gke", "exposure: external, subnets: [apps]", "an external load balancer ignores subnets"),
    ("gke", "exposure: external, ipFamilies: [IPv6], subnets: [a, b]", "a load balancer has only one subnet"),
    ("gke", "exposure: external, addresses: [203.0.113.9]", "not the name of an address: 203.0.113.9 (GKE takes the names"),
    ("gke", "exposure: external, addresses: [a, b]", "more addresses than IP families"),
    ("local", "exposure: internal", "exposure has no effect without a cloud"),
    ("gke", "sourceRanges: [10.0.0.1/8]", "'10.0.0.1/8' is not a CIDR range such as 192.0.2.0/24"),
    ("gke", "sourceRanges: ['2001:db8::/32'], ipFamilies: [IPv4]", "2001:db8::/32 would be ignored: ipFamilies does not list IPv6"),
    ("gke", "ipFamilies: [IPv4, IPv4]", "an IP family is listed twice"),
    (
        "gke",
        "exposure: internal, values: {service: {type: ClusterIP}}",
        "exposure needs a load balancer, but service.type is ClusterIP (meshinstall.yaml:6)",
    ),
    (
        "aks",
        f"exposure: internal, values: {{service: {{annotations: {{{AZURE}internal: 'false'}}}}}}",
        f"exposure is overridden by {AZURE}internal (meshinstall.yaml:6)",
    ),
    (
        "gke",
        f"exposure: external, values: {{service: {{annotations: {{{GKE}load-balancer-type: Internal}}}}}}",
        f"exposure is overridden by {GKE}load-balancer-type",
    ),
    (
        "eks",
        f"sourceRanges: [10.0.0.0/8], values: {{service: {{annotations: {{{AWS}security-groups: sg-1}}}}}}",
        f"sourceRanges is overridden by {AWS}security-groups",
    ),
    ("aks", "clientAddress: proxyProtocol", "Azure's load balancer passes packets through and sends no PROXY protocol (use clientAddress"),
    ("gke", "clientAddress: proxyProtocol", "GKE's load balancer of a Service passes packets through and sends no PROXY protocol"),
    ("local", "clientAddress: proxyProtocol", "without a cloud nothing makes a load balancer send the PROXY protocol"),
    ("aks", "targets: ip", "targets has no effect: Azure's load balancer sends to nodes"),
    ("gke", "targets: instance", "targets has no effect: GKE's load balancer of a Service sends to nodes"),
    ("local", "targets: ip", "targets has no effect without a cloud"),
    (
        "eks",
        f"clientAddress: keep, values: {{service: {{annotations: {{{AWS}nlb-target-type: instance}}}}}}",
        f"clientAddress cannot tell what the targets are: {AWS}nlb-target-type (meshinstall.yaml:6)",
    ),
    (
        "eks",
        f"clientAddress: keep, values: {{service: {{annotations: {{{AWS}proxy-protocol: '*'}}}}}}",
        f"clientAddress is overridden by {AWS}proxy-protocol",
    ),
    (
        "eks",
        f"clientAddress: proxyProtocol, values: {{service: {{annotations: {{{AWS}healthcheck-protocol: http}}}}}}",
        f"clientAddress is overridden by {AWS}healthcheck-protocol",
    ),
    (
        "eks",
        "clientAddress: proxyProtocol, values: {podAnnotations: {proxy.istio.io/config: 'concurrency: 2'}}",
        "clientAddress is overridden by proxy.istio.io/config",
    ),
    (
        "gke",
        "clientAddress: keep, values: {service: {externalTrafficPolicy: Cluster}}",
        "clientAddress is overridden by externalTrafficPolicy",
    ),
]


@pytest.mark.parametrize(("cloud", "settings", "said"), IGNORED)
def test_what_a_provider_would_silently_ignore_is_refused_at_its_line(write: Write, cloud: str, settings: str, said: str) -> None:
    (line,) = refusals(write({"meshinstall.yaml": environment(settings, cloud)}))
    assert line.startswith("meshinstall.yaml:6:")
    assert said in line


def test_the_proxy_protocol_is_spoken_on_both_sides_and_survives_health_checks(write: Write) -> None:
    stack = ingress(write({"meshinstall.yaml": environment("clientAddress: proxyProtocol", "eks")})).merged()
    assert json.loads(stack["podAnnotations"]["proxy.istio.io/config"]) == {"gatewayTopology": {"proxyProtocol": {}}}
    annotations = stack["service"]["annotations"]
    assert annotations[f"{AWS}proxy-protocol"] == "*"
    # The readiness port answers 400 to a request behind the header that health checks have, too.
    assert annotations[f"{AWS}healthcheck-protocol"] == "tcp"


def test_a_flag_cannot_quietly_open_a_gateway_that_is_internal(write: Write) -> None:
    folder = write({"meshinstall.yaml": environment("exposure: internal", "eks")})
    name = f"{AWS}scheme".replace(".", "\\.")
    (line,) = refusals(folder, sets=(f"istio-ingress.service.annotations.{name}=internet-facing",))
    assert "exposure is overridden by" in line
    assert "--set" in line


def test_a_word_that_is_none_is_refused_by_the_files_type(write: Write) -> None:
    (line,) = refusals(write({"meshinstall.yaml": environment("exposure: public", "gke")}))
    assert line == "meshinstall.yaml:6:23: environments.dev.gateways.istio-ingress.exposure must be 'internal' or 'external'"
