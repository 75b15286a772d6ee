"""What the plan of an upgrade says of a mesh: the way and its reason, what is down, and what stops it with its code."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from meshinstall.catalog.upgrades import AMBIENT, GATEWAY_ROUTES, NOTES, RETIRED_HOSTS, SECURITY_FIXES, SHARED_HOSTS
from meshinstall.engine.upgrade.plan import plan_upgrade
from meshinstall.model.desired import Desired
from meshinstall.model.finding import Severity
from meshinstall.model.istio_version import IstioVersion, istio_version
from meshinstall.model.mesh_position import (
    AgentAt,
    ApiGatewayAt,
    Carrier,
    LabelledAt,
    MeshPosition,
    NamespaceAt,
    PlaneAt,
    Proxied,
    ProxyCount,
    Rollout,
    TagAt,
)
from meshinstall.model.place import Place
from meshinstall.model.upgrade import StageName, UpgradePlan, Way
from tests.cases import plans

TODAY = date(2026, 11, 21)
ROLLING = Rollout("RollingUpdate", 2, 0, 1)


def version(text: str) -> IstioVersion:
    found = istio_version(text)
    assert found
    return found


def proxied(name: str = "shop/web", at: str = "1.30.4", kind: str = "Deployment", **fields: Any) -> Proxied:
    """A workload with two pods."""
    found = Proxied(kind, Place(*name.split("/", 1)), Carrier.SIDECAR, (ProxyCount("default", version(at), 2),), ROLLING)
    return replace(found, **fields)


def plane(at: str = "1.30.4", revision: str = "default", **fields: Any) -> PlaneAt:
    name = "istiod" if revision == "default" else f"istiod-{revision}"
    return replace(PlaneAt(revision, version(at), Place("istio-system", name), name), **fields)


def mesh(at: str = "1.30.4", **fields: Any) -> MeshPosition:
    """One istiod without a revision, and one workload."""
    found = MeshPosition(
        kubernetes="1.35.0",
        helm="4.3.1",
        base=version(at),
        planes=(plane(at),),
        proxied=(proxied(at=at),),
        namespaces=(NamespaceAt("shop", "enabled"),),
        validator="default",
    )
    return replace(found, **fields)


def wanting(target: str, values: dict[str, Any] | None = None) -> Desired:
    """The configuration at a version, with ``values`` of istiod at a line of a file."""
    found = plans.make({"desired": {"istioVersion": target}}).desired
    if values is None:
        return found
    layers = {"values/envs/dev.yaml": {"kind": "ENVIRONMENT", "values": values, "line": 9}}
    return plans.make({"desired": {"istioVersion": target, "releases": {"istio-system/istiod": {"layers": layers}}}}).desired


def planned(position: MeshPosition, target: str = "1.31.1", values: dict[str, Any] | None = None) -> UpgradePlan:
    return plan_upgrade(wanting(target, values), position, version(target), TODAY)


def codes(plan: UpgradePlan, severity: Severity = Severity.ERROR) -> list[str]:
    return [finding.code for finding in plan.findings if finding.severity is severity]


def titled(plan: UpgradePlan, code: str) -> str:
    return "\n".join(f"{one.title} | {one.detail} | {one.hint} | {one.origin}" for one in plan.findings if one.code == code)


@pytest.mark.parametrize(
    ("position", "target", "way", "reason"),
    [
        (mesh("1.31.0"), "1.31.1", Way.IN_PLACE, "1.31.1 is of the minor that runs"),
        (mesh(), "1.31.1", Way.CANARY, "the next minor"),
        (mesh("1.29.7"), "1.31.1", Way.CANARY, "two minors newer"),
        (mesh(proxied=()), "1.31.1", Way.IN_PLACE, "no proxy"),
        (mesh(agents=(AgentAt("ztunnel", version("1.30.4"), Place("istio-system", "ztunnel")),)), "1.31.1", Way.IN_PLACE, "ztunnel"),
        (mesh(planes=(plane(), plane("1.31.0", "1-31"))), "1.31.1", Way.CANARY, "several control planes"),
        (mesh(planes=(plane(revision="1-31"),)), "1.31.1", Way.IN_PLACE, "has the revision 1-31 already"),
    ],
)
def test_the_way_and_why(position: MeshPosition, target: str, way: Way, reason: str) -> None:
    strategy = planned(position, target).strategy
    assert strategy is not None
    assert strategy.way is way
    assert reason in strategy.reason


def test_two_minors_and_ambient_are_called_not_proven() -> None:
    two = planned(mesh("1.29.7")).strategy
    assert two is not None
    assert not two.is_proven
    next_minor = planned(mesh()).strategy
    assert next_minor is not None
    assert next_minor.is_proven


def test_three_minors_are_a_list_of_hops_and_no_stage() -> None:
    plan = planned(mesh("1.28.3"))
    assert [str(hop.after) for hop in plan.hops] == ["1.29.9", "1.30.5", "1.31.1"]
    assert plan.stages == ()
    assert codes(plan) == ["PRE039"]
    assert "next legal hop: meshinstall upgrade plan --to 1.29.9" in titled(plan, "PRE039")
    assert not plan.is_empty


def test_back_is_refused_with_what_is_newer() -> None:
    said = titled(planned(mesh("1.31.1"), "1.30.5"), "PRE039")
    assert "the CRDs (1.31.1)" in said
    assert "next legal hop: meshinstall upgrade plan --to 1.31.1" in said


def test_without_a_control_plane_there_is_no_hop() -> None:
    assert "there is no legal hop; install one: meshinstall up" in titled(planned(MeshPosition()), "PRE039")


def test_the_stages_of_a_canary_in_their_order() -> None:
    gateway = proxied("istio-ingress/public", carrier=Carrier.GATEWAY, release="istio-ingress/public")
    plan = planned(mesh(proxied=(gateway, proxied())))
    assert [stage.name for stage in plan.stages] == [
        StageName.CRDS,
        StageName.CONTROL_PLANE,
        StageName.SCOUT,
        StageName.CANARY,
        StageName.GATEWAYS,
        StageName.TAGS,
        StageName.WORKLOADS,
        StageName.DEFAULT,
        StageName.RETIRE,
    ]
    told = {stage.name: stage for stage in plan.stages}
    assert told[StageName.CONTROL_PLANE].moves[0].name == "istiod-1-31"
    assert "no canary possible: every namespace says istio-injection=enabled" in told[StageName.CANARY].note
    assert "switched off first" in told[StageName.TAGS].note
    assert told[StageName.TAGS].moves[0].restart == "new pods of shop"
    assert told[StageName.RETIRE].moves[0].name == "istiod"


def test_a_tag_called_canary_goes_first_with_its_namespaces() -> None:
    position = mesh(
        proxied=(proxied(), proxied("try/web")),
        namespaces=(NamespaceAt("shop", "enabled"), NamespaceAt("try", "", "canary")),
        tags=(TagAt("canary", "default"),),
    )
    told = {stage.name: [move.name for move in stage.moves] for stage in planned(position).stages}
    assert told[StageName.CANARY] == ["canary", "Deployment try/web"]
    assert told[StageName.WORKLOADS] == ["Deployment shop/web"]


def test_in_place_has_no_second_istiod() -> None:
    plan = planned(mesh("1.31.0"))
    assert [stage.name for stage in plan.stages] == [StageName.CRDS, StageName.CONTROL_PLANE, StageName.WORKLOADS]


def test_proxies_that_would_be_too_old_are_restarted_first() -> None:
    plan = planned(mesh(planes=(plane("1.31.0"),), base=version("1.31.0"), proxied=(proxied(at="1.29.7"),)))
    assert plan.stages[0].name is StageName.CATCH_UP
    assert plan.stages[0].moves[0].after == "1.31.0"
    assert codes(plan, Severity.WARNING)[:1] == ["PRE045"]


def test_a_mesh_at_the_target_has_nothing_to_do() -> None:
    plan = planned(mesh("1.31.1"))
    assert plan.is_empty
    assert plan.findings == ()


@pytest.mark.parametrize(
    ("workload", "said"),
    [
        (proxied(rollout=Rollout("RollingUpdate", 1, 0, 1)), "not down: a new pod is Ready before an old one stops"),
        (proxied(rollout=Rollout("RollingUpdate", 4, 1, 1)), "not down: other pods serve meanwhile"),
        (
            proxied(rollout=Rollout("RollingUpdate", 1, 1, 0)),
            "down from the stop of the old (up to 30 s) until the new are Ready: it has 1 pod",
        ),
        (proxied(rollout=Rollout("Recreate", 3, grace=60)), "down from the stop of the old (up to 60 s) until the new are Ready: strategy"),
        (proxied(kind="StatefulSet", rollout=Rollout("RollingUpdate", 1, 1)), "down from the stop"),
        (proxied(kind="StatefulSet", rollout=Rollout("RollingUpdate", 3, 1)), "not down: other pods serve meanwhile"),
        (proxied(kind="DaemonSet", rollout=Rollout("RollingUpdate", 3, 1)), "down on each node in turn"),
        (proxied(rollout=replace(ROLLING, budget="shop/tight")), "PodDisruptionBudget shop/tight allows no disruption now"),
        (proxied(rollout=replace(ROLLING, is_paused=True)), "keeps the old proxy until the Deployment is no longer paused"),
        (proxied(kind="StatefulSet", rollout=Rollout("OnDelete", 3)), "keeps the old proxy until somebody deletes its pods (OnDelete)"),
        (proxied(kind="StatefulSet", rollout=Rollout("RollingUpdate", 3, 1, held=2)), "until its partition no longer keeps 2 pods"),
        (proxied(kind="Job"), "keeps the old proxy until it ends"),
        (proxied(kind="Pod"), "keeps the old proxy until somebody deletes it"),
        (proxied(kind="Rollout"), "keeps the old proxy until the controller of Rollout replaces its pods"),
        (proxied(pinned_image="r/proxyv2:1.30.4"), "keeps the old proxy until its pod template no longer names the image r/proxyv2:1.30.4"),
        (proxied(pinned_image="r/proxyv2:1.31.1"), "not down"),
    ],
)
def test_what_a_restart_means(workload: Proxied, said: str) -> None:
    """A budget that allows none, Recreate, one pod, OnDelete, a bare pod, a Job, an owner that Kubernetes does not know."""
    plan = planned(mesh(proxied=(workload,)))
    (move,) = next(stage for stage in plan.stages if stage.name is StageName.WORKLOADS).moves
    assert said in move.restart
    assert move.by_hand == ("keeps the old proxy" in said or said.startswith("until"))
    assert [one.workload for one in plan.kept] == ([workload.name] if move.by_hand else [])


def test_a_newer_minor_without_a_fix_that_runs_is_refused() -> None:
    """The target is the newer minor, and yet older than what runs: it lacks its fixes."""
    plan = planned(mesh(), "1.31.0")
    assert "PRE038" in codes(plan)
    said = titled(plan, "PRE038")
    assert "Istio 1.31.0 lacks 2 security fixes that 1.30.4 has | a tenant's sidecar annotations" in said
    assert "take 1.31.1 or newer, or allow it: --allow missing-fix" in said
    assert "PRE038" not in codes(planned(mesh(), "1.31.1"))
    assert "PRE038" not in codes(planned(mesh("1.30.3"), "1.31.0"))


def test_a_fix_of_which_no_page_says_whether_the_target_has_it_is_a_warning() -> None:
    plan = planned(mesh(), "1.31.1")
    assert "PRE038" in codes(plan, Severity.WARNING)
    assert "ISTIO-SECURITY-2026-006" in titled(plan, "PRE038")


def test_a_known_bad_version_is_refused_with_its_issue() -> None:
    assert "istio/istio#59912, #60689" in titled(planned(mesh("1.30.0"), "1.30.1"), "PRE038")


def test_an_unknown_minor_is_a_warning() -> None:
    plan = planned(mesh("1.31.1"), "1.32.0")
    assert "changes of 1.32 are unknown to this meshinstall" in titled(plan, "PRE046")
    assert "PRE046" not in codes(plan)


def test_the_end_of_support_and_kubernetes_are_judged_for_the_target() -> None:
    """The target is out of support, or does not know this Kubernetes."""
    plan = planned(mesh("1.28.0", kubernetes="1.36.0"), "1.29.9")
    assert {"PRE001", "PRE008"} <= set(codes(plan))


@pytest.mark.parametrize(
    ("values", "severity"),
    [
        ({"global": {"tag": "1.30.4"}}, Severity.ERROR),
        ({"tag": "1.30.4-distroless"}, Severity.ERROR),
        ({"pilot": {"tag": "v1.30.4"}}, Severity.ERROR),
        ({"image": "r:5000/pilot:1.30.4"}, Severity.ERROR),
        ({"global": {"proxy": {"image": "r/proxyv2:1.30.4"}}}, Severity.ERROR),
        ({"global": {"hub": "registry.example/istio/1.30.4"}}, Severity.ERROR),
        ({"podAnnotations": {"sidecar.istio.io/proxyImage": "r/proxyv2:1.30.4"}}, Severity.ERROR),
        ({"global": {"tag": "stable"}}, Severity.WARNING),
        ({"image": "r/pilot@sha256:0123"}, Severity.WARNING),
        ({"global": {"tag": "1.31.1", "hub": "registry.example/istio"}}, None),
        ({"global": {"tag": "1.31.1-ours.3"}}, None),
        ({"image": "pilot"}, None),
    ],
)
def test_a_setting_that_would_keep_an_old_image_is_named_with_its_line(values: dict[str, Any], severity: Severity | None) -> None:
    plan = planned(mesh(), values=values)
    assert [one.severity for one in plan.findings if one.code == "PRE040"] == ([severity] if severity else [])
    if severity:
        assert "values/envs/dev.yaml:9" in titled(plan, "PRE040")


def test_objects_that_name_the_old_revision_stop_a_canary_alone() -> None:
    old = LabelledAt("VirtualService", Place("shop", "web"), "blue")
    position = mesh(planes=(plane(revision="blue"),), namespaces=(NamespaceAt("shop", "", "blue"),), labelled=(old,), validator="blue")
    position = replace(position, proxied=(proxied(proxies=(ProxyCount("blue", version("1.30.4"), 2),)),))
    plan = planned(position)
    assert "VirtualService shop/web" in titled(plan, "PRE041")
    assert "PRE041" in codes(plan)
    moves = next(stage for stage in plan.stages if stage.name is StageName.WORKLOADS).moves
    assert [(move.name, move.by_hand) for move in moves] == [("shop", True), ("Deployment shop/web", False)]
    assert "PRE041" not in [one.code for one in planned(position, "1.30.5").findings]
    # No istiod reads a tag there, so none sees it now.
    assert "PRE041" not in codes(planned(replace(position, tags=(TagAt("stable", "blue"),), labelled=(replace(old, revision="stable"),))))


def test_an_object_of_the_default_revision_is_lost_and_a_gateway_of_it_is_not() -> None:
    lost = mesh(labelled=(LabelledAt("ServiceEntry", Place("shop", "x"), "default"),))
    assert "ServiceEntry shop/x" in titled(planned(lost), "PRE041")
    moved = mesh(api_gateways=(ApiGatewayAt(Place("shop", "in"), is_waypoint=False, revision="default"),))
    assert "PRE041" not in codes(planned(moved))


@pytest.mark.parametrize(("at", "code"), [("1.30.1", Severity.ERROR), ("1.30.2", None), ("1.29.5", None), ("1.29.4", Severity.ERROR)])
def test_gateways_whose_old_istiod_drops_their_configuration(at: str, code: Severity | None) -> None:
    plan = planned(mesh(at, api_gateways=(ApiGatewayAt(Place("shop", "in"), is_waypoint=False),)))
    assert [one.severity for one in plan.findings if one.code == "PRE042"] == ([code] if code else [])


def test_what_leads_to_no_istiod() -> None:
    """The default validator, a tag or a namespace still leads to an istiod that was removed."""
    position = mesh(tags=(TagAt("stable", "1-29"),), namespaces=(NamespaceAt("shop", "", "1-28"),), validator="1-29")
    plan = planned(position)
    said = titled(plan, "PRE043")
    assert "revision tag stable leads to 1-29" in said
    assert "labels of namespaces lead to an istiod that does not run: shop (1-28)" in said
    assert "the default validator leads to 1-29" in said
    patch = planned(replace(position, validator="default"), "1.30.5")
    assert "PRE043" not in codes(patch)
    assert "PRE043" in codes(patch, Severity.WARNING)


def test_proxies_whose_version_cannot_be_told_count_as_old_and_are_named() -> None:
    unclear = proxied(proxies=(ProxyCount("default", None, 2),))
    plan = planned(mesh("1.31.1", proxied=(unclear,)))
    assert [stage.name for stage in plan.stages] == [StageName.WORKLOADS]
    assert "Deployment shop/web" in titled(plan, "PRE047")


@pytest.mark.parametrize(
    "position",
    [
        mesh(planes=(plane(kept_by="Argo CD Application mesh"),)),
        mesh(proxied=(proxied("istio-ingress/ingress", release="istio-ingress/ingress", kept_by="Argo CD Application mesh"),)),
    ],
)
def test_an_upgrade_of_what_an_engine_keeps_is_refused_before_its_first_stage(position: MeshPosition) -> None:
    (told,) = [one for one in planned(position).findings if one.code == "PRE017"]
    assert told.severity is Severity.ERROR
    assert told.title == "this mesh is kept by Argo CD Application mesh"
    assert "meshinstall render --format argocd" in told.hint


def test_a_mesh_at_the_target_that_an_engine_keeps_is_refused_too() -> None:
    plan = planned(mesh("1.31.0", planes=(plane("1.31.0", kept_by="Argo CD Application mesh"),)), "1.31.0")
    assert plan.stages == ()
    assert codes(plan) == ["PRE017"]


def test_a_workload_that_is_not_ours_may_be_kept_by_an_engine() -> None:
    assert "PRE017" not in codes(planned(mesh(proxied=(proxied(kept_by="Argo CD Application shop"),))))


def test_an_old_gateway_api_stops_where_its_routes_would_vanish() -> None:
    routes = {GATEWAY_ROUTES: ("TLSRoute shop/pass",)}
    plan = planned(mesh("1.29.7", gateway_api="1.4.0", used=routes), "1.30.5")
    assert "TLSRoute shop/pass" in titled(plan, "PRE044")
    assert "PRE044" in codes(plan)
    assert "PRE044" not in codes(planned(mesh("1.29.7", gateway_api="1.5.1", used=routes), "1.30.5"))


def test_release_notes_are_told_where_they_touch_something() -> None:
    titles = {change.title: change.objects for change in planned(mesh("1.29.7", used={SHARED_HOSTS: ("host x",)}), "1.31.1").changes}
    assert titles["of several Services of one host, sidecars take Kubernetes' own, then the oldest; before, the first namespace by name"]
    assert not any("CNI" in title for title in titles)
    env = plane(env={"PILOT_SPAWN_UPSTREAM_SPAN_FOR_GATEWAY": "false"}, images="gcr.io/istio-release")
    found = planned(mesh(planes=(env,)))
    assert [change.objects for change in found.changes if "PILOT_SPAWN" in change.title] == [("Deployment istio-system/istiod",)]
    assert [change.objects for change in found.changes if "gcr.io" in change.title]
    assert planned(mesh("1.31.0")).changes == ()


def test_every_table_names_its_source_and_what_a_position_can_have() -> None:
    assert all(fix.source and fix.what for fix in SECURITY_FIXES)
    readable = {"", AMBIENT, RETIRED_HOSTS, GATEWAY_ROUTES, SHARED_HOSTS, "CNI", "auto-registered WorkloadEntries"}
    readable |= {"Gateways that select managed gateways"}
    assert {note.used for notes in NOTES.values() for note in notes if not note.used.startswith("env ")} == readable
