"""What a change of a Service means: whether its address may change, and who may reach it."""

from typing import Any

import pytest

from meshinstall.model.diff import Concern
from tests.unit.engine.rehearsal.changes import meant, service

pytestmark = pytest.mark.anyio

AWS, AZURE = "service.beta.kubernetes.io/aws-load-balancer-", "service.beta.kubernetes.io/azure-load-balancer-"
SCHEME, GKE = f"{AWS}scheme", "networking.gke.io/load-balancer-type"
WIDER, NARROWER = [Concern.WEAKER], [Concern.STRONGER]
PUBLIC, INTERNAL = [Concern.WEAKER, Concern.ADDRESS], [Concern.STRONGER, Concern.ADDRESS]


def ranges(*listed: str) -> dict[str, Any]:
    return service(loadBalancerSourceRanges=list(listed))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (ranges("10.0.0.0/8"), ranges("0.0.0.0/0"), WIDER),
        (ranges("10.0.0.0/8"), service(), WIDER),
        (ranges("10.0.0.0/8"), ranges("10.0.0.0/8", "192.0.2.0/24"), WIDER),
        (service(), ranges("10.0.0.0/8"), NARROWER),
        (ranges("10.0.0.0/8"), ranges("10.1.0.0/16"), NARROWER),
        (ranges("10.0.0.0/8"), ranges("192.0.2.0/24"), [*WIDER, *NARROWER]),
        (ranges("10.0.0.0/9", "10.128.0.0/9"), ranges("10.0.0.0/8"), []),
        (service(), ranges("0.0.0.0/0"), []),
        (service({"service.beta.kubernetes.io/load-balancer-source-ranges": "10.0.0.0/8"}), service(), WIDER),
        (service({"service.beta.kubernetes.io/azure-allowed-ip-ranges": "10.0.0.0/8"}), service(), WIDER),
        (service({GKE: "Internal"}), service(), PUBLIC),
        (service({GKE: "Internal"}), service({GKE: "External"}), PUBLIC),
        (service({"cloud.google.com/load-balancer-type": "Internal"}), service(), PUBLIC),
        (service({"cloud.google.com/load-balancer-type": "Internal"}), service({GKE: "Internal"}), []),
        (service({f"{AZURE}internal": "true"}), service(), PUBLIC),
        (service({f"{AZURE}internal": "true"}), service({f"{AZURE}internal": "false"}), PUBLIC),
        (service({SCHEME: "internal"}), service({SCHEME: "internet-facing"}), PUBLIC),
        (service({SCHEME: "internal"}), service(), PUBLIC),
        (service({SCHEME: "internet-facing"}), service({SCHEME: "internal"}), INTERNAL),
        (service(), service({f"{AZURE}internal": "true"}), INTERNAL),
        (service(), service({f"{AZURE}internal": "false"}), []),
        (service(), service({f"{AZURE}tcp-idle-timeout": "10"}), []),
        (service({f"{AWS}attributes": "a=b"}), service({f"{AWS}attributes": "a=c"}), []),
        (service({"cloud.google.com/neg": "{}"}), service(), []),
        (service(), service({f"{AWS}subnets": "subnet-1"}), [Concern.ADDRESS]),
        (service({f"{AZURE}ipv4": "192.0.2.1"}), service({f"{AZURE}ipv4": "192.0.2.2"}), [Concern.ADDRESS]),
        (service(loadBalancerIP="192.0.2.1"), service(), [Concern.ADDRESS]),
        (service(type="ClusterIP"), service(), PUBLIC),
        (service(type="ClusterIP"), service({GKE: "Internal"}), [Concern.ADDRESS]),
        (service(), service(type="ClusterIP"), [Concern.ADDRESS]),
        (service(type="ClusterIP"), service({SCHEME: "internet-facing"}, type="ClusterIP"), []),
    ],
)
async def test_who_may_reach_a_service_and_whether_its_address_may_change(before: Any, after: Any, expected: list[Concern]) -> None:
    assert [concern for concern, _ in await meant(before, after)] == expected


async def test_sources_are_told_from_to() -> None:
    ((_, text),) = await meant(ranges("10.0.0.0/8"), service())
    assert text == "all addresses may reach Service istio-system/east: loadBalancerSourceRanges 10.0.0.0/8 → (none)"


async def test_what_becomes_public_names_the_annotation() -> None:
    (_, weaker), (_, address) = await meant(service({GKE: "Internal"}), service())
    assert weaker == f"Service istio-system/east becomes public: {GKE} Internal → (none)"
    assert f": metadata.annotations.{GKE} Internal → (none)" in address


async def test_without_its_scheme_aws_controller_decides() -> None:
    (_, weaker), _ = await meant(service({SCHEME: "internal"}), service())
    assert weaker == f"Service istio-system/east may become public: {SCHEME} internal → (none)"


@pytest.mark.parametrize("wrong", [{"loadBalancerSourceRanges": 7}, {"type": ["LoadBalancer"]}])
async def test_what_is_of_a_wrong_type_is_told_as_unknown(wrong: Any) -> None:
    ((concern, text),) = await meant(service(), service(**wrong))
    assert concern is Concern.ACCESS
    assert text.startswith("cannot tell what the change of Service istio-system/east means: ")
