"""What is asked before something is changed, and what the answers stop."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from meshinstall.checks.preflight import before_changes
from meshinstall.engine.observe.prerequisites import inquire
from meshinstall.model.facts import Ask, Inquiry, Shortage
from meshinstall.model.release import Manifest, ReleaseKey
from tests.cases import plans
from tests.fake_kube import REVIEWS, forbidden
from tests.fakes import World
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


@pytest.mark.parametrize(
    ("verb", "group", "resource", "where"),
    [
        # Profile production makes them; helm updates and prunes its records, looks at each object and deletes what a chart dropped.
        ("create", "policy", "poddisruptionbudgets", "istio-ingress"),
        ("update", "", "secrets", "istio-system"),
        ("delete", "", "secrets", "istio-system"),
        ("get", "apps", "deployments", "istio-ingress"),
        ("delete", "rbac.authorization.k8s.io", "clusterroles", ""),
        ("create", "networking.istio.io", "gateways", "istio-system"),
        ("create", "", "pods", "istio-system"),
        ("list", "apps", "replicasets", "istio-ingress"),
        ("list", "autoscaling", "horizontalpodautoscalers", "istio-ingress"),
    ],
)
async def test_each_permission_that_helm_or_a_wait_needs_is_asked_for(verb: str, group: str, resource: str, where: str) -> None:
    there = world()
    lacks = {"verb": verb, "group": group, "resource": resource, "namespace": where}
    there.kube.answers[REVIEWS] = allowing(lambda asked: asked["verb"] != "*" and asked != lacks)
    assert (await inquire(DESIRED, there.kube)).denied == (Ask(verb, group, resource, where),)


@pytest.mark.parametrize("verb", ["list", "delete"])
async def test_leases_of_an_istiod_that_retires_are_asked_for_where_one_can(verb: str) -> None:
    there = world()
    there.kube.answers[REVIEWS] = allowing(lambda asked: (asked["verb"], asked["resource"]) not in {("*", "*"), (verb, "leases")})
    missing = Ask(verb, "coordination.k8s.io", "leases", "istio-system")
    assert (await inquire(replace(DESIRED, revision="1-31"), there.kube)).denied == (missing,)
    assert (await inquire(DESIRED, there.kube)).denied == ()


async def test_the_agents_of_ambient_are_asked_for_where_there_are_any() -> None:
    there = world()
    there.kube.answers[REVIEWS] = allowing(lambda asked: asked["verb"] != "*" and asked["resource"] != "daemonsets")
    assert (await inquire(DESIRED, there.kube)).denied == ()


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


@pytest.mark.parametrize("written", [[{"nme": "x"}], [{"name": ""}], "letters", [["x"]], [{"name": 7}], 7])
async def test_pull_secrets_of_a_wrong_shape_name_no_secret(written: object) -> None:
    gateway = {"kind": "FILE", "line": 1, "values": {"imagePullSecrets": written}}
    wanted = {"releases": {"istio-ingress/public": {"layers": {"x.yaml": gateway}}}}
    found = await inquire(plans.make({"desired": wanted}).desired, world().kube)
    assert found.missing_secrets == ()
    assert found.future_secrets == ()


def roomy(there: World, name: str, cpu: str, memory: str, **spec: Any) -> None:
    status = {"conditions": [{"type": "Ready", "status": "True"}], "allocatable": {"cpu": cpu, "memory": memory}}
    there.kube.objects[f"/api/v1/nodes/{name}"] = {"metadata": {"name": name}, "spec": spec, "status": status}


async def short(there: World) -> list[str]:
    return [f"{each.pods} {each.release.name} {each.free}" for each in (await inquire(DESIRED, there.kube)).shortages]


async def test_pods_that_fit_on_no_node_are_told_with_what_the_nodes_have() -> None:
    there = world()
    roomy(there, "one", "400m", "8Gi")
    assert await short(there) == ["1 istiod ('one has 400m cpu, 8192Mi memory',)"]
    roomy(there, "two", "1", "3Gi")
    assert await short(there) == []


async def test_what_is_on_a_node_takes_room_and_needs_no_other() -> None:
    there = world()
    roomy(there, "one", "1", "4Gi")
    labels = {"app.kubernetes.io/instance": "istiod"}
    resources = {"requests": {"cpu": "700m"}}
    for name, namespace, its in (("big", "shop", {}), ("istiod-1", "istio-system", labels)):
        pod = {"metadata": {"name": name, "namespace": namespace, "labels": its}, "spec": {"containers": [{"resources": resources}]}}
        there.kube.objects[f"/api/v1/namespaces/{namespace}/pods/{name}"] = pod
        expected = "istiod" if name == "big" else "public"
        assert expected in (await short(there))[0]


async def test_a_ready_node_that_has_just_joined_is_counted_on() -> None:
    there = world()
    roomy(there, "one", "8", "32Gi", taints=[{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}])
    assert await short(there) == []


async def test_a_node_with_a_taint_is_not_counted_on() -> None:
    there = world()
    roomy(there, "one", "8", "32Gi", taints=[{"key": "gpu", "effect": "NoSchedule"}])
    assert (await short(there))[0] == "1 istiod ()"
    roomy(there, "one", "8", "32Gi", taints=[{"key": "gpu", "effect": "PreferNoSchedule"}])
    assert await short(there) == []


async def test_a_taint_that_the_values_tolerate_closes_the_node_for_the_others_only() -> None:
    there = world()
    del there.kube.objects["/api/v1/nodes/one"]
    roomy(
        there,
        "one",
        "8",
        "32Gi",
        taints=[{"key": "gpu", "effect": "NoSchedule"}, {"key": "cni.istio.io/not-ready", "effect": "NoSchedule"}],
    )
    values = {"tolerations": [{"key": "gpu", "operator": "Exists"}, "nonsense"]}
    layer = {"kind": "FILE", "line": 1, "values": values}
    wanted = plans.make({"desired": {"releases": {"istio-system/istiod": {"layers": {"x.yaml": layer}}}}}).desired
    found = (await inquire(wanted, there.kube)).shortages
    assert [need.release.name for need in found] == ["public", "partners"]
    (finding, _) = before_changes(Inquiry(schedulable=1, shortages=found))
    assert finding.detail == "every node has a taint that these pods do not tolerate"


async def test_of_many_nodes_the_largest_are_looked_at_and_no_more_than_ten() -> None:
    there = world()
    del there.kube.objects["/api/v1/nodes/one"]
    for number in range(30):
        roomy(there, f"n{number}", "1", f"{number + 1}Gi")
    assert await short(there) == []
    assert there.kube.calls.count("LIST /api/v1/pods") == 1

    for number in range(30):
        roomy(there, f"n{number}", "100m", "8Gi")
    there.kube.calls.clear()
    # The others might have room: nothing is claimed.
    assert await short(there) == []
    assert there.kube.calls.count("LIST /api/v1/pods") == 10


async def test_who_may_not_list_pods_hears_nothing_of_room() -> None:
    there = world()
    roomy(there, "one", "1m", "1Mi")
    there.kube.refusals["LIST /api/v1/pods"] = forbidden("pods")
    assert await short(there) == []


@pytest.mark.parametrize(
    ("inquiry", "findings"),
    [
        (Inquiry(schedulable=1), []),
        (
            Inquiry(schedulable=1, shortages=(Shortage(ReleaseKey("a", "b"), 2, "1m cpu, 1Mi memory", ("n has 0m cpu, 0Mi memory",)),)),
            ["PRE014 2 pods of a/b may not fit on any node: each requests 1m cpu, 1Mi memory"],
        ),
        (
            Inquiry(schedulable=1, shortages=(Shortage(ReleaseKey("a", "b"), 1, "1m cpu, 1Mi memory", ()),)),
            ["PRE014 1 pod of a/b may not fit on any node: each requests 1m cpu, 1Mi memory"],
        ),
        (Inquiry(schedulable=0), ["PRE011 no node is Ready and schedulable"]),
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
