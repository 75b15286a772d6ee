"""The command ``lint`` as users type it: no cluster, every mistake of flags, files and values at once, with its place."""

import json
from collections.abc import Callable
from pathlib import Path

import jsonschema
import pytest

from tests.cli.running import Ended, Run

pytestmark = pytest.mark.tools

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "schemas" / "lint.json").read_text())
PROJECT = """\
apiVersion: meshinstall.dev/v1
charts: {source: CHARTS}
environments:
  dev:
    cloud: local
    values:
      istiod: {replicaCount: 2.5, nope: 1}
  prod:
    clouds:
      aks: {values: {istiod: {autoscaleMin: 9}}}
      eks: {}
"""


@pytest.fixture(scope="module")
def charts(build_part: Callable[[str], Path]) -> Path:
    """A folder with Istio's charts; found before a test has a home of its own."""
    return build_part("charts")


@pytest.fixture
def project(tmp_path: Path, charts: Path) -> Path:
    """A project with mistakes, in the current folder."""
    file = tmp_path / "meshinstall.yaml"
    file.write_text(PROJECT.replace("CHARTS", str(charts)))
    return file


def ended(done: Ended) -> tuple[int, list[str], str]:
    return done.status, done.out.splitlines(), done.err


def test_every_environment_is_checked_on_each_of_its_clouds(run: Run, project: Path) -> None:
    assert project.exists()
    assert ended(run("lint")) == (
        2,
        [
            "meshinstall.yaml:7:16: error: replicaCount must be a whole number, not below 0",
            "meshinstall.yaml:7:35: warning: the chart does not read nope",
            "meshinstall.yaml:10:31: error: autoscaleMin (meshinstall.yaml:10) is larger than autoscaleMax (chart values.yaml:6)",
            "2 errors, 1 warning; checked: dev (local), prod (aks), prod (eks)",
        ],
        "",
    )


def test_one_environment_on_one_cloud_without_a_mistake_is_status_0(run: Run, project: Path) -> None:
    assert project.exists()
    assert ended(run("lint", "--env", "prod", "--cloud", "eks")) == (0, ["no problems; checked: prod (eks)"], "")


def test_a_cloud_alone_checks_the_environments_that_are_on_it(run: Run, project: Path) -> None:
    assert project.exists()
    assert run("lint", "--cloud", "eks").out == "no problems; checked: prod (eks)\n"


def test_mistakes_of_flags_files_and_values_come_at_once(run: Run, project: Path) -> None:
    project.write_text(project.read_text() + "    accept: {until: 2027-01-31, reason: r}\n")
    done = run("lint", "--set", "nonsense", "--istio-version", "1", "-f", "istiod=gone.yaml")
    assert done.status == 2
    for part in (
        "--set: error: has no =",
        "--istio-version: error: '1'",
        "gone.yaml: error: there is no such file",
        ":12:5: error: accept",
    ):
        assert part in done.out


def test_files_that_cannot_be_understood_are_told_with_the_flags(run: Run, project: Path) -> None:
    project.write_text("apiVersion: meshinstall.dev/v1\nenvironmnts: {}\nprofile: 7\n")
    done = run("lint", "--set", "nonsense")
    assert done.status == 2
    assert [line.partition(" error: ")[0] for line in done.out.splitlines()] == [
        "--set:",
        "meshinstall.yaml:2:1:",
        "meshinstall.yaml:3:1:",
        "3 errors",
    ]


def test_charts_that_are_away_are_a_failure_and_not_a_mistake(run: Run, project: Path) -> None:
    done = run("lint", "--env", "prod", "--cloud", "eks", "--charts", str(project.parent / "gone"))
    assert done.status == 1
    assert "gone" in done.err
    done = run("lint", "--env", "prod", "--cloud", "eks", "--charts", str(project.parent / "gone"), "--set", "x")
    assert done.status == 2
    assert "warning: values were not checked against the charts" in done.err


@pytest.mark.parametrize("arguments", [(), ("--env", "prod"), ("--set", "x")])
def test_what_programs_get_fits_its_schema(run: Run, project: Path, arguments: tuple[str, ...]) -> None:
    assert project.exists()
    found = json.loads(run("lint", "-o", "json", *arguments).out)
    jsonschema.validate(found, SCHEMA)
    assert len(found["sites"]) == (2 if "prod" in arguments else 3)
    assert found["chartsRead"] is True


def test_an_environment_without_a_cloud_is_not_passed_in_silence(run: Run, project: Path) -> None:
    project.write_text("apiVersion: meshinstall.dev/v1\nenvironments: {dev: {}}\n")
    done = run("lint")
    assert done.status == 2
    assert "--cloud: error: required: the environment dev has no cloud in meshinstall.yaml (use one of: aks, eks, gke, local)" in done.out


def test_plan_too_tells_mistakes_of_flags_and_files_at_once(run: Run, project: Path) -> None:
    project.write_text("apiVersion: meshinstall.dev/v1\nenvironmnts: {}\n")
    done = run("plan", "--env", "dev", "--cloud", "local", "--set", "nonsense", "--istio-version", "one")
    assert done.status == 2
    for part in ("meshinstall.yaml:2:1: unknown key 'environmnts'", "--set: has no =", "--istio-version: 'one' is neither a minor such as"):
        assert part in done.err
