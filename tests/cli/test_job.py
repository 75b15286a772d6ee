"""The command ``job render`` as users type it: manifests on stdout, what is left to people on stderr, and what makes no sense refused."""

from pathlib import Path

import pytest
import yaml

from tests.cases.jobs import ACCOUNT, CLIENT, IMAGE, PROVIDER, ROLE
from tests.cli.running import Run

PROJECT = """\
apiVersion: meshinstall.dev/v1
environments:
  prod:
    gateways: {istio-egress: {namespace: egress}}
    clouds:
      eks: {cluster: {name: shop, region: eu-west-1}}
      gke: {cluster: {name: shop, project: example, location: europe-west1}}
      local: {}
"""
CRON = ("job", "render", "--env", "prod", "--kind", "cronjob")
GITHUB = ("job", "render", "--env", "prod", "--kind", "github")


@pytest.fixture(autouse=True)
def project(tmp_path: Path) -> None:
    """One environment on three clouds."""
    (tmp_path / "meshinstall.yaml").write_text(PROJECT)


def test_a_cron_job_is_for_the_mesh_of_its_environment_and_carries_the_files(run: Run) -> None:
    done = run(
        *CRON, "--cloud", "local", "--image", IMAGE, "--deadline", "90m", "--schedule", "5 1 * * 1-5", "--time-zone", "Europe/Berlin"
    )
    assert (done.status, done.err) == (0, "")
    objects = list(yaml.safe_load_all(done.out))
    assert {one["metadata"]["namespace"] for one in objects if one["kind"] == "Role"} == {"egress", "istio-ingress", "istio-system"}
    (carried,) = [one["data"] for one in objects if one["kind"] == "ConfigMap"]
    assert carried == {"meshinstall.yaml": PROJECT}
    spec = objects[-1]["spec"]
    assert (spec["schedule"], spec["timeZone"]) == ("5 1 * * 1-5", "Europe/Berlin")
    assert spec["jobTemplate"]["spec"]["activeDeadlineSeconds"] == 5400
    (container,) = spec["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    assert container["image"] == IMAGE
    assert container["args"] == ["upgrade", "--nightly", "--yes", "--cloud", "local", "--env", "prod"]


def test_the_same_command_writes_the_same_bytes(run: Run) -> None:
    flags = (*CRON, "--cloud", "eks", "--image", IMAGE, "--principal", ROLE)
    assert run(*flags) == run(*flags)


def test_commands_for_people_do_not_mix_with_the_manifests(run: Run) -> None:
    done = run(*CRON, "--cloud", "eks", "--image", IMAGE, "--principal", ROLE)
    assert done.status == 0
    assert "aws eks create-pod-identity-association --cluster-name shop --region eu-west-1" in done.err
    assert "aws eks" not in done.out
    assert (
        "create-pod-identity-association"
        not in run(*CRON, "--cloud", "eks", "--image", IMAGE, "--principal", ROLE, "--identity", "irsa").err
    )


def test_a_workflow_needs_no_image(run: Run) -> None:
    done = run(*GITHUB, "--cloud", "gke", "--principal", ACCOUNT, "--provider", PROVIDER, "--requirements", "ci/requirements.txt")
    assert (done.status, done.err) == (0, "")
    assert "--requirement ci/requirements.txt" in done.out
    assert "'on':" in done.out


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ((*CRON, "--cloud", "local"), "--image '' has no digest"),
        ((*CRON, "--cloud", "local", "--image", "x:latest"), "--image 'x:latest' has no digest"),
        ((*CRON, "--cloud", "eks", "--image", IMAGE), "--principal '': not what --cloud eks needs"),
        ((*CRON, "--cloud", "local", "--image", IMAGE, "--principal", ROLE), "need --cloud aks, eks or gke"),
        ((*CRON, "--cloud", "local", "--image", IMAGE, "--deadline", "soon"), "--deadline soon: not a time"),
        ((*CRON, "--cloud", "local", "--image", IMAGE, "--namespace", "egress"), "would work on its own namespace"),
        ((*CRON, "--image", IMAGE), "--cloud"),
        ((*GITHUB, "--cloud", "eks", "--principal", ROLE, "--image", IMAGE), "are for --kind cronjob"),
        ((*GITHUB, "--cloud", "local"), "needs --cloud aks, eks or gke"),
        ((*GITHUB, "--cloud", "gke", "--principal", CLIENT), "--principal"),
        (("job", "render", "--env", "prod", "--kind", "jenkins"), "Invalid value for '--kind'"),
    ],
)
def test_what_makes_no_sense_is_a_mistake_of_usage(run: Run, flags: tuple[str, ...], said: str) -> None:
    done = run(*flags)
    assert done.status == 2
    assert said in done.err
    assert done.out == ""
