"""ServiceEntries may name what is in the mesh: clients then leave the mesh's TLS by hosts of other names."""

from dataclasses import replace
from typing import Any

import pytest

from meshinstall.checks.mtls.judge import judge
from meshinstall.model.clients import ClientGroup, Endpoint, NamedHosts, OutboundCluster, Outlook, Tls
from meshinstall.model.mesh import Place
from meshinstall.model.verdict import Evidence, Outcome
from meshinstall.model.wire import Probing
from tests.cases import verdicts
from tests.unit.checks.mtls.client_worlds import told

WEB = "web.shop.svc.cluster.local"
HIGH = "10.1.0.1"
ANY = "0.0.0.0"  # noqa: S104 - nothing is bound here
ENTRY = Place("shop", "own")
EDGE = Place("istio-ingress", "public-1")


def way(host: str, address: str = "", port: int = 80) -> OutboundCluster:
    """A cluster that sends plaintext to an address, or to any."""
    ends = (Endpoint(address, port, Tls.PLAINTEXT),) if address else ()
    return OutboundCluster(f"outbound|{port}||{host}", host, port, "", None if address else Tls.PLAINTEXT, ends)


def heard(  # noqa: PLR0913 - each case differs by one or two
    one: OutboundCluster,
    *,
    client: Place = EDGE,
    headless: bool = False,
    names: tuple[str, ...] = (),
    knows: bool = True,
    listens: frozenset[tuple[str, int]] | None = None,
) -> list[Evidence]:
    """What is said of clients where one of them holds a cluster more, which a ServiceEntry made."""
    services = {"shop/web": {"addresses": [] if headless else [HIGH]}}
    found = verdicts.make({"facts": {"clients": {}, "services": services}}).facts
    assert found.clients
    usual = next(group.outlook for group in found.clients.groups if client in group.pods)
    clusters = tuple(other for other in usual.clusters if knows or other.host != WEB)
    mine = ClientGroup((client,), Outlook((*clusters, one), listens=listens), client)
    others = tuple(group for group in found.clients.groups if client not in group.pods)
    clients = replace(found.clients, groups=(mine, *others), named=(NamedHosts(ENTRY, (one.host,), names),))
    return told(judge(replace(found, clients=clients), Probing({}, "not here", ""), "kind-dev"))


@pytest.mark.parametrize(
    ("one", "how"),
    [
        (way(f"web-1.{WEB}", f"web-1.{WEB}", 8080), {"headless": True}),
        (way(f"10-0-1-1.{WEB}", f"10-0-1-1.{WEB}", 8080), {"headless": True}),
        (way(f"*.{WEB}", port=8080), {"headless": True}),
        (way("own.test"), {"names": (HIGH,)}),
        (way("own.test"), {"names": (f"{HIGH}/32",)}),
        (way("own.test", port=8080), {"names": ("10.0.1.1",), "headless": True}),
        (way("own.test"), {"names": ("10.1.0.0/16",)}),
        (way("own.test"), {"names": ("not one/8", "10.1.0.9/24"), "listens": frozenset({(ANY, 80)})}),
        (way("own.test", port=8080), {"names": ("10.0.0.0/8",), "headless": True}),
        (way("own.test", "web"), {"client": Place("shop", "api-0")}),
        (way("*.shop.svc.cluster.local"), {"knows": False}),
        (way("*.local"), {"knows": False}),
    ],
)
def test_a_host_of_another_name_that_leads_to_the_port_counts(one: OutboundCluster, how: dict[str, Any]) -> None:
    # Another pod of a headless Service may be reached otherwise.
    (said,) = (some for some in heard(one, **how) if some.outcome is not Outcome.PASS)
    assert (said.outcome, said.code, said.object) == (Outcome.FAIL, "MTL015", f"ServiceEntry {ENTRY}")


@pytest.mark.parametrize(
    ("one", "how"),
    [
        (way(f"web-9.{WEB}", f"web-9.{WEB}", 8080), {"headless": True}),
        (way(f"web-1.{WEB}", f"web-1.{WEB}", 8081), {"headless": True}),
        (way(f"web-1.{WEB}", f"web-1.{WEB}", 8080), {}),
        (way("own.test"), {"names": ("10.1.0.2",)}),
        (way("own.test", port=81), {"names": (HIGH,)}),
        (way("own.test"), {"names": ("10.2.0.0/16", "fd00::/8")}),
        (way("own.test", port=81), {"names": ("10.1.0.0/16",)}),
        # Who has a listener at the Service's own address sends by that.
        (way("own.test"), {"names": ("10.1.0.0/16",), "listens": frozenset({(ANY, 80), (HIGH, 80)})}),
        (way("own.test", "web"), {}),
        (way("*.shop.svc.cluster.local"), {}),
        (way("*.crm.svc.cluster.local"), {"knows": False}),
        (way("*.shop.svc.cluster.local", port=81), {"knows": False}),
    ],
)
def test_what_leads_elsewhere_does_not(one: OutboundCluster, how: dict[str, Any]) -> None:
    assert {said.outcome for said in heard(one, **how)} == {Outcome.PASS}
