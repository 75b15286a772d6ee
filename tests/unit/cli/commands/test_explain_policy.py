"""``explain policy`` and ``policy check`` over the layers of an environment."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from jsonschema import Draft202012Validator

from meshinstall.cli.root import command_line
from meshinstall.errors import ChartError, UsageError

ROOT = Path(__file__).parents[4]
Run = Callable[..., Result]
PROJECT = "apiVersion: meshinstall.dev/v1\ncharts: {source: nowhere}\nenvironments: {prod: {cloud: local}, dev: {cloud: local}}\n"
WEB = """apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: web, namespace: shop}
spec:
  rules:
    - from: [{source: {namespaces: [shop]}}]
    - to: [{operation: {ports: ["8080"]}}]
"""
FILES: Mapping[str, str] = {
    "meshinstall.yaml": PROJECT,
    "policies/base/web.yaml": WEB,
    "policies/envs/prod/web.yaml": WEB.replace("    - from: [{source: {namespaces: [shop]}}]\n", ""),
    "policies/envs/dev/web.yaml": "remove: {kind: AuthorizationPolicy, namespace: shop, name: web}\n",
}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs meshinstall in the folder of the project; an error of ours is raised."""
    for path, text in FILES.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    monkeypatch.chdir(tmp_path)

    def one(*argv: str) -> Result:
        found = CliRunner(env={"KUBECONFIG": "/nonexistent"}).invoke(command_line, argv)
        if found.exception and not isinstance(found.exception, SystemExit):
            raise found.exception
        return found

    return one


def test_it_shows_the_layers_the_dropped_rule_and_the_line_of_each_value(run: Run) -> None:
    assert [line.split() for line in run("explain", "policy", "shop/web", "--env", "prod").stdout.splitlines()] == [
        ["AuthorizationPolicy", "shop/web"],
        ["base", "adds", "policies/base/web.yaml:1"],
        ["envs", "replaces", "policies/envs/prod/web.yaml:1", "without", "spec.rules[0]", "(policies/base/web.yaml:6)"],
        [],
        ["spec.rules[0].to[0].operation.ports[0]", '"8080"', "policies/envs/prod/web.yaml:6"],
    ]


def test_what_a_layer_removes_is_said_to_be_removed(run: Run) -> None:
    text = run("explain", "policy", "--env", "dev").stdout
    assert text.startswith("AuthorizationPolicy shop/web  (removed)\n")
    assert "removes" in text.splitlines()[-1]


@pytest.mark.parametrize(("environment", "removed", "values"), [("prod", False, 1), ("dev", True, 0)])
def test_as_json_it_follows_its_schema(run: Run, environment: str, *, removed: bool, values: int) -> None:
    document = json.loads(run("explain", "policy", "shop/web", "--env", environment, "-o", "json").stdout)
    schema = json.loads((ROOT / "docs/schemas/explain-policy.json").read_text())
    Draft202012Validator(schema).validate(document)
    (policy,) = document["policies"]
    assert policy["removed"] is removed
    assert len([one for one in policy["values"] if one["path"].startswith("spec.")]) == values


def test_a_name_that_no_layer_has_is_a_mistake_with_a_hint(run: Run) -> None:
    with pytest.raises(UsageError, match="no layer of this environment has a policy shop/wbe") as caught:
        run("explain", "policy", "shop/wbe", "--env", "prod")
    assert caught.value.hint == "did you mean shop/web?"


def test_policy_check_of_an_environment_reads_its_layers(run: Run, tmp_path: Path) -> None:
    (tmp_path / "policies/base/deny.yaml").write_text(
        WEB.replace("name: web", "name: deny")
        .replace("spec:", "spec:\n  action: DENY")
        .replace("namespaces: [shop]", "principals: ['spiffe://x']")
    )
    # Its own files, without a chart, are judged all the same.
    found = run("policy", "check", "--env", "prod")
    assert found.exit_code == 2
    assert "policies/base/deny.yaml:7" in found.stdout
    assert "2 objects" in found.stdout


def test_policy_check_of_the_folder_knows_that_layers_replace_each_other(run: Run) -> None:
    with pytest.raises(ChartError):
        run("policy", "check", "policies", "--env", "prod")


def test_policy_check_takes_files_that_remove_and_refuses_to_check_nothing(run: Run) -> None:
    with pytest.raises(ChartError):
        run("policy", "check", "policies/envs/dev/web.yaml", "--env", "prod")
    with pytest.raises(UsageError, match="no policies are named"):
        run("policy", "check")
