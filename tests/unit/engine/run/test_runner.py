"""How a plan is run: what comes first, what runs side by side, and what is left when something fails."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import anyio
import pytest

from meshinstall.engine.events import Event, StepDone, StepEnded, StepStarted, StepWaiting
from meshinstall.engine.run.runner import Runner
from meshinstall.errors import ConflictError, HelmConflictError, HelmError, MeshinstallError, StepError
from meshinstall.model.plan import Plan
from meshinstall.model.release import ReleaseKey, ReleaseStatus
from tests.cases import plans
from tests.fake_kube import forbidden
from tests.fakes import World, record, settled
from tests.unit.engine.installed import (
    BASE,
    ISTIOD,
    NEWEST,
    PARTNERS,
    POLICY,
    POLICY_KEY,
    POLICY_PATH,
    PUBLIC,
    REPLICAS,
    broken_gateway,
    crd,
    gateway,
    replicas,
    world,
)

pytestmark = pytest.mark.anyio


def takes(seconds: float) -> Callable[[], Awaitable[None]]:
    async def wait() -> None:
        await anyio.sleep(seconds)

    return wait


def fails(error: MeshinstallError, after: float = 0) -> Callable[[], Awaitable[None]]:
    async def fail() -> None:
        await anyio.sleep(after)
        raise error

    return fail


async def ran(there: World, plan: Plan) -> list[Event]:
    events: list[Event] = []
    await Runner(plan, there.session(), events.append).run()
    return events


async def stopped(there: World, plan: Plan) -> tuple[list[Event], MeshinstallError]:
    events: list[Event] = []
    with pytest.raises(MeshinstallError) as caught:
        await Runner(plan, there.session(), events.append).run()
    return events, caught.value


def drawn(events: list[Event]) -> str:
    """Starts and ends of steps, each indented by the number of steps that ran meanwhile."""
    lines, running = [], 0
    for event in events:
        match event:
            case StepStarted(step=step):
                lines.append(f"{'  ' * running}{step.name}")
                running += 1
            case StepDone() | StepEnded():
                running -= 1
                lines += [f"{'  ' * running}✗ {event.step.name}"] if isinstance(event, StepEnded) else []
    return "\n".join(lines)


async def test_a_fresh_mesh_comes_in_order_and_its_gateways_side_by_side() -> None:
    there = world()
    for key in (PUBLIC, PARTNERS):
        there.helm.before[key] = takes(5)
    events = await ran(there, plans.load("fresh").plan())
    assert (
        drawn(events)
        == """\
namespace/istio-system
  namespace/istio-ingress
istio-system/istio-base
istio-system/istiod
istio-ingress/public
  istio-ingress/partners
PeerAuthentication/istio-system/default"""
    )
    assert [round(event.seconds) for event in events if isinstance(event, StepDone)] == [0, 0, 0, 0, 5, 5, 0]
    assert anyio.current_time() == pytest.approx(5, abs=1)


async def test_what_is_kept_is_not_touched() -> None:
    there = world()
    assert await ran(there, plans.load("nothing-to-do").plan()) == []
    assert there.kube.calls == []
    assert there.helm.calls == []
    assert there.charts.asked == []


async def test_the_description_of_a_release_is_the_audit_trail() -> None:
    there, plan = world(), plans.load("fresh").plan()
    await ran(there, plan)
    assert (
        there.releases.records[ISTIOD].description
        == f"meshinstall: environment dev, profile default, chart sha256:{'b' * 64}, plan {plan.digest}"
    )
    assert there.helm.sent[ISTIOD] == {"pilot": {"autoscaleMin": 2}}


async def test_after_a_failure_nothing_new_begins_and_what_runs_ends() -> None:
    there = world()
    there.helm.before = {PUBLIC: fails(HelmError("it broke", "look there"), after=1), PARTNERS: takes(5)}
    events, error = await stopped(there, plans.load("fresh").plan())
    assert drawn(events).splitlines()[-3:] == ["istio-ingress/public", "  istio-ingress/partners", "  ✗ istio-ingress/public"]
    assert str(error) == "it broke"
    assert error.hint == "look there"
    names = [event.step.name for event in events if isinstance(event, StepDone)]
    assert names[-1] == "istio-ingress/partners"
    assert POLICY_PATH not in there.kube.objects


async def test_what_cannot_heal_names_its_step() -> None:
    there = world()
    there.helm.brings[PUBLIC] = broken_gateway(there)
    there.kube.objects["/api/v1/namespaces/istio-ingress/pods/public-1"] = {
        "metadata": {"name": "public-1", "namespace": "istio-ingress", "labels": NEWEST},
        "status": {"containerStatuses": [{"name": "istio-proxy", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "401 "}}}]},
    }
    _, error = await stopped(there, plans.load("fresh").plan())
    assert isinstance(error, StepError)
    assert error.message == "istio-ingress/public: pod public-1, container istio-proxy: ImagePullBackOff: 401 "
    assert "check images" in error.hint


async def test_cancelling_tells_which_step_was_under_way_and_for_what_it_waited() -> None:
    there = world()
    there.helm.brings[PUBLIC] = (gateway("public", broken=True),)
    events: list[Event] = []
    with anyio.move_on_after(30):
        await Runner(plans.load("fresh").plan(), there.session(), events.append).run()
    ended = [event for event in events if isinstance(event, StepEnded)]
    assert [(event.step.name, event.reason) for event in ended] == [
        ("istio-ingress/public", "Deployment istio-ingress/public: 0 of 1 pods are ready")
    ]
    assert round(ended[0].seconds) == 30


async def test_a_wait_is_told_once_until_it_changes() -> None:
    there = world()
    there.helm.brings[PUBLIC] = (gateway("public", broken=True),)
    events: list[Event] = []
    with anyio.move_on_after(30):
        await Runner(plans.load("fresh").plan(), there.session(), events.append).run()
    waits = [event.reason for event in events if isinstance(event, StepWaiting) and event.step.name == "istio-ingress/public"]
    assert waits == ["helm install", "Deployment istio-ingress/public: 0 of 1 pods are ready"]


async def test_istiod_waits_until_the_api_server_serves_every_kind_of_the_base_chart() -> None:
    there = world()
    (known,) = there.helm.brings[BASE]
    late = {**crd("sidecars.networking.istio.io"), "status": {}}
    there.helm.brings[BASE] = (known, late)
    events: list[Event] = []
    async with anyio.create_task_group() as group:
        group.start_soon(Runner(plans.load("fresh").plan(), there.session(), events.append).run)
        await anyio.sleep(5)
        waits = [event.reason for event in events if isinstance(event, StepWaiting)]
        assert waits == ["helm install", "waiting for CRDs: sidecars.networking.istio.io"]
        there.kube.put(settled(crd("sidecars.networking.istio.io"), BASE))
    assert ISTIOD in there.helm.sent


async def test_the_lists_that_say_why_something_waits_are_asked_for_once_a_second() -> None:
    there = world()
    there.helm.brings[PUBLIC] = broken_gateway(there)
    with anyio.move_on_after(5):
        await Runner(plans.load("fresh").plan(), there.session(), lambda _: None).run()
    looks = there.kube.calls.count("GET /apis/apps/v1/namespaces/istio-ingress/deployments/public")
    lists = there.kube.calls.count(f"LIST {REPLICAS}")
    assert 4 <= lists <= 6
    assert looks >= 40


async def test_a_pod_that_fits_nowhere_is_given_time_for_a_node_to_come() -> None:
    there = world()
    there.helm.brings[PUBLIC] = broken_gateway(there)
    condition = {"type": "PodScheduled", "reason": "Unschedulable", "message": "0/1 nodes are available"}
    pod = {"metadata": {"name": "p", "namespace": "istio-ingress", "labels": NEWEST}, "status": {"conditions": [condition]}}
    there.kube.objects["/api/v1/namespaces/istio-ingress/pods/p"] = pod
    _, error = await stopped(there, plans.load("fresh").plan())
    assert error.message == "istio-ingress/public: pod p does not fit on any node: 0/1 nodes are available"
    assert anyio.current_time() == pytest.approx(20, abs=1)


async def test_a_release_whose_helm_died_is_freed_before_helm_goes_on() -> None:
    there = world()
    there.releases.records[PUBLIC] = record(PUBLIC, "gateway", status=ReleaseStatus.PENDING_INSTALL)
    await ran(there, plans.load("release-pending").plan())
    assert there.releases.freed == ["istio-ingress/public"]
    assert there.releases.records[PUBLIC].status is ReleaseStatus.DEPLOYED


async def test_a_release_that_was_freed_meanwhile_is_not_freed_again() -> None:
    there = world()
    there.releases.records[PUBLIC] = record(PUBLIC, "gateway", status=ReleaseStatus.FAILED)
    await ran(there, plans.load("release-pending").plan())
    assert there.releases.freed == []


async def test_a_helm_that_succeeds_and_does_not_record_it_runs_once_more() -> None:
    there = world()
    there.helm.unrecorded = [PUBLIC]
    events = await ran(there, plans.load("fresh").plan())
    assert there.releases.records[PUBLIC].status is ReleaseStatus.DEPLOYED
    assert there.helm.calls.count("upgrade istio-ingress/public") == 2
    told = [event.reason for event in events if isinstance(event, StepWaiting) and event.step.name == "istio-ingress/public"]
    assert told == ["helm install", "helm succeeded but did not record it; it runs once more"]


async def test_a_helm_that_never_records_its_success_is_an_error() -> None:
    there = world()
    there.helm.unrecorded = [PUBLIC, PUBLIC]
    _, error = await stopped(there, plans.load("fresh").plan())
    assert error.message == "istio-ingress/public: helm succeeds but does not record it: the release stays pending-install"
    assert there.helm.calls.count("upgrade istio-ingress/public") == 2


async def test_waiting_alone_starts_no_helm() -> None:
    there = world()
    there.releases.records[ISTIOD] = record(ISTIOD, "istiod", manifests=there.helm.brings[ISTIOD])
    there.kube.put(*there.helm.brings[ISTIOD])
    with anyio.move_on_after(10):
        await ran(there, plans.load("unready").plan())
    assert there.helm.calls == []


async def test_our_policy_that_somebody_edited_goes_back() -> None:
    there = world()
    edited = dict(plans.load("policy-weakened").facts.policies[POLICY_KEY] or {})
    there.kube.put(edited)
    there.kube.foreign.add(POLICY_PATH)
    await ran(there, plans.load("policy-weakened").plan())
    assert there.kube.objects[POLICY_PATH]["spec"] == {"mtls": {"mode": "STRICT"}}


async def test_somebody_elses_policy_is_never_overwritten() -> None:
    there = world()
    theirs = {**POLICY, "spec": {"mtls": {"mode": "PERMISSIVE"}}}
    there.kube.put(theirs)
    there.kube.foreign.add(POLICY_PATH)
    _, error = await stopped(there, plans.load("policy-weakened").plan())
    assert isinstance(error, ConflictError)
    assert error.hint == "PeerAuthentication istio-system/default was not made by meshinstall: remove it or change it by hand"
    assert there.kube.objects[POLICY_PATH]["spec"] == theirs["spec"]


async def test_a_missing_permission_stops_the_run_with_its_hint() -> None:
    there = world()
    there.kube.refusals["APPLY /api/v1/namespaces/istio-system"] = forbidden("namespaces")
    events, error = await stopped(there, plans.load("fresh").plan())
    assert error.message.startswith("namespaces is forbidden")
    assert there.helm.calls == []
    assert "✗ namespace/istio-system" in drawn(events)


async def test_the_address_of_a_gateway_is_worth_a_word() -> None:
    there = world()
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "public", "namespace": "istio-ingress"},
        "spec": {"type": "LoadBalancer"},
    }
    there.helm.brings[PUBLIC] = (service,)
    events = await ran(there, plans.load("fresh").plan())
    assert {event.step.name: event.detail for event in events if isinstance(event, StepDone)}["istio-ingress/public"] == "192.0.2.7"


async def test_a_need_outside_the_plan_is_taken_as_met() -> None:
    there = world()
    plan = plans.load("fresh").plan()
    alone = replace(plan, steps=tuple(step for step in plan.steps if step.name == "istio-ingress/public"))
    await ran(there, alone)
    assert there.helm.calls == ["upgrade istio-ingress/public"]


async def test_istiod_whose_webhooks_do_not_answer_is_not_done() -> None:
    there = world(webhooks=False)
    _, error = await stopped(there, plans.load("fresh").plan())
    assert (
        error.message == "istio-system/istiod: istiod is ready, but its webhooks do not answer: "
        "validation webhook: istiod does not reject an invalid object yet"
    )
    assert "15017" in error.hint
    assert ReleaseKey("istio-ingress", "public") not in there.releases.records


def _pulls_none(name: str, template: str) -> dict[str, Any]:
    waiting = {"reason": "ErrImagePull", "message": "x: not found"}
    labels = {"app": "public", "pod-template-hash": template}
    statuses = [{"name": "istio-proxy", "state": {"waiting": waiting}}]
    return {"metadata": {"name": name, "namespace": "istio-ingress", "labels": labels}, "status": {"containerStatuses": statuses}}


async def test_pods_of_an_older_template_do_not_stop_a_run() -> None:
    there = world()
    there.helm.brings[PUBLIC] = broken_gateway(there)
    there.kube.objects["/api/v1/namespaces/istio-ingress/pods/old"] = _pulls_none("old", "t1")
    with anyio.move_on_after(60) as scope:
        await ran(there, plans.load("fresh").plan())
    assert scope.cancelled_caught


async def test_a_template_that_is_not_yet_looked_at_has_no_troubles() -> None:
    there = world()
    (made,) = broken_gateway(there)
    there.helm.brings[PUBLIC] = ({**made, "metadata": {**made["metadata"], "generation": 5}},)
    there.kube.objects["/api/v1/namespaces/istio-ingress/pods/new"] = _pulls_none("new", "t2")
    with anyio.move_on_after(60) as scope:
        await ran(there, plans.load("fresh").plan())
    assert scope.cancelled_caught


async def test_refused_pods_of_the_newest_template_stop_a_run() -> None:
    there = world()
    there.helm.brings[PUBLIC] = broken_gateway(there)
    replicas(there, 2, conditions=[{"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: tight"}])
    _, error = await stopped(there, plans.load("fresh").plan())
    assert error.message == "istio-ingress/public: pods are refused: exceeded quota: tight"


async def test_what_hung_before_is_restarted_once() -> None:
    there = world()
    there.helm.brings[PUBLIC] = broken_gateway(there)
    there.releases.records[PUBLIC] = record(PUBLIC, "gateway", status=ReleaseStatus.PENDING_INSTALL)
    there.kube.objects["/api/v1/namespaces/istio-ingress/pods/new"] = _pulls_none("new", "t2")
    events, _ = await stopped(there, plans.load("release-pending").plan())
    waits = [event.reason for event in events if isinstance(event, StepWaiting) and "restarting" in event.reason]
    assert waits == [
        "restarting Deployment istio-ingress/public: it was already stuck: pod new, container istio-proxy: ErrImagePull: x: not found"
    ]
    path = "/apis/apps/v1/namespaces/istio-ingress/deployments/public"
    assert there.kube.calls.count(f"PATCH {path}") == 1
    assert "kubectl.kubernetes.io/restartedAt" in there.kube.objects[path]["spec"]["template"]["metadata"]["annotations"]


def _conflicts_with(there: World, *managers: str) -> None:
    """Helm meets these managers, though what people edited was put back before."""
    there.kube.put(*plans.load("live-edited").facts.live.values())

    async def conflict() -> None:
        # Forced, helm takes the fields.
        if not there.helm.calls[-1].endswith("by force"):
            raise HelmConflictError("fields that another manager owns", managers=frozenset(managers))

    there.helm.before[ISTIOD] = conflict


async def test_an_edit_by_hand_that_the_plan_showed_goes_back() -> None:
    there = world()
    _conflicts_with(there, "kubectl-edit", "pilot-discovery")
    with anyio.move_on_after(10):
        await ran(there, plans.load("live-edited").plan())
    assert there.helm.calls[:2] == ["upgrade istio-system/istiod", "upgrade istio-system/istiod by force"]


@pytest.mark.parametrize("manager", ["argocd-controller", "kubectl-set"])
async def test_fields_of_others_than_the_plan_showed_stop_the_run(manager: str) -> None:
    there = world()
    _conflicts_with(there, "kubectl-edit", manager)
    _, error = await stopped(there, plans.load("live-edited").plan())
    assert isinstance(error, HelmConflictError)
    assert there.helm.calls == ["upgrade istio-system/istiod"]
