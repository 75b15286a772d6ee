"""Why a client leaves the mesh's TLS: the object that decides it, and the words."""

from dataclasses import replace
from typing import Any

import pytest

from meshinstall.checks.mtls.causes import selected
from meshinstall.model.istio import full_host
from meshinstall.model.mesh import Dataplane, Place, Pod, ServiceFacts
from meshinstall.model.verdict import Evidence, Outcome, Verdict
from tests.unit.checks.mtls.client_worlds import judged, mesh, told, verdict

HOST = "web.shop.svc.cluster.local"
CREATED = {"created": "2026-02-01T00:00:00Z"}
PLAIN = {"asked": {"crm/batch-1": {"sends": {"shop/web": "plaintext"}}}}
ADDRESS = {"shop/web": {"addresses": ["10.1.0.1"]}}


def failed(found: Verdict) -> Evidence:
    """The one thing that is said of the clients of ``web`` and does not pass, beside what rules alone say."""
    (one,) = (one for one in told(found) if one.outcome is not Outcome.PASS and "Deployment batch" in one.text)
    return one


@pytest.mark.parametrize(
    ("facts", "where", "code", "words"),
    [
        ({}, "", "MTL019", "an EnvoyFilter may do it"),
        (
            {"client_rules": {"crm/web": {**CREATED, "host": HOST, "mode": "DISABLE"}}},
            "DestinationRule crm/web",
            "MTL010",
            f"tls.mode DISABLE for port 80 of {HOST}",
        ),
        (
            {"client_rules": {"shop/web": {**CREATED, "host": "web", "mode": "SIMPLE"}}},
            "DestinationRule shop/web",
            "MTL011",
            f"tls.mode SIMPLE for port 80 of {HOST}",
        ),
        ({"client_rules": {"legacy/web": {**CREATED, "host": HOST, "mode": "DISABLE"}}}, "", "MTL019", "an EnvoyFilter may do it"),
        ({"control_planes": {"istio-system/istiod": {"auto_mtls": False}}}, "MeshConfig", "MTL012", "automatic mTLS is off"),
        (
            {"policies": {"shop/default": {**CREATED, "mode": "DISABLE"}}},
            "PeerAuthentication shop/default",
            "MTL015",
            "clients choose by the policy of the namespace",
        ),
        (
            {"policies": {"istio-system/default": {"mode": "DISABLE"}}},
            "PeerAuthentication istio-system/default",
            "MTL015",
            "clients choose by the policy of the namespace",
        ),
        (
            {"policies": {"shop/web": {**CREATED, "mode": "STRICT", "selector": {"app": "web"}, "ports": {8080: "DISABLE"}}}},
            "PeerAuthentication shop/web",
            "MTL015",
            "the policy is DISABLE",
        ),
        (
            {"pods": {name: {"labels": {"security.istio.io/tlsMode": "off"}} for name in ("shop/web-1", "shop/web-2")}},
            "Deployment shop/web",
            "MTL015",
            "security.istio.io/tlsMode=off",
        ),
        (
            {
                "services": {"shop/web": {"addresses": []}},
                "pods": {"shop/old-1": {"workload": "Deployment old", "dataplane": "none", "ip": "10.0.1.9", "labels": {"app": "web"}}},
            },
            "Service shop/web",
            "MTL015",
            "the Service is headless and Deployment shop/old has no proxy",
        ),
    ],
    ids=["nothing", "rule", "other TLS", "rule elsewhere", "automatic", "namespace", "mesh", "port", "label", "headless"],
)
def test_each_cause_names_its_object(facts: dict[str, Any], where: str, code: str, words: str) -> None:
    found = failed(verdict(**{"services": ADDRESS, "clients": PLAIN, **facts}))
    assert (found.object, found.code) == (where, code)
    assert words in found.text


def test_a_rule_for_a_subset_explains_that_subset_alone() -> None:
    rules = {"shop/web": {**CREATED, "host": "web", "subsets": {"v1": ["DISABLE", {}]}}}
    assert failed(verdict(services=ADDRESS, clients=PLAIN, client_rules=rules)).code == "MTL019"


def test_clients_of_two_namespaces_may_have_two_reasons() -> None:
    sends = {"sends": {"shop/web": "plaintext"}}
    rules = {"crm/web": {**CREATED, "host": HOST, "mode": "DISABLE"}}
    found = verdict(services=ADDRESS, client_rules=rules, clients={"asked": {"crm/batch-1": sends, "shop/api-0": sends}})
    said = {one.code: one.text for one in told(found) if one.outcome is Outcome.FAIL and "would send" in one.text}
    assert said["MTL010"].startswith("crm/Deployment batch would")
    assert said["MTL019"].startswith("shop/StatefulSet api would")


@pytest.mark.parametrize(
    ("policies", "where", "code"),
    [
        ({"shop/tls": {"services": ["web"]}}, "BackendTLSPolicy shop/tls", "MTL011"),
        ({"shop/tls": {"services": ["api"]}}, "", "MTL019"),
        ({"crm/tls": {"services": ["web"]}}, "", "MTL019"),
    ],
)
def test_other_tls_may_come_of_a_backend_tls_policy(policies: dict[str, Any], where: str, code: str) -> None:
    clients = {"asked": {"crm/batch-1": {"sends": {"shop/web": "other TLS"}}}, "tls_policies": policies}
    found = failed(verdict(clients=clients))
    assert (found.object, found.code) == (where, code)


@pytest.mark.parametrize(
    ("sidecars", "where"),
    [
        ({}, "Service shop/web"),
        ({"crm/default": {"selector": {}}}, "Sidecar crm/default"),
        ({"crm/default": {"selector": {}}, "crm/batch": {"selector": {"app": "batch"}}}, "Sidecar crm/batch"),
        ({"crm/other": {"selector": {"app": "other"}}}, "Service shop/web"),
        ({"istio-system/default": {"selector": {}}}, "Sidecar istio-system/default"),
        ({"istio-system/default": {"selector": {}}, "crm/default": {"selector": {}}}, "Sidecar crm/default"),
        ({"istio-system/batch": {"selector": {"app": "batch"}}}, "Service shop/web"),
        ({"shop/default": {"selector": {}}}, "Service shop/web"),
    ],
)
def test_a_hidden_service_names_the_sidecar_that_holds_for_the_client(sidecars: dict[str, Any], where: str) -> None:
    found = failed(verdict(clients={"asked": {"crm/batch-1": {"hidden": ["shop/web"]}}, "sidecars": sidecars}))
    assert (found.code, found.object) == ("MTL016", where)


@pytest.mark.parametrize(("to", "host"), [("web", "web.crm.svc.corp"), ("web.shop", "web.shop"), (HOST, HOST)])
def test_a_short_host_is_a_service_beside_the_virtual_service(to: str, host: str) -> None:
    assert full_host(to, "crm", "corp") == host


def test_a_headless_service_selects_by_all_its_labels_in_its_own_namespace() -> None:
    pods = [
        Pod(Place(space, name), "", Dataplane.SIDECAR, labels=labels)
        for space, name, labels in (
            ("shop", "both", {"a": "1", "b": "2", "c": "3"}),
            ("shop", "one", {"a": "1"}),
            ("crm", "elsewhere", {"a": "1", "b": "2"}),
        )
    ]
    headless = ServiceFacts(Place("shop", "x"), {"a": "1", "b": "2"})
    with_address = ServiceFacts(Place("shop", "y"), {"a": "1"}, addresses=("10.1.0.1",))
    nobody, all_of_them = ServiceFacts(Place("shop", "z"), {"a": "9"}), ServiceFacts(Place("shop", "none"))
    found = selected([headless, with_address, nobody, all_of_them], pods)
    assert {place.name: [pod.place.name for pod in those] for place, those in found.items()} == {"x": ["both"], "z": []}


CANARY = {"revision": "canary", "version": "1.31.0", "root_namespace": "istio-system", "trust_domain": "cluster.local"}


@pytest.mark.parametrize(
    ("facts", "where", "code"),
    [
        ({"control_planes": {"istio-system/istiod-canary": {**CANARY, "auto_mtls": False}}}, "MeshConfig", "MTL012"),
        ({"policies": {"shop/default": {**CREATED, "mode": "DISABLE", "revision": "canary"}}}, "PeerAuthentication shop/default", "MTL015"),
        ({"policies": {"shop/default": {**CREATED, "mode": "DISABLE", "revision": "default"}}}, "", "MTL019"),
        (
            {
                "control_planes": {"istio-system/istiod-canary": {**CANARY, "root_namespace": "canary"}},
                "policies": {"canary/all": {**CREATED, "mode": "DISABLE"}},
            },
            "PeerAuthentication canary/all",
            "MTL015",
        ),
        (
            {"client_rules": {"shop/web": {**CREATED, "host": "web", "mode": "DISABLE", "revision": "canary"}}},
            "DestinationRule shop/web",
            "MTL010",
        ),
        ({"client_rules": {"shop/web": {**CREATED, "host": "web", "mode": "DISABLE", "revision": "default"}}}, "", "MTL019"),
    ],
    ids=["automatic", "policy", "policy of others", "root namespace", "rule", "rule of others"],
)
def test_the_cause_is_what_the_clients_own_istiod_sees(facts: dict[str, Any], where: str, code: str) -> None:
    there = {"control_planes": {"istio-system/istiod-canary": CANARY}, "services": ADDRESS, "clients": PLAIN}
    found = failed(verdict(**{**there, "pods": {"crm/batch-1": {"revision": "canary"}}, **facts}))
    assert (found.object, found.code) == (where, code)


def test_clients_of_two_revisions_that_hold_the_same_have_each_their_own_cause() -> None:
    sends = {"sends": {"shop/web": "plaintext"}}
    planes = {"istio-system/istiod-canary": {**CANARY, "auto_mtls": False}}
    clients = {"asked": {"crm/batch-1": sends, "shop/api-0": sends}}
    facts = mesh(services=ADDRESS, control_planes=planes, clients=clients, pods={"crm/batch-1": {"revision": "canary"}})
    assert facts.clients
    # As proxies that say the same are kept.
    groups = {group.asked: group for group in facts.clients.groups}
    same = groups[Place("crm", "batch-1")].outlook
    kept = tuple(replace(group, outlook=same) if group.outlook == same else group for group in groups.values())
    found = told(judged(replace(facts, clients=replace(facts.clients, groups=kept))))
    said = {one.code: one.text for one in found if one.outcome is Outcome.FAIL and "would send" in one.text}
    assert said["MTL012"].startswith("crm/Deployment batch would")
    assert said["MTL019"].startswith("shop/StatefulSet api would")


def test_who_hides_a_service_is_a_sidecar_of_the_clients_own_istiod() -> None:
    sidecars = {"crm/default": {"selector": {}, "revision": "default"}, "crm/canary": {"selector": {}, "revision": "canary"}}
    clients = {"asked": {"crm/batch-1": {"hidden": ["shop/web"]}}, "sidecars": sidecars}
    there = {"control_planes": {"istio-system/istiod-canary": CANARY}, "clients": clients}
    found = failed(verdict(**there, pods={"crm/batch-1": {"revision": "canary"}}))
    assert (found.code, found.object) == ("MTL016", "Sidecar crm/canary")
