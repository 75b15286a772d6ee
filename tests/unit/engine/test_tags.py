"""Tags of a mesh with revisions: made after istiod and before gateways, left alone when right, healed, and removed before istiod."""

from typing import Any

import pytest

from meshinstall.engine.events import Event, StepDone
from meshinstall.engine.planning import make_plan, make_removal
from meshinstall.errors import ChartError, HelmError
from meshinstall.model.facts import key_of
from meshinstall.model.paths import path_of
from meshinstall.model.plan import Action, ObjectStep, Plan, ReleaseStep
from meshinstall.model.release import Component
from tests.fakes import World
from tests.unit.engine import stages
from tests.unit.engine.revisioned import BUNDLE, ISTIOD, desired, tag_objects, world

pytestmark = pytest.mark.anyio

WANTED = desired("stable")
NAMES = [
    "MutatingWebhookConfiguration/istio-revision-tag-default",
    "Service/istio-system/istiod-revision-tag-default",
    "MutatingWebhookConfiguration/istio-revision-tag-stable",
    "Service/istio-system/istiod-revision-tag-stable",
]


async def up(there: World) -> list[str]:
    """Names of the steps in the order in which they were done."""
    events: list[Event] = []
    await stages.up(there, WANTED, events)
    return [event.step.name for event in events if isinstance(event, StepDone)]


async def planned(there: World) -> Plan:
    return await make_plan(WANTED, there.session())


def webhooks(there: World, tag: str) -> dict[str, Any]:
    found: dict[str, Any] = there.kube.objects[path_of(key_of(tag_objects(tag, "1-31")[0]))]
    return found


def tag_steps(plan: Plan) -> dict[str, Action]:
    return {step.name: step.action for step in plan.steps if isinstance(step, ObjectStep) and "revision-tag" in step.name}


async def test_they_come_after_istiod_and_before_gateways_and_then_there_is_nothing_to_do() -> None:
    there = world()
    done = await up(there)
    assert sorted(done[done.index(str(ISTIOD)) + 1 :][:4]) == sorted(NAMES)
    assert min(done.index(name) for name in ("istio-ingress/public", "istio-ingress/partners")) > max(map(done.index, NAMES))
    plan = await planned(there)
    assert plan.is_empty, [step.name for step in plan.pending]
    gateways = [step for step in plan.steps if isinstance(step, ReleaseStep) and step.component is Component.GATEWAY]
    assert all(set(NAMES) < set(step.needs) for step in gateways)
    assert [step.name for step in plan.steps if "revision-tag" in step.name] == NAMES


async def test_they_are_ours_and_have_the_ca_of_their_revision_from_the_first_moment() -> None:
    there = world()
    await up(there)
    labels = webhooks(there, "stable")["metadata"]["labels"]
    assert labels["app.kubernetes.io/managed-by"] == "meshinstall"
    assert labels["meshinstall.dev/environment"] == "dev"
    assert [hook["clientConfig"]["caBundle"] for hook in webhooks(there, "default")["webhooks"]] == [BUNDLE, BUNDLE]


async def test_what_the_rehearsal_tries_includes_them() -> None:
    plan = await planned(world())
    assert {str(trial.key) for trial in plan.trials} >= {"MutatingWebhookConfiguration istio-revision-tag-stable"}


async def test_a_tag_that_somebody_moved_goes_back() -> None:
    there = world()
    await up(there)
    moved = webhooks(there, "stable")
    moved["metadata"]["labels"]["istio.io/rev"] = "1-30"
    moved["webhooks"][0]["clientConfig"]["service"]["name"] = "istiod-1-30"
    plan = await planned(there)
    (step,) = plan.pending
    assert step.name == "MutatingWebhookConfiguration/istio-revision-tag-stable"
    assert {change.path: (change.before, change.after) for change in step.changes} == {
        "metadata.labels.istio.io/rev": ("1-30", "1-31"),
        "webhooks[rev.namespace.sidecar-injector.istio.io].clientConfig.service.name": ("istiod-1-30", "istiod-1-31"),
    }
    await up(there)
    assert webhooks(there, "stable")["webhooks"][0]["clientConfig"]["service"]["name"] == "istiod-1-31"
    assert (await planned(there)).is_empty


async def test_one_that_was_deleted_comes_back() -> None:
    there = world()
    await up(there)
    await there.kube.delete("/api/v1/namespaces/istio-system/services/istiod-revision-tag-default")
    assert {name for name, action in tag_steps(await planned(there)).items() if action is Action.APPLY} == {NAMES[1]}


async def test_a_ca_that_istiod_wrote_is_nobodys_edit() -> None:
    there = world()
    await up(there)
    webhooks(there, "stable")["webhooks"][0]["clientConfig"]["caBundle"] = "bmV3"
    assert (await planned(there)).is_empty


async def test_down_deletes_every_tag_of_ours_before_istiod_and_not_those_of_others() -> None:
    there = world()
    await up(there)
    there.kube.put(*tag_objects("theirs", "1-31"))
    # One that was taken out of the configuration since.
    plan = await make_removal(desired(), there.session(), crds=False)
    assert set(tag_steps(plan)) == set(NAMES)
    istiod = next(step for step in plan.steps if step.name == str(ISTIOD))
    assert set(NAMES) <= set(istiod.needs)


async def test_a_tag_that_is_no_longer_configured_is_told_and_stays() -> None:
    there = world()
    await up(there)
    plan = await make_plan(desired(), there.session())
    assert plan.is_empty
    (finding,) = [one for one in plan.findings if one.code == "PRE013"]
    assert finding.title == "the configuration no longer contains tag stable, which meshinstall made"


async def test_one_of_somebody_else_is_left_alone_when_it_is_right_and_never_taken() -> None:
    there = world()
    there.kube.put(*tag_objects("stable", "1-31"))
    plan = await planned(there)
    assert tag_steps(plan)[NAMES[2]] is Action.KEEP
    webhooks(there, "stable")["webhooks"][0]["clientConfig"]["service"]["name"] = "elsewhere"
    assert tag_steps(await planned(there))[NAMES[2]] is Action.APPLY
    step = next(step for step in (await planned(there)).steps if step.name == NAMES[2])
    assert isinstance(step, ObjectStep)
    assert "meshinstall.dev/environment" not in step.manifest["metadata"]["labels"]


async def test_tags_of_another_mesh_are_nothing_of_this_one() -> None:
    there = world()
    await up(there)
    theirs = tag_objects("theirs", "other")[0]
    theirs["metadata"]["labels"]["app.kubernetes.io/managed-by"] = "somebody"
    theirs["metadata"]["annotations"] = {"argocd.argoproj.io/tracking-id": "mesh:x/y:z"}
    there.kube.put(theirs)
    plan = await planned(there)
    assert plan.is_empty
    assert not [one for one in plan.findings if one.code in {"PRE013", "PRE017"}]


async def test_one_of_ours_without_its_label_is_found_by_its_name() -> None:
    there = world()
    await up(there)
    del webhooks(there, "stable")["metadata"]["labels"]["istio.io/tag"]
    (step,) = (await planned(there)).pending
    assert step.name == NAMES[2]
    await up(there)
    assert webhooks(there, "stable")["metadata"]["labels"]["istio.io/tag"] == "stable"


async def test_a_chart_that_makes_no_webhook_for_a_tag_is_refused() -> None:
    there = world()
    there.helm.renders[ISTIOD] = lambda _: ()
    with pytest.raises(ChartError, match=r"chart istiod 1\.31\.0 makes no webhook for the tags default, stable"):
        await planned(there)


async def test_without_helm_there_is_no_plan_as_tags_cannot_be_compared() -> None:
    there = world()
    there.helm.unusable = "helm cannot be started"
    with pytest.raises(HelmError):
        await planned(there)
