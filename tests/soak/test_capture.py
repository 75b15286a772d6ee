"""Thousands of arguments of the real istio-iptables: our reading of a pod's spec sends the same packets to the proxy."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given

from tests.referees.capture import Setup, disagreements, setups


@pytest.fixture(scope="module")
def agent(build_part: Callable[[str], Path]) -> Path:
    return build_part("istio") / "pilot-agent"


@pytest.mark.parametrize("_run", range(8))
@given(setup=setups())
def test_packets_go_where_the_rules_send_them(agent: Path, _run: int, setup: Setup) -> None:
    assert disagreements(setup, agent) == []
