"""The workflow of GitHub Actions: signed in by OIDC with the least permissions, every action at a commit, nothing for a shell to read."""

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from meshinstall.errors import UsageError
from meshinstall.jobs.workflow import Snapshot, drill_workflow, workflow
from meshinstall.model.cluster_ref import Cloud, ClusterRef
from tests.cases.jobs import PROVIDER, job, texts

MANAGED = (Cloud.EKS, Cloud.AKS, Cloud.GKE)


def made(cloud: Cloud, **changed: Any) -> Any:
    return workflow(job(cloud, **{"object_id": "", **changed}), "requirements.txt", PROVIDER)


@pytest.mark.parametrize("cloud", MANAGED)
def test_it_may_read_the_repository_and_sign_in(cloud: Cloud) -> None:
    found = made(cloud)
    assert found["permissions"] == {}
    (only,) = found["jobs"].values()
    assert only["permissions"] == {"contents": "read", "id-token": "write"}
    assert found["concurrency"]["cancel-in-progress"] is False


@pytest.mark.parametrize("cloud", MANAGED)
def test_each_action_is_at_a_commit_with_its_version_behind_it(cloud: Cloud) -> None:
    text = texts()[f"github-{cloud}.yaml"]
    uses = re.findall(r"uses: (.*)", text)
    assert len(uses) == 3
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use) for use in uses), uses
    assert yaml.safe_load(text) == made(cloud)


def test_what_is_installed_runs_before_the_login() -> None:
    (only,) = made(Cloud.EKS)["jobs"].values()
    names = [step.get("name") for step in only["steps"]]
    assert names.index("Install") < names.index("Sign in") < names.index("Upgrade")


def test_a_name_of_a_file_is_one_word_of_the_shell() -> None:
    (only,) = workflow(job(Cloud.EKS), "$(id) x.txt")["jobs"].values()
    (install,) = [step["run"] for step in only["steps"] if step.get("name") == "Install"]
    assert shlex.split(install.splitlines()[-1])[-1] == "$(id) x.txt"


def test_github_ends_a_job_of_six_hours() -> None:
    (only,) = made(Cloud.EKS, deadline=8 * 3600)["jobs"].values()
    assert only["timeout-minutes"] == 360


@pytest.mark.parametrize(
    ("cloud", "changed", "provider", "words"),
    [
        (Cloud.LOCAL, {}, PROVIDER, "needs --cloud aks, eks or gke"),
        (Cloud.EKS, {"zone": "Europe/Berlin"}, PROVIDER, "--time-zone is for"),
        (Cloud.EKS, {"cluster": ClusterRef(Cloud.EKS, "prod")}, PROVIDER, "has no region"),
        (Cloud.EKS, {"cluster": ClusterRef(Cloud.EKS, "prod", selectors={"region": "${{ secrets.X }}"})}, PROVIDER, "has no region"),
        (Cloud.AKS, {"cluster": ClusterRef(Cloud.AKS, "prod", selectors={"tenant": "t"})}, PROVIDER, "has no subscription"),
        (Cloud.GKE, {}, "", "not a workload identity provider"),
    ],
)
def test_what_cannot_sign_in_is_refused(cloud: Cloud, changed: dict[str, Any], provider: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        workflow(job(cloud, **{"object_id": "", **changed}), "requirements.txt", provider)


KEPT = Snapshot("snapshots/prod", "snapshot.pub")


def drilled(snapshot: Snapshot = KEPT) -> str:
    """What the step of a drill runs."""
    (only,) = drill_workflow(job(Cloud.EKS), "requirements.txt", "", snapshot)["jobs"].values()
    (step,) = [step["run"] for step in only["steps"] if step.get("name") == "Drill"]
    return str(step)


def test_a_drill_names_its_cluster_and_opens_no_ca() -> None:
    words = shlex.split(drilled().splitlines()[1])
    assert words[:5] == ["venv/bin/meshinstall", "restore", "snapshots/prod", "--key", "snapshot.pub"]
    assert words[words.index("--cluster") + 1] == "prod"
    assert words[words.index("--region") + 1] == "eu-west-1"
    assert "--drill" in words
    assert "--identity" not in words


@pytest.mark.parametrize(("status", "ends"), [(0, 0), (5, 0), (4, 4), (1, 1)])
def test_what_is_not_proven_alone_does_not_fail_the_job(tmp_path: Path, status: int, ends: int) -> None:
    """The step as GitHub's runner runs it."""
    program = tmp_path / "venv/bin/meshinstall"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho '{{}}'\nexit {status}\n")
    program.chmod(0o755)
    (tmp_path / "results").mkdir()
    argv = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", drilled()]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == ends
    assert ("::notice::" in done.stdout) == (status == 5)
    assert (tmp_path / "results/drill.json").read_text() == "{}\n"


@pytest.mark.parametrize("path", ["", "/kept", "../kept", "--env", "${{ secrets.X }}", "a\nb"])
def test_a_path_outside_the_repository_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match="--snapshot"):
        drilled(Snapshot(path, "snapshot.pub"))
    with pytest.raises(UsageError, match="--key"):
        drilled(Snapshot("kept", path))
