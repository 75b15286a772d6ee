"""A rollback after any stage leads to the start, but for CRDs; and waits for owners as an upgrade does."""

from dataclasses import replace
from typing import Any

import pytest

from meshinstall.engine.staging.terms import End
from meshinstall.errors import PlanRefusedError, UsageError
from meshinstall.model.upgrade import StageName
from tests.fakes import World
from tests.unit.engine.staging.upgrading import ALLOWED, FAIL, OLD, Upgrade, proxies, restart, start, state

pytestmark = pytest.mark.anyio

TENANTS = ("pods of lab/web", "pods of shop/web")


def but_crds(there: World) -> dict[str, Any]:
    """The state, but for the release of the CRDs, which stay, and what the owners' restarts leave."""
    return {name: value for name, value in state(there).items() if name not in {"istio-system/istio-base", *TENANTS}}


@pytest.mark.parametrize("stage", ["control-plane", "scout", "canary", "gateways", "tags", "workloads", "default"])
async def test_after_any_stage_it_leads_to_the_start(stage: str) -> None:
    there = await start()
    begun = but_crds(there)
    run = Upgrade(there)
    await run.to(until=StageName(stage))
    if stage in {"workloads", "default"}:
        restart(there, "shop")
        await run.to(until=StageName(stage))
    result = await run.back()
    moved = {space for space in ("lab", "shop") if proxies(there)[f"{space}/web"] != [("default", OLD)]}
    assert (result.end, result.stage) == ((End.HELD, "workloads") if moved else (End.DONE, ""))
    assert len(result.left) == len(moved)
    assert result.is_back
    for space in moved:
        restart(there, space)
    if moved:
        result = await run.back()
    assert result.end is End.DONE, (result.why, result.left)
    assert but_crds(there) == begun
    assert set(map(str, proxies(there).values())) == {str([("default", OLD)])}


async def test_nothing_of_it_is_taken_back_by_itself() -> None:
    there = await start(has_tenants=False)
    await Upgrade(there).to(until=StageName.TAGS)
    run = Upgrade(there)
    run.gates.says["tags rest"] = FAIL
    result = await run.back()
    assert (result.end, result.stage) == (End.FAILED, "tags")
    assert not [name for name in state(there) if "revision-tag-default" in name]


async def test_without_a_second_istiod_a_version_has_to_be_named() -> None:
    there = await start()
    with pytest.raises(UsageError, match="no second istiod runs that the mesh could go back to"):
        await Upgrade(there).back()


async def test_in_place_it_is_a_downgrade_that_has_to_be_allowed() -> None:
    there = await start()
    with pytest.raises(PlanRefusedError, match=r"PRE006: Istio 1\.30\.4 would be downgraded to 1\.30\.3"):
        await Upgrade(there).back("1.30.3")
    result = await Upgrade(there).back("1.30.3", allow=ALLOWED | {"downgrade"})
    assert (result.end, result.stage) == (End.HELD, "workloads")
    assert proxies(there)["istio-ingress/public"] == [("default", "1.30.3")]


async def test_an_istiod_of_another_name_is_not_taken_for_ours() -> None:
    there = await start(has_tenants=False)
    await Upgrade(there).to(until=StageName.CONTROL_PLANE)
    path = "/apis/apps/v1/namespaces/istio-system/deployments/istiod"
    live = there.kube.objects[path]
    live["metadata"]["labels"] = {**live["metadata"]["labels"], "istio.io/rev": "blue"}
    with pytest.raises(PlanRefusedError, match="has the revision blue, which meshinstall gives to none"):
        await Upgrade(there).back()


async def test_until_holds_on_the_way_back_too() -> None:
    there = await start(has_tenants=False)
    await Upgrade(there).to(until=StageName.DEFAULT)
    run = Upgrade(there)
    result = await run.back(until=StageName.TAGS)
    assert run.begun == ["default", "tags"]
    assert (result.end, result.stage) == (End.HELD, "gateways")
    assert replace(result, gates=()).why == "as asked: --until tags"
