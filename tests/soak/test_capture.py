"""Thousands of arguments of the real istio-iptables: our reading of a pod's spec sends the same packets to the proxy."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, seed

from tests.referees.capture import Setup, disagreements, setups

ROUNDS = 10


@pytest.fixture(scope="module")
def agent(build_part: Callable[[str], Path]) -> Path:
    return build_part("istio") / "pilot-agent"


@pytest.mark.parametrize("number", range(ROUNDS))
def test_packets_go_where_the_rules_send_them(agent: Path, number: int) -> None:
    """The round is the seed."""

    @seed(number)
    @given(setup=setups())
    def holds(setup: Setup) -> None:
        assert disagreements(setup, agent) == []

    holds()
