"""A minor of Istio in a plan: which version it is, why, and what is asked for it."""

from dataclasses import replace

import pytest

from meshinstall.cli.output.plan_markdown import plan_markdown
from meshinstall.cli.output.printers import plan_json, plan_text
from meshinstall.config.lockfile import Lock
from meshinstall.engine.planning import make_plan, make_removal
from meshinstall.engine.session import Session
from meshinstall.errors import ChartError
from meshinstall.model.desired import Desired
from meshinstall.model.plan import Plan, ReleaseStep
from meshinstall.model.release import ChartRef, ReleaseStatus
from tests.cases import plans
from tests.fakes import World, digest_of, record
from tests.unit.engine.installed import ISTIOD, world

pytestmark = pytest.mark.anyio

CHARTS = ("base", "istiod", "gateway")


def minor(written: str = "1.31") -> Desired:
    found = plans.load("fresh").desired
    releases = tuple(replace(release, chart=replace(release.chart, version=written, digest="")) for release in found.releases)
    return replace(found, istio_version=written, releases=releases, version_origin="meshinstall.yaml:2")


def pinning(there: World, *versions: str) -> Session:
    pins = [ChartRef(name, version, "oci://x", digest_of(name, version)) for version in versions for name in CHARTS]
    return replace(there.session(), chart_pins=Lock(tuple(pins)))


def versions(plan: Plan) -> set[str]:
    return {step.chart.version for step in plan.steps if isinstance(step, ReleaseStep)}


async def test_with_a_lock_it_is_the_newest_there_and_no_source_is_asked_whatever_runs() -> None:
    there = world()
    there.releases.records[ISTIOD] = record(ISTIOD, "istiod", "1.31.0")
    there.charts.offered = dict.fromkeys(CHARTS, ("1.31.9",))
    plan = await make_plan(minor(), pinning(there, "1.30.4", "1.31.2", "1.31.1", "1.31.3-rc.1"))
    assert versions(plan) == {"1.31.2"}
    assert plan.istio_choice == "1.31.2, the newest in meshinstall.lock (1.31: meshinstall.yaml:2)"
    assert not [asked for asked in there.charts.asked if asked.startswith(("versions", "resolve"))]


async def test_without_a_lock_what_runs_stays() -> None:
    there = world()
    there.releases.records[ISTIOD] = record(ISTIOD, "istiod", "1.31.0")
    there.charts.offered = dict.fromkeys(CHARTS, ("1.31.0", "1.31.9"))
    plan = await make_plan(minor(), there.session())
    assert (versions(plan), plan.istio_version) == ({"1.31.0"}, "1.31.0")
    assert plan.istio_choice == "1.31.0, which runs (1.31: meshinstall.yaml:2)"
    assert not [asked for asked in there.charts.asked if asked.startswith("versions")]


async def test_a_fresh_mesh_takes_the_newest_that_the_source_has_and_says_so_everywhere() -> None:
    there = world()
    there.charts.offered = dict.fromkeys(CHARTS, ("1.31.0", "1.31.9", "1.31.10", "1.32.0", "1.31.11-beta.0"))
    plan = await make_plan(minor(), there.session())
    assert versions(plan) == {"1.31.10"}
    words = "1.31.10, the newest of oci://registry.example/charts (1.31: meshinstall.yaml:2)"
    assert f"\nVersion: {words}\n" in plan_text(plan)
    assert f"\nVersion: `{words}`\n" in plan_markdown(plan)
    assert plan_json(plan)["istioChoice"] == words
    assert plan_json(plan)["istioVersion"] == "1.31.10"


async def test_a_lock_with_an_older_patch_than_what_runs_is_a_downgrade_as_ever() -> None:
    there = world()
    there.releases.records[ISTIOD] = record(ISTIOD, "istiod", "1.31.2")
    plan = await make_plan(minor(), pinning(there, "1.31.1"))
    assert [one.title for one in plan.refusals if one.code == "PRE006"] == ["Istio 1.31.2 would be downgraded to 1.31.1"]


async def test_a_lock_of_other_versions_alone_is_refused() -> None:
    with pytest.raises(ChartError, match=r"meshinstall\.lock pins no release 1\.31\.x of all of the charts base, gateway, istiod"):
        await make_plan(minor(), pinning(world(), "1.30.4", "1.31.0-rc.1"))


async def test_a_version_in_full_asks_nothing_and_has_no_such_line() -> None:
    there = world()
    plan = await make_plan(minor("1.31.0"), there.session())
    assert plan.istio_choice == ""
    assert "istioChoice" not in plan_json(plan)
    assert "Version:" not in plan_text(plan)
    assert not [asked for asked in there.charts.asked if asked.startswith("versions")]


async def test_a_removal_tells_what_runs_and_asks_no_source() -> None:
    there = world()
    there.releases.records[ISTIOD] = record(ISTIOD, "istiod", "1.31.2", status=ReleaseStatus.FAILED)
    plan = await make_removal(minor(), there.session(), crds=False)
    assert plan.istio_version == "1.31.2"
    assert there.charts.asked == []


async def test_a_removal_of_nothing_needs_no_version() -> None:
    there = world()
    plan = await make_removal(minor(), there.session(), crds=False)
    assert (plan.istio_version, there.charts.asked) == ("1.31", [])
