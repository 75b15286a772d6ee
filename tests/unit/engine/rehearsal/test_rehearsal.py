"""A plan with something to do tries every object as it will be sent, and changes nothing."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from meshinstall.engine.planning import make_plan
from meshinstall.errors import HelmError, UnreachableError
from meshinstall.model.finding import Finding
from meshinstall.model.plan import Plan
from meshinstall.model.release import Manifest
from meshinstall.model.trial import Answer, Attempt, Cause, How, Write
from tests.cases import plans
from tests.fakes import World
from tests.unit.engine import stages
from tests.unit.engine.installed import ISTIOD, PUBLIC, gateway, world

pytestmark = pytest.mark.anyio

DESIRED = plans.load("fresh").desired
DEPLOYMENT = "/apis/apps/v1/namespaces/istio-ingress/deployments/public"


async def planned(there: World, desired: Any = DESIRED) -> Plan:
    return await make_plan(desired, there.session())


async def installed() -> World:
    there = world()
    await stages.up(there, DESIRED, [])
    there.helm.calls.clear()
    there.kube.calls.clear()
    return there


def found(plan: Plan, code: str) -> list[Finding]:
    return [finding for finding in plan.findings if finding.code == code]


def edited(there: World) -> None:
    """Somebody edits the gateway public, so that its release changes."""
    there.kube.objects[DEPLOYMENT]["spec"]["selector"] = {"matchLabels": {"app": "other"}}


def attempts(there: World) -> list[str]:
    return [call for call in there.kube.calls if call.startswith("ATTEMPT")]


async def test_nothing_to_do_renders_and_tries_nothing() -> None:
    there = await installed()
    plan = await planned(there)
    assert plan.is_empty
    assert plan.trials == ()
    assert attempts(there) == []


async def test_objects_of_a_namespace_that_the_plan_makes_are_tried_in_another_under_another_name() -> None:
    there = world()
    before = deepcopy(there.kube.objects)
    plan = await planned(there)
    assert there.kube.objects == before
    how = {str(trial.key): (trial.how, trial.why) for trial in plan.trials}
    assert how["Deployment istio-ingress/public"] == (How.ELSEWHERE, "namespace istio-ingress does not exist yet")
    assert how["Namespace istio-system"] == (How.TRIED, "")
    assert how["PeerAuthentication istio-system/default"] == (How.NOT_TRIED, "namespace istio-system does not exist yet")
    assert "ATTEMPT /apis/apps/v1/namespaces/default/deployments/public-meshinstall-trial" in attempts(there)
    assert not any("namespaces/istio-ingress/" in call for call in attempts(there))


async def test_in_another_namespace_only_what_is_wrong_anywhere_counts() -> None:
    there = world()
    there.kube.judges.append(lambda attempt: Answer(403, "exceeded quota: small") if "/default/" in attempt.path else None)
    plan = await planned(there)
    assert not found(plan, "PRE031")
    assert {trial.why for trial in plan.trials if "public" in str(trial.key)} == {
        "namespace istio-ingress does not exist yet; in namespace default: exceeded quota: small"
    }


def bad_annotation(attempt: Attempt) -> Answer | None:
    """The API server on an annotation that is a number."""
    spec: Mapping[str, Any] = attempt.body.get("spec") or {}
    if isinstance((spec.get("template") or {}).get("build"), int):
        return Answer(422, f"{attempt.body['metadata']['name']} is invalid", (Cause("FieldValueInvalid", "spec.build", "text expected"),))
    return None


MINIMUM = ("pilot", "autoscaleMin")


def minimum_of(values: Mapping[str, Any]) -> Any:
    return (values.get("pilot") or {}).get("autoscaleMin")


async def test_a_refusal_names_the_line_of_the_value_that_makes_it() -> None:
    there = world()
    release = next(release for release in DESIRED.releases if release.key == ISTIOD)

    def render(values: Mapping[str, Any]) -> tuple[Manifest, ...]:
        made = gateway("istiod")
        made["metadata"]["namespace"] = "istio-system"
        # The layer below asks for 1.
        made["spec"] = {**made["spec"], "template": {"build": 1 if minimum_of(values) == 2 else "1"}}
        return (made,)

    there.helm.renders[ISTIOD] = render
    there.kube.judges.append(bad_annotation)
    (finding,) = found(await planned(there), "PRE031")
    assert finding.title == "Deployment istio-system/istiod would be refused"
    assert finding.detail == "istiod is invalid"
    assert finding.origin == str(release.values.winners()[MINIMUM].origin) == "values/envs/dev.yaml:9"


async def test_what_helm_cannot_render_names_the_line_too() -> None:
    there = world()
    release = next(release for release in DESIRED.releases if release.key == ISTIOD)

    def render(values: Mapping[str, Any]) -> tuple[Manifest, ...]:
        if minimum_of(values) == 2:
            raise HelmError("helm template failed: nil pointer")
        return ()

    there.helm.renders[ISTIOD] = render
    (finding,) = found(await planned(there), "PRE030")
    assert finding.origin == str(release.values.winners()[MINIMUM].origin)


async def test_an_object_of_somebody_else_is_named_with_its_owner() -> None:
    there = world()
    stranger = {**gateway("public"), "metadata": {"name": "public", "namespace": "istio-ingress", "labels": {}}}
    there.kube.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "istio-ingress"}}, stranger)
    (finding,) = found(await planned(there), "PRE033")
    assert finding.title == "Deployment istio-ingress/public exists already and belongs to nobody that Helm knows"
    there.kube.objects[DEPLOYMENT]["metadata"]["annotations"] = {
        "meta.helm.sh/release-name": "edge",
        "meta.helm.sh/release-namespace": "web",
    }
    (finding,) = found(await planned(there), "PRE033")
    assert finding.title.endswith("belongs to Helm release web/edge")


async def test_what_the_account_may_not_write_is_told_once() -> None:
    there = await installed()
    edited(there)
    denied = 'deployments.apps "public" is forbidden: User "ann" cannot patch resource "deployments"'
    there.kube.judges.append(lambda _: Answer(403, denied))
    plan = await planned(there)
    (finding,) = found(plan, "PRE035")
    assert finding.detail == denied
    assert {trial.how for trial in plan.trials} == {How.NOT_TRIED}
    assert not plan.refusals


async def test_an_api_server_that_stops_answering_is_not_a_refusal() -> None:
    there = await installed()
    edited(there)
    there.kube.refusals[f"ATTEMPT {DEPLOYMENT}"] = UnreachableError("the API server does not answer")
    plan = await planned(there)
    assert [finding.title for finding in found(plan, "PRE035")] == ["1 objects were not tried: the API server did not judge them"]


async def test_warnings_of_the_api_server_are_shown() -> None:
    there = await installed()
    edited(there)
    there.kube.judges.append(lambda attempt: Answer(200, warnings=("policy/v1beta1 is deprecated",), made=attempt.body))
    (finding,) = found(await planned(there), "PRE034")
    assert (finding.object, finding.detail) == ("Deployment istio-ingress/public", "policy/v1beta1 is deprecated")


async def test_warnings_beyond_the_first_ten_are_counted() -> None:
    there = await installed()
    edited(there)
    there.kube.judges.append(lambda attempt: Answer(200, warnings=tuple(f"warning {n}" for n in range(12)), made=attempt.body))
    told = found(await planned(there), "PRE034")
    assert len(told) == 11
    assert told[-1].title == "the API server gives 2 more warnings"
    assert told[-1].detail == "Deployment istio-ingress/public"


@pytest.mark.parametrize(
    ("helm", "by_server", "write"),
    [("4.3.1", True, Write.APPLY), ("4.3.1", False, Write.STRATEGIC_MERGE), ("3.22.0", False, Write.STRATEGIC_MERGE)],
)
async def test_an_object_is_sent_as_this_helm_will_send_it(helm: str, by_server: bool, write: Write) -> None:  # noqa: FBT001
    there = await installed()
    edited(there)
    there.helm.number = helm
    there.releases.records[PUBLIC] = replace(there.releases.records[PUBLIC], by_server=by_server)
    seen: list[Attempt] = []
    there.kube.judges.append(seen.append)
    await planned(there)
    (sent,) = seen
    assert (sent.write, sent.manager, sent.force, sent.path) == (write, "helm", False, DEPLOYMENT)
    assert sent.body["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "Helm"}


@pytest.mark.parametrize("shown", [True, False])
async def test_a_conflict_counts_where_the_run_would_not_force(shown: bool) -> None:  # noqa: FBT001
    there = await installed()
    edited(there)
    there.releases.records[PUBLIC] = replace(there.releases.records[PUBLIC], by_server=True)
    fields: dict[str, Any] = {"f:spec": {"f:selector": {}}}
    there.kube.objects[DEPLOYMENT]["metadata"]["managedFields"] = [{"manager": "kubectl-edit" if shown else "keda", "fieldsV1": fields}]
    manager = "kubectl-edit" if shown else "keda"
    cause = Cause("FieldManagerConflict", ".spec.selector", f'conflict with "{manager}" using apps/v1')
    there.kube.judges.append(lambda attempt: None if attempt.force else Answer(409, "Apply failed with 1 conflict", (cause,)))
    titles = [finding.title for finding in found(await planned(there), "PRE031")]
    assert titles == ([] if shown else ["Deployment istio-ingress/public has fields that keda sets"])


async def test_a_field_that_cannot_be_changed_says_what_it_costs() -> None:
    there = await installed()
    edited(there)
    there.kube.judges.append(lambda _: Answer(422, "spec.selector: Invalid value: field is immutable"))
    (finding,) = found(await planned(there), "PRE032")
    assert "must be deleted and created again" in finding.title
    assert "its pods stop before the new ones start" in finding.hint


async def test_what_a_namespace_that_is_being_deleted_would_refuse_is_told_once() -> None:
    there = await installed()
    edited(there)
    there.kube.objects["/api/v1/namespaces/istio-ingress"]["status"] = {"phase": "Terminating"}
    there.kube.judges.append(lambda one: Answer(403, "because it is being terminated") if "namespaces/istio-ingress/" in one.path else None)
    plan = await planned(there)
    assert [finding.code for finding in plan.refusals] == ["PRE003"]
    assert {trial.why for trial in plan.trials if trial.key.namespace == "istio-ingress"} == {"namespace istio-ingress is being deleted"}
