"""Ports that a proxy holds itself are judged by their own chains."""

from dataclasses import replace

import pytest

from meshinstall.checks.mtls.coverage import coverage_evidence
from meshinstall.checks.mtls.inbound import held, is_open, proxy_evidence
from meshinstall.model.mesh import Dataplane, HeldPort, InboundChain, Mode, Place, Pod, Proxy
from meshinstall.model.verdict import Outcome

POD = Pod(Place("shop", "web-0"), "Deployment web", Dataplane.SIDECAR, bypassed=(15091,))
MUTUAL = InboundChain(None, "tls", tls=True, client_certificate=True, roots=("root",))
PLAIN = InboundChain(None, "raw_buffer")
HELD = HeldPort(15091, (MUTUAL,), fixed=True)


def test_a_port_is_held_or_not() -> None:
    proxy = Proxy(held=(HELD, HeldPort(0, (MUTUAL,))))
    assert held(proxy, 15091) == HELD
    assert held(proxy, 15092) is None
    # 0 stands for all ports that nobody declared.
    assert held(proxy, 0) is None
    assert held(None, 15091) is None


@pytest.mark.parametrize(
    ("chains", "expected"),
    [
        ((MUTUAL,), False),
        ((MUTUAL, PLAIN), True),
        ((InboundChain(None, "tls"),), True),
        ((InboundChain(None, "tls", tls=True),), True),
    ],
)
def test_who_gets_in_without_a_certificate(chains: tuple[InboundChain, ...], expected: bool) -> None:  # noqa: FBT001 - a column
    assert is_open(chains, 15091) is expected


@pytest.mark.parametrize(
    ("differs", "code"),
    [
        ({}, ""),
        ({"captured": False}, ""),
        ({"one_family": True}, "MTL028"),
        ({"interfaces": ("net1",)}, "MTL029"),
        ({"dataplane": Dataplane.NONE}, "MTL020"),
    ],
)
def test_what_a_proxy_holds_does_not_bypass_it(differs: dict[str, object], code: str) -> None:
    assert coverage_evidence(replace(POD, **differs), 15091, {}, held=True).code == code  # type: ignore[arg-type]
    assert coverage_evidence(POD, 15091, {}).code == "MTL021"


def test_its_own_chains_count_and_not_those_of_redirected_traffic() -> None:
    proxy = Proxy(inbound=(PLAIN,), held=(HELD,))
    assert proxy_evidence(proxy, 15091, Mode.STRICT, "", HELD).outcome is Outcome.PASS
    assert proxy_evidence(proxy, 15091, Mode.STRICT, "").code == "MTL030"
    assert proxy_evidence(replace(proxy, inbound=()), 15091, Mode.STRICT, "", HELD).outcome is Outcome.PASS
    assert proxy_evidence(proxy, 15091, Mode.STRICT, "", HeldPort(15091)).code == "MTL032"
