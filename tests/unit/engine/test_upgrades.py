"""An upgrade is told as one, one in progress with its stage; up undoes neither a canary of ours nor one made by hand."""

from dataclasses import replace
from typing import Any

import pytest

from meshinstall.engine.planning import make_plan, refuse
from meshinstall.errors import PlanRefusedError
from meshinstall.model.desired import Desired
from meshinstall.model.finding import Finding, Severity
from meshinstall.model.plan import Plan
from meshinstall.model.release import ReleaseKey, ReleaseStatus
from tests.cases import plans
from tests.fakes import World, record
from tests.unit.engine import installed, revisioned, stages

pytestmark = pytest.mark.anyio

OURS = "meshinstall: environment dev, profile default, chart sha256:x"
NS = "istio-system"
BASE, INGRESS = ReleaseKey(NS, "istio-base"), ReleaseKey("istio-ingress", "public")


def plain(version: str = "1.31.0") -> Desired:
    """The mesh of mesh.yaml, without revisions."""
    found = plans.load("fresh").desired
    releases = tuple(replace(release, chart=replace(release.chart, version=version, digest="")) for release in found.releases)
    return replace(found, istio_version=version, releases=releases)


def istiod(there: World, revision: str, version: str, *, by: str = "meshinstall", name: str = "", **more: Any) -> None:
    """One more istiod, with its webhooks, made by meshinstall, helm or istioctl."""
    key = ReleaseKey(NS, name or (f"istiod-{revision}" if revision != "default" else "istiod"))
    item = revisioned.deployment(revision, f"istio/pilot:{version}", key.name)
    if by != "istioctl":
        item["metadata"]["annotations"] = {"meta.helm.sh/release-name": key.name, "meta.helm.sh/release-namespace": NS}
        values = {} if revision == "default" else {"revision": revision}
        there.releases.records[key] = record(
            key, "istiod", version, values=values, description=OURS if by == "meshinstall" else "Install complete", **more
        )
    else:
        item["metadata"]["labels"]["operator.istio.io/component"] = "Pilot"
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": key.name, "namespace": NS}}
    suffix = "" if revision == "default" else f"-{revision}"
    hooks = [revisioned.webhook("rev.object.", revision, {"key": "istio.io/rev", "operator": "In", "values": [revision]})]
    if revision == "default":
        hooks.append(revisioned.webhook("namespace.", "", {"key": "istio-injection", "operator": "In", "values": ["enabled"]}))
    for hook in hooks:
        hook["clientConfig"]["service"]["name"] = key.name
    there.kube.put(
        item,
        {**service, "spec": {"selector": {"app": "istiod", "istio.io/rev": revision}}},
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": f"istio-sidecar-injector{suffix}", "labels": {"istio.io/rev": revision}},
            "webhooks": hooks,
        },
    )


def base(there: World, version: str, revision: str = "") -> None:
    there.releases.records[BASE] = record(BASE, "base", version, values={"defaultRevision": revision} if revision else {}, description=OURS)
    metadata = {"name": "istiod-default-validator", "labels": {"istio.io/rev": revision or "default"}}
    there.kube.put({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration", "metadata": metadata})


def gateway(there: World, version: str, revision: str = "") -> None:
    made = installed.gateway("public")
    made["spec"] = {**made["spec"], "template": {"metadata": {"labels": {"istio.io/rev": revision} if revision else {}}}}
    made["metadata"]["annotations"] = {"meta.helm.sh/release-name": "public", "meta.helm.sh/release-namespace": "istio-ingress"}
    made["metadata"]["labels"] = {"app.kubernetes.io/managed-by": "Helm"}
    values = {"revision": revision} if revision else {}
    there.releases.records[INGRESS] = record(INGRESS, "gateway", version, values=values, description=OURS, manifests=[made])
    there.kube.put(made)


def spaces(there: World) -> None:
    for name, label in (("shop", {"istio-injection": "enabled"}), ("pay", {"istio.io/rev": "stable"}), ("free", {})):
        there.kube.put({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": label}})


def found(plan: Plan, code: str) -> Finding:
    return next(one for one in plan.findings if one.code == code)


def codes(plan: Plan) -> set[str]:
    return {
        one.code for one in plan.findings if one.code in {"PRE004", "PRE006", "PRE007", "PRE013", "PRE015", "PRE036", "PRE037", "PRE048"}
    }


async def planned(there: World, desired: Desired) -> Plan:
    return await make_plan(desired, there.session())


async def test_a_fresh_cluster_and_a_patch_are_no_upgrade() -> None:
    there = revisioned.world()
    assert codes(await planned(there, revisioned.desired())) == set()
    base(there, "1.31.0", "1-31")
    istiod(there, "1-31", "1.31.0")
    assert codes(await planned(there, revisioned.desired(version="1.31.1"))) == set()
    there = installed.world()
    istiod(there, "default", "1.31.0")
    assert codes(await planned(there, plain("1.31.4"))) == set()


async def test_another_minor_of_a_mesh_with_revisions_is_an_upgrade_and_refused() -> None:
    there = revisioned.world("1-32")
    base(there, "1.31.0", "1-31")
    istiod(there, "1-31", "1.31.0")
    wanted = revisioned.desired(revision="1-32", version="1.32.0")
    plan = await planned(there, wanted)
    assert codes(plan) == {"PRE036"}
    one = found(plan, "PRE036")
    assert one.title == "this is an upgrade from 1.31.0 to 1.32.0"
    assert one.hint == "see its stages: meshinstall upgrade plan --to 1.32.0"
    assert (one.severity, one.origin) == (Severity.ERROR, "meshinstall.yaml:3")
    with pytest.raises(PlanRefusedError, match="PRE036: this is an upgrade from"):
        await stages.up(there, wanted, [])
    assert not [step for step in there.helm.calls if step.startswith("upgrade")]


async def test_the_way_back_is_none_that_up_goes() -> None:
    there = revisioned.world("1-30")
    base(there, "1.31.0", "1-31")
    istiod(there, "1-31", "1.31.0")
    plan = await planned(there, revisioned.desired(revision="1-30", version="1.30.4"))
    assert found(plan, "PRE036").title == "this is a way back from 1.31.0 to 1.30.4"


async def test_a_mesh_gets_no_revisions_and_loses_none_by_up() -> None:
    there = revisioned.world()
    base(there, "1.31.0")
    istiod(there, "default", "1.31.0")
    plan = await planned(there, revisioned.desired())
    assert codes(plan) == {"PRE036"}
    assert found(plan, "PRE036").title == (
        "this mesh has no revisions yet: Istio 1.31.0 would be installed a second time, as revision 1-31"
    )
    there = installed.world()
    base(there, "1.31.0", "1-31")
    istiod(there, "1-31", "1.31.0")
    plan = await planned(there, plain())
    assert codes(plan) == {"PRE036"}
    assert found(plan, "PRE036").severity is Severity.ERROR
    assert found(plan, "PRE036").title == "this mesh has revisions: Istio 1.31.0 would be installed a second time, without one"


async def test_the_next_minor_in_place_is_an_upgrade_that_up_makes_where_it_is_allowed_by_name() -> None:
    there = installed.world()
    base(there, "1.30.4")
    istiod(there, "default", "1.30.4")
    plan = await planned(there, plain())
    assert codes(plan) == {"PRE048"}
    one = found(plan, "PRE048")
    assert (one.severity, one.title) == (Severity.ERROR, "this is an upgrade from 1.30.4 to 1.31.0")
    assert one.hint == ("meshinstall upgrade --to 1.31.0 runs it in stages, each with a gate; or allow it: --allow minor-in-place")
    with pytest.raises(PlanRefusedError, match="PRE048: this is an upgrade from"):
        await stages.up(there, plain(), [])
    assert not [step for step in there.helm.calls if step.startswith("upgrade")]
    refuse(plan, frozenset({"minor-in-place"}))


async def test_what_istiod_runs_counts_where_the_record_says_otherwise() -> None:
    there = installed.world()
    base(there, "1.31.0")
    istiod(there, "default", "1.30.4")
    there.releases.records[ReleaseKey(NS, "istiod")] = record(ReleaseKey(NS, "istiod"), "istiod", "1.31.0", status=ReleaseStatus.FAILED)
    assert found(await planned(there, plain()), "PRE048").title == "this is an upgrade from 1.30.4 to 1.31.0"


async def test_an_image_with_a_numbering_of_its_own_is_no_other_minor() -> None:
    there = revisioned.world()
    base(there, "1.31.0", "1-31")
    istiod(there, "1-31", "1.31.0")
    item = there.kube.objects[f"/apis/apps/v1/namespaces/{NS}/deployments/istiod-1-31"]
    item["metadata"]["labels"]["app.kubernetes.io/version"] = "1.31.0"
    item["spec"]["template"]["spec"]["containers"][0]["image"] = "example.com/pilot:2026.11.3"
    assert codes(await planned(there, revisioned.desired())) == set()


@pytest.mark.parametrize("by", ["meshinstall", "helm", "istioctl"])
async def test_a_canary_beside_the_mesh_is_told_and_stops_nothing_that_leaves_it_alone(by: str) -> None:
    there = installed.world()
    base(there, "1.30.4")
    istiod(there, "default", "1.30.4")
    gateway(there, "1.30.4")
    istiod(there, "1-31-0", "1.31.0", by=by)
    spaces(there)
    plan = await planned(there, plain("1.30.4"))
    assert codes(plan) == {"PRE037"}
    one = found(plan, "PRE037")
    assert one.severity is Severity.WARNING
    assert one.title == (
        "an upgrade from istio-system/istiod (1.30.4, revision default) to istio-system/istiod-1-31-0 (1.31.0, revision 1-31-0) "
        "is in progress, at the stage control-plane"
    )
    assert "istio-injection=enabled is served by revision default" in one.detail
    assert "gateways of revision default: istio-ingress/public" in one.detail
    assert "namespaces of revision default: shop" in one.detail
    assert "namespaces of revision stable (without an istiod): pay" in one.detail


@pytest.mark.parametrize("by", ["helm", "istioctl"])
async def test_a_canary_by_hand_in_the_middle_is_never_undone(by: str) -> None:
    there = installed.world()
    base(there, "1.31.0", "1-31-0")
    istiod(there, "default", "1.30.4")
    istiod(there, "1-31-0", "1.31.0", by=by)
    gateway(there, "1.31.0", "1-31-0")
    spaces(there)
    plan = await planned(there, plain("1.30.4"))
    assert codes(plan) == {"PRE037"}
    one = found(plan, "PRE037")
    assert one.severity is Severity.ERROR
    assert one.title.endswith("is in progress, at the stage waves")
    assert "Istio's objects are checked by revision 1-31-0" in one.detail
    assert "gateways of revision 1-31-0: istio-ingress/public" in one.detail
    assert "istio-system/istio-base: defaultRevision from 1-31-0 to nothing" in one.detail
    assert "istio-ingress/public: revision from 1-31-0 to nothing" in one.detail
    with pytest.raises(PlanRefusedError, match="PRE037"):
        await stages.up(there, plain("1.30.4"), [])


@pytest.mark.parametrize("by", ["helm", "istioctl"])
async def test_a_canary_by_hand_that_is_done_is_no_foreign_control_plane(by: str) -> None:
    there = installed.world()
    base(there, "1.31.0", "1-31-0")
    istiod(there, "1-31-0", "1.31.0", by=by)
    plan = await planned(there, plain("1.30.4"))
    assert codes(plan) == {"PRE037"}
    one = found(plan, "PRE037")
    assert one.title == (
        "an upgrade to istio-system/istiod-1-31-0 (1.31.0, revision 1-31-0) was not made by meshinstall, "
        "and is at its end: no istiod of revision default is there"
    )
    assert one.detail.endswith("install istio-system/istiod")


async def test_a_mesh_whose_every_release_was_upgraded_by_hand_is_known_by_its_namespace() -> None:
    there = installed.world()
    istiod(there, "1-31-0", "1.31.0", by="helm")
    there.kube.put(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NS, "labels": {"app.kubernetes.io/managed-by": "meshinstall"}}}
    )
    assert codes(await planned(there, plain("1.30.4"))) == {"PRE037"}


async def test_two_istiods_of_somebody_else_stay_foreign() -> None:
    there = installed.world()
    istiod(there, "a", "1.30.0", by="helm")
    istiod(there, "b", "1.31.0", by="istioctl")
    plan = await planned(there, plain())
    assert codes(plan) == {"PRE004"}
    assert [one.title.rpartition(", ")[2] for one in plan.findings if one.code == "PRE004"] == [
        "installed by Helm release istiod-a",
        "installed by istioctl",
    ]


async def test_a_foreign_istiod_where_no_mesh_of_ours_is_stays_one() -> None:
    there = installed.world()
    istiod(there, "1-31-0", "1.31.0", by="helm")
    plan = await planned(there, plain())
    assert codes(plan) == {"PRE004"}
    assert "istio-system/istiod-1-31-0, installed by Helm release istiod-1-31-0" in found(plan, "PRE004").title


async def test_of_two_revisions_of_ours_the_old_one_is_told_until_it_is_gone() -> None:
    there = revisioned.world("1-32")
    base(there, "1.32.0", "1-32")
    istiod(there, "1-31", "1.31.0")
    istiod(there, "1-32", "1.32.0")
    wanted = revisioned.desired(revision="1-32", version="1.32.0")
    plan = await planned(there, wanted)
    assert codes(plan) == {"PRE037"}
    assert found(plan, "PRE037").title.endswith("at the stage retire")
    there.kube.put(*revisioned.tag_objects("default", "1-31"))
    assert "revision-tag-default from revision 1-31 to 1-32" in found(await planned(there, wanted), "PRE037").detail
    assert found(await planned(there, wanted), "PRE037").severity is Severity.ERROR


async def test_older_and_newer_are_told_by_version_not_by_name() -> None:
    there = revisioned.world("1-32")
    base(there, "1.32.0", "1-32")
    istiod(there, "1-32", "1.32.0")
    istiod(there, "a-newer", "1.33.0", by="helm")
    plan = await planned(there, revisioned.desired(revision="1-32", version="1.32.0"))
    assert found(plan, "PRE037").title.startswith("an upgrade from istio-system/istiod-1-32 (1.32.0")
    there = revisioned.world("1-9")
    istiod(there, "1-9", "1.9.0")
    istiod(there, "1-10", "1.10.0")
    plan = await planned(there, revisioned.desired(revision="1-9", version="1.9.0"))
    assert found(plan, "PRE037").title.startswith("an upgrade from istio-system/istiod-1-9 (1.9.0")


@pytest.mark.parametrize(("deactivated", "serves"), [(False, "default"), (True, "1-31")])
async def test_of_two_injectors_for_one_label_the_later_by_name_serves_it(deactivated: bool, serves: str) -> None:  # noqa: FBT001
    there = revisioned.world()
    base(there, "1.31.0")
    istiod(there, "default", "1.30.4")
    istiod(there, "1-31", "1.31.0")
    there.kube.put(*revisioned.tag_objects("default", "1-31"))
    spaces(there)
    if deactivated:
        path = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/istio-sidecar-injector"
        for hook in there.kube.objects[path]["webhooks"]:
            hook["namespaceSelector"] = {"matchLabels": {"istio.io/deactivated": "never-match"}}
    told = found(await planned(there, plain("1.30.4")), "PRE037").detail
    assert f"istio-injection=enabled is served by revision {serves}" in told
    assert f"namespaces of revision {serves}: shop" in told


async def test_a_mesh_kept_by_an_engine_is_its_affair() -> None:
    there = installed.world()
    base(there, "1.31.0")
    istiod(there, "other", "1.31.0", by="helm")
    path = f"/apis/apps/v1/namespaces/{NS}/deployments/istiod-other"
    there.kube.objects[path]["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"] = "mesh:apps/Deployment:x"
    assert "PRE017" in {one.code for one in (await planned(there, plain())).findings}
