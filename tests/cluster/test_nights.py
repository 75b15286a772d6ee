"""Nights of the rendered CronJob: pods of the cluster that they upgrade, with the rights of their own account and no others."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from testbed import pins
from tests.cluster.dirty_mesh import GATEWAYS, INJECTED, under_load
from tests.cluster.job_pod import Nights, nightly_mesh
from tests.cluster.meshinstall_run import REPOSITORY
from tests.cluster.transcript import first_missing, transcript

pytestmark = pytest.mark.cluster

PAGE = REPOSITORY / "docs" / "nightly.md"
PROXIED = (*INJECTED, *GATEWAYS)
# Requests of each kind that a load must at least have seen answered to prove something.
ENOUGH = 100
# Exit status: what is left is for owners of workloads to do.
LEFT = 3


@pytest.fixture(scope="module")
def nights(build_part: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nights]:
    """A mesh of 1.31.0, whose lock allows no other yet."""
    with nightly_mesh("nights", build_part, tmp_path_factory.mktemp("nights")) as found:
        yield found


def test_a_night_with_nothing_to_do_says_so_and_changes_nothing(nights: Nights) -> None:
    nights.write("1.31")
    nights.apply()
    before = nights.istios.where()
    night = nights.run("nothing")
    assert night.status == 0, night
    assert night.line.startswith(f"night dev on in-cluster: Istio {pins.ISTIO}, nothing to do (")
    assert first_missing(transcript(PAGE, "A first night, now"), night.log) == ""
    assert nights.istios.where() == before
    assert nights.refused() == []


def test_a_patch_that_the_lock_allows_comes_at_night_without_a_failed_request(nights: Nights) -> None:
    """A re-stamp: the code of 1.31.0 with the number 1.31.1."""
    nights.write("1.31", {"name": "first", "namespaces": ["busy"]}, {"name": "rest", "namespaces": ["*"], "parallel": 3})
    nights.lock()
    nights.apply()
    with under_load(nights.istios.shell) as watched:
        night = nights.run("patch")
        assert night.status == LEFT, night
        watched.until_drained()
        assert ("busy", "default", pins.RESTAMP) in nights.istios.proxies("busy")
        nights.istios.restart()
    assert night.line.startswith(f"night dev on in-cluster: Istio {pins.ISTIO} → {pins.RESTAMP}, left to owners at stage workloads")
    assert watched.failures == []
    assert watched.least >= ENOUGH
    assert nights.istios.istiods() == {"default": pins.RESTAMP}
    assert nights.istios.proxies(*PROXIED) == {(where, "default", pins.RESTAMP) for where in PROXIED}
    last = nights.run("last")
    assert last.status == 0, last
    assert last.line.startswith(f"night dev on in-cluster: Istio {pins.RESTAMP}, nothing to do (")
    assert nights.istios.program.pending() == {}
    assert nights.refused() == []
