"""What Argo CD and Flux say of themselves by their own objects: why drift may stay, and what is not known."""

from datetime import UTC, datetime
from typing import Any

import pytest

from meshinstall.engine.drifting import argocd, flux
from meshinstall.engine.drifting.engines import Now, read_engines
from meshinstall.model.facts import ObjectKey
from meshinstall.model.ownership import Keeper, keeper_of
from tests.fake_kube import FakeKube, forbidden

# A Monday.
NOW = datetime(2026, 11, 30, 22, 30, tzinfo=UTC)
KEY = ObjectKey("security.istio.io/v1", "AuthorizationPolicy", "shop", "web")
MESH = Keeper("Argo CD", "Application", "", "mesh")
AUTOMATED = {"automated": {"prune": True, "selfHeal": True}}
COMMIT, OTHER = "a" * 40, "b" * 40


def application(sync: Any = AUTOMATED, **status: Any) -> dict[str, Any]:
    resources = [{"group": "security.istio.io", "kind": "AuthorizationPolicy", "namespace": "shop", "name": "web", "status": "Synced"}]
    return {
        "metadata": {"name": "mesh", "namespace": "argocd"},
        "spec": {"project": "mesh", "destination": {"name": "dev-local", "namespace": "shop"}, "syncPolicy": sync},
        "status": {"sync": {"status": "Synced", "revision": COMMIT}, "health": {"status": "Healthy"}, "resources": resources, **status},
    }


def project(*windows: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": "mesh", "namespace": "argocd"}, "spec": {"syncWindows": list(windows)}}


def window(kind: str, schedule: str, duration: str = "1h", **more: Any) -> dict[str, Any]:
    return {"kind": kind, "schedule": schedule, "duration": duration, "applications": ["*"], **more}


def causes(found: dict[str, Any], *windows: dict[str, Any], commit: str = COMMIT) -> tuple[str, ...]:
    return argocd.engine(found, project(*windows), NOW, commit).causes


def test_an_application_that_does_all_by_itself_has_no_cause() -> None:
    found = argocd.engine(application(), project(), NOW, COMMIT)
    assert (found.name, found.says, found.revision, found.causes) == ("Argo CD Application argocd/mesh", "Synced, Healthy", COMMIT, ())


@pytest.mark.parametrize(
    ("sync", "cause"),
    [
        ({}, "it syncs by hand only: spec.syncPolicy.automated is off"),
        ({"automated": {"enabled": False, "selfHeal": True, "prune": True}}, "it syncs by hand only: spec.syncPolicy.automated is off"),
        ({"automated": {"prune": True}}, "it leaves edits until Git changes: spec.syncPolicy.automated.selfHeal is off"),
        ({"automated": {"selfHeal": True}}, "it leaves what is no longer in Git: spec.syncPolicy.automated.prune is off"),
    ],
)
def test_automation_that_is_off_is_a_cause(sync: dict[str, Any], cause: str) -> None:
    assert causes(application(sync)) == (cause,)


def test_suspended_failing_and_behind_are_causes() -> None:
    skipped = application(
        operationState={"phase": "Failed", "message": "webhook\nrefused"}, conditions=[{"type": "ComparisonError", "message": "no"}]
    )
    skipped["metadata"]["annotations"] = {"argocd.argoproj.io/skip-reconcile": "true"}
    assert causes(skipped, commit=OTHER) == (
        "it is suspended: annotation argocd.argoproj.io/skip-reconcile",
        "its last sync failed: webhook refused",
        "ComparisonError: no",
        "it synced commit aaaaaaaaaaaa, and this compares with bbbbbbbbbbbb",
    )


@pytest.mark.parametrize(
    ("windows", "cause"),
    [
        ([window("deny", "0 22 * * *")], "a sync window denies it now: deny 0 22 * * * for 1h UTC"),
        ([window("deny", "0 22 * * *", manualSync=True)], "a sync window denies it now: deny 0 22 * * * for 1h UTC, except by hand"),
        ([window("deny", "0 20 * * *")], ""),
        ([window("allow", "0 22 * * *")], ""),
        ([window("allow", "0 20 * * *", "1h30m")], "no sync window that allows it is open now: allow 0 20 * * * for 1h30m UTC"),
        ([window("allow", "0 20 * * *"), window("allow", "30 22 * * *")], ""),
        # 23:30 in Berlin.
        ([window("deny", "0 23 * * *", timeZone="Europe/Berlin")], "a sync window denies it now: deny 0 23 * * * for 1h Europe/Berlin"),
        ([window("deny", "@daily", "23h")], "a sync window denies it now: deny @daily for 23h UTC"),
        ([{**window("deny", "0 22 * * *"), "applications": ["shop-*"]}], ""),
        (
            [{**window("deny", "0 22 * * *"), "applications": ["shop-*"], "namespaces": ["sh?p"]}],
            "a sync window denies it now: deny 0 22 * * * for 1h UTC",
        ),
        ([{**window("deny", "0 22 * * *"), "applications": ["shop-*"], "namespaces": ["shop"], "andOperator": True}], ""),
        ([window("deny", "never")], "a sync window of its project cannot be read: schedule 'never'"),
        ([window("deny", "99 22 * * *")], "a sync window of its project cannot be read: schedule '99 22 * * *': Bad minute"),
        ([window("deny", "0 22 * * *", "soon")], "a sync window of its project cannot be read: duration 'soon'"),
    ],
)
def test_windows_that_are_closed_are_causes(windows: list[dict[str, Any]], cause: str) -> None:
    assert causes(application(), *windows) == ((cause,) if cause else ())


def flux_item(kind: str = "Kustomization", ready: str = "True", **spec: Any) -> dict[str, Any]:
    condition = {"type": "Ready", "status": ready, "reason": "BuildFailed", "message": "no such file"}
    status = {"lastAppliedRevision": f"main@sha1:{COMMIT}", "conditions": [condition]}
    return {"kind": kind, "metadata": {"name": "mesh", "namespace": "flux-system"}, "spec": {"prune": True, **spec}, "status": status}


@pytest.mark.parametrize(
    ("kind", "item", "cause"),
    [
        ("Kustomization", flux_item(), ""),
        ("Kustomization", flux_item(suspend=True), "it is suspended: spec.suspend"),
        ("Kustomization", flux_item(prune=False), "it leaves what is no longer in Git: spec.prune is off"),
        ("Kustomization", flux_item(ready="False"), "it fails: BuildFailed: no such file"),
        ("HelmRelease", flux_item(driftDetection={"mode": "enabled"}), ""),
        ("HelmRelease", flux_item(), "it leaves what is edited or deleted: spec.driftDetection.mode is disabled"),
    ],
)
def test_causes_of_flux(kind: str, item: dict[str, Any], cause: str) -> None:
    keeper = Keeper("Flux", kind, "flux-system", "mesh")
    assert flux.engine(keeper, item, COMMIT).causes == ((cause,) if cause else ())
    assert "it applied commit aaaaaaaaaaaa, and this compares with bbbbbbbbbbbb" in flux.engine(keeper, item, OTHER).causes


async def asked(kube: FakeKube, keeper: Keeper, server: str = "") -> tuple[bool, str]:
    found = await read_engines({keeper: [KEY]}, kube, Now(NOW, server=server))
    return found.found[keeper].is_known, "; ".join(found.gaps)


@pytest.mark.anyio
async def test_an_application_of_another_cluster_is_told_and_not_guessed() -> None:
    kube = FakeKube()
    known, gaps = await asked(kube, MESH)
    assert not known
    assert gaps == "Argo CD Application mesh is not in this cluster: another one keeps it, or nothing any more; its status is unknown"
    place = "/apis/argoproj.io/v1alpha1/namespaces/argocd"
    kube.objects[f"{place}/applications/mesh"] = application()
    kube.objects[f"{place}/appprojects/mesh"] = project()
    assert await asked(kube, MESH) == (True, "")
    kube.objects[f"{place}/applications/mesh"]["spec"]["destination"] = {"server": "https://198.51.100.7"}
    assert await asked(kube, MESH, "https://198.51.100.7") == (True, "")
    known, gaps = await asked(kube, MESH, "https://203.0.113.1")
    assert (known, gaps) == (False, "Argo CD Application argocd/mesh is for another cluster: it is unknown what keeps this one")
    kube.objects[f"{place}/applications/mesh"] = application(resources=[{"kind": "Pod", "name": "x"}])
    known, gaps = await asked(kube, MESH)
    assert not known
    assert "names none of the objects" in gaps


@pytest.mark.anyio
async def test_what_may_not_be_read_is_told() -> None:
    kube = FakeKube()
    kube.refusals["LIST /apis/argoproj.io/v1alpha1/applications"] = forbidden("applications.argoproj.io")
    known, gaps = await asked(kube, MESH)
    assert not known
    assert gaps.startswith("Argo CD Application mesh could not be read: applications.argoproj.io is forbidden")
    place = "/apis/argoproj.io/v1alpha1/namespaces/argocd"
    kube.refusals.clear()
    kube.objects[f"{place}/applications/mesh"] = application()
    known, gaps = await asked(kube, MESH)
    assert known
    assert (
        gaps == "AppProject argocd/mesh of Argo CD Application argocd/mesh could not be read: it is not there; its sync windows are unknown"
    )
    kube.objects[f"{place}/applications/mesh"]["spec"]["syncPolicy"] = "often"
    kube.objects[f"{place}/appprojects/mesh"] = project()
    known, gaps = await asked(kube, MESH)
    assert not known
    assert "could not be read" in gaps


@pytest.mark.anyio
@pytest.mark.parametrize("field", ["spec", "status", "metadata"])
@pytest.mark.parametrize("value", ["x", [1], {"project": 1, "resources": [7, None], "sync": "x", "namespace": 2, "syncPolicy": [1]}])
async def test_an_application_of_any_shape_is_read_or_told(field: str, value: Any) -> None:
    kube = FakeKube()
    place = "/apis/argoproj.io/v1alpha1/namespaces/argocd"
    kube.objects[f"{place}/appprojects/mesh"] = project()
    kube.objects[f"{place}/applications/mesh"] = {**application(), field: value} if field != "metadata" else application(health=value)
    # One that is in another namespace than Argo CD's own is named so.
    known, gaps = await asked(kube, MESH._replace(name="argocd_mesh"))
    assert known or gaps


@pytest.mark.anyio
async def test_a_kustomization_that_installs_elsewhere_is_not_what_keeps_this_cluster() -> None:
    kube, keeper = FakeKube(), Keeper("Flux", "Kustomization", "flux-system", "mesh")
    kube.objects["/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/flux-system/kustomizations/mesh"] = flux_item(
        kubeConfig={"secretRef": {"name": "x"}}
    )
    assert await asked(kube, keeper) == (
        False,
        "Flux Kustomization flux-system/mesh installs into another cluster: it is unknown what keeps this one",
    )


def test_marks_say_what_keeps_an_object() -> None:
    def marked(**metadata: Any) -> Keeper | None:
        return keeper_of({"metadata": {"name": "x", **metadata}})

    assert marked(annotations={"argocd.argoproj.io/tracking-id": "mesh:a/B:c/d"}) == MESH
    labels = {"helm.toolkit.fluxcd.io/name": "istiod", "helm.toolkit.fluxcd.io/namespace": "flux-system"}
    assert str(marked(labels=labels)) == "Flux HelmRelease flux-system/istiod"
    assert marked() is None
