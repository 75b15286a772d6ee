"""The index of clients says the same as a look at each of them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshinstall.checks.mtls.outlooks import Outlooks
from meshinstall.model.clients import ClientGroup, Endpoint, OutboundCluster, Outlook, Tls
from meshinstall.model.mesh import Dataplane, Outbound, Place, Pod, PortRange
from meshinstall.model.verdict import Clients

HOSTS, PORTS = ("web", "api"), (80, 81)


def pod(name: str, **more: Any) -> Pod:
    workload = more.pop("workload", f"Deployment {name}")
    return Pod(Place("shop", name), workload, more.pop("dataplane", Dataplane.SIDECAR), **more)


def outlooks(pods: list[Pod], *groups: ClientGroup) -> Outlooks:
    return Outlooks.of(groups, {one.place: one for one in pods}, lambda one: one.revision)


def answered(one: Pod, outlook: Outlook, *others: Pod) -> ClientGroup:
    return ClientGroup((one.place, *(other.place for other in others)), outlook, one.place)


def cluster(host: str, port: int, *endpoints: Endpoint, anywhere: Tls | None = None) -> OutboundCluster:
    return OutboundCluster(f"outbound|{port}||{host}", host, port, "", anywhere, endpoints)


CLUSTERS = st.lists(st.builds(cluster, st.sampled_from(HOSTS), st.sampled_from(PORTS)), max_size=4)
OUTLOOKS = st.lists(st.builds(lambda clusters, passes_on: Outlook(tuple(clusters), passes_on), CLUSTERS, st.booleans()), max_size=70)


@given(OUTLOOKS)
def test_who_does_not_know_a_port_and_passes_it_on(told: list[Outlook]) -> None:
    pods = [pod(f"pod-{number}") for number in range(len(told))]
    found = outlooks(pods, *(answered(one, outlook) for one, outlook in zip(pods, told, strict=True)))
    for host in HOSTS:
        for port in PORTS:
            expected = [
                one.workload
                for one, outlook in zip(pods, told, strict=True)
                if outlook.passes_on and not any((held.host, held.port) == (host, port) for held in outlook.clusters)
            ]
            assert sorted(client for kind in found.unaware(host, port) for _, client in found.kinds[kind].clients) == sorted(expected)


def test_one_outlook_of_several_groups_is_one_kind() -> None:
    same, pods = Outlook((), passes_on=True), [pod("a"), pod("b"), pod("c", workload="Deployment a")]
    found = outlooks(pods, answered(pods[0], same, pods[2]), answered(pods[1], same))
    (kind,) = found.kinds
    assert (kind.clients, kind.pods, kind.asked) == ((("shop", "Deployment a"), ("shop", "Deployment b")), 3, 2)
    assert found.counts == Clients(2, 1)


def test_only_ways_out_of_the_meshs_tls_are_indexed_and_all_addresses_are_known_to_be_reached() -> None:
    ends = [Endpoint(f"10.0.0.{number}", 8080, tls) for number, tls in enumerate(Tls)]
    one = pod("a")
    found = outlooks([one], answered(one, Outlook((cluster("web", 80, *ends), cluster("api", 80, anywhere=Tls.MESH)))))
    assert {address: way.tls for (address, _), ways in found.leaves.items() for way in ways} == {
        end.address: end.tls for end in ends if end.tls is not Tls.MESH
    }
    assert set(found.reached) == {(end.address, 8080) for end in ends}
    assert found.anywhere == {}


def test_groups_of_others_are_nobodys() -> None:
    other = pod("gone")
    found = outlooks([], answered(other, Outlook((), passes_on=True)), ClientGroup((other.place,), problem="gone"))
    assert (found.kinds, found.silent, found.counts) == ((), (), Clients(0, 0))


def test_a_client_of_which_some_pods_are_silent_is_told_once() -> None:
    pods = [pod("a", workload="Deployment a"), pod("b", workload="Deployment a"), pod("c", workload="Deployment a")]
    found = outlooks(pods, answered(pods[0], Outlook()), ClientGroup((pods[1].place,), problem="silent"))
    assert found.silent == (("shop", "Deployment a"),)
    assert found.counts == Clients(1, 0, ("shop/Deployment a",))


SETTINGS = [
    {"outbound": Outbound(captured=False)},
    {"outbound": Outbound(not_ports=(PortRange(80, 80),))},
    {"outbound": Outbound(not_networks=("10.1.0.0/16",))},
    {"outbound": Outbound(networks=("10.2.0.0/16",))},
    {"one_family": True},
    {"host_network": True},
]


@given(st.lists(st.sampled_from(SETTINGS), max_size=6), st.sampled_from(["10.1.0.1", "10.2.0.1", "fd00::1", "", "no address"]))
def test_those_who_pass_by_are_the_same_one_by_one_and_together(settings: list[dict[str, Any]], address: str) -> None:
    pods = [pod(f"pod-{number}", **more) for number, more in enumerate(settings)]
    together = outlooks(pods)
    for port in (*PORTS, *PORTS):
        alone = {(past.client, why) for one in pods for past, why in outlooks([one]).passing_by([address], port)}
        assert {(past.client, why) for past, why in together.passing_by([address], port)} == alone


def test_pods_of_one_workload_that_pass_by_in_one_way_are_told_once() -> None:
    pods = [pod(name, workload="Deployment a", outbound=Outbound(captured=False)) for name in "abc"]
    ((past, _),) = outlooks(pods).passing_by(["10.0.0.1"], 80)
    assert (past.client, past.pods) == ("shop/Deployment a", 3)


@pytest.mark.parametrize("differs", [{"dataplane": Dataplane.GATEWAY}, {"running": False, "active": False}])
def test_gateways_and_what_does_not_run_pass_nothing_by(differs: dict[str, Any]) -> None:
    assert outlooks([pod("a", outbound=Outbound(captured=False), **differs)]).passing_by(["10.0.0.1"], 80) == []


def test_what_starts_or_ends_passes_by_and_nobody_waits_for_its_proxy() -> None:
    found = outlooks([pod("a", outbound=Outbound(captured=False), running=False)])
    assert [past.client for past, _ in found.passing_by(["10.0.0.1"], 80)] == ["shop/Deployment a"]
    assert found.silent == ()


HIGH = "10.9.0.1"


@pytest.mark.parametrize(
    ("listens", "addresses", "aware"),
    [
        (None, [HIGH], True),
        ([("0.0.0.0", 80)], [HIGH], True),  # noqa: S104 - nothing is bound here
        ([(HIGH, 80)], [HIGH], True),
        ([(HIGH, 80)], ["fd00::1", HIGH], True),
        ([("10.9.0.2", 80)], [HIGH], False),
        ([(HIGH, 81)], [HIGH], False),
        ([("127.0.0.1", 80)], [HIGH], False),
        ([("127.0.0.1", 15080)], [HIGH], False),
        ([("127.0.0.1", 80)], [], False),
        ([("127.0.0.1", 80), ("10.0.0.1", 80)], [], True),
        ([], [], True),
    ],
)
def test_a_host_that_a_proxy_takes_elsewhere_alone_is_passed_on(listens: Any, addresses: list[str], *, aware: bool) -> None:
    told = Outlook((cluster("web", 80),), passes_on=True, listens=None if listens is None else frozenset(listens))
    one = pod("a")
    assert bool(outlooks([one], answered(one, told)).unaware("web", 80, addresses)) is not aware
