"""Policies that files describe, in a cluster in memory: applied, compared exactly, taken over only when equal, deleted without a file."""

from dataclasses import replace
from typing import Any

import pytest

from meshinstall.engine import pipeline
from meshinstall.engine.events import Event, StepDone
from meshinstall.engine.pipeline import Terms
from meshinstall.engine.plan.policy_steps import comes_strict
from meshinstall.engine.planning import make_plan, make_removal, refuse
from meshinstall.errors import ClusterError, PlanRefusedError
from meshinstall.model.desired import Desired, Policy
from meshinstall.model.facts import Facts, key_of
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.ownership import POLICY
from meshinstall.model.paths import path_of
from meshinstall.model.plan import Action, Change, ObjectStep, Plan
from meshinstall.model.release import Manifest
from meshinstall.model.values import LayerKind, Origin
from tests.cases import plans
from tests.fake_kube import forbidden
from tests.fakes import World
from tests.unit.engine import stages
from tests.unit.engine.installed import crd, world

pytestmark = pytest.mark.anyio

MESH = plans.load("fresh").desired
WHEN = "2026-11-21T12:00:00Z"
RULE = {"from": [{"source": {"namespaces": ["shop"]}}]}
HELM, OURS = {"app.kubernetes.io/managed-by": "Helm"}, {"app.kubernetes.io/managed-by": "meshinstall", POLICY: "layers"}


def policy(name: str = "web", spec: Any = None, *, kind: str = "AuthorizationPolicy", namespace: str = "shop", **metadata: Any) -> Manifest:
    group = "security.istio.io" if kind == "AuthorizationPolicy" else "networking.istio.io"
    named = {"name": name, "namespace": namespace, **metadata}
    return {"apiVersion": f"{group}/v1", "kind": kind, "metadata": named, "spec": {"rules": [RULE]} if spec is None else spec}


def wanting(*manifests: Manifest) -> Desired:
    where = Origin(LayerKind.PROJECT, "policies/base/web.yaml", 1)
    rules = Origin(LayerKind.PROJECT, "policies/base/web.yaml", 5)
    return replace(MESH, layered=tuple(Policy(one, where, {(): where, ("spec", "rules"): rules}) for one in manifests))


def cluster() -> World:
    there = world()
    there.kube.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}})
    return there


async def up(there: World, desired: Desired) -> list[str]:
    """Names of the steps in the order in which they were done."""
    events: list[Event] = []
    await stages.up(there, desired, events)
    return [event.step.name for event in events if isinstance(event, StepDone)]


async def planned(there: World, desired: Desired) -> Plan:
    return await make_plan(desired, there.session())


def live(there: World, manifest: Manifest) -> dict[str, Any]:
    return there.kube.objects[path_of(key_of(manifest))]


def step(plan: Plan, name: str = "AuthorizationPolicy/shop/web") -> ObjectStep:
    (found,) = [one for one in plan.steps if isinstance(one, ObjectStep) and one.name == name]
    return found


def told(plan: Plan, code: str) -> list[Finding]:
    return [one for one in plan.findings if one.code == code]


async def test_they_come_after_all_releases_with_our_labels_and_then_there_is_nothing_to_do() -> None:
    there, desired = cluster(), wanting(policy(labels={"team": "a"}))
    done = await up(there, desired)
    assert done[-1] == "AuthorizationPolicy/shop/web"
    assert live(there, policy())["metadata"]["labels"] == {
        "team": "a",
        "app.kubernetes.io/managed-by": "meshinstall",
        "meshinstall.dev/environment": "dev",
        "meshinstall.dev/profile": "default",
        "meshinstall.dev/policy": "layers",
    }
    again = await planned(there, desired)
    assert again.is_empty, [one.name for one in again.pending]
    assert step(again).needs[-1] == "istio-ingress/partners"


async def test_a_plan_names_the_line_of_each_value() -> None:
    plan = await planned(cluster(), wanting(policy()))
    assert step(plan).reasons == ("does not exist",)
    assert step(plan).changes == (Change("spec.rules", None, [RULE], "policies/base/web.yaml:5"),)


async def test_an_annotation_that_the_file_no_longer_has_goes() -> None:
    there = cluster()
    await up(there, wanting(policy(annotations={"meshinstall.dev/ticket": "OPS-1"})))
    fields = {"f:metadata": {"f:annotations": {"f:meshinstall.dev/ticket": {}}, "f:labels": {f"f:{POLICY}": {}}}, "f:spec": {"f:rules": {}}}
    applied = [{"manager": "meshinstall", "operation": "Apply", "time": WHEN, "fieldsV1": fields}]
    live(there, policy())["metadata"]["managedFields"] = applied
    assert step(await planned(there, wanting(policy()))).reasons == ("differs in metadata.annotations.meshinstall.dev/ticket",)
    live(there, policy())["metadata"]["managedFields"] = [{**one, "manager": "kubectl"} for one in applied]
    assert (await planned(there, wanting(policy()))).is_empty


async def test_what_somebody_added_goes_and_the_plan_says_who() -> None:
    there, desired = cluster(), wanting(policy())
    await up(there, desired)
    found = live(there, policy())
    found["spec"]["selector"] = {"matchLabels": {"app": "nothing"}}
    fields: dict[str, Any] = {"f:spec": {"f:selector": {}}}
    found["metadata"]["managedFields"] = [{"manager": "kubectl-patch", "operation": "Update", "time": WHEN, "fieldsV1": fields}]
    plan = await planned(there, desired)
    assert step(plan).reasons == (f"was edited by kubectl-patch (Update, {WHEN}): spec.selector",)
    await up(there, desired)
    assert live(there, policy())["spec"] == {"rules": [RULE]}


async def test_the_order_of_routes_counts_and_that_of_rules_does_not() -> None:
    routes = [{"match": [{"uri": {"prefix": "/a"}}]}, {"route": [{"destination": {"host": "b"}}]}]
    other = {"from": [{"source": {"namespaces": ["pay"]}}]}
    made = policy(spec={"http": routes}, kind="VirtualService"), policy("two", {"rules": [RULE, other]})
    there, desired = cluster(), wanting(*made)
    await up(there, desired)
    live(there, made[0])["spec"]["http"].reverse()
    live(there, made[1])["spec"]["rules"].reverse()
    plan = await planned(there, desired)
    assert [one.name for one in plan.pending] == ["VirtualService/shop/web"]


async def test_an_object_that_no_file_has_any_more_is_deleted() -> None:
    there = cluster()
    await up(there, wanting(policy(), policy("old")))
    plan = await planned(there, wanting(policy()))
    (gone,) = plan.pending
    assert (gone.name, gone.action, gone.reasons) == (
        "AuthorizationPolicy/shop/old",
        Action.DELETE,
        ("no file of this environment has it any more",),
    )
    await up(there, wanting(policy()))
    assert path_of(key_of(policy("old"))) not in there.kube.objects
    assert (await planned(there, wanting(policy()))).is_empty


async def test_when_the_last_file_or_the_whole_folder_goes_the_rest_is_deleted_once_that_is_allowed() -> None:
    there, deny = cluster(), policy("deny", {"action": "DENY", "rules": [{"to": [{"operation": {"paths": ["/admin"]}}]}]})
    await up(there, wanting(policy(), deny, policy("pay", namespace="istio-ingress")))
    plan = await planned(there, wanting())
    assert {one.action for one in plan.pending} == {Action.DELETE}
    # Nobody may call meanwhile who could not before: what denies goes last.
    assert [one.name for one in plan.pending][-1] == "AuthorizationPolicy/shop/deny"
    (finding,) = told(plan, "PRE056")
    assert finding.title == "no file describes a policy, and 3 of earlier runs would be deleted"
    assert finding.detail == "AuthorizationPolicy istio-ingress/pay, AuthorizationPolicy shop/deny, AuthorizationPolicy shop/web"
    with pytest.raises(PlanRefusedError, match="PRE056"):
        await up(there, wanting())
    assert live(there, deny)
    await stages.up(there, wanting(), [], Terms(prove=False, allow=frozenset({"no-policies"})))
    assert [path for path in there.kube.objects if "authorizationpolicies" in path] == []
    assert (await planned(there, wanting())).is_empty


async def test_what_never_had_policies_has_nothing_to_do() -> None:
    there = cluster()
    await up(there, wanting())
    plan = await planned(there, wanting())
    assert plan.is_empty
    assert plan.findings == ()


async def test_whoever_may_not_list_policies_and_has_none_is_told_once_and_asks_no_more() -> None:
    there = cluster()
    there.kube.put(crd("peerauthentications.security.istio.io"))
    await up(there, wanting(policy()))
    there.kube.refusals["LIST /apis/security.istio.io/v1/peerauthentications"] = forbidden("list peerauthentications")
    there.kube.calls.clear()
    plan = await planned(there, wanting())
    assert plan.is_empty
    assert plan.refusals == ()
    assert [one.severity for one in told(plan, "PRE051")] == [Severity.WARNING]
    assert [call for call in there.kube.calls if "authorizationpolicies" in call] == []


async def test_a_kind_that_may_not_be_listed_stops_no_run_without_policies() -> None:
    there = cluster()
    await up(there, wanting(policy()))
    there.kube.refusals["LIST /apis/security.istio.io/v1/authorizationpolicies"] = forbidden("list authorizationpolicies")
    plan = await planned(there, wanting())
    assert (plan.is_empty, plan.refusals, [one.severity for one in told(plan, "PRE051")]) == (True, (), [Severity.WARNING])


async def test_an_upgrade_looks_for_none_of_them() -> None:
    there = cluster()
    await up(there, wanting(policy()))
    there.kube.calls.clear()
    assert (await planned(there, replace(MESH, layered=None))).is_empty
    assert [call for call in there.kube.calls if "authorizationpolicies" in call] == []


async def test_a_run_asks_for_the_right_to_delete_what_no_file_describes() -> None:
    there = cluster()
    await up(there, wanting(policy(), policy("old", {"host": "web.other.example"}, kind="DestinationRule")))
    there.kube.answers["/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"] = lambda review: {
        **review,
        "status": {"allowed": review["spec"]["resourceAttributes"]["resource"] not in {"*", "destinationrules"}},
    }
    (finding,) = told(await planned(there, wanting(policy())), "PRE010")
    assert "delete destinationrules.networking.istio.io" in finding.title


@pytest.mark.parametrize("labels", [{"app.kubernetes.io/managed-by": "meshinstall"}, {POLICY: "layers"}, {}])
async def test_what_does_not_carry_both_of_our_labels_is_never_deleted(labels: dict[str, str]) -> None:
    there = cluster()
    await up(there, wanting(policy()))
    there.kube.put(policy("theirs", labels=labels))
    assert (await planned(there, wanting(policy()))).is_empty
    removal = await make_removal(wanting(policy()), there.session(), crds=False)
    assert "AuthorizationPolicy/shop/theirs" not in [one.name for one in removal.steps]


async def test_what_somebody_else_made_is_taken_over_when_it_is_equal() -> None:
    there, desired = cluster(), wanting(policy())
    there.kube.put(policy())
    plan = await planned(there, desired)
    assert step(plan).reasons == ("was made by somebody else, and is equal: it becomes meshinstall's",)
    assert plan.refusals == ()
    await up(there, desired)
    assert live(there, policy())["metadata"]["labels"][POLICY] == "layers"
    assert (await planned(there, desired)).is_empty


@pytest.mark.parametrize(
    ("metadata", "spec", "owner", "detail"),
    [
        ({}, {"rules": [{}]}, "manager kubectl-apply", "it differs from the file in spec.rules[0].from"),
        ({}, {"rules": [RULE], "action": "DENY"}, "manager kubectl-apply", "it differs from the file in spec.action"),
        (
            {"annotations": {"istio.io/dry-run": "true"}},
            {"rules": [RULE]},
            "manager kubectl-apply",
            "metadata.annotations.istio.io/dry-run",
        ),
        ({"labels": HELM}, {"rules": [RULE]}, "Helm", "it is equal, but its owner would write it again"),
        ({"annotations": {"argocd.argoproj.io/tracking-id": "shop:x"}}, {"rules": [RULE]}, "Argo CD Application shop", "it is equal"),
    ],
)
async def test_what_somebody_else_made_and_differs_stops_the_run(
    metadata: dict[str, Any], spec: dict[str, Any], owner: str, detail: str
) -> None:
    there, desired = cluster(), wanting(policy())
    fields: dict[str, Any] = {"f:spec": {"f:rules": {}}}
    managed = [{"manager": "kubectl-apply", "operation": "Apply", "time": WHEN, "fieldsV1": fields}]
    there.kube.put(policy(spec=spec, managedFields=managed, **metadata))
    plan = await planned(there, desired)
    (finding,) = told(plan, "PRE033")
    assert finding.title.startswith(f"AuthorizationPolicy shop/web exists already and belongs to {owner}")
    assert detail in finding.detail
    assert finding.origin == "policies/base/web.yaml:1"
    with pytest.raises(PlanRefusedError, match="PRE033"):
        refuse(plan, frozenset({"takeover", "foreign", "refused"}))
    assert live(there, policy())["spec"] == spec


async def test_a_namespace_that_does_not_exist_stops_the_run() -> None:
    there = world()
    (finding,) = told(await planned(there, wanting(policy())), "PRE050")
    assert (finding.severity, finding.title) == (Severity.ERROR, "namespace shop of AuthorizationPolicy shop/web does not exist")


async def test_a_kind_of_the_gateway_api_that_the_cluster_does_not_have_stops_the_run() -> None:
    route = {**policy(), "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute"}
    (finding,) = told(await planned(cluster(), wanting(route)), "PRE050")
    assert finding.title == "the cluster has no kind HTTPRoute of gateway.networking.k8s.io"


async def test_a_version_of_a_kind_of_the_gateway_api_that_the_cluster_does_not_serve_stops_the_run() -> None:
    """Older CRDs have fewer versions, and newer ones drop some."""
    there = cluster()
    route = {**policy(), "apiVersion": "gateway.networking.k8s.io/v1beta1", "kind": "HTTPRoute"}
    there.kube.put({**route, "metadata": {"name": "other", "namespace": "shop"}})
    (finding,) = told(await planned(there, wanting({**route, "apiVersion": "gateway.networking.k8s.io/v1"})), "PRE050")
    assert finding.title == "the cluster does not serve HTTPRoute of gateway.networking.k8s.io/v1"
    assert finding.hint.startswith("write apiVersion: gateway.networking.k8s.io/v1beta1, which it serves")
    assert told(await planned(there, wanting(route)), "PRE050") == []


@pytest.mark.parametrize("kind", ["TCPRoute", "TLSRoute", "UDPRoute"])
async def test_routes_of_the_gateway_api_may_be_of_its_stable_version(kind: str) -> None:
    """The CRDs of Gateway API 1.6, which Istio 1.31 goes with, serve no other one of theirs."""
    there = cluster()
    route = {**policy(), "apiVersion": "gateway.networking.k8s.io/v1", "kind": kind}
    there.kube.put({**route, "metadata": {"name": "other", "namespace": "shop"}})
    plan = await planned(there, wanting(route))
    assert told(plan, "PRE050") == []
    assert step(plan, f"{kind}/shop/web").action is Action.APPLY


async def test_gateways_of_both_groups_with_one_name_are_two_steps() -> None:
    istios = policy(spec={"servers": []}, kind="Gateway")
    plan = await planned(cluster(), wanting(istios, {**istios, "apiVersion": "gateway.networking.k8s.io/v1"}))
    names = [one.name for one in plan.steps if one.name.startswith("Gateway")]
    assert names == ["Gateway.gateway.networking.k8s.io/shop/web", "Gateway/shop/web"]


async def test_policies_that_may_not_be_listed_stop_up_and_are_told_by_down() -> None:
    there = cluster()
    await up(there, wanting(policy()))
    there.kube.refusals["LIST /apis/security.istio.io/v1/authorizationpolicies"] = forbidden("list authorizationpolicies")
    (finding,) = told(await planned(there, wanting(policy())), "PRE051")
    assert finding.severity is Severity.ERROR
    (finding,) = told(await make_removal(MESH, there.session(), crds=False), "PRE051")
    assert finding.severity is Severity.WARNING


async def test_down_deletes_them_first_also_when_there_are_no_files_any_more() -> None:
    there = cluster()
    await up(there, wanting(policy(), policy("gate", namespace="istio-ingress")))
    removal = await make_removal(MESH, there.session(), crds=False)
    names = [one.name for one in removal.pending]
    gone = {"AuthorizationPolicy/shop/web", "AuthorizationPolicy/istio-ingress/gate"}
    assert gone < set(names[:3])
    (istiod,) = [one for one in removal.steps if one.name == "istio-system/istiod"]
    assert gone < set(istiod.needs)
    # A policy of ours does not keep a namespace of ours.
    assert "namespace/istio-ingress" in names
    await stages.down(there, MESH, [])
    assert [path for path in there.kube.objects if "authorizationpolicies" in path] == []


async def test_an_object_that_somebody_made_again_meanwhile_is_not_deleted() -> None:
    there = cluster()
    await up(there, wanting(policy()))
    old = live(there, policy())["metadata"]["uid"]
    removal = await make_removal(MESH, there.session(), crds=False)
    assert step(removal).manifest["metadata"]["uid"] == old


async def test_a_run_asks_for_the_rights_that_its_policies_need() -> None:
    there = cluster()
    there.kube.answers["/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"] = lambda review: {
        **review,
        "status": {"allowed": review["spec"]["resourceAttributes"]["resource"] not in {"*", "authorizationpolicies"}},
    }
    (finding,) = told(await planned(there, wanting(policy())), "PRE010")
    assert "list authorizationpolicies.security.istio.io" in finding.title


async def test_a_strict_policy_of_a_namespace_is_not_strict_for_the_mesh() -> None:
    there = cluster()
    await up(there, replace(MESH, layered=()))
    peers = {**policy(spec={"mtls": {"mode": "STRICT"}}), "kind": "PeerAuthentication"}
    plan = await planned(there, wanting(peers))
    assert [one.name for one in plan.pending] == ["PeerAuthentication/shop/web"]
    assert not comes_strict(plan, Facts("1.35.0"))


async def test_a_conflict_with_whoever_came_between_plan_and_run_is_an_error() -> None:
    there, desired = cluster(), wanting(policy())
    await up(there, replace(MESH, layered=()))
    path = path_of(key_of(policy()))

    async def come(_: Plan) -> None:
        there.kube.put(policy(spec={"rules": [{}]}))
        there.kube.foreign.add(path)

    with pytest.raises(ClusterError, match="conflict"):
        await pipeline.up(desired, there.session(), stages.UNPROVEN, stages.callbacks([], ask=come))
    assert live(there, policy())["spec"] == {"rules": [{}]}


async def test_a_rule_for_a_service_that_is_not_there_is_told_before_it_is_written() -> None:
    rule = policy("web", {"host": "web"}, kind="DestinationRule")
    (finding,) = told(await planned(cluster(), wanting(rule)), "PRE055")
    assert finding.title == "DestinationRule shop/web is for web.shop.svc.cluster.local, which is not a Service"
