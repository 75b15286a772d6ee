"""The order of work of a hand-over: each step is judged by what is there, and none is shown before the one that protects from it."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from meshinstall.engine.handover import argocd
from meshinstall.engine.handover.order import order
from meshinstall.engine.handover.own_objects import APPLICATION, KUSTOMIZATION, RELEASE, SET
from meshinstall.engine.handover.terms import Scene
from meshinstall.gitops.argocd import application_names
from meshinstall.gitops.flux import kustomization_names
from meshinstall.gitops.terms import RenderedSite
from meshinstall.model.facts import policy_key
from meshinstall.model.hand_over import Party, Work, WorkState
from meshinstall.model.release import ReleaseKey, ReleaseRecord, ReleaseStatus
from tests.cases import gitops

ISTIOD = ReleaseKey("istio-system", "istiod")
TRACKED = "argocd.argoproj.io/tracking-id"
FLUXED = {"kustomize.toolkit.fluxcd.io/name": "mesh-policies", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}
FINALIZER = "resources-finalizer.argocd.argoproj.io"
SITE = gitops.mesh("prod")
SITE = replace(SITE, items=tuple(replace(one, release=ISTIOD) if one.key.kind == "ConfigMap" else one for one in SITE.items))


def managers(*names: str) -> list[dict[str, Any]]:
    return [{"manager": name, "operation": "Apply"} for name in names]


def scene(*claims: str, **metadata: Mapping[str, str]) -> Scene:
    """Every object of the site, with these marks, and the fields of these managers; no engine runs here."""
    live = {policy_key(one.key): {"metadata": {**metadata, "managedFields": managers(*claims)}} for one in SITE.items}
    return Scene(
        SITE, live, {}, dict.fromkeys((APPLICATION, SET, KUSTOMIZATION, RELEASE)), flags=("--env", "prod"), rendering=("--env", "prod")
    )


def by_argo(*claims: str) -> Scene:
    """A mesh that Argo CD keeps, which runs here, and all of it is well."""
    own = [application(name) for name in application_names(SITE)]
    kept = scene(*(claims or ("argocd-controller",)), annotations={TRACKED: "prod-eks-istiod:/ConfigMap:a/b"})
    return replace(kept, owned={**kept.owned, APPLICATION: tuple(own), SET: ()})


def application(name: str, sync: str = "Synced", **metadata: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "argocd", **metadata},
        "status": {"sync": {"status": sync}, "health": {"status": "Healthy"}, "operationState": {"phase": "Succeeded"}},
    }


def application_set(*, preserves: bool = True) -> dict[str, Any]:
    spec = {"syncPolicy": {"preserveResourcesOnDeletion": preserves}, "template": {"metadata": {}}}
    return {"metadata": {"name": "meshes", "namespace": "argocd"}, "spec": spec}


def listed(kind: str, name: str, namespace: str = "argocd", group: str = "argoproj.io") -> dict[str, str]:
    """What status.resources of an Application has for each of its objects."""
    return {"group": group, "version": "v1", "kind": kind, "namespace": namespace, "name": name}


ISTIO = listed("ConfigMap", "istio", "istio-system", "")


def having(name: str, *resources: Mapping[str, str], server: str = "https://kubernetes.default.svc", **metadata: Any) -> dict[str, Any]:
    """An Application that somebody wrote, with these objects."""
    one = application(name, **metadata)
    return {**one, "spec": {"destination": {"server": server}}, "status": {**one["status"], "resources": list(resources)}}


def back(there: Scene, **owned: tuple[Mapping[str, Any], ...]) -> tuple[Work, ...]:
    return order(replace(there, owned={**there.owned, SET: (), **owned}), Party.MESHINSTALL)


def record(description: str = "meshinstall: environment prod, x") -> ReleaseRecord:
    return ReleaseRecord(ISTIOD, 1, ReleaseStatus.DEPLOYED, "istiod", "1.31.0", "1.31.0", {}, "", description, "")


def next_of(works: tuple[Work, ...]) -> Work:
    """The step that is open; none after it is shown."""
    at = next(number for number, one in enumerate(works) if one.state is WorkState.OPEN)
    assert {one.state for one in works[at + 1 :]} <= {WorkState.WAITING, WorkState.DONE}
    assert not any(one.commands for one in works[at + 1 :])
    return works[at]


def states(works: tuple[Work, ...]) -> set[WorkState]:
    return {one.state for one in works}


@pytest.mark.parametrize("to", list(Party))
def test_a_mesh_that_is_not_what_the_files_say_is_handed_to_nobody(to: Party) -> None:
    step = next_of(order(replace(by_argo(), drift=("Deployment a/b",)), to))
    assert step.title == "the mesh is what the files say"
    assert step.says == ("1 objects are not: Deployment a/b",)
    assert step.commands == ("meshinstall drift --env prod",)


def test_what_could_not_be_compared_is_handed_to_nobody_either() -> None:
    step = next_of(order(replace(by_argo(), unseen=("ConfigMaps in istio-system",)), Party.ARGOCD))
    assert step.says == ("this could not be compared: ConfigMaps in istio-system",)


def test_argo_cd_has_a_mesh_when_every_object_has_its_mark_and_nobody_else_a_claim() -> None:
    assert states(order(by_argo(), Party.ARGOCD)) == {WorkState.DONE}


def test_an_argo_cd_elsewhere_is_known_by_its_marks_alone() -> None:
    there = by_argo()
    assert states(order(replace(there, owned=dict.fromkeys(there.owned)), Party.ARGOCD)) == {WorkState.DONE}
    step = next_of(order(scene("helm"), Party.ARGOCD))
    assert step.says == ("Argo CD does not run in this cluster, so its Applications were not seen",)


def test_a_missing_application_is_named() -> None:
    there = by_argo()
    owned = {
        **there.owned,
        APPLICATION: tuple(one for one in there.owned[APPLICATION] or () if one["metadata"]["name"] != "prod-eks-istiod"),
    }
    assert next_of(order(replace(there, owned=owned), Party.ARGOCD)).says == ("not there: prod-eks-istiod",)


def test_an_object_without_a_mark_and_an_application_that_is_not_synced_are_waited_for() -> None:
    there = by_argo()
    name = policy_key(SITE.items[-1].key)
    owned = {**there.owned, APPLICATION: tuple(application(one, "OutOfSync") for one in application_names(SITE))}
    step = next_of(order(replace(there, owned=owned, live={**there.live, name: {"metadata": {}}}), Party.ARGOCD))
    assert step.title == "Argo CD keeps every object"
    assert step.says[0] == "1 objects do not have its mark yet: AuthorizationPolicy shop/web"
    assert "Application mesh-prod-eks: OutOfSync, Healthy" in step.says


def test_what_argo_cd_calls_synced_without_marking_it_is_synced_once_by_its_own_options() -> None:
    there = by_argo()
    name = policy_key(SITE.items[-1].key)
    policies = application("prod-eks-mesh-policies")
    policies["spec"] = {"syncPolicy": {"syncOptions": ["ServerSideApply=true"]}}
    others = (one for one in there.owned[APPLICATION] or () if one["metadata"]["name"] != "prod-eks-mesh-policies")
    owned = {**there.owned, APPLICATION: (*others, policies)}
    step = next_of(order(replace(there, owned=owned, live={**there.live, name: {"metadata": {}}}), Party.ARGOCD))
    (command,) = step.commands
    assert shlex.split(command)[:5] == ["kubectl", "patch", "-n", "argocd", "applications.argoproj.io/prod-eks-mesh-policies"]
    assert json.loads(shlex.split(command)[-1])["operation"]["sync"] == {"syncOptions": ["ServerSideApply=true"]}


def test_claims_of_helm_are_taken_away_by_patches_that_test_whose_they_are() -> None:
    step = next_of(order(by_argo("helm", "argocd-controller"), Party.ARGOCD))
    assert step.title == "Argo CD alone owns the fields of the objects"
    words = shlex.split(step.commands[0])
    assert words[:2] == ["kubectl", "patch"]
    assert json.loads(words[-1]) == [
        {"op": "test", "path": "/metadata/managedFields/0/manager", "value": "helm"},
        {"op": "remove", "path": "/metadata/managedFields/0"},
    ]


def test_claims_stay_on_an_object_of_which_the_new_keeper_owns_nothing() -> None:
    assert states(order(by_argo("helm"), Party.ARGOCD)) == {WorkState.DONE}


def test_several_claims_go_the_last_first_as_the_places_of_the_others_stay() -> None:
    step = next_of(order(by_argo("helm", "argocd-controller", "meshinstall"), Party.ARGOCD))
    removed = [one["path"] for one in json.loads(shlex.split(step.commands[0])[-1]) if one["op"] == "remove"]
    assert removed == ["/metadata/managedFields/2", "/metadata/managedFields/0"]


def test_records_of_helm_go_by_name_when_all_is_kept() -> None:
    works = order(replace(by_argo(), records={ISTIOD: record()}), Party.ARGOCD)
    assert next_of(works).commands == ("kubectl delete secrets -n istio-system -l owner=helm,name=istiod",)


@pytest.mark.parametrize("to", list(Party))
def test_claims_are_not_judged_before_all_is_kept(to: Party) -> None:
    """Who owns nothing yet would otherwise own all of it alone."""
    assert order(scene("other"), to)[-1].state is WorkState.WAITING


def test_a_finalizer_that_deletes_the_mesh_goes_before_its_application() -> None:
    there = by_argo()
    own = tuple(application(name, finalizers=[FINALIZER]) for name in application_names(SITE))
    step = next_of(order(replace(there, owned={**there.owned, APPLICATION: own}), Party.MESHINSTALL))
    assert step.title == "no Application deletes its objects when it goes"
    assert all('"finalizers":null' in command for command in step.commands)
    assert len(step.commands) == len(own)


def test_who_makes_applications_is_deleted_before_them() -> None:
    there = by_argo()
    first, *rest = there.owned[APPLICATION] or ()
    owner = {"kind": SET, "name": "meshes"}
    made = [listed(APPLICATION, one["metadata"]["name"]) for one in rest]
    parent = {**first, "metadata": {**first["metadata"], "ownerReferences": [owner]}, "status": {**first["status"], "resources": made}}
    sets = (application_set(),)
    owned = {**there.owned, APPLICATION: (*rest, parent), SET: sets}
    step = next_of(order(replace(there, owned=owned), Party.MESHINSTALL))
    assert step.commands[:2] == (
        "kubectl delete -n argocd applicationsets.argoproj.io/meshes --cascade=orphan",
        "kubectl delete -n argocd applications.argoproj.io/mesh-prod-eks",
    )


def test_an_application_set_of_several_sites_is_not_deleted() -> None:
    there = by_argo()
    owner = {"kind": SET, "name": "meshes"}
    parents = tuple(application(name, ownerReferences=[owner]) for name in ("mesh-prod-eks", "mesh-prod-gke"))
    owned = {**there.owned, APPLICATION: parents, SET: (application_set(),)}
    step = next_of(order(replace(there, owned=owned), Party.MESHINSTALL))
    assert step.commands == ("kubectl delete -n argocd applications.argoproj.io/mesh-prod-eks",)
    assert step.words == ("first take the element prod-eks out of ApplicationSet meshes in Git, and apply it",)


def test_a_release_of_flux_is_suspended_before_it_is_deleted() -> None:
    there = scene("helm", labels=FLUXED)
    helm_release = {
        "metadata": {"name": "istiod", "namespace": "flux-system"},
        "spec": {"targetNamespace": "istio-system", "releaseName": "istiod"},
    }
    other = {"metadata": {"name": "shop", "namespace": "flux-system"}, "spec": {"targetNamespace": "shop"}}
    kustomization = {"metadata": {"name": "mesh-policies", "namespace": "flux-system"}, "spec": {"suspend": True}}
    owned = {**there.owned, KUSTOMIZATION: (kustomization,), RELEASE: (helm_release, other)}
    step = next_of(order(replace(there, owned=owned), Party.MESHINSTALL))
    assert step.title == "Flux does nothing more"
    assert step.says == ("not suspended: HelmRelease istiod",)
    (command,) = step.commands
    assert "suspend" in command
    suspended = {**helm_release, "spec": {**helm_release["spec"], "suspend": True}}
    step = next_of(order(replace(there, owned={**owned, RELEASE: (suspended, other)}), Party.MESHINSTALL))
    assert step.commands == (
        "kubectl delete -n flux-system kustomizations.kustomize.toolkit.fluxcd.io/mesh-policies",
        "kubectl delete -n flux-system helmreleases.helm.toolkit.fluxcd.io/istiod",
    )


def test_flux_has_a_mesh_when_its_objects_are_ready_and_keeps_helms_records() -> None:
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    own = tuple({"metadata": {"name": name, "namespace": "flux-system"}, "status": ready} for name in kustomization_names(SITE))
    there = scene("kustomize-controller", labels=FLUXED)
    there = replace(there, owned={**there.owned, KUSTOMIZATION: own, RELEASE: ()}, records={ISTIOD: record()})
    assert states(order(there, Party.FLUX)) == {WorkState.DONE}
    waits = tuple({**one, "status": {"conditions": [{"type": "Ready", "status": "False", "message": "no source"}]}} for one in own)
    step = next_of(order(replace(there, owned={**there.owned, KUSTOMIZATION: waits}), Party.FLUX))
    assert "Kustomization mesh-policies: no source" in step.says


def test_an_application_that_objects_name_and_that_is_not_here_may_be_elsewhere() -> None:
    works = order(scene("helm", annotations={TRACKED: "x:y"}), Party.MESHINSTALL)
    (unseen,) = (one for one in works if one.state is WorkState.NOT_KNOWN)
    assert "the mark of Argo CD Application x: not in this cluster" in unseen.says[0]
    assert next_of(works).title == "no object has the mark of an engine"
    (unseen,) = (one for one in order(scene("helm", labels=FLUXED), Party.MESHINSTALL) if one.state is WorkState.NOT_KNOWN)
    assert "the mark of Flux Kustomization flux-system/mesh-policies: not in this cluster" in unseen.says[0]


def test_marks_are_taken_by_namespace_and_name() -> None:
    step = next_of(order(scene("helm", annotations={TRACKED: "x:y"}), Party.MESHINSTALL))
    assert step.title == "no object has the mark of an engine"
    assert f"kubectl annotate -n shop authorizationpolicies.security.istio.io/web {TRACKED}-" in step.commands


def test_objects_are_given_to_helm_before_it_installs() -> None:
    step = next_of(order(scene("helm"), Party.MESHINSTALL))
    assert step.title == "helm may take the objects of its releases"
    notes = "meta.helm.sh/release-name=istiod meta.helm.sh/release-namespace=istio-system"
    assert step.commands == (
        "kubectl label -n istio-system configmaps/istio --overwrite app.kubernetes.io/managed-by=Helm",
        f"kubectl annotate -n istio-system configmaps/istio --overwrite {notes}",
    )


def helms(*claims: str) -> Scene:
    notes = {"meta.helm.sh/release-name": "istiod", "meta.helm.sh/release-namespace": "istio-system"}
    return scene(*claims, labels={"app.kubernetes.io/managed-by": "Helm"}, annotations=notes)


def test_then_meshinstall_installs_and_takes_over_what_flux_left() -> None:
    step = next_of(order(helms("helm"), Party.MESHINSTALL))
    assert step.commands == ("meshinstall up --env prod",)
    step = next_of(order(replace(helms("helm"), records={ISTIOD: record("Upgrade complete")}), Party.MESHINSTALL))
    assert step.commands == ("meshinstall up --env prod --allow takeover",)


def test_a_whole_way_back_ends_with_nothing_left() -> None:
    records = {one.key: replace(record(), key=one.key) for one in SITE.releases}
    assert states(order(replace(helms("helm"), records=records), Party.MESHINSTALL)) == {WorkState.DONE}


def test_an_application_that_tracks_by_helms_label_is_known_by_what_it_lists() -> None:
    step = next_of(back(scene("helm"), Application=(having("mesh", ISTIO, finalizers=[f"{FINALIZER}/background"]),)))
    assert step.title == "no Application deletes its objects when it goes"
    step = next_of(back(scene("helm"), Application=(having("mesh", ISTIO),)))
    assert step.commands == ("kubectl delete -n argocd applications.argoproj.io/mesh",)


def test_an_application_of_another_cluster_is_left_alone() -> None:
    away = having("mesh", ISTIO, server="https://other:6443", finalizers=[FINALIZER])
    assert next_of(back(scene("helm"), Application=(away,))).title == "helm may take the objects of its releases"


def test_an_application_of_the_same_name_that_has_other_objects_is_left_alone() -> None:
    there = scene("helm", annotations={TRACKED: "web:/ConfigMap:a/b"})
    theirs = having("web", listed("Deployment", "web", "shop", "apps"), namespace="team")
    assert next_of(back(there, Application=(having("web", ISTIO), theirs))).commands == (
        "kubectl delete -n argocd applications.argoproj.io/web",
    )


def test_an_application_that_keeps_others_beside_the_mesh_is_neither_deleted_nor_patched() -> None:
    root = having("root", ISTIO, listed("Deployment", "web", "shop", "apps"), finalizers=[FINALIZER])
    step = next_of(back(scene("helm"), Application=(root,)))
    assert step.commands == ()
    assert step.words[0].startswith("Application root keeps others, too (Deployment shop/web)")
    assert "Prune=false" in step.words[0]


def test_the_root_of_all_applications_is_named_and_not_deleted() -> None:
    own = tuple(application(name) for name in application_names(SITE))
    owned = application("mesh-prod-eks", ownerReferences=[{"kind": SET, "name": "meshes"}])
    root = having("root", listed(SET, "meshes"), listed(APPLICATION, "shop"))
    step = next_of(back(scene("helm"), Application=(root, owned, *own[1:]), ApplicationSet=(application_set(),)))
    assert "root" in step.says[0]
    assert "keeps others, too (Application argocd/shop)" in step.words[0]
    assert not any("applications.argoproj.io/root" in command for command in step.commands)


def test_an_application_set_that_writes_the_finalizer_back_is_told_not_to_before_all() -> None:
    owned = application("mesh-prod-eks", finalizers=[FINALIZER], ownerReferences=[{"kind": SET, "name": "meshes"}])
    step = next_of(back(scene("helm"), Application=(owned,), ApplicationSet=(application_set(preserves=False),)))
    assert step.title == "no Application deletes its objects when it goes"
    assert "applicationsets.argoproj.io/meshes" in step.commands[0]
    assert '"preserveResourcesOnDeletion":true' in step.commands[0]
    assert "applications.argoproj.io/mesh-prod-eks" in step.commands[1]


def test_an_application_set_of_another_namespace_is_not_taken_for_the_one_of_this_mesh() -> None:
    owned = application("mesh-prod-eks", ownerReferences=[{"kind": SET, "name": "meshes"}])
    other = application_set() | {"metadata": {"name": "meshes", "namespace": "team"}}
    step = next_of(back(scene("helm"), Application=(owned,), ApplicationSet=(other,)))
    assert step.commands == ("kubectl delete -n argocd applications.argoproj.io/mesh-prod-eks",)


def test_a_mesh_that_flux_still_keeps_is_not_argo_cds() -> None:
    there = by_argo()
    live = {key: {"metadata": {**one["metadata"], "labels": FLUXED}} for key, one in there.live.items()}
    step = next_of(order(replace(there, live=live), Party.ARGOCD))
    assert step.title == "no other engine keeps the mesh"
    assert step.commands == ("meshinstall hand-over meshinstall --env prod",)


def test_a_kustomization_of_the_same_name_elsewhere_is_left_alone() -> None:
    there = scene("helm", labels=FLUXED)
    kept = {"metadata": {"name": "mesh-policies", "namespace": "flux-system"}}
    theirs = {"metadata": {"name": "mesh-policies", "namespace": "team"}}
    (command,) = next_of(back(there, Kustomization=(kept, theirs))).commands
    assert "-n flux-system" in command


def test_what_flux_installs_on_another_cluster_is_left_alone() -> None:
    away = {
        "metadata": {"name": "istiod", "namespace": "other"},
        "spec": {"targetNamespace": "istio-system", "releaseName": "istiod", "kubeConfig": {"secretRef": {"name": "x"}}},
    }
    kustomization = {
        "metadata": {"name": "mesh-policies", "namespace": "flux-system"},
        "spec": {"kubeConfig": {"secretRef": {"name": "x"}}},
    }
    step = next_of(back(scene("helm"), HelmRelease=(away,), Kustomization=(kustomization,)))
    assert step.title == "helm may take the objects of its releases"


def test_a_kustomization_that_keeps_others_is_neither_suspended_nor_deleted() -> None:
    labels = dict.fromkeys(FLUXED, "flux-system")
    entries = [{"id": "istio-system_istio__ConfigMap", "v": "v1"}, {"id": "shop_web_apps_Deployment", "v": "v1"}]
    root = {"metadata": {"name": "flux-system", "namespace": "flux-system"}, "status": {"inventory": {"entries": entries}}}
    step = next_of(back(scene("helm", labels=labels), Kustomization=(root,)))
    assert step.commands == ()
    assert step.words[0].startswith("Kustomization flux-system keeps others, too (Deployment shop/web)")


def test_helm_releases_that_this_cluster_does_not_serve_are_not_taken_for_none() -> None:
    marks = {"helm.toolkit.fluxcd.io/name": "istiod", "helm.toolkit.fluxcd.io/namespace": "flux-system"}
    works = back(scene("helm", labels=marks), Kustomization=())
    assert any(
        one.state is WorkState.NOT_KNOWN and "the mark of Flux HelmRelease flux-system/istiod: not in this cluster" in one.says[0]
        for one in works
    )


def test_helm_releases_are_suspended_also_where_no_kustomizations_are_served() -> None:
    one = {"metadata": {"name": "istiod", "namespace": "flux-system"}, "spec": {"targetNamespace": "istio-system", "releaseName": "istiod"}}
    assert next_of(back(scene("helm", labels=FLUXED), HelmRelease=(one,))).says == ("not suspended: HelmRelease istiod",)


def test_the_objects_of_a_site_are_not_gone_through_for_each_application(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []

    def counted(site: RenderedSite) -> tuple[str, ...]:
        looks.append(1)
        return application_names(site)

    monkeypatch.setattr(argocd, "application_names", counted)
    many = tuple(having(f"team-{number}", listed("Deployment", "web", "shop", "apps")) for number in range(100))
    back(scene("helm"), Application=many)
    order(replace(by_argo(), owned={**by_argo().owned, APPLICATION: many}), Party.ARGOCD)
    assert len(looks) < 10


def test_on_the_way_back_helm_and_meshinstall_first_own_what_engines_alone_own() -> None:
    step = next_of(order(helms("argocd-controller"), Party.MESHINSTALL))
    assert step.title == "helm and meshinstall own fields of every object"
    (command,) = step.commands
    apply = "kubectl apply --server-side --force-conflicts --field-manager"
    assert command == (
        'd=$(mktemp -d) && meshinstall render --env prod --format manifests --out "$d"'
        f' && {apply}=helm -f "$d"/prod/eks/10-crds -f "$d"/prod/eks/20-control-plane -f "$d"/prod/eks/40-gateways'
        f' && {apply}=meshinstall -f "$d"/prod/eks/30-tags -f "$d"/prod/eks/50-policies'
    )


def test_then_what_engines_own_beside_them_goes_before_helm_installs() -> None:
    step = next_of(order(helms("helm", "argocd-controller"), Party.MESHINSTALL))
    assert step.title == "meshinstall alone owns the fields of the objects"
    assert next_of(order(helms("helm"), Party.MESHINSTALL)).title == "meshinstall has installed every release"
