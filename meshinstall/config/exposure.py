"""Turns a gateway's five exposure settings into the Service fields and annotations of each cloud.

Sources: AWS Load Balancer Controller (guide/service/annotations), cloud-provider-azure (topics/loadbalancer), GKE (LoadBalancer
Service parameters; Configure dual-stack).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from meshinstall.config.source import Document
from meshinstall.errors import Problem
from meshinstall.model.cluster import Cloud
from meshinstall.model.values import KeyPath, Layer, LayerKind, Values

INTERNAL, EXTERNAL = "internal", "external"
SETTINGS = ("exposure", "addresses", "subnets", "sourceRanges", "ipFamilies")
AWS = "service.beta.kubernetes.io/aws-load-balancer-"
AZURE = "service.beta.kubernetes.io/azure-load-balancer-"
GKE = "networking.gke.io/"


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
    return tuple(_layer(setting, values) for key, setting in settings.items() if (values := service_values(cloud, key, asked)))


def together(settings: Settings) -> Asked:
    """Combine the settings of a gateway."""
    values = {key: setting.value for key, setting in settings.items()}
    return Asked(
        values.get("exposure", ""),
        tuple(values.get("addresses", ())),
        tuple(values.get("subnets", ())),
        tuple(values.get("sourceRanges", ())),
        tuple(values.get("ipFamilies", ())),
    )


def _layer(setting: Setting, service: Values) -> Layer:
    return Layer(setting.kind, setting.document.source, {"service": service}, {("service",): setting.document.place(setting.path)})


def service_values(cloud: Cloud, key: str, asked: Asked) -> dict[str, Any]:
    """Values of the gateway chart below ``service`` for one setting: the Service's own field where it has one, else annotations."""
    if key == "sourceRanges":
        return {"loadBalancerSourceRanges": list(asked.ranges)}
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
