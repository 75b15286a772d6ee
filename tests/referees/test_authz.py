"""Requests that hypothesis makes are decided as istiod's own filters decide them in a real Envoy."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.referees.authz_court import Court, first

pytestmark = pytest.mark.tools

CASES, REQUESTS = 60, 8


@pytest.fixture(scope="module")
def court(build_part: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Court:
    return Court(build_part("authz") / "authz", build_part("envoy") / "envoy/_bin/envoy", tmp_path_factory.mktemp("authz"))


def test_requests_are_decided_as_envoy_decides_them(court: Court) -> None:
    found = court.judge(1, CASES, REQUESTS)
    assert not found.disagreements, first(found)
    # Enough of each that agreeing means something.
    assert found.outcomes["allow"] >= CASES * REQUESTS // 10
    assert found.outcomes["deny"] >= CASES * REQUESTS // 10
    assert found.outcomes["401"]
    assert found.decided >= CASES * REQUESTS * 3 // 4
    # What Envoy has tells as much as the policies it was made of.
    assert found.decided_by_proxy >= found.decided
