"""Nights of the simulated year, from the same seeds, on a real mesh: each is a pod of the cluster that it upgrades, under load."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

import pytest

from testbed import pins
from tests.cluster.dirty_mesh import GATEWAYS, INJECTED, under_load
from tests.cluster.job_pod import Nights, nightly_mesh
from tests.soak.year_nights import Happening, patch_nights

pytestmark = pytest.mark.cluster

# One with a night that is killed, one whose patch is broken for three nights, of which one is killed.
SEEDS = (119, 422)
# Exit statuses: done or nothing to do, taken back, left to owners.
DONE, FAILED, LEFT = 0, 1, 3
WAVES = ({"name": "all", "namespaces": ["*"], "parallel": 3},)
STAGES = ("control-plane", "gateways")


@pytest.fixture
def nights(build_part: Callable[[str], Path], tmp_path: Path) -> Iterator[Nights]:
    """A mesh of 1.31.0, and a lock that allows its patch."""
    with nightly_mesh("year", build_part, tmp_path) as found:
        found.write("1.31")
        found.lock()
        yield found


@pytest.mark.parametrize("seed", SEEDS)
def test_nights_of_the_year_on_a_real_mesh(nights: Nights, seed: int) -> None:
    before, random = nights.istios.verdicts(), Random(seed)  # noqa: S311 - a test that can be repeated
    happenings = patch_nights(seed)
    assert len(happenings) > 1
    for number, one in enumerate(happenings):
        with under_load(nights.istios.shell) as watched:
            one_night(nights, f"night-{number}", one, random)
        assert watched.failures == []
        assert set(nights.istios.istiods().values()) <= {pins.ISTIO, pins.RESTAMP}
    # Whatever was wrong is mended.
    nights.write("1.31", *WAVES)
    nights.apply()
    with under_load(nights.istios.shell) as watched:
        last = nights.run("last")
        assert last.status in {DONE, LEFT}, last
        nights.istios.restart()
    assert watched.failures == []
    assert nights.istios.istiods() == {"default": pins.RESTAMP}
    proxied = (*INJECTED, *GATEWAYS)
    assert nights.istios.proxies(*proxied) == {(where, "default", pins.RESTAMP) for where in proxied}
    assert nights.istios.verdicts() == before
    assert nights.istios.program.pending() == {}
    assert nights.refused() == []


def one_night(nights: Nights, name: str, happening: Happening, random: Random) -> None:
    """The night as the year has it; what it leaves is the mesh's own affair until the last one."""
    now = datetime.now(UTC)
    opens = now if happening.is_open else now + timedelta(hours=3)
    nights.write("1.31", *WAVES, windows=[{"kind": "allow", "schedule": f"{opens.minute} {opens.hour} * * *", "duration": "60m"}])
    nights.apply()
    with nights.broken() if happening.is_broken else nullcontext():
        if happening.is_killed:
            nights.kill(name, random.choice(STAGES[: 1 if happening.is_broken else None]))
            return
        night = nights.run(name)
        assert night.status in ({FAILED} if happening.is_broken and happening.is_open else {DONE, LEFT}), night
