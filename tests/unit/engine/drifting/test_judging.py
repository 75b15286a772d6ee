"""A site held against a cluster in memory: what is missing, left over or extra, what could not be read, and what puts it right."""

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from meshinstall.engine.drifting.asking import without_admission
from meshinstall.engine.drifting.engines import Now, read_engines
from meshinstall.engine.drifting.judging import Look, judge
from meshinstall.engine.drifting.live import find_kinds, see
from meshinstall.engine.drifting.remedies import Way
from meshinstall.engine.drifting.terms import Records, Seen, wanted_objects
from meshinstall.gitops.terms import RenderedSite, Step
from meshinstall.model.cluster_ref import Cloud
from meshinstall.model.desired import Policy
from meshinstall.model.drift import DriftedObject, State
from meshinstall.model.facts import key_of, policy_key
from meshinstall.model.release import ReleaseKey
from tests.cases.drifting import FILE, OURS, entry, live, policy
from tests.cases.gitops import item, release, site
from tests.fake_kube import FakeKube, forbidden

pytestmark = pytest.mark.anyio
NOW = Now(datetime(2026, 11, 30, 22, 30, tzinfo=UTC))
UP = Way(("--env", "dev"), ("--env", "dev"), (), by_up=True)
KUBECTL = Way(("--env", "dev"), ("--env", "dev"), ("--context", "shop"), "dev/local")
ISTIOD = release("istiod")
STRICT = policy({"mtls": {"mode": "STRICT"}}, "PeerAuthentication", "default", "istio-system")
ALLOW = policy({"selector": {"matchLabels": {"app": "web"}}, "rules": [{"from": [{"source": {"namespaces": ["shop"]}}]}]})
SERVICE: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "istiod", "namespace": "istio-system", "labels": {"app": "istiod"}},
    "spec": {"ports": [{"name": "https", "port": 443}]},
}
ARGO = {"argocd.argoproj.io/tracking-id": "mesh:x"}


def git(*policies: dict[str, Any], objects: Iterable[dict[str, Any]] = (SERVICE,)) -> RenderedSite:
    made = [replace(item(one), release=ISTIOD.key) for one in objects]
    found = site("dev", [*made, *(item(one, Step.POLICIES) for one in policies)], Cloud.LOCAL, [ISTIOD])
    mesh_wide = tuple(Policy(one, FILE) for one in policies if one is STRICT)
    layered = tuple(Policy(one, FILE) for one in policies if one is not STRICT)
    return replace(found, desired=replace(found.desired, policies=mesh_wide, layered=layered))


def served() -> FakeKube:
    """A cluster that knows Istio's kinds."""
    kube = FakeKube()
    for plural in ("authorizationpolicies", "peerauthentications", "requestauthentications"):
        crd = {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": f"{plural}.security.istio.io"},
        }
        kube.put({**crd, "status": {"conditions": [{"type": "Established", "status": "True"}]}})
    return kube


async def look(rendered: RenderedSite, kube: FakeKube, way: Way = UP, records: Records | None = None) -> tuple[list[DriftedObject], Seen]:
    wanted, records = wanted_objects(rendered), records or Records()
    seen = await see(wanted, records, kube, await find_kinds(kube))
    seen.differing = list((await without_admission(seen.differing, kube)).differing)
    engines = await read_engines(seen.marks, kube, NOW)
    return list(judge(Look(rendered, wanted, records, seen, engines), way)), seen


def fixes(one: DriftedObject) -> list[str]:
    return [fix.text for fix in one.fixes]


async def test_what_is_there_as_git_says_is_nothing() -> None:
    kube = served()
    kube.put(live(SERVICE), live(STRICT), live(ALLOW))
    found, seen = await look(git(STRICT, ALLOW), kube)
    assert (found, seen.gaps, seen.compared) == ([], [], 3)


async def test_missing_is_told_from_not_installed_yet_by_the_record() -> None:
    other = {**deepcopy(SERVICE), "metadata": {"name": "more", "namespace": "istio-system"}}
    kube = served()
    kube.put(live(STRICT))
    records = Records({policy_key(key_of(SERVICE)): (ISTIOD.key, SERVICE)})
    found, _ = await look(git(STRICT, objects=(SERVICE, other)), kube, records=records)
    assert {str(one.key): one.state for one in found} == {
        "Service istio-system/istiod": State.MISSING,
        "Service istio-system/more": State.NOT_APPLIED,
    }
    assert [fixes(one) for one in found] == [["meshinstall up --env dev"]] * 2


async def test_a_strict_policy_that_is_gone_weakens_the_mesh() -> None:
    kube = served()
    kube.put(live(SERVICE))
    (one,), _ = await look(git(STRICT), kube)
    assert (one.state, one.meaning[0].concern) == (State.MISSING, "weaker")


async def test_left_over_is_what_was_installed_and_git_has_no_more() -> None:
    kube = served()
    gone, old = policy(ALLOW["spec"], name="gone"), {**deepcopy(SERVICE), "metadata": {"name": "old", "namespace": "istio-system"}}
    kube.put(live(SERVICE), live(STRICT), live(gone), live(old))
    retired = ReleaseKey("istio-system", "edge")
    records = Records({policy_key(key_of(old)): (retired, old)})
    found, _ = await look(git(STRICT), kube, records=records)
    assert {str(one.key): (one.state, fixes(one)) for one in found} == {
        "AuthorizationPolicy shop/gone": (State.LEFT_OVER, ["meshinstall up --env dev"]),
        "Service istio-system/old": (State.LEFT_OVER, ["helm uninstall edge -n istio-system"]),
    }


async def test_additions_of_a_program_that_up_leaves_are_patched_away() -> None:
    kube = served()
    there = live(SERVICE, entry("my-script", {"f:spec": {"f:externalIPs": {}}}))
    there["spec"]["externalIPs"] = ["198.51.100.7"]
    kube.put(there, live(STRICT))
    (one,), _ = await look(git(STRICT), kube)
    patch = '[{"op":"test","path":"/spec/externalIPs","value":["198.51.100.7"]},{"op":"remove","path":"/spec/externalIPs"}]'
    assert fixes(one) == [f"kubectl patch services istiod -n istio-system --type=json -p '{patch}'"]


async def test_what_argo_cd_does_not_see_is_patched_and_what_it_sees_is_synced() -> None:
    kube = served()
    edited = live(STRICT, entry("kubectl-patch", {"f:spec": {"f:selector": {}}}), **ARGO)
    edited["spec"]["selector"] = {"matchLabels": {"app": "nothing"}}
    labelled = live(SERVICE, entry("kubectl-label", {"f:metadata": {"f:labels": {"f:app": {}}}}), **ARGO)
    labelled["metadata"]["labels"]["app"] = "other"
    kube.put(edited, labelled)
    resources = [
        {"group": "security.istio.io", "kind": "PeerAuthentication", "namespace": "istio-system", "name": "default", "status": "Synced"},
        {"group": "", "kind": "Service", "namespace": "istio-system", "name": "istiod", "status": "OutOfSync"},
    ]
    place = "/apis/argoproj.io/v1alpha1/namespaces/argocd"
    automated = {"prune": True, "selfHeal": True}
    kube.objects[f"{place}/applications/mesh"] = {
        "metadata": {"name": "mesh", "namespace": "argocd"},
        "spec": {"project": "mesh", "syncPolicy": {"automated": automated}},
        "status": {"resources": resources},
    }
    kube.objects[f"{place}/appprojects/mesh"] = {"metadata": {"name": "mesh", "namespace": "argocd"}, "spec": {}}
    found, _ = await look(git(STRICT), kube, KUBECTL)
    told = {str(one.key): one for one in found}
    policy_, service = told["PeerAuthentication istio-system/default"], told["Service istio-system/istiod"]
    assert fixes(policy_)[0].startswith(
        "kubectl --context shop patch peerauthentications.security.istio.io default -n istio-system --type=json"
    )
    assert policy_.notes == ("Argo CD Application mesh says Synced: it does not see this",)
    assert [one.concern for one in policy_.meaning][:1] == ["weaker"]
    assert fixes(service) == ["argocd app sync mesh --resource :Service:istio-system/istiod"]


async def test_extra_is_what_weakens_and_what_an_engine_keeps_comes_back() -> None:
    kube = served()
    open_ = policy({"mtls": {"mode": "PERMISSIVE"}}, "PeerAuthentication", "open")
    wide = policy({"rules": [{}]}, name="wide")
    for one in (open_, wide):
        one["metadata"]["labels"] = {}
    closed = policy({"mtls": {"mode": "STRICT"}}, "PeerAuthentication", "closed", "bank")
    closed["metadata"]["labels"] = {}
    kube.put(
        live(SERVICE), live(STRICT), live(ALLOW), live(open_, entry("kubectl-create", {"f:spec": {}})), live(wide, **ARGO), live(closed)
    )
    found, _ = await look(git(STRICT, ALLOW), kube)
    assert {str(one.key): (one.state, fixes(one)) for one in found} == {
        "PeerAuthentication shop/open": (State.EXTRA, ["kubectl delete peerauthentications.security.istio.io open -n shop"]),
        "AuthorizationPolicy shop/wide": (State.EXTRA, ["take it out of what Argo CD Application mesh reads, which would make it again"]),
    }


async def test_what_may_not_be_listed_is_a_gap_and_nothing_of_it_is_missing() -> None:
    kube = served()
    kube.put(live(SERVICE))
    kube.refusals["LIST /apis/security.istio.io/v1/peerauthentications"] = forbidden("peerauthentications.security.istio.io")
    found, seen = await look(git(STRICT), kube)
    assert found == []
    assert [gap.partition(":")[0] for gap in seen.gaps] == ["PeerAuthentication.security.istio.io could not be listed"]


async def test_a_policy_of_a_kind_that_is_not_served_is_missing() -> None:
    kube = FakeKube()
    kube.put(live(SERVICE))
    (one,), _ = await look(git(STRICT), kube)
    assert (str(one.key), one.state) == ("PeerAuthentication istio-system/default", State.MISSING)


async def test_a_policy_that_admission_changes_stays_drift_and_says_so() -> None:
    kube = served()
    there = live(STRICT)
    there["spec"]["mtls"]["mode"] = "PERMISSIVE"
    kube.put(live(SERVICE), there)

    async def stubborn(path: str, body: Any, *, dry_run: bool = False) -> Any:  # noqa: ARG001 - the port's
        assert dry_run
        return deepcopy(kube.objects[path])

    kube.patch = stubborn  # type: ignore[method-assign] # a server with an admission policy
    (one,), _ = await look(git(STRICT), kube)
    assert one.notes[0].startswith("something changes it at admission")
    assert one.meaning[0].concern == "weaker"


async def test_the_labels_of_another_environment_are_told() -> None:
    kube = served()
    there = live(ALLOW)
    there["metadata"]["labels"] = {**OURS, "meshinstall.dev/environment": "prod"}
    kube.put(live(SERVICE), live(STRICT), there)
    (one,), _ = await look(git(STRICT, ALLOW), kube)
    assert [field.path for field in one.fields] == ["metadata.labels.meshinstall.dev/environment"]
    assert one.meaning == ()


async def test_what_a_helm_release_of_flux_leaves_is_told_with_its_record_and_its_cause() -> None:
    kube = served()
    there = live(SERVICE, entry("kubectl-label", {"f:metadata": {"f:labels": {"f:app": {}}}}))
    flux = {"helm.toolkit.fluxcd.io/name": "istiod", "helm.toolkit.fluxcd.io/namespace": "flux-system"}
    there["metadata"]["labels"] = {**flux, "app": "other"}
    kube.put(there, live(STRICT))
    kube.objects["/apis/helm.toolkit.fluxcd.io/v2/namespaces/flux-system/helmreleases/istiod"] = {
        "metadata": {"name": "istiod", "namespace": "flux-system"},
        "spec": {"driftDetection": {"mode": "warn"}},
        "status": {"conditions": [{"type": "Ready", "status": "True"}]},
    }
    records = Records({policy_key(key_of(SERVICE)): (ISTIOD.key, SERVICE)})
    (one,), seen = await look(git(STRICT), kube, KUBECTL, records)
    (field,) = one.fields
    assert (one.state, one.keeper) == (State.EDITED, "Flux HelmRelease flux-system/istiod")
    assert (field.git, field.engine, field.live) == ("istiod", "istiod", "other")
    assert fixes(one) == ["flux reconcile helmrelease istiod -n flux-system --force"]
    (engine,) = (await read_engines(seen.marks, kube, NOW)).found.values()
    assert engine.causes == ("it leaves what is edited or deleted: spec.driftDetection.mode is warn",)


async def test_an_object_that_flux_is_told_to_leave_says_so() -> None:
    kube = served()
    edited = live(STRICT, entry("kubectl-edit", {"f:spec": {"f:selector": {}}}), **{"kustomize.toolkit.fluxcd.io/reconcile": "disabled"})
    edited["metadata"]["labels"] |= {"kustomize.toolkit.fluxcd.io/name": "mesh", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}
    edited["spec"]["selector"] = {"matchLabels": {"app": "nothing"}}
    kube.put(live(SERVICE), edited)
    (one,), seen = await look(git(STRICT), kube)
    assert one.notes == ("Flux leaves it as it is: kustomize.toolkit.fluxcd.io/reconcile: disabled",)
    assert [str(keeper) for keeper in seen.marks] == ["Flux Kustomization flux-system/mesh"]
