"""A changed address or trust domain says whom it concerns: hosts behind a gateway, objects that name the domain, proxies."""

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from meshinstall.engine.rehearsal.concerned import ask_concerned
from meshinstall.engine.rehearsal.meaning import consequences
from meshinstall.engine.rehearsal.sides import AllSides, Sides
from meshinstall.errors import ForbiddenError
from meshinstall.model.diff import Concern, ObjectChange, Verb
from meshinstall.model.facts import ObjectKey
from tests.cases import plans
from tests.fake_kube import FakeKube

pytestmark = pytest.mark.anyio

DESIRED = plans.load("fresh").desired
SERVICE = ObjectKey("v1", "Service", "istio-ingress", "public")
MESH = ObjectKey("v1", "ConfigMap", "istio-system", "istio")
NETWORKING, SECURITY = "networking.istio.io/v1", "security.istio.io/v1"
BEFORE = {"spec": {"type": "LoadBalancer", "selector": {"istio": "public"}}}
MOVED = {SERVICE: Sides(BEFORE, {"spec": {**BEFORE["spec"], "type": "ClusterIP"}})}


def mesh(**fields: Any) -> dict[str, Any]:
    return {"data": {"mesh": json.dumps(fields)}}


def renamed(before: str, *aliases: str) -> AllSides:
    return {MESH: Sides(mesh(trustDomain=before), mesh(trustDomain="new", trustDomainAliases=aliases))}


def cluster() -> FakeKube:
    """It serves Istio's kinds, and has a gateway pod, a host behind it, one behind another, and who names trust domain old."""
    kube = FakeKube()
    kube.objects[f"/apis/{NETWORKING}"] = {"resources": [{"name": "gateways"}, {"name": "destinationrules"}, {"name": "serviceentries"}]}
    kube.objects[f"/apis/{SECURITY}"] = {"resources": [{"name": "authorizationpolicies"}]}
    put(kube, "/api/v1", "istio-ingress", "pods", "public-1", labels={"istio": "public", "app": "public"})
    served = [{"hosts": ["shop/shop.example.com", "*.example.org"]}]
    put(kube, f"/apis/{NETWORKING}", "shop", "gateways", "shop", spec={"selector": {"istio": "public"}, "servers": served})
    other = [{"hosts": ["other.example.com"]}]
    put(kube, f"/apis/{NETWORKING}", "shop", "gateways", "other", spec={"selector": {"istio": "east"}, "servers": other})
    names = {"trafficPolicy": {"tls": {"subjectAltNames": ["spiffe://old/ns/shop/sa/web"]}}}
    put(kube, f"/apis/{NETWORKING}", "shop", "destinationrules", "web", spec=names)
    rules = [{"from": [{"source": {"principals": ["old/ns/shop/sa/web"]}}]}]
    put(kube, f"/apis/{SECURITY}", "shop", "authorizationpolicies", "web", spec={"rules": rules})
    put(kube, f"/apis/{SECURITY}", "shop", "authorizationpolicies", "older", spec={"rules": [{"to": ["older/ns/x"]}]})
    return kube


def put(kube: FakeKube, api: str, namespace: str, kind: str, name: str, **item: Any) -> None:
    labels = item.pop("labels", {})
    kube.objects[f"{api}/namespaces/{namespace}/{kind}/{name}"] = {
        "metadata": {"name": name, "namespace": namespace, "labels": labels},
        **item,
    }


async def meanings(kube: FakeKube, sides: AllSides) -> list[tuple[Concern, str]]:
    facts = replace(plans.load("fresh").facts, live={SERVICE: BEFORE})
    diff = [ObjectChange(key, None, Verb.CHANGE) for key in sides]
    concerned = await ask_concerned(diff, facts, DESIRED, kube, sides)
    return [(one.concern, one.text) for one in consequences(diff, facts, concerned, sides)]


def without(texts: Iterable[tuple[Concern, str]]) -> list[str]:
    return [text for _, text in texts]


async def test_an_address_that_may_change_names_the_hosts_behind_it() -> None:
    ((concern, text),) = await meanings(cluster(), MOVED)
    assert concern is Concern.ADDRESS
    assert text == (
        "Service istio-ingress/public loses its external address: spec.type LoadBalancer → ClusterIP; "
        "hosts behind it: shop.example.com, *.example.org"
    )


async def test_who_may_not_list_gateways_is_told_that_it_is_not_known() -> None:
    kube = cluster()
    kube.refusals[f"LIST /apis/{NETWORKING}/gateways"] = ForbiddenError("gateways is forbidden")
    (text,) = without(await meanings(kube, MOVED))
    assert text.endswith("cannot tell whom that concerns: Gateways could not be listed: gateways is forbidden")


async def test_a_trust_domain_that_goes_names_who_names_it_and_how_many_proxies_it_concerns() -> None:
    kube = cluster()
    status = json.dumps({"revision": "default"})
    kube.objects["/api/v1/namespaces/shop/pods/web"] = {
        "metadata": {"name": "web", "namespace": "shop", "annotations": {"sidecar.istio.io/status": status}}
    }
    first, second = without(await meanings(kube, renamed("old")))
    assert first == (
        "the trust domain changes, old → new: all identities change; clients may refuse servers whose certificates are not renewed yet, "
        "for up to a day (1 proxy, by namespace: shop (1)); keep the old one beside it: meshConfig.trustDomainAliases: [old]"
    )
    assert second == "these name the old trust domain and match nothing then: AuthorizationPolicy shop/web, DestinationRule shop/web"


async def test_in_a_policy_the_default_domain_points_to_the_new_one() -> None:
    kube = cluster()
    rules = [{"from": [{"source": {"principals": ["cluster.local/ns/shop/sa/web"]}}]}]
    put(kube, f"/apis/{SECURITY}", "shop", "authorizationpolicies", "default", spec={"rules": rules})
    names = {"trafficPolicy": {"tls": {"subjectAltNames": ["spiffe://cluster.local/ns/shop/sa/web"]}}}
    put(kube, f"/apis/{NETWORKING}", "shop", "destinationrules", "default", spec=names)
    _, second = without(await meanings(kube, renamed("cluster.local")))
    assert second == "these name the old trust domain and match nothing then: DestinationRule shop/default"


async def test_service_entries_and_aliases_count_too() -> None:
    kube = cluster()
    put(kube, f"/apis/{NETWORKING}", "shop", "serviceentries", "vm", spec={"subjectAltNames": ["spiffe://old/ns/shop/sa/vm"]})
    sides = {MESH: Sides(mesh(trustDomainAliases=["old"]), mesh())}
    _, second = without(await meanings(kube, sides))
    assert second == (
        "these name a trust domain that is given up and match nothing then: "
        "AuthorizationPolicy shop/web, DestinationRule shop/web, ServiceEntry shop/vm"
    )


async def test_an_old_domain_that_stays_as_an_alias_concerns_nobody() -> None:
    kube = cluster()
    assert without(await meanings(kube, renamed("old", "old"))) == [
        "the trust domain changes, old → new: all identities change; the old one stays as an alias"
    ]
    assert kube.calls == []


async def test_what_concerns_nobody_asks_nothing() -> None:
    kube = cluster()
    scaled = {ObjectKey("apps/v1", "Deployment", "shop", "web"): Sides({"spec": {"replicas": 1}}, {"spec": {"replicas": 2}})}
    await meanings(kube, {**scaled, MESH: Sides(mesh(trustDomain="old"), mesh(trustDomain="old", a=1))})
    assert kube.calls == []
