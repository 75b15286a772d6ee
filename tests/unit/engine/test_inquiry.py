"""What is asked before something is changed, and what the answers stop."""

from collections.abc import Callable
from typing import Any

import pytest

from meshinstall.checks.preflight import before_changes
from meshinstall.engine.inquiry import inquire
from meshinstall.model.facts import Ask, Inquiry
from meshinstall.model.release import Manifest
from tests.cases import plans
from tests.fakes import REVIEWS, World
from tests.unit.engine.installed import world

pytestmark = pytest.mark.anyio

DESIRED = plans.load("fresh").desired


def reviews(there: World) -> int:
    return there.kube.calls.count(f"CREATE {REVIEWS}")


def allowing(rule: Callable[[dict[str, Any]], bool]) -> Callable[[Manifest], Manifest]:
    return lambda review: {"status": {"allowed": rule(review["spec"]["resourceAttributes"])}}


async def test_an_administrator_costs_one_review() -> None:
    there = world()
    assert (await inquire(DESIRED, there.kube)).denied == ()
    assert reviews(there) == 1


async def test_whoever_has_each_permission_may_go_on() -> None:
    there = world()
    there.kube.answers[REVIEWS] = allowing(lambda asked: asked["verb"] != "*")
    assert (await inquire(DESIRED, there.kube)).denied == ()
    assert reviews(there) > 1


async def test_missing_permissions_are_named() -> None:
    there = world()
    there.kube.answers[REVIEWS] = allowing(
        lambda asked: (
            asked["verb"] != "*" and (asked["resource"], asked["namespace"]) not in {("secrets", "istio-ingress"), ("clusterroles", "")}
        )
    )
    denied = (await inquire(DESIRED, there.kube)).denied
    assert [str(ask) for ask in denied if ask.verb == "create"] == [
        "create clusterroles.rbac.authorization.k8s.io",
        "create secrets in istio-ingress",
    ]


async def test_nodes_that_are_cordoned_or_not_ready_take_no_pods() -> None:
    there = world()
    there.kube.objects["/api/v1/nodes/one"]["spec"]["unschedulable"] = True
    conditions = [{"type": "Ready", "status": "Unknown"}]
    there.kube.objects["/api/v1/nodes/two"] = {"metadata": {"name": "two"}, "spec": {}, "status": {"conditions": conditions}}
    assert (await inquire(DESIRED, there.kube)).schedulable == 0


async def test_each_pull_secret_must_be_in_the_namespace_of_its_release() -> None:
    there = world()
    layer = {"kind": "FILE", "line": 1, "values": {"global": {"imagePullSecrets": ["private"]}}}
    gateway = {"kind": "FILE", "line": 1, "values": {"imagePullSecrets": [{"name": "private"}]}}
    wanted = {"releases": {"istio-system/istiod": {"layers": {"x.yaml": layer}}, "istio-ingress/public": {"layers": {"x.yaml": gateway}}}}
    for name in ("istio-system", "istio-ingress"):
        there.kube.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    there.kube.objects["/api/v1/namespaces/istio-system/secrets/private"] = {"metadata": {"name": "private"}}
    assert (await inquire(plans.make({"desired": wanted}).desired, there.kube)).missing_secrets == ("istio-ingress/private",)


@pytest.mark.parametrize(
    ("inquiry", "findings"),
    [
        (Inquiry(schedulable=1), []),
        (Inquiry(schedulable=0), ["PRE011 no node is Ready and takes pods"]),
        (Inquiry(denied=(Ask("create", "", "secrets", "a"),)), ["PRE010 missing permissions: create secrets in a"]),
        (
            Inquiry(denied=tuple(Ask(verb, "apps", "deployments", "a") for verb in "uvwxyz")),
            [f"PRE010 missing permissions: {', '.join(f'{verb} deployments.apps in a' for verb in 'uvwxy')} and 1 more"],
        ),
        (
            Inquiry(schedulable=1, missing_secrets=("a/b", "a/c")),
            ["PRE012 pull secret a/b does not exist", "PRE012 pull secret a/c does not exist"],
        ),
    ],
)
def test_what_the_answers_mean(inquiry: Inquiry, findings: list[str]) -> None:
    assert [f"{finding.code} {finding.title}" for finding in before_changes(inquiry)] == findings
