"""The proof that istiod's webhooks answer, on meshes that are well and on those that are not."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from meshinstall.engine.mesh.webhook_answers import webhook_trouble
from meshinstall.errors import ClusterError, ForbiddenError, MeshinstallError, UnreachableError
from meshinstall.model.plan import ReleaseStep
from meshinstall.model.release import Manifest
from tests.cases import plans
from tests.fakes import World
from tests.unit.engine.installed import GATEWAYS, ISTIOD, PODS, world
from tests.unit.engine.run.test_runner import ran, stopped

pytestmark = pytest.mark.anyio

VALIDATORS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
NAMESPACE = "/api/v1/namespaces/istio-system"
NO_SIDECAR = "injection webhook: a pod that asks for a sidecar does not get one"
NO_REJECTION = "validation webhook: istiod does not reject an invalid object yet"


def refuses(message: str, kind: type[ClusterError] = ClusterError) -> Callable[[Manifest], Manifest]:
    def refuse(_: Manifest) -> Manifest:
        raise kind(message)

    return refuse


def only_for(there: World, path: str, revision: str) -> None:
    """As the chart's selectors do it: an object of another revision is let through as it is."""
    answer = there.kube.answers[path]
    there.kube.answers[path] = lambda body: answer(body) if body["metadata"]["labels"].get("istio.io/rev") == revision else body


def labelled(there: World, **labels: str) -> None:
    there.kube.objects[NAMESPACE] = {"metadata": {"name": "istio-system", "labels": {key.replace("_", "/"): labels[key] for key in labels}}}
    there.kube.answers[PODS] = lambda pod: pod


def default_validator(there: World, service: str) -> None:
    hook = {"name": "validation.istio.io", "clientConfig": {"service": {"name": service, "namespace": "istio-system"}}}
    there.kube.objects[f"{VALIDATORS}/istiod-default-validator"] = {"metadata": {}, "webhooks": [hook]}


async def trouble(there: World, revision: str = "default", *, validates: bool = True) -> str:
    """What does not work; empty when both webhooks answered."""
    found = await webhook_trouble(there.kube, "istio-system", revision, validates=validates)
    return found.text if found else ""


@pytest.mark.parametrize("revision", ["default", "1-31-0"])
async def test_both_webhooks_are_asked_as_the_istiod_of_the_revision(revision: str) -> None:
    there = world()
    only_for(there, GATEWAYS, revision)
    only_for(there, PODS, revision)
    assert await trouble(there, revision) == ""
    assert await trouble(there, "other") == NO_REJECTION


@pytest.mark.parametrize(
    ("values", "asked"),
    [
        ({"revision": "canary"}, "canary"),
        ({"pilot": {"revision": "canary"}}, "canary"),
        ({"revision": ""}, "default"),
    ],
)
async def test_a_run_asks_for_the_revision_that_it_installs(values: dict[str, Any], asked: str) -> None:
    there = world()
    only_for(there, GATEWAYS, asked)
    only_for(there, PODS, asked)
    plan = plans.load("fresh").plan()
    steps = (replace(step, values=values) if isinstance(step, ReleaseStep) and step.release == ISTIOD else step for step in plan.steps)
    await ran(there, replace(plan, steps=tuple(steps)))


@pytest.mark.parametrize("values", [{"global": {"configValidation": False}}, {"pilot": {"global": {"configValidation": False}}}])
async def test_a_mesh_without_validation_is_not_asked_for_it(values: dict[str, Any]) -> None:
    there = world(webhooks=False)
    plan = plans.load("fresh").plan()
    steps = (replace(step, values=values) if isinstance(step, ReleaseStep) and step.release == ISTIOD else step for step in plan.steps)
    await ran(there, replace(plan, steps=tuple(steps)))
    assert f"CREATE {GATEWAYS}" not in there.kube.calls


@pytest.mark.parametrize(
    ("service", "revision", "found"),
    [("istiod", "default", NO_REJECTION), ("istiod-1-31-0", "1-31-0", NO_REJECTION), ("istiod", "1-31-0", ""), ("", "default", "")],
)
async def test_the_validator_of_the_base_chart_is_asked_where_it_leads_to_this_istiod(service: str, revision: str, found: str) -> None:
    there = world(webhooks=False)
    if service:
        default_validator(there, service)
    assert await trouble(there, revision, validates=False) == found


@pytest.mark.parametrize(("name", "revision"), [("istio-validator-istio-system", "default"), ("istio-validator-a-istio-system", "a")])
async def test_who_does_not_know_the_values_asks_the_validator_that_is_there(name: str, revision: str) -> None:
    there = world(webhooks=False)
    there.kube.objects[f"{VALIDATORS}/{name}"] = {"metadata": {}}
    assert await trouble(there, revision, validates=False) == NO_REJECTION


@pytest.mark.parametrize(
    "refusal",
    [
        ForbiddenError('pods "meshinstall-proof" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true'),
        ForbiddenError('pods "meshinstall-proof" is forbidden: exceeded quota: tight, requested: pods=1, used: pods=5, limited: pods=5'),
        ForbiddenError('admission webhook "validation.gatekeeper.sh" denied the request: [repos] image proof is not allowed'),
        ClusterError('POST /api/v1/pods: admission webhook "validate.kyverno.svc-fail" denied the request: require-labels'),
    ],
)
async def test_who_refuses_the_injected_pod_has_seen_what_the_webhook_made(refusal: ClusterError) -> None:
    there = world()
    there.kube.answers[PODS] = refuses(refusal.message, type(refusal))
    assert await trouble(there) == ""


@pytest.mark.parametrize(
    "failure",
    [
        ClusterError('Internal error occurred: failed calling webhook "object.sidecar-injector.istio.io": context deadline exceeded'),
        UnreachableError("the API server is not ready"),
    ],
)
async def test_a_webhook_that_cannot_be_called_is_trouble(failure: ClusterError) -> None:
    there = world()
    there.kube.answers[PODS] = refuses(failure.message, type(failure))
    assert await trouble(there) == f"injection webhook: {failure.message}"


async def test_an_object_that_a_policy_engine_denies_proves_nothing_of_istiods_validation() -> None:
    there = world()
    said = 'admission webhook "validation.gatekeeper.sh" denied the request: no gateways here'
    there.kube.answers[GATEWAYS] = refuses(said, ForbiddenError)
    assert await trouble(there) == f"validation webhook: {said}"


@pytest.mark.parametrize("path", [GATEWAYS, PODS])
async def test_who_may_not_ask_is_told_so(path: str) -> None:
    there = world()
    there.kube.answers[path] = refuses('x is forbidden: User "ann" cannot create resource "x"', ForbiddenError)
    with pytest.raises(ForbiddenError):
        await trouble(there)


@pytest.mark.parametrize(
    ("labels", "revision", "keeping_away"),
    [
        ({"istio-injection": "disabled"}, "default", "istio-injection: disabled"),
        ({"istio-injection": "enabled"}, "a", "istio-injection: enabled"),
        ({"istio.io_rev": "b"}, "a", "istio.io/rev: b"),
        ({"istio.io_rev": "b"}, "default", "istio.io/rev: b"),
    ],
)
async def test_a_label_that_keeps_the_injection_away_does_not_make_the_webhooks_fail(
    labels: dict[str, str], revision: str, keeping_away: str
) -> None:
    there = world()
    labelled(there, **labels)
    assert await trouble(there, revision) == ""
    assert await trouble(there, revision, validates=False) == f"cannot test injection: label {keeping_away} excludes namespace istio-system"


@pytest.mark.parametrize("labels", [{}, {"istio-injection": "enabled"}, {"istio.io_rev": "default"}])
async def test_a_pod_that_is_not_injected_where_it_should_be_is_trouble(labels: dict[str, str]) -> None:
    there = world()
    labelled(there, **labels)
    assert await trouble(there) == NO_SIDECAR


async def test_a_run_is_not_stopped_by_the_label_of_its_mesh_namespace() -> None:
    there = world()
    labelled(there, **{"istio-injection": "disabled"})
    await ran(there, plans.load("fresh").plan())


async def test_a_run_that_may_not_ask_stops_at_once() -> None:
    there = world()
    there.kube.answers[PODS] = refuses('pods is forbidden: User "ann" cannot create resource "pods"', ForbiddenError)
    _, error = await stopped(there, plans.load("fresh").plan())
    assert isinstance(error, MeshinstallError)
    assert "cannot create" in error.message
