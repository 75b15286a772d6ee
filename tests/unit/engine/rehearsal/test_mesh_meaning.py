"""What changes of the mesh configuration and of the injector mean: by what istiod makes of both sides, not by what is written."""

import json
from typing import Any

import pytest

from meshinstall.model.diff import Concern
from tests.unit.engine.rehearsal.changes import config_map, meant, mesh

pytestmark = pytest.mark.anyio

CLOSED = {"mode": "REGISTRY_ONLY"}
CALLS = (Concern.WEAKER, "workloads may call hosts that the mesh does not know")
NO_CALLS = (Concern.STRONGER, "workloads may no longer call hosts that the mesh does not know")


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"outboundTrafficPolicy": CLOSED}, {}, [CALLS]),
        ({"outbound_traffic_policy": CLOSED}, {}, [CALLS]),
        ({"outboundTrafficPolicy": CLOSED}, {"outboundTrafficPolicy": {"mode": "ALLOW_ANY"}}, [CALLS]),
        ({}, {"outboundTrafficPolicy": CLOSED}, [NO_CALLS]),
        ({}, {"outboundTrafficPolicy": {"mode": 0}}, [NO_CALLS]),
        ({}, {"outboundTrafficPolicy": {"mode": "ALLOW_ANY"}}, []),
        ({"outboundTrafficPolicy": {"mode": "ALLOW_ANY"}}, {}, []),
        ({"outboundTrafficPolicy": {"mode": "ALLOW_ANY"}}, {"outboundTrafficPolicy": {"mode": "ALLOW_ANY_DYNAMIC_DNS"}}, []),
        ({}, {"enableAutoMtls": True}, []),
        ({"enableAutoMtls": True}, {}, []),
        ({"enableAutoMtls": False}, {}, [(Concern.STRONGER, "proxies use mTLS where no DestinationRule asks for it")]),
        ({}, {"enableAutoMtls": False}, [(Concern.WEAKER, "proxies no longer use mTLS where no DestinationRule asks for it")]),
    ],
)
async def test_defaults_count_as_if_they_were_written(before: Any, after: Any, expected: Any) -> None:
    assert await meant(mesh(**before), mesh(**after)) == expected


async def test_a_trust_domain_that_is_an_alias_already_stays() -> None:
    ((_, text),) = await meant(mesh(trustDomain="old", trustDomainAliases=["old"]), mesh(trustDomain="new", trustDomainAliases=["old"]))
    assert text == "the trust domain changes, old → new: all identities change; the old one stays as an alias"


async def test_an_alias_that_goes_is_no_longer_trusted() -> None:
    ((concern, text), *_) = await meant(mesh(trustDomainAliases=["a", "b"]), mesh(trustDomainAliases=["b"]))
    assert concern is Concern.ACCESS
    assert text == "identities of trust domain a are refused: taken out of meshConfig.trustDomainAliases"


async def test_an_alias_that_becomes_the_trust_domain_stays() -> None:
    before, after = mesh(trustDomain="old", trustDomainAliases=["new"]), mesh(trustDomain="new", trustDomainAliases=["old"])
    assert len(await meant(before, after)) == 1


async def test_the_default_trust_domain_is_given_up_too() -> None:
    ((_, text), *_) = await meant(mesh(), mesh(trustDomain="new"))
    assert text.startswith("the trust domain changes, cluster.local → new: all identities change; clients may refuse servers")
    assert text.endswith("meshConfig.trustDomainAliases: [cluster.local]")


async def test_the_default_trust_domain_that_is_written_changes_nothing() -> None:
    assert await meant(mesh(), mesh(trustDomain="cluster.local", rootNamespace="istio-system")) == []


async def test_another_root_namespace_is_told() -> None:
    ((concern, text),) = await meant(mesh(), mesh(rootNamespace="policies"))
    assert concern is Concern.ACCESS
    assert text == (
        "the root namespace changes, istio-system → policies: policies of policies count for the whole mesh, "
        "those of istio-system for their own namespace only"
    )


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"minProtocolVersion": "TLSV1_3"}, {}, [Concern.WEAKER]),
        ({"minProtocolVersion": "TLSV1_2"}, {"minProtocolVersion": "TLSV1_3"}, [Concern.STRONGER]),
        ({"minProtocolVersion": "TLSV1_2"}, {"minProtocolVersion": "TLS_AUTO"}, []),
        ({"cipherSuites": ["A"]}, {"cipherSuites": ["A", "B"]}, [Concern.WEAKER]),
        ({"cipherSuites": ["A", "B"]}, {"cipherSuites": ["A"]}, [Concern.STRONGER]),
        ({"cipherSuites": ["A"]}, {}, [Concern.ACCESS]),
        ({}, {"ecdhCurves": ["P-256"]}, [Concern.ACCESS]),
    ],
)
async def test_the_tls_of_the_mesh_is_told(before: Any, after: Any, expected: list[Concern]) -> None:
    assert [concern for concern, _ in await meant(mesh(meshMTLS=before), mesh(meshMTLS=after))] == expected


@pytest.mark.parametrize("name", ["caCertificates", "discoverySelectors", "pathNormalization", "tlsDefaults"])
async def test_what_else_decides_whom_the_mesh_trusts_is_told(name: str) -> None:
    value = [{"pem": "x"}] if name == "caCertificates" else [{"matchLabels": {"a": "b"}}] if name == "discoverySelectors" else {"a": "b"}
    assert [concern for concern, _ in await meant(mesh(), mesh(**{name: value}))] == [Concern.ACCESS]


async def test_a_configuration_that_cannot_be_read_says_so() -> None:
    ((concern, text),) = await meant(mesh(), config_map("istio", {"mesh": "a: [\n"}))
    assert concern is Concern.ACCESS
    assert text.startswith("the mesh configuration changes and cannot be read: not YAML")


def injector(**proxy: Any) -> dict[str, Any]:
    return config_map("istio-sidecar-injector", {"values": json.dumps({"global": {"proxy": proxy}}, indent=1)})


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"excludeInboundPorts": ""}, {"excludeInboundPorts": "8080"}, [Concern.WEAKER]),
        ({}, {"excludeInboundPorts": 8080}, [Concern.WEAKER]),
        ({"excludeInboundPorts": "80,8080"}, {"excludeInboundPorts": "8080"}, [Concern.STRONGER]),
        ({"excludeInboundPorts": "80,8080"}, {"excludeInboundPorts": "8080, 80"}, []),
        ({"excludeInboundPorts": "8000:8010"}, {"excludeInboundPorts": "8001"}, [Concern.STRONGER]),
        ({"excludeInboundPorts": "80"}, {"excludeInboundPorts": "81"}, [Concern.WEAKER, Concern.STRONGER]),
        ({}, {"excludeOutboundPorts": "3306"}, [Concern.WEAKER]),
        ({"excludeIPRanges": "10.1.0.0/16"}, {"excludeIPRanges": "10.0.0.0/8"}, [Concern.WEAKER]),
        ({"excludeIPRanges": "10.0.0.0/9,10.128.0.0/9"}, {"excludeIPRanges": "10.0.0.0/8"}, []),
        ({"includeIPRanges": "*"}, {"includeIPRanges": "10.0.0.0/8"}, [Concern.WEAKER]),
        ({"includeIPRanges": "10.0.0.0/8"}, {}, [Concern.STRONGER]),
        ({"includeInboundPorts": "*"}, {"includeInboundPorts": "80"}, [Concern.WEAKER]),
        ({"includeInboundPorts": "*"}, {"includeInboundPorts": ""}, [Concern.WEAKER]),
        ({"includeOutboundPorts": "80"}, {"includeOutboundPorts": ""}, []),
        ({"includeIPRanges": "", "includeOutboundPorts": "80"}, {"includeIPRanges": ""}, [Concern.WEAKER]),
        ({"autoInject": "enabled"}, {"autoInject": "disabled"}, [Concern.WEAKER]),
    ],
)
async def test_traffic_that_bypasses_new_proxies_is_told(before: Any, after: Any, expected: list[Concern]) -> None:
    found = [concern for concern, _ in await meant(injector(**before, a=1), injector(**after, a=2))]
    assert found == [*expected, Concern.INJECTION]


async def test_it_names_the_value() -> None:
    (_, text), _ = await meant(injector(excludeInboundPorts="80"), injector(excludeInboundPorts="80,8080"))
    assert text == (
        "more traffic of pods that start from then on bypasses their proxies, mTLS and policies: "
        "global.proxy.excludeInboundPorts 80 → 80,8080"
    )
