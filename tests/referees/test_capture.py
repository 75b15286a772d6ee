"""The real istio-iptables against our reading of a pod's spec."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings

from tests.referees.capture import Setup, disagreements, setups

pytestmark = pytest.mark.tools
USUAL = ("-u", "1337", "-m", "REDIRECT", "-i", "*", "-x", "", "-b", "*", "-d", "15090,15021,15020")


@pytest.fixture(scope="module")
def agent(build_part: Callable[[str], Path]) -> Path:
    return build_part("istio") / "pilot-agent"


@settings(max_examples=60)
@given(setup=setups())
def test_packets_go_where_the_rules_send_them(agent: Path, setup: Setup) -> None:
    assert disagreements(setup, agent) == []


@pytest.mark.parametrize(
    "setup",
    [
        Setup(USUAL, (), None, None),
        Setup(USUAL, (), 1337, None),
        Setup((*USUAL, "-o", "80"), (), None, None),
        Setup((*USUAL, "-c", "net1"), (), None, None),
        Setup((*USUAL, "-m", "TPROXY"), (), None, None),
        Setup((*USUAL, "-k", "vif0", "-i", "10.0.0.0/8"), (), None, None),
    ],
    ids=["usual", "as the proxy", "a port", "an interface", "TPROXY", "a virtual machine"],
)
def test_pods_of_the_field(agent: Path, setup: Setup) -> None:
    assert disagreements(setup, agent) == []
