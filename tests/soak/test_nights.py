"""Four nights of the rendered CronJob over one patch, under load, each a pod of the cluster that it upgrades.

One is outside of its windows, one has a broken patch, one has a window that closes in its middle, and one does the rest. Their windows are
minutes away: a schedule of cron that names this hour and minute.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from testbed import pins
from tests.cluster.dirty_mesh import GATEWAYS, INJECTED, under_load
from tests.cluster.job_pod import Nights, nightly_mesh

pytestmark = pytest.mark.cluster

WAVES = ({"name": "first", "namespaces": ["busy"]}, {"name": "rest", "namespaces": ["*"], "parallel": 3})
PROXIED = (*INJECTED, *GATEWAYS)
# Requests of each kind that a load must at least have seen answered to prove something.
ENOUGH = 100
# Exit status: what is left is for owners of workloads to do.
LEFT = 3
# Seconds of a window: a pod has begun by then, and a whole upgrade takes longer.
SHORT = 40


@pytest.fixture(scope="module")
def nights(build_part: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nights]:
    """A mesh of 1.31.0, and a lock that allows its patch."""
    with nightly_mesh("nights", build_part, tmp_path_factory.mktemp("nights")) as found:
        found.write("1.31")
        found.lock()
        yield found


def opens(at: datetime, minutes: int) -> dict[str, Any]:
    """A window of today."""
    return {"kind": "allow", "schedule": f"{at.minute} {at.hour} * * *", "duration": f"{minutes}m"}


def closes_soon() -> dict[str, Any]:
    """A window that is open, and closes after SHORT seconds, or up to a minute later: cron knows no seconds."""
    now = datetime.now(UTC)
    return opens(now, 1 + (now.second + SHORT) // 60)


def test_outside_of_its_windows_a_night_does_nothing(nights: Nights) -> None:
    before = nights.istios.where()
    nights.write("1.31", *WAVES, windows=[opens(datetime.now(UTC) + timedelta(hours=3), 60)])
    nights.apply()
    night = nights.run("outside")
    assert night.status == 0, night
    assert "outside its windows, which open next on" in night.line
    assert nights.istios.where() == before


def test_a_broken_patch_is_taken_back_and_reported(nights: Nights) -> None:
    """No node can pull the new istiod."""
    before = nights.istios.where()
    nights.write("1.31", *WAVES)
    with nights.broken(), under_load(nights.istios.shell) as watched:
        night = nights.run("broken")
    assert night.status == 1, night
    assert night.line.startswith(f"night dev on in-cluster: Istio {pins.ISTIO} → {pins.RESTAMP}, taken back at stage control-plane")
    assert watched.failures == []
    assert watched.least >= ENOUGH
    assert nights.istios.where() == before


def test_the_mended_patch_takes_two_windows(nights: Nights) -> None:
    nights.write("1.31", *WAVES, windows=[closes_soon()])
    nights.apply()
    with under_load(nights.istios.shell) as watched:
        first = nights.run("first")
        assert first.status == 0, first
        assert f"Istio {pins.ISTIO} → {pins.RESTAMP}, paused at stage" in first.line
        assert nights.istios.plan(pins.RESTAMP)["stages"] != []
        nights.write("1.31", *WAVES, windows=[opens(datetime.now(UTC), 60)])
        nights.apply()
        second = nights.run("second")
        assert second.status == LEFT, second
        watched.until_drained()
        nights.istios.restart()
    assert watched.failures == []
    assert nights.istios.istiods() == {"default": pins.RESTAMP}
    assert nights.istios.proxies(*PROXIED) == {(where, "default", pins.RESTAMP) for where in PROXIED}
    last = nights.run("last")
    assert last.status == 0, last
    assert last.line.startswith(f"night dev on in-cluster: Istio {pins.RESTAMP}, nothing to do (")
    assert nights.istios.program.pending() == {}
    assert nights.refused() == []
