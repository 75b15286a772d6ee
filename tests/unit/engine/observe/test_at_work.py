"""Records and summaries with times that no clock shows are no reason for a traceback."""

from dataclasses import replace

import pytest

from meshinstall.engine.observe.at_work import helms_at_work
from meshinstall.model.facts import Facts
from meshinstall.model.ownership import summary_path
from meshinstall.model.plan import Action, Plan, ReleaseStep
from meshinstall.model.release import ChartRef, Component, ReleaseKey, ReleaseRecord, ReleaseStatus
from tests.fake_kube import NOON
from tests.fakes import World

KEY = ReleaseKey("istio-system", "istiod")
CHART = ChartRef("istiod", "1.31.0", "oci://charts")
RECORD = ReleaseRecord(KEY, 1, ReleaseStatus.PENDING_UPGRADE, "istiod", "1.31.0", "1.31.0", {}, "", "", NOON.isoformat())
STEP = ReleaseStep(name="istiod", action=Action.UPGRADE, release=KEY, component=Component.ISTIOD, chart=CHART, repair=True)
PLAN = Plan("dev", "here", "default", "1.31.0", "istio-system", (STEP,))


@pytest.mark.anyio
@pytest.mark.parametrize("finished", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59", "soon", ""])
@pytest.mark.parametrize("updated", [NOON.isoformat(), "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+23:59", "soon", ""])
async def test_any_time_is_compared(finished: str, updated: str) -> None:
    world = World()
    world.kube.objects[summary_path("istio-system")] = {
        "metadata": {"name": "meshinstall"},
        "data": {"result": "failed", "finished": finished},
    }
    facts = Facts("1.35", releases={KEY: replace(RECORD, updated=updated)})
    assert {record.key for record in await helms_at_work(PLAN, facts, world.session())} <= {KEY}
