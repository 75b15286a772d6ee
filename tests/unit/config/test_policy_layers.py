"""policies/ beside meshinstall.yaml: whole objects in layers, patches with tests, and every mistake with its line."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from meshinstall.config import layer_files
from meshinstall.config.policy_layers import explained, read_layers
from meshinstall.config.project import load_project
from meshinstall.config.resolve import resolve
from meshinstall.errors import ConfigError, UsageError
from meshinstall.model.cluster import Cloud
from meshinstall.model.desired import Desired, Policy
from meshinstall.model.ownership import SOURCE
from meshinstall.model.request import Request

Write = Callable[[Mapping[str, str]], Path]

PROJECT = """apiVersion: meshinstall.dev/v1
environments:
  prod: {clouds: {eks: {cluster: {name: a, region: b}}, gke: {cluster: {name: a, location: b, project: c}}}}
  dev: {cloud: local}
"""
WEB = """apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: web, namespace: shop}
spec:
  rules:
    - from: [{source: {namespaces: [shop]}}]
    - to: [{operation: {ports: ["8080"]}}]
"""
OTHER = """apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: web, namespace: shop}
spec:
  rules:
    - to: [{operation: {ports: ["8080"]}}]
"""
WRONG = "{kind: AuthorizationPolicy, namespace: shop, name: wbe}"
MESH_WIDE = WEB.replace("namespace: shop", "namespace: istio-system").replace("AuthorizationPolicy", "PeerAuthentication")
NAMED = "{kind: AuthorizationPolicy, namespace: shop, name: web}"


def resolved(write: Write, files: Mapping[str, str], environment: str = "prod", cloud: Cloud | None = Cloud.EKS) -> Desired:
    folder = write({"meshinstall.yaml": PROJECT, **files})
    request = Request(environment=environment, folder=folder, cloud=cloud)
    return resolve(request, load_project(None, {}, folder))


def layered(write: Write, files: Mapping[str, str], environment: str = "prod", cloud: Cloud | None = Cloud.EKS) -> tuple[Policy, ...]:
    found = resolved(write, files, environment, cloud).layered
    assert found is not None
    return found


def refused(write: Write, files: Mapping[str, str]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        resolved(write, files)
    return caught.value.message.splitlines()


def test_without_the_folder_or_with_an_empty_one_no_policy_is_wanted(write: Write) -> None:
    assert layered(write, {}) == ()
    assert layered(write, {"policies/base/.gitkeep": ""}) == ()


def test_a_project_that_was_read_without_policies_leaves_them_as_they_are(write: Write) -> None:
    project = load_project(None, {}, write({"meshinstall.yaml": PROJECT}), with_policies=False)
    assert resolve(Request(environment="prod", cloud=Cloud.EKS), project).layered is None


def test_each_value_knows_the_file_that_wrote_it_last(write: Write) -> None:
    patch = f"patch: {NAMED}\noperations:\n  - {{op: test, path: /spec/rules/1/to/0/operation/ports/0, value: '8080'}}\n"
    patch += "  - {op: replace, path: /spec/rules/1/to/0/operation/ports/0, value: '9090'}\n"
    (policy,) = layered(write, {"policies/base/web.yaml": WEB, "policies/sites/prod/eks/web.yaml": patch})
    assert policy.manifest["spec"]["rules"][1] == {"to": [{"operation": {"ports": ["9090"]}}]}
    assert str(policy.origin_of(("spec", "rules", 1, "to", 0, "operation", "ports", 0))) == "policies/sites/prod/eks/web.yaml:4"
    assert str(policy.origin_of(("spec", "rules", 0, "from", "x"))) == "policies/base/web.yaml:6"


@pytest.mark.parametrize(
    ("folder", "environment", "cloud", "applies"),
    [
        ("base", "dev", None, True),
        ("clouds/eks", "prod", Cloud.EKS, True),
        ("clouds/eks", "prod", Cloud.GKE, False),
        ("envs/prod", "prod", Cloud.GKE, True),
        ("envs/prod", "dev", None, False),
        ("sites/prod/eks", "prod", Cloud.EKS, True),
        ("sites/prod/eks", "prod", Cloud.GKE, False),
        ("base/shop/deep", "dev", None, True),
    ],
)
def test_a_layer_counts_for_its_own_site_only(write: Write, folder: str, environment: str, cloud: Cloud | None, *, applies: bool) -> None:
    assert bool(layered(write, {f"policies/{folder}/web.yaml": WEB}, environment, cloud)) == applies


@pytest.mark.parametrize(
    ("lower", "higher"),
    [("base", "clouds/eks"), ("clouds/eks", "envs/prod"), ("envs/prod", "sites/prod/eks")],
)
def test_the_nearer_layer_replaces_the_whole_object(write: Write, lower: str, higher: str) -> None:
    desired = resolved(write, {f"policies/{lower}/a.yaml": WEB, f"policies/{higher}/b.yaml": OTHER})
    assert desired.layered is not None
    (policy,) = desired.layered
    assert policy.manifest["spec"] == {"rules": [{"to": [{"operation": {"ports": ["8080"]}}]}]}
    assert policy.manifest["metadata"]["annotations"] == {SOURCE: f"policies/{higher}/b.yaml"}


def test_a_replacement_that_drops_a_rule_is_named_with_both_lines(write: Write) -> None:
    desired = resolved(write, {"policies/base/a.yaml": WEB, "policies/envs/prod/b.yaml": OTHER})
    (finding,) = [one for one in desired.warnings if one.code == "CFG006"]
    assert finding.title == "AuthorizationPolicy shop/web is replaced without spec.rules[0] of the layer below"
    assert finding.detail == "policies/base/a.yaml:6 is not in policies/envs/prod/b.yaml:5"


def test_a_replacement_that_keeps_every_rule_is_not_named(write: Write) -> None:
    desired = resolved(write, {"policies/base/a.yaml": OTHER, "policies/envs/prod/b.yaml": WEB})
    assert [one for one in desired.warnings if one.code == "CFG006"] == []


def test_a_layer_removes_an_object_and_a_nearer_one_adds_it_again(write: Write) -> None:
    files = {"policies/base/a.yaml": WEB, "policies/clouds/eks/a.yaml": f"remove: {NAMED}\n"}
    assert layered(write, files) == ()
    (policy,) = layered(write, {**files, "policies/envs/prod/a.yaml": OTHER})
    assert policy.manifest["metadata"]["annotations"][SOURCE] == "policies/envs/prod/a.yaml"


def test_ports_are_keys_as_for_kubectl_and_names_of_files_decide_nothing(write: Write) -> None:
    head = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n"
    peers = head + "metadata: {name: %s, namespace: shop}\nspec: {portLevelMtls: {8080: {}}}\n"
    found = layered(write, {"policies/base/1.yaml": peers % "b", "policies/base/2.yaml": peers % "a"})
    assert [one.manifest["metadata"]["name"] for one in found] == ["a", "b"]
    assert found[0].manifest["spec"] == {"portLevelMtls": {"8080": {}}}


def test_owner_and_ticket_stay_as_the_file_has_them(write: Write) -> None:
    text = WEB.replace(
        "namespace: shop}", "namespace: shop, annotations: {meshinstall.dev/owner: shop-team, meshinstall.dev/ticket: OPS-1}}"
    )
    (policy,) = layered(write, {"policies/base/a.yaml": text})
    wanted = {"meshinstall.dev/owner": "shop-team", "meshinstall.dev/ticket": "OPS-1", SOURCE: "policies/base/a.yaml"}
    assert policy.manifest["metadata"]["annotations"] == wanted


def test_lines_that_shift_change_nothing_of_an_object(write: Write) -> None:
    (before,) = layered(write, {"policies/base/a.yaml": WEB})
    (after,) = layered(write, {"policies/base/a.yaml": f"# a new first line\n{WEB}"})
    assert before.manifest == after.manifest
    assert before.origin != after.origin


TESTED = f"patch: {NAMED}\noperations:\n  - {{op: test, path: /spec/rules/0/from/0/source/namespaces/0, value: shop}}\n"

DROP = "  - {op: remove, path: /spec/rules/0}\n"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (f"remove: {WRONG}\n", ":1:1: removes AuthorizationPolicy shop/wbe, which no lower layer has (did"),
        (TESTED.replace("name: web", "name: wbe") + DROP, ":1:1: patches AuthorizationPolicy shop/wbe, which"),
        (TESTED.replace("value: shop", "value: pay") + DROP, "shop/web: has another value here (policies/base/a.yaml:6) "),
        (TESTED + "  - {op: remove, path: /spec/rules/7}\n", "shop/web: there is nothing here (policies/base/a.yaml:5) "),
        (TESTED, ":2:1: this patch changes nothing: all its operations are tests"),
        (f"patch: {NAMED}\noperations:\n  - {{op: remove, path: /spec/rules/0}}\n", ":3:5: the first operation of a patch must be a test"),
        (TESTED + "  - {op: replace, path: /metadata/name, value: x}\n", ": a patch must not change metadata/name "),
        (TESTED + "  - {op: add, path: /spec/rules/9, value: {}}\n", "the list has 2 items (policies/base/a.yaml:5) "),
        (TESTED + "  - {op: replace, path: /spec, value: 7}\n", ":2:1: spec must be a map after the patch"),
        (TESTED + "  - {op: add, path: /metadata/labels, value: {meshinstall.dev/policy: me}}\n", "is written by meshinstall itself"),
        (TESTED + "  - {op: wipe, path: /spec}\n", ":4:6: op must be one of test, add, replace, remove, move, copy"),
        (TESTED + "  - {op: remove, path: spec}\n", ":4:18: path must be a JSON pointer such as /spec/rules/0"),
        (f"remove: {NAMED}\nspec: {{}}\n", ":2:1: spec has no place here (a file that removes an object has remove alone)"),
        ("remove: {kind: Gateway, namespace: shop, name: web}\n", "of networking.istio.io and of gateway.networking.k8s.io (write its"),
    ],
)  # fmt: skip
def test_a_mistake_of_a_higher_layer_has_its_line(write: Write, text: str, wanted: str) -> None:
    (line,) = refused(write, {"policies/base/a.yaml": WEB, "policies/envs/prod/b.yaml": text})
    assert line.startswith("policies/envs/prod/b.yaml")
    assert wanted in line


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("", ": is not a policy: apiVersion and kind are missing (write an object"),
        (WEB.replace("AuthorizationPolicy", "AuthorisationPolicy"), ":2:1: AuthorisationPolicy is not a kind of Istio's security"),
        ("apiVersion: v1\nkind: Secret\nmetadata: {name: a, namespace: b}\n", ":2:1: Secret is not a kind of"),
        (WEB.replace("io/v1", "io/v7"), ":1:1: security.istio.io/v7 has no AuthorizationPolicy"),
        (WEB.replace(", namespace: shop", ""), "metadata.namespace is missing or not text"),
        (WEB.replace("namespace: shop", "namespace: Shop/../x"), ":3:23: 'Shop/../x' is not a valid namespace in Kubernetes"),
        (WEB.replace("name: web", "name: 7"), ":3:12: metadata.name is missing or not text"),
        (WEB + "status: {}\n", ":8:1: status has no place here (the cluster writes it)"),
        (WEB.replace("name: web", "name: web, uid: x"), "metadata.uid has no place here (the cluster writes it)"),
        (WEB.replace("name: web", "name: web, labels: {app.kubernetes.io/managed-by: Helm}"), "is written by meshinstall itself"),
        (WEB.replace("name: web", "name: web, labels: {a: 1}"), "metadata.labels.a must be text (quote it)"),
        (WEB.replace("spec:", "specs:"), "specs has no place here (did you mean spec?)"),
        (WEB.replace("[shop]", '["sh\\e[2Jop"]'), ":6:37: spec.rules.0.from.0.source.namespaces.0 has a character that does not print"),
        (WEB.replace("[shop]", '["sh\\u202eop"]'), "has a character that does not print"),
        (f"{WEB}---\n{OTHER}", ":8:1: a second YAML document"),
        (WEB.replace("[shop]", '["-----BEGIN PRIVATE KEY-----"]'), "secrets are not allowed"),
        (MESH_WIDE, "would be for the whole mesh, whose mode is mtls of the environment"),
    ],
)  # fmt: skip
def test_a_mistake_of_a_file_has_its_line(write: Write, text: str, wanted: str) -> None:
    lines = refused(write, {"policies/base/a.yaml": text})
    assert any(line.startswith("policies/base/a.yaml") and wanted in line for line in lines), lines


def test_mistakes_of_all_files_are_told_at_once_whatever_environment_is_asked_for(write: Write) -> None:
    files = {
        "policies/base/a.yaml": WEB,
        "policies/base/b.yaml": OTHER,
        "policies/envs/dev/c.yaml": "kind: Nothing\n",
        "policies/envs/nowhere/d.yaml": WEB,
        "policies/clouds/oci/e.yaml": WEB,
        "policies/f.yaml": WEB,
        "policies/base/g.yml": WEB,
    }
    lines = "\n".join(refused(write, files))
    assert "policies/base/b.yaml:1:1: AuthorizationPolicy shop/web is also in policies/base/a.yaml:1" in lines
    assert "policies/envs/dev/c.yaml" in lines
    assert "policies/envs/nowhere/d.yaml: there is no environment 'nowhere'" in lines
    assert "policies/clouds/oci/e.yaml: oci is not a cloud" in lines
    assert "policies/f.yaml: is not in a layer" in lines
    assert "policies/base/g.yml: only .yaml files are read (rename it to g.yaml)" in lines


def test_links_out_of_the_folder_are_not_followed(write: Write, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "a.yaml").write_text(WEB)
    folder = write({"meshinstall.yaml": PROJECT, "policies/base/own.yaml": WEB})
    (folder / "policies/base/file.yaml").symlink_to(outside / "a.yaml")
    (folder / "policies/base/folder").symlink_to(outside)
    (folder / "policies/base/gone.yaml").symlink_to(folder / "nothing")
    (folder / "policies/base/loop").symlink_to(folder / "policies")
    with pytest.raises(ConfigError) as caught:
        load_project(None, {}, folder)
    assert [str(one) for one in caught.value.problems] == [
        "policies/base/file.yaml: is a link to a folder, or out of policies/; it is not followed",
        "policies/base/folder: is a link to a folder, or out of policies/; it is not followed",
        "policies/base/gone.yaml: is a link that leads nowhere",
        "policies/base/loop: is a link to a folder, or out of policies/; it is not followed",
    ]


def test_a_folder_that_is_a_link_out_of_the_project_is_refused(write: Write, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = write({"meshinstall.yaml": PROJECT})
    (folder / "policies").symlink_to(tmp_path_factory.mktemp("outside"))
    with pytest.raises(ConfigError, match="policies: is not a folder of this project"):
        load_project(None, {}, folder)


def test_a_folder_that_a_configmap_mounts_is_read_through_its_own_link(write: Write) -> None:
    folder = write({"meshinstall.yaml": PROJECT, "..data/policies/base/a.yaml": WEB})
    (folder / "policies").symlink_to("..data/policies")
    found = load_project(None, {}, folder).policies
    assert found is not None
    assert [one.path for one in found] == ["policies/base/a.yaml"]


def test_what_is_neither_a_file_nor_a_folder_is_never_opened(write: Write) -> None:
    folder = write({"meshinstall.yaml": PROJECT, "policies/base/a.yaml": WEB})
    os.mkfifo(folder / "policies/base/pipe.yaml")
    with pytest.raises(ConfigError, match=r"policies/base/pipe\.yaml: is neither a file nor a folder"):
        load_project(None, {}, folder)


def test_folders_in_folders_have_an_end(write: Write) -> None:
    assert layered(write, {f"policies/base/{'a/' * 6}web.yaml": WEB})
    (line,) = refused(write, {f"policies/base/{'a/' * 7}two.yaml": WEB.replace("name: web", "name: two")})
    assert line.startswith(f"policies/base/{'a/' * 7}two.yaml: is more than 8 folders deep")


def test_more_files_than_a_project_has_are_refused(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layer_files, "MAX_ENTRIES", 3)
    lines = refused(write, {f"policies/base/{name}.yaml": WEB.replace("web", name) for name in "abc"})
    assert "policies: has more than 3 files and folders (is this the right folder?)" in lines


def test_copies_of_copies_are_bounded(write: Write) -> None:
    patch = TESTED + "".join(f"  - {{op: copy, from: /spec, path: /spec/x{index}}}\n" for index in range(40))
    lines = refused(write, {"policies/base/a.yaml": WEB, "policies/envs/prod/b.yaml": patch})
    assert "makes more than 50000 values, or nests them too deep" in lines[0]


def test_whoever_needs_a_cluster_alone_reads_no_policies(write: Write) -> None:
    folder = write({"meshinstall.yaml": PROJECT, "policies/base/a.yaml": "kind: Nothing\n"})
    assert load_project(None, {}, folder, with_policies=False).policies is None


def test_explain_names_every_layer_and_knows_names(write: Write) -> None:
    folder = write({"meshinstall.yaml": PROJECT, "policies/base/a.yaml": WEB, "policies/envs/prod/b.yaml": f"remove: {NAMED}\n"})
    layers = read_layers(load_project(None, {}, folder), Request(environment="prod", folder=folder, cloud=Cloud.EKS), ())
    (one,) = explained(layers, "shop/web")
    assert [(said.layer.word, said.verb, str(said.at)) for said in one.said] == [
        ("base", "adds", "policies/base/a.yaml:1"),
        ("envs", "removes", "policies/envs/prod/b.yaml:1"),
    ]
    assert one.tree is None
    with pytest.raises(UsageError) as caught:
        explained(layers, "shop/wbe")
    assert caught.value.hint == "did you mean shop/web?"
