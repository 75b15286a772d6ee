"""How long a run waits for trouble to pass, and for whom."""

from dataclasses import replace
from typing import Any

import anyio
import pytest

from meshinstall.engine.events import Event, StepWaiting
from meshinstall.engine.run.runner import Runner
from meshinstall.model.plan import ReleaseStep
from tests.cases import plans
from tests.fake_kube import FakeKube, forbidden
from tests.fakes import FakeHelm, World
from tests.unit.engine.installed import GATEWAYS, ISTIOD, NEWEST, PUBLIC, broken_gateway, world
from tests.unit.engine.run.test_runner import ran, stopped

pytestmark = pytest.mark.anyio

POD = "/api/v1/namespaces/istio-ingress/pods/p"
NOWHERE = {"conditions": [{"type": "PodScheduled", "reason": "Unschedulable", "message": "0/1 nodes are available"}]}
UNREACHED = {"containerStatuses": [{"name": "c", "state": {"waiting": {"reason": "ErrImagePull", "message": "i/o timeout"}}}]}


def _is(there: World, status: dict[str, Any]) -> None:
    there.kube.objects[POD] = {"metadata": {"name": "p", "namespace": "istio-ingress", "labels": NEWEST}, "status": status}


@pytest.mark.parametrize(("status", "seconds"), [(NOWHERE, 20), (UNREACHED, 15)])
async def test_trouble_that_comes_late_or_again_has_its_whole_time_to_pass(status: dict[str, Any], seconds: int) -> None:
    there = world()
    there.helm.brings[PUBLIC] = broken_gateway(there)
    _is(there, {})

    async def fate() -> None:
        for moment in (40, 50):
            await anyio.sleep_until(moment)
            _is(there, status)
            await anyio.sleep(5)
            _is(there, {})
        await anyio.sleep_until(70)
        _is(there, status)

    async with anyio.create_task_group() as group:
        group.start_soon(fate)
        await stopped(there, plans.load("fresh").plan())
    assert anyio.current_time() == pytest.approx(70 + seconds, abs=2)


async def test_a_pod_for_which_a_node_is_made_is_waited_for_to_the_end() -> None:
    there = world()
    there.helm.brings[PUBLIC] = broken_gateway(there)
    _is(there, NOWHERE)
    about = {"kind": "Pod", "name": "p"}
    event = {"metadata": {"name": "e"}, "involvedObject": about, "reason": "TriggeredScaleUp", "type": "Normal", "message": "1->2"}
    there.kube.objects["/api/v1/namespaces/istio-ingress/events/e"] = event
    events: list[Event] = []
    with anyio.move_on_after(300) as scope:
        await Runner(plans.load("fresh").plan(), there.session(), events.append).run()
    assert scope.cancelled_caught
    waits = [event.reason for event in events if isinstance(event, StepWaiting) and event.step.name == "istio-ingress/public"]
    assert waits[-1] == "pod p does not fit on any node yet; an autoscaler adds a node: 1->2"


async def test_who_may_not_list_events_hears_of_no_autoscaler() -> None:
    there = world()
    there.helm.brings[PUBLIC] = broken_gateway(there)
    _is(there, NOWHERE)
    there.kube.refusals["LIST /api/v1/namespaces/istio-ingress/events"] = forbidden("events")
    _, error = await stopped(there, plans.load("fresh").plan())
    assert error.message == "istio-ingress/public: pod p does not fit on any node: 0/1 nodes are available"


async def test_a_lost_packet_to_the_webhooks_costs_no_second() -> None:
    there = world()
    there.kube.pauses[f"CREATE {GATEWAYS}"] = [1.0]
    await ran(there, plans.load("fresh").plan())
    assert anyio.current_time() < 1


async def test_webhooks_that_are_slow_every_time_are_waited_for() -> None:
    there = world()
    there.kube.pauses[f"CREATE {GATEWAYS}"] = [4.0] * 9
    events: list[Event] = []
    await Runner(plans.load("fresh").plan(), there.session(), events.append).run()
    waits = [event.reason for event in events if isinstance(event, StepWaiting) and event.reason.startswith("istiod's webhooks")]
    assert waits == [f"istiod's webhooks did not answer within {seconds} s" for seconds in (0.3, 0.6, 1.2, 2.4)]


SET = {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "public", "namespace": "istio-ingress"}}
LABELS = {"matchLabels": {"app": "public"}}


async def test_a_daemon_set_that_no_node_takes_stops_the_run_when_none_comes() -> None:
    there = world()
    spec = {"selector": LABELS, "template": {"spec": {"nodeSelector": {"gpu": "yes"}}}}
    there.helm.brings[PUBLIC] = ({**SET, "spec": spec, "status": {"observedGeneration": 1, "desiredNumberScheduled": 0}},)
    _, error = await stopped(there, plans.load("fresh").plan())
    assert error.message == "istio-ingress/public: no node takes it: its pods ask for gpu=yes"
    assert error.hint.startswith("label a node so that it fits")
    assert anyio.current_time() == pytest.approx(20, abs=1)


@pytest.mark.parametrize("kind", ["DaemonSet", "StatefulSet"])
async def test_pods_that_are_refused_are_told_in_seconds_whoever_makes_them(kind: str) -> None:
    there = world()
    status = {"observedGeneration": 1, "desiredNumberScheduled": 1, "replicas": 0}
    there.helm.brings[PUBLIC] = ({**SET, "kind": kind, "spec": {"selector": LABELS}, "status": status},)
    about = {"kind": kind, "name": "public"}
    event = {"metadata": {"name": "e"}, "involvedObject": about, "reason": "FailedCreate", "message": "exceeded quota: tight"}
    there.kube.objects["/api/v1/namespaces/istio-ingress/events/e"] = {**event, "lastTimestamp": "2026-11-21T12:00:00Z"}
    _, error = await stopped(there, plans.load("fresh").plan())
    assert error.message == "istio-ingress/public: pods are refused: exceeded quota: tight"
    assert anyio.current_time() == pytest.approx(5, abs=2)


async def test_no_istiod_is_asked_where_none_is_wanted() -> None:
    there = world(webhooks=False)
    (istiod,) = there.helm.brings[ISTIOD]
    there.helm.brings[ISTIOD] = ({**istiod, "spec": {**istiod["spec"], "replicas": 0}},)
    await ran(there, plans.load("fresh").plan())


class Changing(FakeKube):
    """A cluster where the number of ready pods of the gateway public follows ``turns``, one at each look, the last for ever."""

    turns: tuple[int, ...] = ()

    async def get(self, path: str) -> Any:
        """The object as it is at this look."""
        found: Any = await super().get(path)
        if found and path.endswith("/deployments/public"):
            ready, *rest = self.turns
            self.turns = tuple(rest) or self.turns
            found["spec"]["replicas"] = 3
            found["status"] |= {"replicas": 3, "updatedReplicas": 3, "availableReplicas": ready}
        return found


async def waits_of(turns: tuple[int, ...], seconds: float) -> list[str]:
    """What is told while the numbers of ready pods change so."""
    there = world()
    kube = Changing()
    kube.objects, kube.answers, kube.turns = there.kube.objects, there.kube.answers, turns
    there.kube = kube
    there.helm = FakeHelm(kube, there.releases)
    there.helm.brings = {**world().helm.brings, PUBLIC: broken_gateway(there)}
    events: list[Event] = []
    with anyio.move_on_after(seconds):
        await Runner(plans.load("fresh").plan(), there.session(), events.append).run()
    return [event.reason for event in events if isinstance(event, StepWaiting) and " pods are ready" in event.reason]


def ready(*counts: int) -> list[str]:
    return [f"Deployment istio-ingress/public: {count} of 3 pods are ready" for count in counts]


async def test_texts_that_take_turns_are_told_once_each() -> None:
    assert await waits_of((0, 1) * 1000, 9) == ready(0, 1)


async def test_what_changes_is_told_when_it_changes() -> None:
    assert await waits_of((0, 0, 1, 1, 2), 9) == ready(0, 1, 2)


async def test_what_was_told_before_is_told_again_when_it_stays() -> None:
    assert await waits_of((0, 1, 0), 30) == ready(0, 1, 0)


async def test_an_image_that_cannot_be_pulled_names_the_lines_that_set_it() -> None:
    there = world()
    there.helm.brings[PUBLIC] = broken_gateway(there)
    _is(there, UNREACHED)
    plan = plans.load("fresh").plan()
    steps = tuple(
        replace(step, images=("global.hub (meshinstall.yaml:4)",)) if isinstance(step, ReleaseStep) else step for step in plan.steps
    )
    _, error = await stopped(there, replace(plan, steps=steps))
    assert error.hint.endswith("; it is set by global.hub (meshinstall.yaml:4)")
    _, error = await stopped(there, plan)
    assert error.hint.endswith("; it is the chart's own: no value sets hub, tag or image")
