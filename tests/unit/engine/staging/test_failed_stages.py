"""A piece of a stage that fails is taken back, and nothing else; what is not proven is held; what cannot be taken back is said."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from meshinstall.engine.events import Emit, Event, GateJudged, StepDone
from meshinstall.engine.gates.snapshot import Since
from meshinstall.engine.session import Session
from meshinstall.engine.staging.terms import End
from meshinstall.errors import ChartError, ClusterError, HelmError
from meshinstall.model.desired import Desired
from meshinstall.model.gate import Snapshot
from meshinstall.model.release import ReleaseKey
from meshinstall.model.upgrade import StageName
from tests.fakes import World
from tests.unit.engine.installed import BASE, PARTNERS, PUBLIC
from tests.unit.engine.revisioned import ISTIOD
from tests.unit.engine.staging.living import INGRESS, INJECTORS
from tests.unit.engine.staging.upgrading import FAIL, NEW, NOT_PROVEN, OLD, Upgrade, proxies, start, state

pytestmark = pytest.mark.anyio

INJECTOR = f"{INJECTORS}/istio-sidecar-injector"
TAG = f"{INJECTORS}/istio-revision-tag-default"
# The stage before, what its gate is asked, and what stands then.
GATES = [
    ("", "crds rest"),
    ("crds", "control-plane own pods"),
    ("crds", "control-plane 1-31"),
    ("scout", "canary injection canary"),
    ("canary", f"gateways before {INGRESS}/public"),
    ("canary", f"gateways {INGRESS}/Deployment public"),
    ("gateways", "tags injection default"),
    ("gateways", "tags shop"),
]


async def reached(stage: str) -> World:
    """A mesh that is upgraded until the end of a stage."""
    there = await start()
    if stage:
        await Upgrade(there).to(until=StageName(stage))
    return there


def comparable(there: World) -> dict[str, Any]:
    """The state of a mesh, but for what a canary that was restarted keeps: its proxies."""
    return {name: value for name, value in state(there).items() if name != "pods of lab/web"}


@pytest.mark.parametrize(("before", "gate"), GATES, ids=lambda value: value.replace(f"{INGRESS}/", "") or "nothing")
async def test_a_gate_that_fails_takes_back_its_piece_and_the_stages_before_stand(before: str, gate: str) -> None:
    there = await reached(before)
    stood = comparable(there)
    run = Upgrade(there)
    run.gates.says[gate] = FAIL
    result = await run.to()
    assert (result.end, result.stage) == (End.UNDONE, gate.split(maxsplit=1)[0])
    assert result.why.endswith(f"as the test says of {gate.partition(' ')[2]}")
    assert run.begun[-1] == result.stage
    assert comparable(there) == stood
    assert [found.outcome for found in result.gates] == [*["PASS"] * (len(result.gates) - 1), "FAIL"]
    # The cause is mended.
    run.gates.says.clear()
    assert (await run.to()).stage == "workloads"


async def test_a_second_istiod_is_uninstalled() -> None:
    there = await reached("crds")
    run = Upgrade(there)
    run.gates.says["control-plane 1-31"] = FAIL
    await run.to()
    assert there.helm.calls[-1] == f"uninstall {ISTIOD}"
    assert ISTIOD not in there.releases.records


async def test_a_gateway_goes_back_to_the_chart_and_values_that_were_recorded_and_the_next_is_not_touched() -> None:
    there = await reached("canary")
    run = Upgrade(there)
    run.gates.says[f"gateways {INGRESS}/Deployment public"] = FAIL
    stood: list[dict[str, Any]] = []

    def at(event: Event) -> None:
        if isinstance(event, GateJudged) and event.gate.stage.startswith("gateways"):
            # Those of before still serve when it is judged.
            stood.append(dict(proxies(there)))

    run.at = at
    await run.to()
    assert stood[0][f"{INGRESS}/public"] == [("default", OLD), ("1-31", NEW)]
    assert proxies(there)[f"{INGRESS}/public"] == [("default", OLD)]
    assert there.releases.records[PUBLIC].version == OLD
    assert there.helm.sent[PUBLIC] == {"written": OLD}
    assert there.releases.records[PARTNERS].revision == 1


async def test_the_second_gateway_that_fails_leaves_the_first_where_it_is() -> None:
    there = await reached("canary")
    run = Upgrade(there)
    run.gates.says[f"gateways {INGRESS}/Deployment partners"] = FAIL
    assert (await run.to()).end is End.UNDONE
    assert (there.releases.records[PUBLIC].version, there.releases.records[PARTNERS].version) == (NEW, OLD)


async def test_the_injector_is_on_again_before_the_tag_goes() -> None:
    there = await reached("gateways")
    run = Upgrade(there)
    run.gates.says["tags shop"] = FAIL
    there.kube.calls.clear()
    await run.to()
    on = [number for number, call in enumerate(there.kube.calls) if call == f"PATCH {INJECTOR}"]
    assert len(on) == 2, "switched off, and on again"
    assert on[1] < there.kube.calls.index(f"DELETE {TAG}")
    assert there.kube.calls.index(f"APPLY {TAG}") < on[0]
    assert TAG not in there.kube.objects


@pytest.mark.parametrize(("before", "gate"), [one for one in GATES if "before" not in one[1]])
async def test_with_hold_a_stage_that_fails_is_left_as_it_is(before: str, gate: str) -> None:
    there = await reached(before)
    stood = comparable(there)
    run = Upgrade(there)
    run.gates.says[gate] = FAIL
    result = await run.to(undoes=False)
    assert (result.end, result.stage) == (End.FAILED, gate.split(maxsplit=1)[0])
    assert comparable(there) != stood
    assert not [call for call in there.helm.calls if call.startswith("uninstall")]


@pytest.mark.parametrize(("before", "gate"), [("scout", "canary lab/Deployment web lab"), *GATES[1:]])
async def test_what_is_not_proven_is_held_and_nothing_is_taken_back(before: str, gate: str) -> None:
    there = await reached(before)
    run = Upgrade(there)
    run.gates.says[gate] = NOT_PROVEN
    result = await run.to()
    assert (result.end, result.stage) == (End.NOT_PROVEN, gate.split(maxsplit=1)[0])
    assert run.begun[-1] == result.stage
    undone = [event.step.reasons for event in run.events if isinstance(event, StepDone)]
    assert ("its stage is taken back",) not in undone


async def test_a_scout_that_fails_stops_before_any_gateway() -> None:
    there = await reached("control-plane")
    stood = state(there)
    run = Upgrade(there)
    run.gates.says["scout scouts"] = FAIL
    result = await run.to()
    assert (result.end, result.stage) == (End.FAILED, "scout")
    assert state(there) == stood


def _fails(message: str) -> Callable[[], Awaitable[None]]:
    async def fail() -> None:
        raise HelmError(message, "look at the pods")

    return fail


@pytest.mark.parametrize(("before", "key"), [("", BASE), ("crds", ISTIOD), ("canary", PUBLIC)], ids=str)
async def test_a_helm_that_fails_is_a_gate_that_fails(before: str, key: ReleaseKey) -> None:
    there = await reached(before)
    stood = comparable(there)
    there.helm.before[key] = _fails("timed out")
    run = Upgrade(there)
    result = await run.to()
    assert (result.end, result.why) == (End.UNDONE, "run: timed out")
    assert result.gates[-1].checks[0].evidence == ("look at the pods",)
    assert comparable(there) == stood


async def test_helm_that_fails_after_it_has_begun_is_taken_back() -> None:
    there = await reached("canary")
    stood = comparable(there)

    def fail() -> None:
        del there.helm.after[PUBLIC]
        raise HelmError("the server is gone")

    there.helm.after[PUBLIC] = fail
    result = await Upgrade(there).to()
    assert (result.end, result.why) == (End.UNDONE, "run: the server is gone")
    assert comparable(there) == stood


async def test_a_chart_of_before_that_cannot_be_had_stops_before_its_piece_begins() -> None:
    there = await reached("canary")
    stood = state(there)
    fetch = there.charts.fetch

    async def only_new(chart: Any) -> Any:
        if chart.version == OLD:
            raise ChartError("not in the registry", "push it")
        return await fetch(chart)

    there.charts.fetch = only_new  # type: ignore[method-assign]
    with pytest.raises(ChartError, match=f"release {PUBLIC} could not be taken back: not in the registry") as told:
        await Upgrade(there).to()
    assert told.value.hint == "push it; or continue without a way back: --on-failure hold"
    assert state(there) == stood
    assert (await Upgrade(there).to(undoes=False)).stage == "workloads"


async def test_what_cannot_be_taken_back_is_said_together_with_what_failed_first() -> None:
    there = await reached("crds")
    run = Upgrade(there)
    run.gates.says["control-plane 1-31"] = FAIL
    there.helm.after[ISTIOD] = lambda: there.helm.before.__setitem__(ISTIOD, _fails("no permission to uninstall"))
    result = await run.to()
    assert result.end is End.FAILED
    assert result.why == "1-31: as the test says of 1-31; and it could not be taken back: no permission to uninstall"
    assert ISTIOD in there.releases.records


async def test_an_injector_that_cannot_be_switched_on_is_said() -> None:
    there = await reached("gateways")
    run = Upgrade(there)
    run.gates.says["tags shop"] = FAIL

    def at(_: Event) -> None:
        if "tags shop" in run.gates.asked:
            there.kube.refusals[f"PATCH {INJECTOR}"] = ClusterError("patch is forbidden")

    run.at = at
    result = await run.to()
    assert result.end is End.FAILED
    assert "could not be taken back: patch is forbidden" in result.why
    assert TAG in there.kube.objects, "without its injector the namespaces would have none"


async def test_only_where_a_look_was_bad_the_pods_that_stop_are_waited_for() -> None:
    there = await start(has_tenants=False)
    run = Upgrade(there)
    looked: list[tuple[str, bool]] = []
    judges = run.gates.judges()

    async def look(session: Session, desired: Desired, emit: Emit, *, since: Since | None = None) -> Snapshot:
        assert since
        looked.append((run.gates.stage, since.waits))
        return await judges.look(session, desired, emit, since=since)

    run.gates.says["gateways istio-ingress/Deployment public"] = FAIL
    result = await run.to(judges=replace(judges, look=look))
    assert result.end is End.UNDONE
    assert looked == [("", False), ("crds", False), ("control-plane", False), ("gateways", False), ("gateways", True)]
