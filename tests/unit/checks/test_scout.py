"""A scout that lacks anything of the live gateway fails and names it; what is more is only shown; how it is said does not matter."""

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from meshinstall.checks.scout import Terms, judge
from meshinstall.model.gate import GateCheck, GateOutcome
from meshinstall.model.gateway_config import GatewayConfig
from tests.unit.engine.mesh.gateway_dumps import Dump, dumps, hosts_of, http, other_words, removals, route, secret, shop, tcp

WEB = "outbound|80||web.shop.svc.cluster.local"


def compared(live: Dump, scout: Dump, terms: Terms | None = None) -> GateCheck:
    return judge("scout", live.config(), scout.config(), terms or Terms())


@given(dumps(), st.data())
def test_the_same_in_other_words_passes(live: Dump, data: st.DataObject) -> None:
    found = compared(live, other_words(data, live))
    assert found.outcome is GateOutcome.PASS
    assert found.evidence == ()


@given(dumps(), st.data())
def test_whatever_is_missing_fails_and_is_named(live: Dump, data: st.DataObject) -> None:
    """Listeners, routes, secrets or roots vanish with the new version."""
    scout = live.copy()
    words, remove = data.draw(st.sampled_from(removals(scout)))
    remove()
    found = compared(live, other_words(data, scout))
    assert found.outcome is GateOutcome.FAIL
    assert any(line.startswith("missing: ") and f"{words} " in f"{line} " for line in found.evidence), (words, found)


@given(dumps(), st.data())
def test_whatever_is_added_passes_and_is_shown(scout: Dump, data: st.DataObject) -> None:
    live = scout.copy()
    words, remove = data.draw(st.sampled_from(removals(live)))
    remove()
    found = compared(live, other_words(data, scout))
    assert found.outcome is GateOutcome.PASS
    assert any(line.startswith("added: ") and f"{words} " in f"{line} " for line in found.evidence), (words, found)


@given(dumps(), st.data())
def test_a_route_that_leads_elsewhere_fails(live: Dump, data: st.DataObject) -> None:
    scout = live.copy()
    assume(hosts_of(scout))
    one = data.draw(st.sampled_from([one for host in hosts_of(scout) for one in host["routes"]]))
    one["route"] = {"cluster": "BlackHoleCluster"}
    assert compared(live, scout).outcome is GateOutcome.FAIL


@given(dumps())
def test_several_live_pods_count_together(one: Dump) -> None:
    other = shop()
    live = one.config() | other.config()
    assert judge("scout", live, live, Terms()).outcome is GateOutcome.PASS
    missing = judge("scout", live, one.config(), Terms()).outcome is GateOutcome.FAIL
    assert missing is (one.config() | other.config() != one.config())


def test_a_missing_root_fails() -> None:
    live, scout = shop(), shop()
    scout.secrets[1] = secret("ROOTCA", "root-2")
    found = compared(live, scout)
    assert found.outcome is GateOutcome.FAIL
    assert found.words == "the scout lacks trusted root ROOTCA root-1"
    assert found.evidence == ("missing: trusted root ROOTCA root-1", "added: trusted root ROOTCA root-2")


def test_what_is_in_a_missing_listener_is_not_named_a_second_time() -> None:
    live, scout = shop(), shop()
    del scout.listeners[0]
    assert compared(live, scout).evidence == ("missing: listener 0.0.0.0:80",)


def test_a_route_that_is_missing_for_every_server_name_is_named_once() -> None:
    scout = shop()
    scout.tables[1]["route_config"]["virtual_hosts"][0]["routes"] = []
    assert compared(shop(), scout).evidence == (f"missing: route 0.0.0.0:443, host shop.example.com, path prefix / → {WEB}",)


def test_routes_of_a_missing_server_name_are_not_named_a_second_time() -> None:
    scout = shop()
    scout.listeners[1]["active_state"]["listener"]["filter_chains"][0]["filter_chain_match"]["server_names"].remove("shop.example.com")
    assert compared(shop(), scout).evidence == ("missing: filter chain 0.0.0.0:443, server name shop.example.com, terminates TLS",)


def two_chains(first: str, second: str) -> Dump:
    """One port with two certificates, of which each leads all hosts to a cluster of its own."""
    one, its_table = http(443, {"*": [route("/", first)]}, names=["a.example.com"], table="a")
    other, other_table = http(443, {"*": [route("/", second)]}, names=["b.example.com"], table="b")
    one["active_state"]["listener"]["filter_chains"] += other["active_state"]["listener"]["filter_chains"]
    return Dump(shop().info, [one], [its_table, other_table], [])


def test_the_routes_of_a_missing_chain_are_not_named_a_second_time() -> None:
    scout = two_chains("one", "other")
    del scout.listeners[0]["active_state"]["listener"]["filter_chains"][0]
    found = compared(two_chains("one", "other"), scout)
    assert found.evidence == ("missing: filter chain 0.0.0.0:443, server name a.example.com, terminates TLS",)


def test_the_server_name_tells_apart_what_the_host_does_not() -> None:
    found = compared(two_chains("one", "other"), two_chains("other", "one"))
    assert found.outcome is GateOutcome.FAIL
    assert "missing: route 0.0.0.0:443, server name a.example.com, host *, path prefix / → one" in found.evidence


def test_a_pass_says_how_much_was_compared() -> None:
    found = compared(shop(), shop())
    assert found.words == (
        "the scout serves all that the live gateway serves: 3 listeners, 4 filter chains, 6 routes, 3 secrets, 1 trusted root"
    )


def test_a_gateway_without_listeners_passes_and_says_so() -> None:
    bare = Dump(shop().info, [], [], shop().secrets)
    assert "no Gateway gives it a listener, 3 secrets, 1 trusted root" in compared(bare, shop()).words


def translated(port: int) -> Dump:
    """The listener of port 80 of the Service, on this port of the pod."""
    listener, table = http(port, {"shop.example.com": [route("/", WEB)]})
    return Dump(shop().info, [listener], [table], [])


def test_a_port_of_the_service_is_the_pods_port_that_it_leads_to() -> None:
    terms = Terms({8080: frozenset({80})})
    assert compared(translated(8080), translated(80), terms).outcome is GateOutcome.PASS
    assert compared(translated(8080), translated(80), terms).evidence == ()
    assert compared(translated(8080), translated(8080), terms).outcome is GateOutcome.PASS
    assert compared(translated(8080), translated(81), terms).outcome is GateOutcome.FAIL
    assert compared(translated(8080), translated(80)).outcome is GateOutcome.FAIL


def test_what_the_scout_may_not_listen_on_is_not_proven() -> None:
    terms = Terms({8080: frozenset({80})}, unbindable=frozenset({8080}))
    empty = Dump(shop().info, [], [], [])
    found = compared(translated(8080), empty, terms)
    assert found.outcome is GateOutcome.NOT_PROVEN
    assert "may not use those" in found.words
    both = translated(8080)
    both.listeners.append(tcp(9000, WEB))
    assert compared(both, empty, terms).outcome is GateOutcome.FAIL


def test_with_an_excuse_what_is_missing_is_not_proven_and_what_is_there_passes() -> None:
    terms = Terms(excuses=("EnvoyFilter istio-ingress/x selects the gateway",))
    scout = shop()
    del scout.listeners[0]
    found = compared(shop(), scout, terms)
    assert found.outcome is GateOutcome.NOT_PROVEN
    assert found.words.endswith("but EnvoyFilter istio-ingress/x selects the gateway")
    assert compared(shop(), shop(), terms).outcome is GateOutcome.PASS


def test_much_that_is_missing_is_counted() -> None:
    live = Dump(shop().info, [tcp(port, WEB) for port in range(1, 31)], [], [])
    found = compared(live, Dump(shop().info, [], [], []))
    assert found.words.endswith("and 25 more")
    assert len(found.evidence) == 21
    assert found.evidence[-1] == "missing: 10 more"


@pytest.mark.parametrize("hostile", ["a\x1b[31mb", "a\nfix: kubectl delete", "##[error]x"])
def test_words_of_tenants_are_one_line(hostile: str) -> None:
    listener, table = http(80, {"shop.example.com": [route("/", hostile)]})
    live = Dump(shop().info, [listener], [table], [])
    (line, *_) = compared(live, Dump(shop().info, [], [], [])).evidence
    assert line == "missing: listener 0.0.0.0:80"
    bare: Any = http(80, {})
    found = compared(live, Dump(shop().info, [bare[0]], [bare[1]], []))
    assert found.outcome is GateOutcome.FAIL
    assert all(one.isprintable() and hostile not in one for one in (*found.evidence, found.words))


def test_nothing_is_compared_with_nothing() -> None:
    assert GatewayConfig() | GatewayConfig() == GatewayConfig()
