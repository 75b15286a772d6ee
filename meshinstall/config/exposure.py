"""Turns a gateway's exposure settings into the Service fields and annotations of each cloud, and what its proxy has to know of them.

Sources: AWS Load Balancer Controller (guide/service/annotations), Network Load Balancers (edit target group attributes: client IP
preservation, proxy protocol), cloud-provider-azure (topics/loadbalancer), GKE (LoadBalancer Service parameters; Configure dual-stack),
Istio (MeshConfig ProxyConfig.gatewayTopology).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from meshinstall.config.source import Document
from meshinstall.errors import Problem
from meshinstall.model.cluster import Cloud
from meshinstall.model.values import KeyPath, Layer, LayerKind, Values

INTERNAL, EXTERNAL = "internal", "external"
KEEP, PROXY_PROTOCOL = "keep", "proxyProtocol"
IP_TARGETS, INSTANCE_TARGETS = "ip", "instance"
SETTINGS = ("exposure", "addresses", "subnets", "sourceRanges", "ipFamilies", "clientAddress", "targets")
AWS = "service.beta.kubernetes.io/aws-load-balancer-"
AZURE = "service.beta.kubernetes.io/azure-load-balancer-"
GKE = "networking.gke.io/"
PROXY_CONFIG = "proxy.istio.io/config"


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of a gateway as a file states it; a list is a tuple."""

    key: str
    value: Any
    kind: LayerKind
    document: Document
    path: KeyPath

    def problem(self, text: str, hint: str = "") -> Problem:
        """A mistake at its line."""
        return self.document.problem(self.path, text, hint)


Settings = Mapping[str, Setting]


@dataclass(frozen=True, slots=True)
class Asked:
    """All exposure settings of one gateway; empty means not set."""

    exposure: str = ""
    addresses: tuple[str, ...] = ()
    subnets: tuple[str, ...] = ()
    ranges: tuple[str, ...] = ()
    families: tuple[str, ...] = ()
    client: str = ""
    targets: str = ""

    @property
    def inside(self) -> bool:
        """Whether the load balancer is internal."""
        return self.exposure == INTERNAL

    @property
    def dual(self) -> bool:
        """Whether both families of addresses are asked for."""
        return len(self.families) > 1


def exposure_layers(cloud: Cloud, settings: Settings) -> tuple[Layer, ...]:
    """One layer of values for each setting, so that every value has the line of its setting."""
    asked = together(settings)
    return tuple(_layer(setting, values) for key, setting in settings.items() if (values := gateway_values(cloud, key, asked)))


def together(settings: Settings) -> Asked:
    """Combine the settings of a gateway."""
    values = {key: setting.value for key, setting in settings.items()}
    return Asked(
        values.get("exposure", ""),
        tuple(values.get("addresses", ())),
        tuple(values.get("subnets", ())),
        tuple(values.get("sourceRanges", ())),
        tuple(values.get("ipFamilies", ())),
        values.get("clientAddress", ""),
        values.get("targets", ""),
    )


def _layer(setting: Setting, values: Values) -> Layer:
    place = setting.document.place(setting.path)
    return Layer(setting.kind, setting.document.source, values, {(key,): place for key in values})


def gateway_values(cloud: Cloud, key: str, asked: Asked) -> dict[str, Any]:
    """Values of the gateway chart for one setting: the Service's own field where it has one, else annotations of Service and pods."""
    service = _service(cloud, key, asked)
    values: dict[str, Any] = {"service": service} if service else {}
    if key == "clientAddress" and asked.client == PROXY_PROTOCOL:
        values["podAnnotations"] = {PROXY_CONFIG: '{"gatewayTopology": {"proxyProtocol": {}}}'}
    return values


def _service(cloud: Cloud, key: str, asked: Asked) -> dict[str, Any]:
    if key == "sourceRanges":
        return {"loadBalancerSourceRanges": list(asked.ranges)}
    # Elsewhere a node that takes a packet for a pod of another node replaces the client's address by its own.
    if key == "clientAddress" and asked.client == KEEP and (cloud is not Cloud.EKS or asked.targets == INSTANCE_TARGETS):
        return {"externalTrafficPolicy": "Local"}
    # An EKS cluster's Services have one family, whatever the load balancer has.
    if key == "ipFamilies" and cloud is not Cloud.EKS:
        return {"ipFamilyPolicy": "RequireDualStack" if asked.dual else "SingleStack", "ipFamilies": list(asked.families)}
    words = {name: text for name, text in _WORDS[cloud](asked).get(key, {}).items() if text}
    return {"annotations": words} if words else {}


def _aks(asked: Asked) -> Mapping[str, dict[str, str]]:
    return {
        "exposure": {f"{AZURE}internal": "true" if asked.inside else "false"},
        "addresses": {f"{AZURE}ipv{'6' if ':' in address else '4'}": address for address in asked.addresses},
        "subnets": {f"{AZURE}internal-subnet": ",".join(asked.subnets)},
    }


def _eks(asked: Asked) -> Mapping[str, dict[str, str]]:
    return {
        "exposure": {f"{AWS}scheme": "internal" if asked.inside else "internet-facing"},
        "addresses": {f"{AWS}{'private-ipv4-addresses' if asked.inside else 'eip-allocations'}": ",".join(asked.addresses)},
        "subnets": {f"{AWS}subnets": ",".join(asked.subnets)},
        "ipFamilies": {f"{AWS}ip-address-type": "dualstack" if asked.dual else "ipv4"},
        "clientAddress": {f"{AWS}target-group-attributes": "preserve_client_ip.enabled=true"}
        if asked.client == KEEP
        # The load balancer sends the header on health checks, too, and the proxy's readiness port answers 400 to it (istio/istio#39868).
        else {f"{AWS}proxy-protocol": "*", f"{AWS}healthcheck-protocol": "tcp"},
        "targets": {f"{AWS}nlb-target-type": asked.targets},
    }


def _gke(asked: Asked) -> Mapping[str, dict[str, str]]:
    return {
        # No word of GKE's means external: it is what a Service without this one gets.
        "exposure": {f"{GKE}load-balancer-type": "Internal"} if asked.inside else {},
        "addresses": {f"{GKE}load-balancer-ip-addresses": ",".join(asked.addresses)},
        "subnets": {f"{GKE}{'internal-' if asked.inside else ''}load-balancer-subnet": ",".join(asked.subnets)},
    }


def _local(_: Asked) -> Mapping[str, dict[str, str]]:
    return {}


_WORDS: Mapping[Cloud, Callable[[Asked], Mapping[str, dict[str, str]]]] = {
    Cloud.AKS: _aks,
    Cloud.EKS: _eks,
    Cloud.GKE: _gke,
    Cloud.LOCAL: _local,
}
