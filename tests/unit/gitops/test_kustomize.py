"""What goes into the base and what into overlays; tests/contracts/test_kustomize.py builds them with kustomize itself."""

from meshinstall.gitops.kustomize import kustomize
from meshinstall.gitops.terms import Step
from meshinstall.model.yaml_text import load
from tests.cases.gitops import config_map, crd, item, site

MANY = {f"key-{number}": "value" for number in range(40)}


def test_what_is_equal_is_in_the_base_alone() -> None:
    files = kustomize([site("dev", [item(config_map("a", MANY))]), site("prod", [item(config_map("a", MANY))])])
    assert sorted(files) == [
        "base/20-control-plane/configmap_istio-system_a.yaml",
        "base/20-control-plane/kustomization.yaml",
        "overlays/dev/eks/20-control-plane/kustomization.yaml",
        "overlays/dev/eks/kustomization.yaml",
        "overlays/prod/eks/20-control-plane/kustomization.yaml",
        "overlays/prod/eks/kustomization.yaml",
    ]
    assert load(files["overlays/dev/eks/20-control-plane/kustomization.yaml"])["resources"] == ["../../../../base/20-control-plane"]
    assert load(files["overlays/dev/eks/kustomization.yaml"])["resources"] == ["20-control-plane"]


def test_few_fields_are_a_patch_behind_a_test_and_the_base_is_what_most_have() -> None:
    usual = item(config_map("a.b", MANY))
    other = item(config_map("a.b", {**MANY, "key-3": "other"}))
    files = kustomize([site("dev", [other]), site("prod", [usual]), site("stage", [usual])])
    assert load(files["base/20-control-plane/configmap_istio-system_a.b.yaml"]) == usual.manifest
    (patch,) = load(files["overlays/dev/eks/20-control-plane/kustomization.yaml"])["patches"]
    assert patch["target"] == {"version": "v1", "kind": "ConfigMap", "name": r"a\.b", "namespace": "istio-system"}
    assert load(files["overlays/dev/eks/20-control-plane/patches/configmap_istio-system_a.b.yaml"]) == [
        {"op": "test", "path": "/data/key-3", "value": "value"},
        {"op": "replace", "path": "/data/key-3", "value": "other"},
    ]
    assert "patches" not in load(files["overlays/prod/eks/20-control-plane/kustomization.yaml"])


def test_what_differs_much_or_is_not_everywhere_is_in_the_overlays() -> None:
    long = {f"key-{number}": str(number) for number in range(40)}
    files = kustomize(
        [site("dev", [item(config_map("a", MANY)), item(config_map("b", MANY))]), site("prod", [item(config_map("a", long))])]
    )
    assert not any(path.startswith("base/") for path in files)
    assert load(files["overlays/dev/eks/20-control-plane/kustomization.yaml"])["resources"] == [
        "configmap_istio-system_a.yaml",
        "configmap_istio-system_b.yaml",
    ]


def test_an_object_that_two_sites_have_in_other_steps_is_no_common_one() -> None:
    early, late = item(config_map("a", MANY)), item(config_map("a", MANY), Step.POLICIES)
    assert not any(path.startswith("base/") for path in kustomize([site("dev", [early]), site("prod", [late])]))


def test_a_crd_is_never_patched() -> None:
    files = kustomize([site("dev", [crd("x.istio.io", "kind: a\n")]), site("prod", [crd("x.istio.io", "kind: b\n")])])
    name = "customresourcedefinition.apiextensions.k8s.io_x.istio.io.yaml"
    assert files[f"overlays/prod/eks/10-crds/{name}"] == "kind: b\n"
    same = kustomize([site("dev", [crd("x.istio.io", "kind: a\n")]), site("prod", [crd("x.istio.io", "kind: a\n")])])
    assert same[f"base/10-crds/{name}"] == "kind: a\n"


def test_nothing_in_them_is_a_transformer() -> None:
    files = kustomize([site("dev", [item(config_map("a", MANY))]), site("prod", [item(config_map("a", {**MANY, "key-3": "x"}))])])
    known = {"apiVersion", "kind", "resources", "patches"}
    assert all(load(text).keys() <= known for path, text in files.items() if path.endswith("kustomization.yaml"))
