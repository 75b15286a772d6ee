"""What others do between the plan and the lock, and in the middle of a run: tenants, a lost lock, an API server that is away."""

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from meshinstall.engine.events import Event, GateJudged, StageEnded, StageWaiting
from meshinstall.engine.planning import make_plan
from meshinstall.engine.staging.terms import End
from meshinstall.errors import ClusterError, ForbiddenError, LockedError, PlanRefusedError, UnreachableError, UsageError
from meshinstall.model.gate import GateOutcome
from meshinstall.model.ownership import lease_path
from meshinstall.model.release import ReleaseKey
from meshinstall.model.upgrade import StageName, UpgradePlan
from tests.fakes import World
from tests.unit.engine import revisioned
from tests.unit.engine.installed import PUBLIC
from tests.unit.engine.staging.living import INGRESS, INJECTORS, NS, workload
from tests.unit.engine.staging.upgrading import ALLOWED, FAIL, NEW, OLD, Upgrade, files, killed, proxies, start, state, tag

pytestmark = pytest.mark.anyio

INJECTOR = f"{INJECTORS}/istio-sidecar-injector"


async def test_workloads_that_come_and_go_while_somebody_is_asked_stop_nothing() -> None:
    there = await start()

    async def ask(_: UpgradePlan) -> None:
        workload(there, "shop", "newcomer")

    result = await Upgrade(there, ask=ask).to()
    assert (result.end, result.stage) == (End.HELD, "workloads")
    assert "Deployment shop/newcomer: 1.30.4 → 1.31.0" in result.left


async def test_a_workload_of_the_canary_that_comes_meanwhile_was_not_agreed_to() -> None:
    there = await start()

    async def ask(_: UpgradePlan) -> None:
        workload(there, "lab", "newcomer")

    with pytest.raises(PlanRefusedError, match="the mesh changed since the plan was shown"):
        await Upgrade(there, ask=ask).to()


async def test_what_stops_a_plan_stops_it_under_the_lock_too() -> None:
    there = await start()
    terms: dict[str, Any] = {"allow": ALLOWED}

    async def ask(_: UpgradePlan) -> None:
        # What names the old revision would lose its istiod.
        metadata = {"name": "late", "namespace": "shop", "labels": {"istio.io/rev": "default"}}
        there.kube.objects["/version"]["gitVersion"] = "v1.20.0"
        there.kube.put({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})

    with pytest.raises(PlanRefusedError, match=r"Kubernetes 1\.20"):
        await Upgrade(there, ask=ask).to(**terms)
    assert there.releases.records[ReleaseKey(NS, "istio-base")].version == OLD


def takes_the_lock(there: World) -> None:
    """Somebody else writes themselves into the Lease."""
    live = deepcopy(there.kube.objects[lease_path(NS)])
    live["spec"]["holderIdentity"] = "bob@desk/9-1"
    there.kube.put({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", **live})


async def test_a_lock_that_is_lost_stops_an_upgrade_and_nothing_is_taken_back() -> None:
    there = await start()
    run = Upgrade(there)
    stood: list[dict[str, Any]] = []

    def at(event: Event) -> None:
        if isinstance(event, GateJudged) and event.gate.stage.startswith("control-plane"):
            takes_the_lock(there)
            stood.append(state(there))

    run.at = at
    with pytest.raises(LockedError, match="bob@desk/9-1 has held the lock"):
        await run.to()
    assert state(there) == stood[0]
    assert not [event for event in run.events if isinstance(event, StageWaiting) and "taking back" in event.reason]


async def test_a_lock_that_is_lost_in_the_middle_of_taking_back_stops_that_too() -> None:
    there = await start()
    await Upgrade(there).to(until=StageName.CANARY)
    run = Upgrade(there)
    run.gates.says[f"gateways {INGRESS}/Deployment public"] = FAIL

    def at(event: Event) -> None:
        if isinstance(event, StageWaiting) and event.reason.startswith("taking back"):
            takes_the_lock(there)

    run.at = at
    there.helm.calls.clear()
    with pytest.raises(LockedError, match="bob@desk/9-1 has held the lock"):
        await run.to()
    assert there.helm.calls == [f"upgrade {PUBLIC}"]
    last = [event for event in run.events if isinstance(event, StageEnded)][-1]
    assert (last.stage, last.end) == ("gateways", End.FAILED)
    assert "bob@desk/9-1 has held the lock" in last.why


@pytest.mark.parametrize("error", [UnreachableError("no answer"), ForbiddenError("pods is forbidden")])
@pytest.mark.parametrize("gate", ["_look", "_own_pods"])
async def test_a_gate_that_cannot_look_proves_nothing_and_takes_nothing_back(error: ClusterError, gate: str) -> None:
    there = await start()
    await Upgrade(there).to(until=StageName.CRDS)
    run = Upgrade(there)
    judge: Callable[..., Any] = getattr(run.gates, gate)

    async def away(*given: Any, **named: Any) -> Any:
        if ReleaseKey(NS, "istiod-1-31") in there.releases.records:
            raise error
        return await judge(*given, **named)

    setattr(run.gates, gate, away)
    result = await run.to()
    assert (result.end, result.stage) == (End.NOT_PROVEN, "control-plane")
    assert f"the gate could not look: {error.message}" in result.why
    assert ReleaseKey(NS, "istiod-1-31") in there.releases.records


async def test_an_istiod_whose_users_cannot_all_be_seen_is_not_removed() -> None:
    there = await start(has_tenants=False)

    def at(event: Event) -> None:
        if isinstance(event, StageEnded) and event.stage == "default":
            there.kube.refusals["LIST /api/v1/namespaces"] = ForbiddenError("namespaces is forbidden")

    result = await Upgrade(there, at=at).to()
    assert (result.end, result.stage) == (End.NOT_PROVEN, "retire")
    assert result.left == ("namespaces could not be listed: namespaces is forbidden",)
    assert ReleaseKey(NS, "istiod") in there.releases.records


async def test_a_rollback_leaves_the_tag_of_another_mesh() -> None:
    there = await start(has_tenants=False)
    await Upgrade(there).to(until=StageName.TAGS)
    (theirs, _) = tag("default")
    theirs["metadata"]["name"] = "istio-revision-tag-default-mesh-two"
    theirs["metadata"]["labels"]["istio.io/rev"] = "2-31"
    for hook in theirs["webhooks"]:
        hook["clientConfig"]["service"]["namespace"] = "mesh-two"
    there.kube.put(theirs)
    await Upgrade(there).back()
    left = [path for path in there.kube.objects if "revision-tag-default" in path]
    assert left == [f"{INJECTORS}/istio-revision-tag-default-mesh-two"]


def is_judged(stage: str) -> Callable[[Event], bool]:
    return lambda event: isinstance(event, GateJudged) and event.gate.stage.startswith(stage)


async def test_what_a_killed_run_began_is_not_said_to_be_taken_back() -> None:
    there = await start(has_tenants=False)
    run = Upgrade(there)
    assert await killed(run, is_judged("gateways"))
    run.gates.says[f"gateways {INGRESS}/Deployment public"] = FAIL
    result = await run.to()
    assert (result.end, result.stage) == (End.FAILED, "gateways")
    assert result.why.endswith(f"an earlier run had changed release {PUBLIC} already, and that stays")


async def test_an_istiod_of_which_a_killed_helm_left_a_part_is_uninstalled_when_it_fails() -> None:
    there = await start(has_tenants=False)
    await Upgrade(there).to(until=StageName.CRDS)
    stood = state(there)
    run = Upgrade(there)

    def helm_runs(event: Event) -> bool:
        record = there.releases.records.get(revisioned.ISTIOD)
        del event
        return bool(record) or any("helm install" in str(one) for one in run.events[-1:])

    assert await killed(run, helm_runs)
    run.gates.says["control-plane 1-31"] = FAIL
    result = await run.to()
    assert result.end is End.UNDONE
    assert state(there) == stood


async def test_a_gateway_to_which_its_cloud_gives_an_address_meanwhile_has_not_changed() -> None:
    there = await start(has_tenants=False)
    path = f"/api/v1/namespaces/{INGRESS}/services/public"
    del there.kube.objects[path]["status"]

    assert (await Upgrade(there).to()).end is End.DONE
    assert there.kube.objects[path]["status"]["loadBalancer"]["ingress"]


async def test_a_gateway_whose_service_was_made_again_goes_back() -> None:
    there = await start(has_tenants=False)
    run = Upgrade(there)
    path = f"/api/v1/namespaces/{INGRESS}/services/public"

    def make_again() -> None:
        there.kube.objects[path]["metadata"]["uid"] = "another"

    there.helm.after[PUBLIC] = make_again
    result = await run.to()
    assert (result.end, result.stage) == (End.UNDONE, "gateways")
    (check,) = [check for check in result.gates[-1].checks if check.name == "addresses"]
    assert check.outcome is GateOutcome.FAIL
    assert check.evidence[0].endswith("(it was deleted and made again)")


async def test_a_workload_of_the_canary_that_its_owner_deletes_meanwhile_fails_nothing() -> None:
    there = await start()
    workload(there, "lab", "brief")
    path = "/apis/apps/v1/namespaces/lab/deployments/brief"
    run = Upgrade(there)

    def at(event: Event) -> None:
        if isinstance(event, StageWaiting) and event.reason == "restarting Deployment lab/brief":
            raise AssertionError("it is not there")
        if isinstance(event, StageEnded) and event.stage == "scout":
            del there.kube.objects[path]

    run.at = at
    assert (await run.to()).stage == "workloads"
    assert proxies(there)["lab/web"] == [("1-31", NEW)]


async def test_a_last_stage_that_a_rollback_does_not_have_is_refused() -> None:
    there = await start(has_tenants=False)
    await Upgrade(there).to(until=StageName.TAGS)
    before = state(there)
    with pytest.raises(UsageError, match="--until crds: a rollback does not have this stage"):
        await Upgrade(there).back(until=StageName.CRDS)
    assert state(there) == before


async def test_what_is_said_to_those_who_run_up_leads_back_too() -> None:
    there = await start()
    await Upgrade(there).to(until=StageName.CONTROL_PLANE)
    (finding,) = [one for one in (await make_plan(files(), there.session())).findings if one.code == "PRE037"]
    assert finding.hint == "see its stages: meshinstall upgrade plan --to 1.31.0; or take it back: meshinstall upgrade rollback"
