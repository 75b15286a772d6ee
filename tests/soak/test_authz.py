"""Twenty thousand requests that hypothesis makes are decided as istiod's own filters decide them in a real Envoy."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.referees.authz_court import Court, first

ROUNDS, CASES, REQUESTS = 20, 130, 12
# Beside what is undecided and what istiod's webhook refuses.
LEAST = 20_000 // ROUNDS


@pytest.fixture(scope="module")
def court(build_part: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Court:
    return Court(build_part("authz") / "authz", build_part("envoy") / "envoy/_bin/envoy", tmp_path_factory.mktemp("authz"))


@pytest.mark.parametrize("number", range(1000, 1000 + ROUNDS))
def test_requests_are_decided_as_envoy_decides_them(court: Court, number: int) -> None:
    """The number is the seed."""
    found = court.judge(number, CASES, REQUESTS)
    assert not found.disagreements, first(found)
    assert found.decided >= LEAST
    assert found.decided_by_proxy >= LEAST
