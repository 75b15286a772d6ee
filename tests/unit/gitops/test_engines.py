"""Files for Argo CD and Flux: by digest, bounded and in order; tests/contracts/test_engines.py holds them against schemas and helm."""

from dataclasses import replace
from typing import Any

import pytest

from meshinstall.errors import ChartError, UsageError
from meshinstall.gitops.argocd import argocd
from meshinstall.gitops.flux import flux
from meshinstall.gitops.repository import Repository, check_repository
from meshinstall.gitops.terms import Files
from meshinstall.model.policy_kinds import POLICY_KINDS
from meshinstall.model.yaml_text import load
from tests.cases.gitops import MANIFEST, mesh, of_chart, release, site

REPOSITORY = Repository("clusters/mesh", "https://git.example.com/shop/mesh.git")
SITES = (mesh("dev"), mesh("prod"))


def objects(files: Files) -> dict[str, Any]:
    return {path: load(text) for path, text in files.items()}


ARGO, FLUX = objects(argocd(SITES, REPOSITORY)), objects(flux(SITES, REPOSITORY))


def test_an_application_takes_its_chart_by_digest_and_the_values_of_the_release() -> None:
    found = ARGO["prod/eks/applications/istiod.yaml"]
    assert found["metadata"]["name"] == "prod-eks-istiod"
    assert found["spec"]["source"] == {
        "repoURL": "oci://ghcr.io/istio/release/charts/istiod",
        "path": ".",
        "targetRevision": MANIFEST,
        "helm": {"releaseName": "istiod", "valuesObject": {"autoscaleMax": 8}},
    }
    assert found["spec"]["destination"] == {"name": "prod-eks", "namespace": "istio-system"}


def test_waves_are_in_the_order_of_up() -> None:
    def wave(name: str) -> int:
        return int(ARGO[f"prod/eks/applications/{name}.yaml"]["metadata"]["annotations"]["argocd.argoproj.io/sync-wave"])

    order = ["mesh-namespaces", "istio-base", "istiod", "mesh-tags", "istio-ingress", "mesh-policies"]
    assert sorted(order, key=wave) == order
    assert len(set(map(wave, order))) == len(order)


def test_crds_and_namespaces_are_never_pruned() -> None:
    prunes = {
        path.rpartition("/")[2]: one["spec"]["syncPolicy"]["automated"]["prune"]
        for path, one in ARGO.items()
        if "prod/eks/applications" in path
    }
    assert {name for name, prune in prunes.items() if not prune} == {"istio-base.yaml", "mesh-namespaces.yaml"}


def test_a_project_allows_these_namespaces_and_kinds_alone() -> None:
    spec = ARGO["projects/prod-eks.yaml"]["spec"]
    assert spec["destinations"] == [{"name": "prod-eks", "namespace": name} for name in ("istio-ingress", "istio-system", "shop")]
    assert spec["clusterResourceWhitelist"] == [
        {"group": "", "kind": "Namespace"},
        {"group": "admissionregistration.k8s.io", "kind": "MutatingWebhookConfiguration"},
        {"group": "apiextensions.k8s.io", "kind": "CustomResourceDefinition"},
    ]
    assert {"group": "apps", "kind": "Deployment"} in spec["namespaceResourceWhitelist"]
    assert {"group": "", "kind": "Secret"} not in spec["namespaceResourceWhitelist"]
    assert "*" not in str(spec)


def test_a_project_allows_every_kind_of_policy_before_there_is_one() -> None:
    """Or the first one of a kind would be refused until somebody who may write projects has applied the new one."""
    bare = objects(argocd([site("test", [])], REPOSITORY))
    allowed = bare["projects/test-eks.yaml"]["spec"]["namespaceResourceWhitelist"]
    assert [kind for kind in POLICY_KINDS if {"group": kind[0], "kind": kind[1]} not in allowed] == []


def test_what_makes_applications_may_make_nothing_else() -> None:
    spec = ARGO["projects/meshinstall.yaml"]["spec"]
    assert (spec["clusterResourceWhitelist"], spec["namespaceResourceWhitelist"]) == ([], [{"group": "argoproj.io", "kind": "Application"}])
    assert ARGO["applicationset.yaml"]["spec"]["template"]["spec"]["project"] == "meshinstall"
    assert [one["path"] for one in ARGO["applicationset.yaml"]["spec"]["generators"][0]["list"]["elements"]] == [
        "clusters/mesh/dev/eks",
        "clusters/mesh/prod/eks",
    ]


def test_nothing_of_argo_cd_deletes_a_mesh_with_itself() -> None:
    assert not any("finalizers" in str(one) for one in ARGO.values())
    assert ARGO["applicationset.yaml"]["spec"]["syncPolicy"] == {"preserveResourcesOnDeletion": True}


def test_a_release_of_flux_is_where_up_has_it() -> None:
    spec = FLUX["prod/eks/40-gateways/release-istio-ingress.yaml"]["spec"]
    assert (spec["releaseName"], spec["targetNamespace"], spec["storageNamespace"]) == ("istio-ingress", "istio-ingress", "istio-ingress")
    assert {spec[side]["strategy"]["name"] for side in ("install", "upgrade")} == {"RetryOnFailure"}
    assert spec["driftDetection"] == {"mode": "enabled"}
    assert FLUX["prod/eks/40-gateways/chart-gateway.yaml"]["spec"]["ref"] == {"digest": MANIFEST}


def test_every_step_of_flux_waits_for_the_one_before_it() -> None:
    steps = ["mesh-namespaces", "mesh-control-plane", "mesh-tags", "mesh-gateways", "mesh-policies"]
    assert FLUX["prod/eks/flux/kustomization.yaml"]["resources"] == [f"{step}.yaml" for step in steps]
    found = [FLUX[f"prod/eks/flux/{step}.yaml"]["spec"] for step in steps]
    assert [one.get("dependsOn", []) for one in found] == [[], *([{"name": step}] for step in steps[:-1])]
    assert found[0]["path"] == "./clusters/mesh/prod/eks/00-namespaces"
    assert all(one["wait"] and one["deletionPolicy"] == "Orphan" for one in found)
    assert [one["prune"] for one in found] == [False, True, True, True, True]


def test_a_release_needs_what_is_in_its_own_step() -> None:
    assert FLUX["prod/eks/20-control-plane/release-istiod.yaml"]["spec"]["dependsOn"] == [{"name": "istio-base"}]
    assert "dependsOn" not in FLUX["prod/eks/40-gateways/release-istio-ingress.yaml"]["spec"]


def test_every_file_of_a_step_is_in_its_list() -> None:
    for path, one in FLUX.items():
        folder, _, name = path.rpartition("/")
        if name == "kustomization.yaml":
            beside = {other.rpartition("/")[2] for other in FLUX if other.rpartition("/")[0] == folder}
            assert {*one["resources"], name} == beside


def test_a_null_is_given_as_text_so_that_nothing_takes_it_for_a_field_to_delete() -> None:
    one = site("dev", [], releases=[release("istiod", affinity=None)])
    values = objects(argocd([one], REPOSITORY))["dev/eks/applications/istiod.yaml"]["spec"]["source"]["helm"]
    assert "valuesObject" not in values
    assert load(values["values"]) == {"affinity": None}
    found = objects(flux([one], REPOSITORY))
    assert found["dev/eks/20-control-plane/release-istiod.yaml"]["spec"]["valuesFrom"] == [{"kind": "ConfigMap", "name": "istiod-values"}]
    assert load(found["dev/eks/20-control-plane/values-istiod.yaml"]["data"]["values.yaml"]) == {"affinity": None}


@pytest.mark.parametrize("render", [argocd, flux])
@pytest.mark.parametrize(
    ("source", "manifest", "said"),
    [
        ("https://charts.example.com", MANIFEST, "from a registry alone"),
        ("/charts", MANIFEST, "from a registry alone"),
        ("oci://ghcr.io/istio", "", "by which digest"),
    ],
)
def test_a_chart_that_no_digest_names_is_refused(render: Any, source: str, manifest: str, said: str) -> None:
    one = site("dev", [], releases=[replace(of_chart(release("istiod"), source=source), manifest=manifest)])
    with pytest.raises(ChartError, match=said):
        render([one], REPOSITORY)


def test_two_applications_of_one_name_are_refused() -> None:
    sites = [site("a", [], releases=[release("eks-b")]), site("a-eks", [], releases=[release("b")])]
    with pytest.raises(UsageError, match="a-eks-eks-b"):
        argocd(sites, REPOSITORY)


@pytest.mark.parametrize("path", ["", "/", "..", "a/../b", "a//b", ".git", "a b", "$(x)", "a\n"])
def test_a_path_is_a_folder_of_the_repository(path: str) -> None:
    with pytest.raises(UsageError, match="--path"):
        check_repository(path, "https://git.example.com/x", needs_url=True)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "git.example.com/x",
        "http://git.example.com/x",
        "https://me:token@git.example.com/x",
        "https://token@git.example.com/x",
        "ssh://me:x@h/x",
        "https://a/ b",
        "ext::sh -c x",
    ],
)
def test_an_address_is_one_of_git_without_a_login(url: str) -> None:
    with pytest.raises(UsageError, match="--repo-url") as caught:
        check_repository("mesh", url, needs_url=True)
    assert "token" not in str(caught.value)


@pytest.mark.parametrize("url", ["https://git.example.com/x.git", "ssh://git@h/x", "git@github.com:shop/mesh.git", "file:///srv/git/mesh"])
def test_addresses_of_git(url: str) -> None:
    assert check_repository("/clusters/mesh/", url, needs_url=True) == Repository("clusters/mesh", url)
