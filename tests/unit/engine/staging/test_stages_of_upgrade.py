"""An upgrade goes through its stages in their order under one lock, and the same command goes on where it stands."""

from typing import Any

import anyio
import pytest

from meshinstall.engine.events import Event, GateJudged, StageEnded, StageStarted, StepDone
from meshinstall.engine.planning import make_plan
from meshinstall.engine.staging.terms import End, Result
from meshinstall.errors import LockedError, PlanRefusedError
from meshinstall.model.ownership import lease_path
from meshinstall.model.plan import ReleaseStep
from meshinstall.model.release import ReleaseKey
from meshinstall.model.upgrade import StageName, UpgradePlan
from tests.fakes import World
from tests.unit.engine import installed
from tests.unit.engine.staging.living import INGRESS, NS, workload
from tests.unit.engine.staging.upgrading import NEW, OLD, Upgrade, files, proxies, restart, start, state

pytestmark = pytest.mark.anyio

TO_WORKLOADS = ["crds", "control-plane", "scout", "canary", "gateways", "tags", "workloads"]


def lease(there: World) -> dict[str, Any]:
    spec: dict[str, Any] = there.kube.objects[lease_path(NS)]["spec"]
    return spec


def writes(there: World) -> list[str]:
    """Requests that change something, but for those of the lock."""
    verbs = ("APPLY", "CREATE", "PATCH", "DELETE")
    return [call for call in there.kube.calls if call.startswith(verbs) and "selfsubject" not in call and "leases" not in call]


async def test_a_canary_goes_through_every_stage_and_stops_where_others_have_to_act() -> None:
    there = await start()
    run = Upgrade(there)
    held = await run.to()
    assert (held.end, held.stage) == (End.HELD, "workloads")
    assert held.left == ("Deployment shop/web: 1.30.4 → 1.31.0",)
    assert run.begun == TO_WORKLOADS
    assert set(run.ended.values()) == {End.DONE, End.HELD}
    assert proxies(there) == {
        f"{INGRESS}/public": [("1-31", NEW)],
        f"{INGRESS}/partners": [("1-31", NEW)],
        "lab/web": [("1-31", NEW)],
        "shop/web": [("default", OLD)],
    }
    restart(there, "shop")
    done = await run.to()
    assert done.end is End.DONE
    assert run.begun[len(TO_WORKLOADS) :] == ["default", "retire"]
    assert ReleaseKey(NS, "istiod") not in there.releases.records
    assert {revision for some in proxies(there).values() for revision, _ in some} == {"1-31"}
    assert state(there)["/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations/istiod-default-validator"] == "1-31"
    assert (await run.to()).plan.is_empty


async def test_what_is_to_be_written_into_the_files_is_told_at_the_end() -> None:
    result = await Upgrade(await start(has_tenants=False)).to()
    assert result.to_write[-1] == '  istio: {version: "1.31.0", revisions: true}'


async def test_gates_are_asked_in_the_order_in_which_a_gap_cannot_come() -> None:
    run = Upgrade(await start())
    await run.to()
    gateway = f"gateways {INGRESS}/Deployment public"
    assert run.gates.asked == [
        "crds rest",
        # Scouts start beside the pods of ours; both are away when the mesh is looked at.
        *("control-plane own pods", "scout scouts", "control-plane 1-31"),
        # Before pods are restarted, and when somebody has had the time to put back what was moved.
        *("canary injection canary", "canary lab/Deployment web lab", "canary injection canary"),
        # While pods of before still serve, and when they are gone.
        *(f"gateways before {INGRESS}/public", gateway, gateway),
        *(one.replace("public", "partners") for one in (f"gateways before {INGRESS}/public", gateway, gateway)),
        *("tags injection default", "tags shop", "tags injection default"),
    ]


async def test_a_gateway_is_done_for_now_when_one_new_pod_is_ready_and_at_last_when_all_are() -> None:
    run = Upgrade(await start(has_tenants=False))
    await run.to(until=StageName.GATEWAYS)
    steps = [event.step for event in run.events if isinstance(event, StepDone)]
    waits = [step.holds for step in steps if isinstance(step, ReleaseStep) and step.release == installed.PUBLIC]
    assert waits == [True, False]


async def test_one_lock_is_held_from_the_first_stage_to_the_last() -> None:
    there = await start(has_tenants=False)
    before = lease(there)["leaseTransitions"]
    seen: list[tuple[str, int]] = []

    def at(event: Event) -> None:
        if isinstance(event, StageStarted | GateJudged | StageEnded):
            seen.append((lease(there)["holderIdentity"], lease(there)["leaseTransitions"]))

    run = Upgrade(there, at=at)
    assert (await run.to()).end is End.DONE
    assert run.begun == ["crds", "control-plane", "scout", "gateways", "tags", "default", "retire"]
    assert set(seen) == {(run.who, before + 1)}
    assert lease(there)["holderIdentity"] == ""


async def test_nothing_is_changed_before_somebody_agrees() -> None:
    there = await start()
    before = state(there)

    async def refuse(_: UpgradePlan) -> None:
        there.kube.calls.clear()
        raise PlanRefusedError("no")

    with pytest.raises(PlanRefusedError, match="no"):
        await Upgrade(there, ask=refuse).to()
    assert state(there) == before
    assert not writes(there)


async def test_a_plan_that_changed_until_the_lock_was_taken_is_refused() -> None:
    there = await start()
    before = state(there)

    async def somebody_upgrades_a_gateway(_: UpgradePlan) -> None:
        other = Upgrade(there, who="bob@desk/9-1")
        await other.to(until=StageName.CRDS)

    with pytest.raises(PlanRefusedError, match="the mesh changed since the plan was shown"):
        await Upgrade(there, ask=somebody_upgrades_a_gateway).to()
    after = state(there)
    assert {name for name in after if after[name] != before.get(name)} == {"istio-system/istio-base"}


async def test_what_must_not_be_upgraded_is_refused_before_anything_is_asked() -> None:
    there = await start()
    asked: list[UpgradePlan] = []

    async def ask(plan: UpgradePlan) -> None:
        asked.append(plan)

    run = Upgrade(there, ask=ask)
    with pytest.raises(PlanRefusedError):
        await run.to(allow=frozenset())
    assert (len(run.shown), asked) == (1, [])
    assert run.events == []


@pytest.mark.parametrize("until", ["crds", "control-plane", "scout", "canary", "gateways", "tags"])
async def test_until_a_stage_the_rest_is_not_begun(until: str) -> None:
    run = Upgrade(await start())
    result = await run.to(until=StageName(until))
    assert run.begun == TO_WORKLOADS[: TO_WORKLOADS.index(until) + 1]
    assert (result.end, result.why) == (End.HELD, f"as asked: --until {until}")


async def test_until_a_stage_that_is_done_already_changes_nothing() -> None:
    there = await start()
    await Upgrade(there).to(until=StageName.GATEWAYS)
    before = state(there)
    again = Upgrade(there)
    result = await again.to(until=StageName.CONTROL_PLANE)
    assert (result.end, result.stage, again.begun) == (End.HELD, "tags", [])
    assert state(there) == before


async def test_a_second_upgrade_is_refused_with_who_holds_the_lock() -> None:
    """Two upgrades at once."""
    there = await start()
    second: list[Result | LockedError] = []

    async def try_it() -> None:
        try:
            second.append(await Upgrade(there, who="bob@desk/9-1").to())
        except LockedError as error:
            second.append(error)

    async with anyio.create_task_group() as group:

        def at(event: Event) -> None:
            if isinstance(event, StageStarted) and event.stage == "gateways":
                group.start_soon(try_it)

        there.alive.add("ann@laptop/7-1")
        first = Upgrade(there, at=at)
        assert (await first.to()).stage == "workloads"
    (error,) = second
    assert isinstance(error, LockedError)
    assert error.message.startswith("ann@laptop/7-1 has held the lock of this mesh since 2026-11-21T12:00")
    assert "upgrade dev, run" in error.message


async def test_up_in_the_middle_says_where_the_upgrade_is_and_would_undo_nothing() -> None:
    """Somebody runs ``up`` in the middle of an upgrade."""
    there = await start()
    await Upgrade(there).to(until=StageName.GATEWAYS)
    plan = await make_plan(files(), there.session())
    (finding,) = [one for one in plan.findings if one.code == "PRE037"]
    assert finding in plan.refusals
    assert finding.title.endswith("(1.31.0, revision 1-31) is in progress, at the stage gateways")


async def test_retire_waits_while_anything_leads_to_the_old_istiod() -> None:
    there = await start(has_tenants=False)
    label = {"istio-injection": "enabled"}

    def at(event: Event) -> None:
        # Made after the plan, and injected by the old istiod, which is still there.
        if isinstance(event, StageEnded) and event.stage == "gateways":
            there.kube.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "late", "labels": label}})
            workload(there, "late", "web")

    result = await Upgrade(there, at=at).to()
    assert (result.end, result.stage) == (End.HELD, "retire")
    assert result.left == ("Deployment late/web has 1 proxy of it",)
    assert ReleaseKey(NS, "istiod") in there.releases.records


async def test_an_istiod_of_somebody_elses_is_left_to_them() -> None:
    there = await start(has_tenants=False)
    key = installed.ISTIOD
    record = there.releases.records[key]
    there.releases.records[key] = type(record)(**{**{name: getattr(record, name) for name in record.__slots__}, "description": "by helm"})
    result = await Upgrade(there).to()
    assert (result.end, result.stage, result.left) == (
        End.HELD,
        "retire",
        (f"istiod {NS}/istiod was not installed by meshinstall",),
    )
    assert key in there.releases.records
