"""Listeners that an Envoy has on ports of its own beside the one for redirected traffic."""

from typing import Any
from urllib.parse import unquote

import pytest

from meshinstall.engine.mesh.envoy import dump_path, read_dump
from meshinstall.errors import ClusterError
from meshinstall.model.mesh import HeldPort, InboundChain
from tests.unit.engine.mesh.kube_worlds import pod
from tests.unit.engine.mesh.survey_world import ROOT_FACTS, WEB, Mesh, of
from tests.unit.engine.mesh.test_envoy import changed, part
from tests.unit.engine.mesh.test_redirection import PROXY, init, listening

ANY = "0.0.0.0"  # noqa: S104 - nothing is bound here
CONTEXT = {
    "require_client_certificate": True,
    "common_tls_context": {"combined_validation_context": {"validation_context_sds_secret_config": {"name": "ROOTCA"}}},
}
MUTUAL = {
    "filter_chain_match": {"transport_protocol": "tls"},
    "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": CONTEXT},
}


def bound(port: int, *addresses: str, chain: Any = None, **more: Any) -> dict[str, Any]:
    sockets = [{"socket_address": {"address": one, "port_value": port}} for one in addresses]
    others = [{"address": one} for one in sockets[1:]]
    return {"address": sockets[0], "additional_addresses": others, "filter_chains": [chain or MUTUAL], **more}


def dump(*, static: Any = (), dynamic: Any = ()) -> bytes:
    def change(whole: dict[str, Any]) -> None:
        listeners = part(whole, "ListenersConfigDump")
        listeners["static_listeners"] = [{"listener": one} for one in static]
        listeners["dynamic_listeners"] += [{"name": "own", "active_state": {"listener": one}} for one in dynamic]

    return changed(change)


def test_the_request_names_the_ports_that_envoy_may_hold() -> None:
    usual = "/config_dump?name_regex=^(virtualInbound|default|ROOTCA{})$"
    assert unquote(dump_path()) == usual.format("")
    assert unquote(dump_path("10.0.0.8", [15092, 15091])) == usual.format(r"|(0\.0\.0\.0|::|10\.0\.0\.8)_(15091|15092)")
    assert unquote(dump_path("", [80])) == usual.format(r"|(0\.0\.0\.0|::)_(80)")
    assert len(dump_path("10.0.0.8", range(65536))) < 4096


def test_listeners_of_the_bootstrap_and_inbound_ones_are_read() -> None:
    inbound = bound(8080, "10.0.0.8", "fd00::8", traffic_direction="INBOUND")
    outbound = bound(80, ANY, traffic_direction="OUTBOUND", chain={"transport_socket": {"name": "odd"}})
    found = read_dump(dump(static=[bound(15091, ANY)], dynamic=[inbound, outbound]))
    assert [(one.port, one.addresses, one.fixed) for one in found.bound] == [
        (8080, ("10.0.0.8", "fd00::8"), False),
        (15091, (ANY,), True),
    ]
    assert [chain.chain for one in found.bound for chain in one.chains] == [
        InboundChain(None, "tls", tls=True, client_certificate=True)
    ] * 2
    assert {chain.trusted for one in found.bound for chain in one.chains} == {found.roots}
    assert found.chains == read_dump(dump()).chains


@pytest.mark.parametrize(
    ("addresses", "address", "expected"),
    [
        ([ANY], "10.0.0.8", True),
        (["10.0.0.8"], "10.0.0.8", True),
        (["10.0.0.9", "10.0.0.8"], "10.0.0.8", True),
        (["127.0.0.1"], "10.0.0.8", False),
        # Envoy takes no IPv4 there.
        (["::"], "10.0.0.8", False),
        (["::"], "fd00::8", True),
        ([ANY], "fd00::8", False),
    ],
)
def test_a_listener_gets_what_its_addresses_take(addresses: list[str], address: str, expected: bool) -> None:  # noqa: FBT001 - a column
    (one,) = read_dump(dump(static=[bound(15091, *addresses)])).bound
    assert one.covers(address) is expected


@pytest.mark.anyio
async def test_ports_whose_traffic_is_not_redirected_are_asked_about() -> None:
    mesh = Mesh()
    mesh.add("v1", "pods", pod(inits=[init("-d", "15091,15092")], containers=[listening(8080), PROXY], labels={"app": "web"}))
    told = dump(static=[bound(15091, ANY), bound(15092, "127.0.0.1")])
    mesh.pods.answers[(*WEB, 15000, dump_path("10.0.0.8", [15091, 15092]))] = of(WEB, told)
    chain = InboundChain(None, "tls", tls=True, client_certificate=True, roots=(ROOT_FACTS.fingerprint,))
    assert (await mesh.look()).proxies[WEB].held == (HeldPort(15091, (chain,), fixed=True),)


@pytest.mark.anyio
async def test_without_redirection_all_ports_are() -> None:
    mesh = Mesh()
    mesh.add("v1", "pods", pod(inits=[], containers=[listening(8080), PROXY]))
    told = dump(dynamic=[bound(8080, ANY, traffic_direction="INBOUND")])
    mesh.pods.answers[(*WEB, 15000, dump_path("10.0.0.8", [8080]))] = of(WEB, told)
    (one,) = (await mesh.look()).proxies[WEB].held
    assert (one.port, one.fixed) == (8080, False)


def test_a_listener_that_cannot_be_read_is_refused() -> None:
    odd = bound(15091, ANY, chain={"transport_socket": {"name": "odd"}})
    with pytest.raises(ClusterError, match="unknown transport socket odd"):
        read_dump(dump(static=[odd]))
