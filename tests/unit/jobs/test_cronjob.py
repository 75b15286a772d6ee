"""The CronJob: as its golden files have it, without a secret, and refused where it would not be what was meant."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from meshinstall.cli.root import command_line
from meshinstall.config.own_files import own_files
from meshinstall.config.project import load_project
from meshinstall.config.resolve import resolve
from meshinstall.errors import UsageError
from meshinstall.jobs.cronjob import Rendered, cronjob
from meshinstall.model.cluster_ref import Cloud, ClusterRef
from meshinstall.model.desired import Desired
from meshinstall.model.request import Request
from meshinstall.model.secrets import secrets
from tests.cases.jobs import CLIENT, FILES, FOLDER, IMAGE, OBJECT, PLACE, ROLE, cluster, job, rendered, texts

TEXTS = texts()
PROJECT = {
    "meshinstall.yaml": (
        "apiVersion: meshinstall.dev/v1\nenvironments:\n  prod: {cloud: local, policies: {baseline: deny-by-default, namespaces: [shop]}}\n"
    ),
    "policies/base/shop/web.yaml": (
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: web, namespace: shop}\n"
        "spec: {rules: [{from: [{source: {namespaces: [shop]}}]}]}\n"
    ),
    "policies/envs/prod/web.yaml": (
        "patch: {kind: AuthorizationPolicy, namespace: shop, name: web}\noperations:\n"
        "  - {op: test, path: /spec/rules/0/from/0/source/namespaces/0, value: shop}\n"
        "  - {op: add, path: /spec/rules/0/from/0/source/namespaces/-, value: pay}\n"
    ),
}


def of_kind(found: Rendered, kind: str) -> list[Any]:
    return [one for one in found.objects if one["kind"] == kind]


def night(found: Rendered) -> Any:
    (one,) = of_kind(found, "CronJob")
    return one["spec"]["jobTemplate"]["spec"]


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_what_is_rendered_is_what_the_golden_file_has(name: str) -> None:
    assert TEXTS[name] == (FOLDER / name).read_text()


def test_each_golden_file_has_a_case() -> None:
    assert {file.name for file in FOLDER.iterdir()} == set(TEXTS)


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_no_file_holds_a_secret(name: str) -> None:
    for document in yaml.safe_load_all(TEXTS[name]) if name.endswith(".yaml") else [TEXTS[name]]:
        # A permission to have a token is not one.
        assert list(secrets(document)) == (["write"] if name.startswith(("github", "drill")) else [])
        assert "secrets." not in str(document)
        assert not isinstance(document, dict) or document.get("kind") != "Secret"


@pytest.mark.parametrize("cloud", Cloud)
def test_its_command_is_one_that_the_command_line_takes(cloud: Cloud) -> None:
    (container,) = night(rendered(cloud))["template"]["spec"]["containers"]
    words = [*container.get("command", []), *container["args"]]
    name, *options = words[words.index("upgrade") :]
    command = command_line.get_command(click.Context(command_line), name)
    assert command
    # Raises click's UsageError for an option that the command does not have.
    asked = command.make_context(name, options).params
    assert (asked["nightly"], asked["yes"], asked["env"], str(asked["cloud"])) == (True, True, "prod", cloud.value)


@pytest.mark.parametrize("cloud", Cloud)
def test_the_text_is_what_was_rendered(cloud: Cloud) -> None:
    name = "cronjob-eks-pod-identity" if cloud is Cloud.EKS else f"cronjob-{cloud}"
    assert list(yaml.safe_load_all(TEXTS[f"{name}.yaml"])) == list(rendered(cloud).objects)


@pytest.mark.parametrize("cloud", Cloud)
def test_only_a_local_cluster_is_asked_with_the_token_of_the_pod(cloud: Cloud) -> None:
    found = rendered(cloud)
    (account,) = of_kind(found, "ServiceAccount")
    uses = cloud is Cloud.LOCAL
    assert account["automountServiceAccountToken"] is uses
    assert night(found)["template"]["spec"]["automountServiceAccountToken"] is uses
    subjects = [one["subjects"] for kind in ("ClusterRoleBinding", "RoleBinding") for one in of_kind(found, kind)]
    assert {subject["kind"] for (subject,) in subjects} == {
        {Cloud.LOCAL: "ServiceAccount", Cloud.EKS: "Group", Cloud.AKS: "User", Cloud.GKE: "User"}[cloud]
    }


def test_rights_hold_in_the_namespaces_of_the_mesh_and_of_the_workloads() -> None:
    roles = {(one["metadata"]["name"], one["metadata"]["namespace"]) for one in of_kind(rendered(Cloud.LOCAL), "Role")}
    assert roles == {("meshinstall", "istio-ingress"), ("meshinstall", "istio-system"), ("meshinstall-workloads", "shop")}


def test_the_role_that_is_assumed_is_who_the_cluster_knows() -> None:
    other = ROLE.replace("mesh", "assumed")
    association, entry = rendered(Cloud.EKS, cluster=cluster(Cloud.EKS, roleArn=other)).once
    assert association.endswith(f"--role-arn {ROLE}")
    assert f"--principal-arn {other} " in entry
    chain = cluster(Cloud.GKE, impersonateServiceAccount="a@p.iam.gserviceaccount.com,b@p.iam.gserviceaccount.com")
    (binding,) = of_kind(rendered(Cloud.GKE, cluster=chain), "ClusterRoleBinding")
    assert binding["subjects"][0]["name"] == "b@p.iam.gserviceaccount.com"


def test_the_same_files_have_the_same_name_in_any_order_and_others_another() -> None:
    def name(files: dict[str, str]) -> str:
        (found,) = of_kind(cronjob(job(Cloud.LOCAL), PLACE, files), "ConfigMap")
        return str(found["metadata"]["name"])

    assert name(dict(reversed(FILES.items()))) == name(dict(FILES))
    assert name({**FILES, "meshinstall.yaml": FILES["meshinstall.yaml"] + "\n"}) != name(dict(FILES))


def test_each_file_is_at_its_path() -> None:
    found = rendered(Cloud.LOCAL)
    (carried,) = of_kind(found, "ConfigMap")
    volume = night(found)["template"]["spec"]["volumes"][0]["configMap"]
    assert volume["name"] == carried["metadata"]["name"]
    assert {item["path"]: carried["data"][item["key"]] for item in volume["items"]} == FILES


def refused() -> Iterator[Any]:
    yield {"image": "registry.example/meshinstall:1.0"}, {}, "has no digest"
    yield {"image": IMAGE + "a"}, {}, "has no digest"
    yield {"namespace": "istio-system"}, {}, "would work on its own namespace"
    yield {"namespace": "shop"}, {}, "would work on its own namespace"
    yield {"namespace": "Mesh"}, {}, "not a name of a namespace"
    yield {"workloads": ("a b",)}, {}, "not a name of a namespace"
    yield {}, {"environment": "${{ x }}"}, "cannot be named in a job"
    yield {}, {"schedule": "0 2 * *"}, "not a schedule"
    yield {}, {"schedule": "CRON_TZ=UTC 0 2 * * *"}, "not a schedule"
    yield {}, {"zone": "Local"}, "not a time zone"
    yield {}, {"deadline": 299}, "too short"
    yield {}, {"principal": "x"}, "not what --cloud eks needs"
    yield {}, {"principal": ""}, "not what --cloud eks needs"
    yield {}, {"object_id": OBJECT}, "--object-id"
    yield {}, {"cluster": ClusterRef(Cloud.AKS, "prod"), "principal": CLIENT}, "--object-id is missing"
    yield {}, {"cluster": ClusterRef(Cloud.LOCAL)}, "need --cloud aks, eks or gke"
    yield {}, {"cluster": ClusterRef(Cloud.LOCAL, context="kind-dev"), "principal": ""}, "cluster.context"
    yield {}, {"cluster": ClusterRef(Cloud.EKS, "prod", selectors={"profile": "ann"})}, "cluster.profile"
    yield {}, {"cluster": ClusterRef(Cloud.EKS, "prod", selectors={"login": "instance"})}, "cluster.login"


@pytest.mark.parametrize(("place", "asked", "words"), list(refused()))
def test_what_would_not_be_what_was_meant_is_refused(place: dict[str, Any], asked: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        cronjob(job(Cloud.EKS, **asked), replace(PLACE, **place), FILES)


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"values/envs/prod.yaml": "istiod: {env: {DB_PASSWORD: hunter22}}\n"}, "values/envs/prod.yaml holds what looks like a secret"),
        ({"meshinstall.yaml": "# token: abcdefgh12345678\na: 1\n"}, "meshinstall.yaml holds what looks like a secret"),
        ({"profiles/a b.yaml": "a: 1\n"}, "a ConfigMap cannot hold"),
        ({"meshinstall.yaml": "é" * 500_000}, "1000016 bytes, 0 of them in policies/, and a ConfigMap holds 1000000"),
        ({f"policies/base/{at:03}.yaml": "a: " + "b" * 4_000 for at in range(250)}, "1006750 bytes, 1006750 of them in policies/"),
        ({"policies/base/a__b.yaml": "a: 1\n", "policies/base/a/b.yaml": "a: 1\n"}, "would have one name in a ConfigMap"),
        ({f"policies/base/{'a' * 250}.yaml": "a: 1\n"}, "a ConfigMap cannot hold a file of this name"),
    ],
)
def test_files_that_no_config_map_may_hold_are_refused(files: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        cronjob(job(Cloud.LOCAL), PLACE, files)


def test_a_pod_reads_the_whole_project_out_of_what_was_rendered(tmp_path: Path) -> None:
    here, pod = tmp_path / "project", tmp_path / "pod"
    for path, text in PROJECT.items():
        (here / path).parent.mkdir(parents=True, exist_ok=True)
        (here / path).write_text(text)
    made = cronjob(job(Cloud.LOCAL), PLACE, own_files(load_project(None, {}, here)))
    (carried,) = of_kind(made, "ConfigMap")
    (volume,) = [one for one in night(made)["template"]["spec"]["volumes"] if one["name"] == "files"]
    mount(pod, carried["data"], volume["configMap"]["items"])

    def desired(folder: Path) -> Desired:
        return resolve(Request(environment="prod", cloud=Cloud.LOCAL, folder=folder), load_project(folder, {}, tmp_path))

    there = desired(pod).layered
    assert there is not None
    assert [one.manifest["metadata"]["name"] for one in there] == ["meshinstall-allow-gateways", "meshinstall-deny-by-default", "web"]
    assert [one.manifest for one in there] == [one.manifest for one in desired(here).layered or ()]


def mount(folder: Path, data: dict[str, str], items: list[dict[str, str]]) -> None:
    """As the kubelet does: a folder with the time in its name, a link to that, and a link for each first part of a path."""
    real = folder / "..2026_11_30_02_00_00.1"
    for item in items:
        (real / item["path"]).parent.mkdir(parents=True, exist_ok=True)
        (real / item["path"]).write_text(data[item["key"]])
    (folder / "..data").symlink_to(real.name)
    for first in {item["path"].partition("/")[0] for item in items}:
        (folder / first).symlink_to(f"..data/{first}")
