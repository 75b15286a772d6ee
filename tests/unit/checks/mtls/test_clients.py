"""Who would send what to a port: each client's own proxy decides, and what was not seen is not proven."""

from dataclasses import replace
from typing import Any

import pytest

from meshinstall.checks.mtls.judge import judge
from meshinstall.model.clients import ClientGroup, Endpoint, OutboundCluster, Outlook, Reroute, Tls
from meshinstall.model.mesh import MeshFacts, Place, ServiceFacts
from meshinstall.model.verdict import FailOn, Outcome, Verdict
from meshinstall.model.wire import Probing
from tests.cases import verdicts
from tests.unit.checks.mtls.client_worlds import finding, mesh, row, short, told, verdict


def sending(**asked: Any) -> Verdict:
    """A verdict where the client in ``crm`` differs."""
    return verdict(clients={"asked": {"crm/batch-1": asked}})


def test_all_were_asked_and_would_use_the_meshs_tls() -> None:
    found = verdict(clients={"asked": {"shop/web-1": {"speaks_for": ["shop/web-2"]}}})
    (one,) = told(found)
    assert one.outcome is Outcome.PASS
    assert one.text == "every client of the mesh would use the mesh's mTLS: 4 were asked, 1 more hold the same configuration"
    assert found.clients
    assert (found.clients.asked, found.clients.alike, found.clients.silent) == (4, 1, ())


@pytest.mark.parametrize(
    ("tls", "outcome", "words"),
    [
        ("plaintext", Outcome.FAIL, "crm/Deployment batch would send plaintext to it: "),
        ("other TLS", Outcome.FAIL, "crm/Deployment batch would not use the mesh's certificates for it: "),
        ("HBONE", Outcome.NOT_PROVEN, "crm/Deployment batch would reach it through HBONE, which is not judged: "),
        ("unknown", Outcome.NOT_PROVEN, "crm/Deployment batch would reach it through a transport that is not understood: "),
    ],
)
def test_what_is_not_the_meshs_tls_does_not_pass(tls: str, outcome: Outcome, words: str) -> None:
    found = sending(sends={"shop/web": tls})
    (one,) = told(found)
    assert one.outcome is outcome
    assert one.text.startswith(words)
    assert row(found).server is not Outcome.FAIL
    assert row(found).clients is outcome
    assert {one.outcome for one in told(found, "StatefulSet api", 9000)} == {Outcome.PASS}


def test_clients_that_do_the_same_for_the_same_reason_are_told_together() -> None:
    asked = {place: {"sends": {"shop/web": "plaintext"}} for place in ("crm/batch-1", "shop/api-0")}
    (one,) = told(verdict(clients={"asked": asked}))
    assert one.text.startswith("crm/Deployment batch, shop/StatefulSet api would send plaintext")


def facts(*clusters: OutboundCluster, **differs: Any) -> MeshFacts:
    """The mesh of mesh.yaml whose one client, the gateway, holds some more clusters; all know all Services."""
    found = verdicts.make({"facts": {"clients": {}, **differs}}).facts
    assert found.clients
    edge = Place("istio-ingress", "public-1")
    usual = next(group.outlook for group in found.clients.groups if edge in group.pods)
    mine = ClientGroup((edge,), Outlook((*usual.clusters, *clusters)), edge)
    others = tuple(group for group in found.clients.groups if edge not in group.pods)
    return replace(found, clients=replace(found.clients, groups=(mine, *others)))


def judged(found: MeshFacts) -> Verdict:
    return judge(found, Probing({}, "not here", ""), "kind-dev")


def cluster(host: str, *endpoints: Endpoint, subset: str = "", anywhere: Tls | None = None) -> OutboundCluster:
    return OutboundCluster(f"outbound|80|{subset}|{host}", host, 80, subset, anywhere, endpoints)


IP = "10.0.1.1"


@pytest.mark.parametrize(
    "one",
    [
        cluster("web.shop.svc.cluster.local", Endpoint(IP, 8080, Tls.PLAINTEXT), subset="v1"),
        cluster("pay.example", Endpoint(IP, 8080, Tls.PLAINTEXT)),
        cluster("pay.example", Endpoint("10.1.0.1", 80, Tls.PLAINTEXT)),
        cluster("pay.example", Endpoint("fd00:1::1", 80, Tls.PLAINTEXT)),
        cluster("pay.example", Endpoint("web.shop", 80, Tls.PLAINTEXT)),
        cluster("pay.example", Endpoint("web.shop.svc", 80, Tls.PLAINTEXT)),
        cluster("pay.example", Endpoint("web.shop.svc.cluster.local", 80, Tls.PLAINTEXT)),
        cluster("pay.example", Endpoint("fd00::1", 8080, Tls.PLAINTEXT)),
        cluster("web.shop.svc.cluster.local", anywhere=Tls.PLAINTEXT),
        OutboundCluster("custom", "custom", 0, "", None, (Endpoint(IP, 8080, Tls.PLAINTEXT),)),
    ],
    ids=["subset", "pod", "Service's address", "its second", "short name", ".svc", "name", "pod's second", "any address", "own cluster"],
)
def test_every_way_to_a_port_counts(one: OutboundCluster) -> None:
    more = {"pods": {"shop/web-1": {"more_ips": ["fd00::1"]}}, "services": {"shop/web": {"addresses": ["10.1.0.1", "fd00:1::1"]}}}
    assert row(judged(facts(one, **more))).clients is Outcome.FAIL


@pytest.mark.parametrize(
    "one",
    [
        cluster("pay.example", Endpoint(IP, 80, Tls.PLAINTEXT)),
        cluster("pay.example", Endpoint("10.9.9.9", 8080, Tls.PLAINTEXT)),
        cluster("pay.example", Endpoint("web.shop", 8080, Tls.PLAINTEXT)),
        cluster("pay.example", Endpoint("web.crm", 80, Tls.PLAINTEXT)),
        cluster("pay.example", Endpoint("", 0, Tls.PLAINTEXT)),
        cluster("pay.example", anywhere=Tls.PLAINTEXT),
        cluster("web.shop.svc.cluster.local", Endpoint(IP, 8080, Tls.MESH), subset="v1"),
        cluster("web.shop.svc.cluster.local", anywhere=Tls.MESH),
    ],
)
def test_ways_to_others_and_in_the_meshs_tls_do_not(one: OutboundCluster) -> None:
    assert {one.outcome for one in told(judged(facts(one)))} == {Outcome.PASS}


def test_a_service_whose_slices_somebody_wrote_counts_for_the_pods_that_it_does_not_select() -> None:
    """Nobody knows it, and it is called at its own address: what does not know it passes it on."""
    alias = ServiceFacts(Place("crm", "alias"), ports={}, addresses=("10.1.0.9",), ends=((IP, 8181, 8080),))
    found = facts()
    said = told(judged(replace(found, services=(*found.services, alias))))
    assert {(one.code, one.object) for one in said if one.outcome is Outcome.FAIL} == {("MTL016", "Service crm/alias")}


def test_what_is_reached_by_slices_that_say_nothing_of_mtls_is_explained() -> None:
    host = "alias.crm.svc.cluster.local"
    alias = ServiceFacts(Place("crm", "alias"), ports={}, addresses=("10.1.0.9",), ends=((IP, 80, 8080),))
    found = facts(cluster(host, Endpoint(IP, 8080, Tls.PLAINTEXT)))
    said = told(judged(replace(found, services=(*found.services, alias))))
    assert ("MTL015", "Service crm/alias") in {(one.code, one.object) for one in said}


def test_pods_that_lost_their_label_are_named() -> None:
    found = facts(cluster("pay.example", Endpoint(IP, 8080, Tls.PLAINTEXT)))
    pods = tuple(replace(one, labels={"app": "web"}) if one.ip == IP else one for one in found.pods)
    said = [one for one in told(judged(replace(found, pods=pods))) if one.outcome is Outcome.FAIL]
    assert [(one.code, one.object) for one in said] == [("MTL015", "Deployment shop/web")]


@pytest.mark.parametrize(("passes_on", "outcome"), [(True, Outcome.FAIL), (False, Outcome.PASS)])
def test_who_does_not_know_a_service_sends_plaintext_where_he_passes_on(passes_on: bool, outcome: Outcome) -> None:  # noqa: FBT001 - a column
    found = sending(hidden=["shop/web"], passes_on=passes_on)
    assert {one.outcome for one in told(found)} == {outcome}
    assert {one.outcome for one in told(found, "StatefulSet api", 9000)} == {Outcome.PASS}


def past(**outbound: Any) -> Verdict:
    """The client in ``crm`` has some of its connections pass by its proxy."""
    services = {"shop/web": {"addresses": ["10.1.0.1"]}}
    return verdict(pods={"crm/batch-1": {"outbound": outbound}}, services=services)


@pytest.mark.parametrize(
    ("outbound", "web", "api"),
    [
        ({"captured": False}, "FAIL", "FAIL"),
        ({"not_ports": [[80, 80]]}, "FAIL", "PASS"),
        ({"not_ports": [[8080, 8080]]}, "PASS", "PASS"),
        ({"not_networks": ["10.1.0.0/16"]}, "FAIL", "PASS"),
        ({"not_networks": ["10.0.1.3/32"]}, "PASS", "FAIL"),
        ({"networks": []}, "FAIL", "FAIL"),
        ({"networks": ["10.0.0.0/8"]}, "PASS", "PASS"),
        ({"as_proxy": [["app", "UID 1337"]]}, "FAIL", "FAIL"),
        ({"unsure": ["app"]}, "NOT PROVEN", "NOT PROVEN"),
    ],
)
def test_a_client_that_passes_by_is_held_against_the_address_that_it_calls(outbound: dict[str, Any], web: str, api: str) -> None:
    """``web`` has an address of its own and port 80; ``api`` is headless: its clients call its pod."""
    found = past(**outbound)
    assert {str(one.outcome) for one in told(found)} == {web}
    assert {str(one.outcome) for one in told(found, "StatefulSet api", 9000)} == {api}


def test_a_client_that_passes_by_is_one_finding_with_its_ports() -> None:
    found = finding(past(captured=False), "MTL014")
    assert found.title == "Deployment crm/batch sends past its own proxy, to 2 ports"
    assert found.object == "Deployment crm/batch"


def test_a_client_that_passes_by_reaches_the_second_family_of_a_headless_service() -> None:
    pods = {"crm/batch-1": {"one_family": True}, "shop/api-0": {"more_ips": ["fd00::3"]}}
    found = verdict(pods=pods, services={"shop/web": {"addresses": ["10.1.0.1"]}})
    assert {one.code for one in told(found, "StatefulSet api", 9000)} == {"MTL014"}
    assert {one.outcome for one in told(found)} == {Outcome.PASS}


@pytest.mark.parametrize("differs", [{"running": False, "active": False}, {"dataplane": "none"}, {"dataplane": "control plane"}])
def test_who_does_not_run_or_has_no_proxy_is_no_client_of_ours(differs: dict[str, Any]) -> None:
    found = verdict(pods={"crm/batch-1": {**differs, "outbound": {"captured": False}}})
    assert {one.outcome for one in told(found)} == {Outcome.PASS}


def test_a_silent_client_makes_not_proven_what_services_lead_to_and_nothing_else() -> None:
    found = verdict(clients={"asked": {"crm/batch-1": {"problem": "it hangs"}}}, services={"shop/api": None})
    (one,) = told(found)
    assert (one.outcome, one.code) == (Outcome.NOT_PROVEN, "MTL017")
    assert one.text == "crm/Deployment batch may be a client of it, and its proxy could not be asked"
    (other,) = told(found, "StatefulSet api", 9000)
    assert (other.outcome, other.text) == (Outcome.PASS, "no Service sends to this port")
    assert found.clients
    assert found.clients.silent == ("crm/Deployment batch",)


def test_a_silent_client_counts_for_every_number_that_a_named_target_has() -> None:
    pods = {"shop/web-2": {"ports": [{"number": 9090, "name": "http"}]}}
    silent: dict[str, Any] = {"asked": {"crm/batch-1": {"problem": "it hangs"}}}
    found = verdict(clients=silent, pods=pods, services={"shop/web": {"more_ports": {80: [9090]}}})
    assert [short(told(found, port=port)) for port in (8080, 9090)] == [[("NOT PROVEN", "MTL017", "")]] * 2
    # Who sends past his own proxy, and who does not know the Service, sends there too.
    found = verdict(pods={**pods, "crm/batch-1": {"outbound": {"captured": False}}}, services={"shop/web": {"more_ports": {80: [9090]}}})
    assert [{one.code for one in told(found, port=port)} for port in (8080, 9090)] == [{"MTL014"}] * 2


AMBIENT: dict[str, Any] = {"workload": "Deployment calm", "dataplane": "ambient", "ip": "10.0.8.1", "ports": [{"number": 80}]}


def test_ambient_clients_are_one_finding_that_names_them_and_counts_the_ports() -> None:
    pods = {"calm/app-1": AMBIENT, "calm/job-1": {**AMBIENT, "workload": "Deployment job"}}
    silent: dict[str, Any] = {"asked": {"crm/batch-1": {"problem": "it hangs"}}}
    one = finding(verdict(pods=pods), "MTL017")
    assert one.title == "some clients could not be asked, and may call 2 ports"
    ambient = "calm/Deployment calm, calm/Deployment job may be a client of it, in ambient mode: what ztunnel would send is not read"
    assert one.detail == f"{ambient}: shop/Deployment web (8080), shop/StatefulSet api (9000)"
    # Who was asked and did not answer has another reason.
    both = finding(verdict(pods=pods, clients=silent), "MTL017")
    assert both.detail.startswith("crm/Deployment batch may be a client of it, and its proxy could not be asked: ")
    assert ambient in both.detail


def test_ambient_clients_leave_every_server_its_verdict() -> None:
    found = verdicts.load("client-ambient").verdict()
    assert {port.server for port in found.ports} == {Outcome.PASS}
    assert {port.workload: port.clients for port in found.ports if port.clients} == {
        "Deployment app": Outcome.PASS,
        "Deployment web": Outcome.NOT_PROVEN,
        "StatefulSet api": Outcome.NOT_PROVEN,
    }
    assert [replace(found, fail_on=side).outcome for side in FailOn] == [
        Outcome.NOT_PROVEN if side is not FailOn.SERVER else Outcome.PASS for side in FailOn
    ]


def test_a_silent_client_hides_no_other_that_sends_plaintext() -> None:
    asked = {"crm/batch-1": {"problem": "it hangs"}, "shop/api-0": {"sends": {"shop/web": "plaintext"}}}
    found = verdict(clients={"asked": asked})
    assert row(found).clients is Outcome.FAIL
    assert {one.code for one in told(found)} == {"MTL017", "MTL019"}


def test_a_client_that_is_in_no_group_is_silent() -> None:
    found = facts()
    assert found.clients
    web = Place("shop", "web-2")
    groups = tuple(group for group in found.clients.groups if web not in group.pods)
    silent = judged(replace(found, clients=replace(found.clients, groups=groups)))
    assert {one.code for one in told(silent)} == {"MTL017"}


@pytest.mark.parametrize(
    ("namespace", "selector", "holds"),
    [
        ("crm", {}, True),
        ("crm", {"app": "batch"}, True),
        ("istio-system", {"app": "batch"}, True),
        ("crm", {"app": "other"}, False),
        ("elsewhere", {}, False),
    ],
)
def test_clients_whose_routes_an_envoy_filter_chooses_are_not_proven(namespace: str, selector: dict[str, str], holds: bool) -> None:  # noqa: FBT001
    facts = mesh(clients={})
    assert facts.clients
    reroutes = (Reroute(Place(namespace, "fast"), selector),)
    found = judged(replace(facts, clients=replace(facts.clients, reroutes=reroutes)))
    of_filter = [("NOT PROVEN", "MTL036", f"EnvoyFilter {namespace}/fast")]
    assert [one for one in short(told(found)) if one[1] == "MTL036"] == (of_filter if holds else [])
    assert (row(found).clients is Outcome.PASS) is not holds


def test_our_own_probes_are_no_clients() -> None:
    labels = {"istio-injection": "enabled"}
    probe = {"workload": "Pod client", "dataplane": "sidecar", "ip": "10.0.9.9"}
    name = "meshinstall-probe-1"
    found = verdict(
        probes=[name],
        namespaces={name: {"labels": labels, "roots": ["root"]}},
        pods={f"{name}/client": probe},
        proxies={f"{name}/client": {}},
        clients={"asked": {f"{name}/client": {"problem": "gone"}}},
    )
    assert {one.outcome for one in told(found)} == {Outcome.PASS}
    assert found.clients
    assert found.clients.silent == ()


def test_services_without_a_selector_lead_nowhere() -> None:
    found = verdict(services={"shop/web": None, "shop/ext": {"ports": {80: 8080}, "type": "ExternalName"}})
    (one,) = told(found)
    assert (one.outcome, one.text) == (Outcome.PASS, "no Service sends to this port")


def test_a_gateway_has_clients_in_the_mesh_only_where_a_virtual_service_leads_to_it() -> None:
    services = {"istio-ingress/public": {"selector": {"app": "public"}, "ports": {8443: 8443}}}
    pods = {"istio-ingress/public-1": {"labels": {"app": "public"}}}
    alone = verdict(services=services, pods=pods)
    assert told(alone, "Deployment public", 8443) == []
    led = verdict(services=services, pods=pods, clients={"led": {"crm/out": {"to": "public.istio-ingress.svc.cluster.local"}}})
    assert short(told(led, "Deployment public", 8443)) == [("FAIL", "MTL015", "VirtualService crm/out")]


ENTRY: dict[str, Any] = {
    "object": "WorkloadEntry shop/vm-1",
    "address": "192.0.2.7",
    "service_entry": ["shop", "vm"],
    "hosts": ["vm.internal"],
    "ports": {80: 8080},
}


@pytest.mark.parametrize(
    ("one", "outcome"),
    [
        (cluster("vm.internal", Endpoint("192.0.2.7", 8080, Tls.PLAINTEXT)), Outcome.FAIL),
        (cluster("vm.internal", Endpoint("192.0.2.7", 8080, Tls.MESH)), Outcome.PASS),
        (cluster("vm.internal", anywhere=Tls.PLAINTEXT), Outcome.FAIL),
        (cluster("vm.internal", anywhere=Tls.UNKNOWN), Outcome.NOT_PROVEN),
        (cluster("other.internal", Endpoint("192.0.2.8", 8080, Tls.PLAINTEXT)), Outcome.PASS),
    ],
)
def test_a_part_of_the_mesh_that_is_no_pod_never_passes_and_its_clients_are_asked(one: OutboundCluster, outcome: Outcome) -> None:
    entries = verdicts.make({"facts": {"clients": {"entries": {"shop/vm-1": ENTRY}}}}).facts.clients
    assert entries
    found = facts(one)
    assert found.clients
    vm = row(judged(replace(found, clients=replace(found.clients, entries=entries.entries))), "WorkloadEntry vm-1")
    assert vm.server is Outcome.NOT_PROVEN
    assert vm.clients is outcome


def test_with_only_clients_counting_what_was_not_seen_does_not_pass() -> None:
    found = judge(facts(), Probing({}, "not here", ""), "kind-dev", ["shop", "shpo"])
    assert replace(found, fail_on=FailOn.CLIENTS).outcome is Outcome.NOT_PROVEN
    assert replace(judged(facts()), fail_on=FailOn.CLIENTS).outcome is Outcome.PASS
    assert replace(judged(replace(facts(), unread=("Pod",))), fail_on=FailOn.CLIENTS).outcome is Outcome.NOT_PROVEN
