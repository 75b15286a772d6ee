"""Charts of an upgrade that are not those of meshinstall.lock: nothing of the mesh is changed."""

from dataclasses import replace

import pytest

from meshinstall.config.lockfile import Lock
from meshinstall.engine.staging import upgrade as engine
from meshinstall.engine.staging.terms import Callbacks, End, Result, Terms
from meshinstall.model.release import ChartRef
from tests.fakes import World, digest_of
from tests.unit.engine.staging.upgrading import ALLOWED, NEW, OLD, Gates, agree, files, nothing, start, state

pytestmark = pytest.mark.anyio

CHARTS = ("base", "istiod", "gateway")


def pin(version: str, digest: str = "") -> tuple[ChartRef, ...]:
    """The charts of a version as a lock has them, by their own digests unless one is named."""
    return tuple(ChartRef(name, version, "oci://charts.example", digest or digest_of(name, version)) for name in CHARTS)


async def upgraded(there: World, *pins: ChartRef) -> Result:
    """What an upgrade with this lock comes to."""
    terms = Terms(allow=ALLOWED, judges=Gates().judges())
    session = replace(there.session(), chart_pins=Lock(pins))
    return await engine.upgrade(files, session, terms, Callbacks(lambda _: None, agree, nothing), NEW)


async def test_a_chart_that_is_not_in_the_lock_changes_nothing_and_is_named() -> None:
    """The target's charts are not in meshinstall.lock."""
    there = await start()
    before = state(there)
    result = await upgraded(there, *pin(OLD))
    assert (result.end, result.stage) == (End.UNDONE, "crds")
    assert f"chart base {NEW} is not in meshinstall.lock" in result.why
    assert state(there) == before


async def test_charts_that_are_in_the_lock_are_used() -> None:
    there = await start()
    assert (await upgraded(there, *pin(OLD), *pin(NEW))).stage == "workloads"
